//! Making a container's directory: everything in a directory of its own, published by one rename.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::name_link;
use super::spare;
use super::status::{self, Status};
use crate::failure::{Explain, Failure};
use crate::name::container::{ContainerId, ContainerName};
use crate::state::layout::Layout;
use crate::state::record::{self, RecordError};
use crate::state::schema::container::ContainerRecord;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::sys::ownership;

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The file system refused.
    #[error("making the container's directory: {}", path.display())]
    Io {
        /// What was being made.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The name belongs to another container.
    #[error("the name {name} is in use by container {}", id.short())]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Its container.
        id: ContainerId,
    },
    /// The lock of a new container is taken, which nobody else knows of.
    #[error("locking the new container")]
    Lock(#[source] Errno),
}

impl Explain for CreateError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { cause, .. } => record::io_code(cause),
            Self::Record(error) => error.code(),
            Self::NameInUse { .. } => "E_EXISTS",
            Self::Lock(_) => "E_STORE_FS",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { cause, .. } => record::io_hint(cause),
            Self::Record(error) => error.hint(),
            Self::NameInUse { name, .. } => Some(format!("choose another name, or remove that one: coracle rm {name}")),
            Self::Lock(_) => {
                Some("the file system that holds the store has no locks: put the store elsewhere with --root".into())
            }
        }
    }
}

/// A container on disk that this process owns: nobody else starts or removes it while this is held. The lock is on its
/// record, which is written once and never replaced.
#[derive(Debug)]
pub struct Owned {
    /// Its identifier.
    pub id: ContainerId,
    lock: File,
}

/// What became of the wish to have a container.
#[derive(Debug)]
pub enum Taken {
    /// It is ours, and does not run.
    Owned(Owned),
    /// It has a monitor: it runs, is about to run again, or was made ready to.
    Served,
    /// It is gone.
    Gone,
}

/// How long somebody else may have a container that does not run: to start it, to copy into it, to remove it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts at what somebody else has just taken.
const PAUSE: Duration = Duration::from_millis(2);

impl Owned {
    /// Takes an existing container's lock; EAGAIN if its monitor lives, ENOENT if it is gone.
    pub fn take(layout: &Layout, id: &ContainerId) -> io::Result<Self> {
        let path = layout.container_record(id);
        let lock = fs::OpenOptions::new().write(true).open(&path)?;
        ownership::take(lock.as_fd())?;
        // Whoever had it until now may have removed it.
        let (named, held) = (fs::metadata(path)?, lock.metadata()?);
        match (named.dev(), named.ino()) == (held.dev(), held.ino()) {
            true => Ok(Self { id: id.clone(), lock }),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Takes the lock of a container that does not run, as soon as nobody else has it. `E_BUSY` if somebody keeps it.
    pub fn take_idle(layout: &Layout, id: &ContainerId) -> Result<Taken, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let cause = match Self::take(layout, id) {
                Ok(owned) => return Ok(Taken::Owned(owned)),
                Err(cause) => cause,
            };
            match cause.raw_os_error() {
                None | Some(libc::ENOENT) => return Ok(Taken::Gone),
                Some(libc::EAGAIN) => {}
                Some(_) => return Err(record::failure(&format!("taking container {}", id.short()), &cause)),
            }
            if !matches!(status::of(layout, id)?, Status::Created | Status::Creating | Status::Stopped(_)) {
                return Ok(Taken::Served);
            }
            if Instant::now() > deadline {
                let message = format!("taking container {}: another command has it", id.short());
                return Err(Failure::new("E_BUSY", message).with_hint("try it again when that has ended"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The lock's file, to be kept open by whoever takes over.
    pub fn lock(&self) -> &File {
        &self.lock
    }
}

/// Makes the container's directory, and publishes it under `name`.
pub fn create(
    layout: &Layout,
    id: &ContainerId,
    name: &ContainerName,
    record: &ContainerRecord,
) -> Result<Owned, CreateError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |cause| CreateError::Io { path, cause }
    };
    // Dropped unpublished, it is gone with all it holds; if we are killed, the next command sees that nobody has it locked.
    let building = match spare::take(layout) {
        Some(spare) => spare,
        None => empty(layout)?,
    };
    let record_path = building.path().join("record.json");
    record::write_new(&record_path, record)?;
    let lock = fs::OpenOptions::new().write(true).open(&record_path).map_err(io(&record_path))?;
    ownership::take(lock.as_fd()).map_err(CreateError::Lock)?;
    if record.privileged {
        let nested = building.path().join("nested");
        make_directory(&nested, 0o700).map_err(io(&nested))?;
    }
    publish(layout, building, id, name)?;
    Ok(Owned { id: id.clone(), lock })
}

/// A new directory of a container, with nothing in its own.
fn empty(layout: &Layout) -> Result<TemporaryDirectory, CreateError> {
    let io = |path: PathBuf| move |cause| CreateError::Io { path, cause };
    let building = TemporaryDirectory::create(&layout.tmp(), Kind::Container).map_err(io(layout.tmp()))?;
    for (directory, mode) in spare::DIRECTORIES {
        let path = building.path().join(directory);
        make_directory(&path, mode).map_err(io(path.clone()))?;
    }
    Ok(building)
}

/// Makes a directory with exactly these permissions, whatever the umask.
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::DirBuilder::new().mode(mode).create(path)?;
    if fs::metadata(path)?.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Publishes the directory, then its name. Names are given under a lock; one whose container is gone is free.
fn publish(
    layout: &Layout,
    building: TemporaryDirectory,
    id: &ContainerId,
    name: &ContainerName,
) -> Result<(), CreateError> {
    let names = layout.container_names();
    let io = |cause: io::Error| CreateError::Io { path: names.clone(), cause };
    let directory = File::open(&names).map_err(io)?;
    let _guard = Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| CreateError::Lock(errno))?;
    let link = layout.container_name(name);
    if let Some(holder) = name_link::holder(&link) {
        if layout.container(&holder).exists() {
            return Err(CreateError::NameInUse { name: name.clone(), id: holder });
        }
        fs::remove_file(&link).map_err(io)?;
    }
    name_link::make(&link, id).map_err(io)?;
    building.publish_volatile(&layout.container(id)).map_err(io)
}
