//! `rename`: another name for a container, whether it runs or not.
//!
//! The new name's link is made, then the file that says the name, then the old link is removed, all under the lock under
//! which names are given. Whoever is killed in between leaves a container that is found by both names, one of which the next
//! command removes ([`super::remove::collect_leftovers`]).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::create::CreateError;
use super::{event, list, name_link};
use crate::failure::Failure;
use crate::name::container::{ContainerId, ContainerName};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;

/// Gives the container of this identifier another name, which must be free.
pub fn execute(layout: &Layout, id: &ContainerId, name: &ContainerName) -> Result<(), Failure> {
    let names = layout.container_names();
    let directory = File::open(&names).map_err(io_error(&names))?;
    let _guard = Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| CreateError::Lock(errno))?;
    let unknown = || list::NotFound::Unknown(id.to_string());
    let container = list::load(layout, id)?.ok_or_else(unknown)?;
    let link = layout.container_name(name);
    match name_link::holder(&link) {
        // The rest of a renaming that was interrupted: the name is not the container's, but ours to give.
        Some(holder) if holder == *id && container.record.name != *name => {}
        Some(holder) if layout.container(&holder).exists() => {
            return Err(CreateError::NameInUse { name: name.clone(), id: holder }.into());
        }
        Some(_) => {
            fs::remove_file(&link).map_err(io_error(&link))?;
            name_link::make(&link, id).map_err(io_error(&link))?;
        }
        None => name_link::make(&link, id).map_err(io_error(&link))?,
    }
    if let Err(cause) = write_name(layout, id, name) {
        let _ = fs::remove_file(&link);
        if cause.kind() == io::ErrorKind::NotFound {
            return Err(unknown().into());
        }
        return Err(io_error(&layout.container_new_name(id))(cause).into());
    }
    // Left behind, it is collected.
    let _ = fs::remove_file(layout.container_name(&container.record.name));
    event::note_with(
        layout,
        ContainerEvent::Rename,
        &container.record,
        &[("oldName", container.record.name.to_string())],
    );
    Ok(())
}

fn io_error(path: &std::path::Path) -> impl FnOnce(io::Error) -> CreateError + use<> {
    let path: PathBuf = path.to_owned();
    move |cause| CreateError::Io { path, cause }
}

/// Replaces the file that says the name, so that it is there after a power cut, or else what was there before.
fn write_name(layout: &Layout, id: &ContainerId, name: &ContainerName) -> io::Result<()> {
    let path = layout.container_new_name(id);
    let building = path.with_file_name(".name");
    // Nobody else writes it: we hold the lock of names.
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&building)?;
    file.write_all(format!("{name}\n").as_bytes())?;
    match nix::unistd::fsync(&file) {
        Ok(()) | Err(Errno::EINVAL) => fs::rename(&building, &path),
        Err(errno) => Err(errno.into()),
    }
}
