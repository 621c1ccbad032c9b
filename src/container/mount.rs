//! `mount` and `unmount`: the files of a container where programs of the host can read and write them.
//!
//! As with images, an unprivileged process can mount something only for itself and those that it starts: hence these work in the
//! namespaces that `unshare` makes, as podman's do. A container that runs has its layer to itself, and is shown read-only.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MntFlags;

use super::event;
use super::files::trees::{Mode, Trees};
use super::list::Listed;
use super::status::Status;
use crate::failure::{Explain, Failure};
use crate::image::mount::{self, IfBusy};
use crate::name::container::ContainerName;
use crate::state::journal::ContainerEvent;
use crate::state::record::{io_code, io_hint};
use crate::store::Store;

/// Why a container was not mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// We may not mount anything here.
    #[error("{doing} container {container}: this needs mount privileges")]
    Unprivileged {
        /// What was tried.
        doing: &'static str,
        /// The container.
        container: ContainerName,
    },
    /// It is not mounted.
    #[error("unmounting container {0}: it is not mounted")]
    NotMounted(ContainerName),
    /// A step failed.
    #[error("{doing} container {container} on {}", path.display())]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The container.
        container: ContainerName,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

impl Explain for MountError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unprivileged { .. } => "E_PERMISSION",
            Self::NotMounted(_) => "E_NOTFOUND",
            Self::Failed { cause, .. } if cause.raw_os_error() == Some(libc::EBUSY) => "E_BUSY",
            Self::Failed { cause, .. } => io_code(cause),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unprivileged { .. } => Some(
                "run `coracle unshare` and mount it in the shell that this starts, or in one command: \
                 coracle unshare sh -c 'ls $(coracle mount CONTAINER)'"
                    .into(),
            ),
            Self::NotMounted(_) => Some("coracle mount lists the containers that are mounted".into()),
            Self::Failed { cause, .. } if cause.raw_os_error() == Some(libc::EBUSY) => {
                Some("somebody uses files in it: --force takes it away all the same".into())
            }
            Self::Failed { cause, .. } => io_hint(cause),
        }
    }
}

/// Where the container's files are to be seen in our mount namespace, if it is mounted. A directory that is the root itself
/// always is.
pub fn mounted_at(store: &Store, container: &Listed) -> Option<PathBuf> {
    let path = store.layout().container_mount(&container.record.id);
    if mount::is_mounted(&path) { Some(path) } else { plain_root(container).map(Path::to_path_buf) }
}

/// The directory that is the container's root, where nothing is laid over it.
fn plain_root(container: &Listed) -> Option<&Path> {
    container.record.rootfs.as_deref().filter(|_| container.record.driver != "overlay")
}

/// Mounts the container's files unless they are; where. The layers are opened by names relative to the store, which becomes
/// this process's working directory.
pub fn mount(store: &Store, container: &Listed) -> Result<PathBuf, Failure> {
    if let Some(path) = mounted_at(store, container) {
        return Ok(path);
    }
    let (layout, record) = (store.layout(), &container.record);
    let path = layout.container_mount(&record.id);
    let failed = |cause: std::io::Error| explained("mounting", container, &path, cause);
    let has_layer_to_itself = !matches!(container.status, Status::Created | Status::Stopped(_));
    let mode = if has_layer_to_itself { Mode::ToRead } else { Mode::ToWrite };
    let overlay = Trees::of_container(store, record)?.overlay(mode);
    let (mut trees, upper) = overlay.ok_or_else(|| failed(Errno::EINVAL.into()))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    nix::unistd::chdir(layout.data()).map_err(|errno| failed(errno.into()))?;
    let point = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL.into()))?;
    if trees.is_empty() {
        // An overlay has a lowest layer: the empty directory on which it is mounted.
        trees.push(point.clone());
    }
    mount::attach(layout, &trees, upper.as_ref(), &point).map_err(failed)?;
    event::note(layout, ContainerEvent::Mount, record);
    Ok(path)
}

/// Takes the container's mount away. There is none of a directory that is the root itself.
pub fn unmount(store: &Store, container: &Listed, if_busy: IfBusy) -> Result<(), Failure> {
    let (layout, record) = (store.layout(), &container.record);
    let path = layout.container_mount(&record.id);
    if !mount::is_mounted(&path) {
        return match plain_root(container) {
            Some(_) => Ok(()),
            None => Err(MountError::NotMounted(record.name.clone()).into()),
        };
    }
    let flags = match if_busy {
        IfBusy::Refuse => MntFlags::UMOUNT_NOFOLLOW,
        IfBusy::Detach => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    let unmounted = nix::mount::umount2(&path, flags);
    unmounted.map_err(|errno| explained("unmounting", container, &path, errno.into()))?;
    // Another namespace may have something mounted on it.
    let _ = std::fs::remove_dir(&path);
    event::note(layout, ContainerEvent::Unmount, record);
    Ok(())
}

fn explained(doing: &'static str, container: &Listed, path: &Path, cause: std::io::Error) -> MountError {
    let container = container.record.name.clone();
    match cause.raw_os_error() {
        Some(libc::EPERM) => MountError::Unprivileged { doing, container },
        _ => MountError::Failed { doing, container, path: path.into(), cause },
    }
}
