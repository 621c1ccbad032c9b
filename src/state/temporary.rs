//! Files and directories being written: under a temporary name, locked for as long as their maker lives, renamed into
//! place when they are complete.
//!
//! Whoever finds one whose lock is free may remove it: its maker is dead. What has other names is not ours to judge:
//! containers being made or removed have locks of their own.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{Flock, FlockArg};

use crate::state::disk_usage;
use crate::sys::fs::remove_tree;

/// What a temporary file or directory is to become; begins its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A blob.
    Blob,
    /// A layer.
    Layer,
    /// A record.
    Record,
    /// A container.
    Container,
    /// A volume.
    Volume,
    /// Nothing: it is on its way out.
    Trash,
    /// The lock of a pull.
    Pull,
    /// A container that is yet to be: the only one of its kind, it is not made here.
    Spare,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::Blob, Self::Layer, Self::Record, Self::Container, Self::Volume, Self::Trash, Self::Pull, Self::Spare];

    /// The beginning of the names of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Blob => "blob.",
            Self::Layer => "layer.",
            Self::Record => "record.",
            Self::Container => "container.",
            Self::Volume => "volume.",
            Self::Trash => "trash.",
            Self::Pull => "pull.",
            Self::Spare => "spare.",
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that nothing in this process has had; another process with our id may have left it behind, so creation must
/// be exclusive.
fn unused_name(kind: Kind) -> String {
    format!("{}{}.{}", kind.prefix(), std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Locks `file` if it is still what `path` names: a collector may have come between creating and locking.
fn lock_if_linked(file: File, path: &Path) -> io::Result<Option<Flock<File>>> {
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(errno.into()),
    };
    Ok(names_it(path, &lock)?.then_some(lock))
}

fn names_it(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Creates something by `create` under unused names in `directory` until one of them is ours.
fn create_locked(
    directory: &Path,
    kind: Kind,
    create: impl Fn(&Path) -> io::Result<File>,
) -> io::Result<(PathBuf, Flock<File>)> {
    loop {
        let path = directory.join(unused_name(kind));
        let file = match create(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        if let Some(lock) = lock_if_linked(file, &path)? {
            return Ok((path, lock));
        }
    }
}

/// Makes what was renamed into or removed from `directory` last through a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// A file that does not exist for anybody yet. Dropped, it is gone.
#[derive(Debug)]
pub struct TemporaryFile {
    path: PathBuf,
    file: Flock<File>,
    published: bool,
}

impl TemporaryFile {
    /// A new empty file, mode 0600, in `directory`.
    pub fn create(directory: &Path, kind: Kind) -> io::Result<Self> {
        let create = |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
        let (path, file) = create_locked(directory, kind, create)?;
        Ok(Self { path, file, published: false })
    }

    /// The file, to write to and to read again.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file without a name: it is gone when nobody has it open any more.
    pub fn into_unnamed(self) -> io::Result<File> {
        std::fs::remove_file(&self.path)?;
        self.file.try_clone()
    }

    /// Gives the file the name `to`, replacing what had it, in such a way that after a power cut `to` is either what it was
    /// or this file, complete.
    pub fn publish_durable(mut self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, to)?;
        self.published = true;
        sync_directory(parent_of(to)?)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.published {
            // Left behind, it would be collected by the next command.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A directory that does not exist for anybody yet. Dropped, it is gone with all its contents.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
    directory: Flock<File>,
    /// Whether it is no longer ours to remove.
    published: bool,
}

impl TemporaryDirectory {
    /// A new empty directory, mode 0700, in `directory`.
    pub fn create(directory: &Path, kind: Kind) -> io::Result<Self> {
        let create = |path: &Path| {
            std::fs::DirBuilder::new().mode(0o700).create(path)?;
            let opened = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path);
            opened.map_err(|error| match error.kind() {
                // A collector was faster: the name is used up.
                io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
                _ => error,
            })
        };
        let (path, directory) = create_locked(directory, kind, create)?;
        Ok(Self { path, directory, published: false })
    }

    /// Takes the directory `path` out of sight, at once and as a whole, into `directory`. EAGAIN if somebody else does.
    pub fn take(path: &Path, directory: &Path, kind: Kind) -> io::Result<Self> {
        let file = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))?;
        loop {
            let to = directory.join(unused_name(kind));
            match std::fs::rename(path, &to) {
                Ok(()) => {
                    let taken = Self { path: to, directory: lock, published: false };
                    // The name may have been another directory's by then, which is not locked: it is removed.
                    let is_it = names_it(&taken.path, &taken.directory)?;
                    return if is_it { Ok(taken) } else { Err(io::ErrorKind::WouldBlock.into()) };
                }
                Err(error) if is_occupied(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes it, and says what went wrong.
    pub fn remove(mut self) -> io::Result<()> {
        self.published = true;
        remove(&self.path)
    }

    /// Leaves it to the next command that collects.
    pub fn abandon(mut self) {
        self.published = true;
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Gives the directory the name `to`, in such a way that after a power cut it is either not there or complete. If `to`
    /// is there already, that one stays and this one is removed.
    pub fn publish_durable(mut self, to: &Path) -> io::Result<Published> {
        nix::unistd::syncfs(&*self.directory)?;
        match std::fs::rename(&self.path, to) {
            Ok(()) => self.published = true,
            Err(error) if is_occupied(&error) => return Ok(Published::WasThere),
            Err(error) => return Err(error),
        }
        sync_directory(parent_of(to)?)?;
        Ok(Published::Now)
    }
}

impl TemporaryDirectory {
    /// Gives the directory the name `to`, at once and as a whole, for what need not survive a power cut. EEXIST or ENOTEMPTY
    /// if `to` is there already.
    pub fn publish_volatile(mut self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, to)?;
        self.published = true;
        Ok(())
    }
}

/// How a directory came to be in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// By this call.
    Now,
    /// Somebody else had been faster.
    WasThere,
}

fn is_occupied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOTEMPTY))
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if !self.published {
            // Left behind, it would be collected by the next command.
            let _ = remove(&self.path);
        }
    }
}

/// Removes `path` and everything below it.
pub fn remove(path: &Path) -> io::Result<()> {
    // Fast, but recursive, and helpless before directories that their owner may not enter.
    match std::fs::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    let directory = File::open(parent_of(path)?)?;
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(remove_tree(directory.as_fd(), &CString::new(name.as_bytes())?)?)
}

/// Removes what dead processes have left in `directory`.
///
/// What cannot be removed is left for the next time: it is nobody's failure.
pub fn collect_abandoned(directory: &Path) -> io::Result<()> {
    collect(directory, &Kind::ALL, remove)
}

/// The same; the bytes that this frees.
pub fn collect_abandoned_measured(directory: &Path) -> io::Result<u64> {
    let freed = std::cell::Cell::new(0);
    collect(directory, &Kind::ALL, |path| {
        let bytes = disk_usage::of(path);
        remove(path).inspect(|()| freed.set(freed.get() + bytes))
    })?;
    Ok(freed.get())
}

/// Removes, by `remove`, what nobody holds of these kinds.
pub fn collect(directory: &Path, kinds: &[Kind], remove: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if !kinds.iter().any(|kind| name.as_bytes().starts_with(kind.prefix().as_bytes())) {
            continue;
        }
        let Ok(file) = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path) else {
            continue;
        };
        // The lock is held while removing, so that two collectors do not meet.
        if let Ok(Some(_lock)) = lock_if_linked(file, &path) {
            let _ = remove(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_nobody_holds_is_collected() {
        let root = tempfile::tempdir().unwrap();
        let held = TemporaryFile::create(root.path(), Kind::Blob).unwrap();
        let held_directory = TemporaryDirectory::create(root.path(), Kind::Layer).unwrap();
        std::fs::write(root.path().join("blob.1.1"), "left").unwrap();
        std::fs::create_dir_all(root.path().join("layer.1.1/a/b/c")).unwrap();
        std::fs::write(root.path().join("layer.1.1/a/b/c/d"), "left").unwrap();
        std::fs::create_dir(root.path().join("new-0123")).unwrap();
        collect_abandoned(root.path()).unwrap();
        assert_eq!(names(root.path()).len(), 3);
        drop((held, held_directory));
        assert_eq!(names(root.path()), ["new-0123"], "containers have locks of their own");
    }

    #[test]
    fn a_published_file_replaces_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        std::fs::write(&target, "old").unwrap();
        let temporary = TemporaryFile::create(root.path(), Kind::Record).unwrap();
        temporary.file().write_all(b"new").unwrap();
        temporary.publish_durable(&target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(root.path()), ["target"]);
    }

    #[test]
    fn trees_that_lock_their_owner_out_are_removed_too() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        std::fs::create_dir_all(top.join("a/b/c")).unwrap();
        std::fs::write(top.join("a/b/c/file"), "x").unwrap();
        std::fs::write(top.join(".moved-1"), "a name that removal uses itself").unwrap();
        std::os::unix::fs::symlink("/", top.join("a/b/link")).unwrap();
        for locked in ["top/a/b/c", "top/a/b", "top/a", "top"] {
            std::fs::set_permissions(root.path().join(locked), std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&top).unwrap();
        assert!(names(root.path()).is_empty());
        remove(&top).unwrap();
    }

    #[test]
    fn depth_does_not_matter() {
        let root = tempfile::tempdir().unwrap();
        let mut directory = File::open(root.path()).unwrap();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&directory, "d", nix::sys::stat::Mode::S_IRWXU).unwrap();
            let flags = nix::fcntl::OFlag::O_DIRECTORY;
            directory = nix::fcntl::openat(&directory, "d", flags, nix::sys::stat::Mode::empty()).unwrap().into();
        }
        remove(&root.path().join("d")).unwrap();
        assert!(names(root.path()).is_empty());
    }
}
