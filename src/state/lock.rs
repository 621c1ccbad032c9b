//! Kernel locks (flock(2)): held by an open file, gone with the process that held them.
//!
//! The order in which they are taken, and the only place it is written down:
//!
//! 1. the store: [`Shared`] by everything that relies on objects staying where they are (a pull from its first look to its
//!    last record; a run until its container's record names the image), [`Exclusive`] for the last step of collection;
//! 2. an image: one pull of one reference at a time;
//! 3. a blob: its part that has arrived, held by whoever fetches it;
//! 4. a container: its own lock file, held by its monitor ([`crate::sys::ownership`]);
//! 5. the records of networks; then one network's members; then the user namespace of all networks;
//! 6. the volumes: [`Shared`] from the look at the volumes that a container is to have until its record names them and they are
//!    there, [`Exclusive`] for making one by itself and for removing one that nobody names.
//!
//! Nobody waits for an earlier one while holding a later one. A wait never times out; after two seconds the waiter is told
//! who holds the lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::failure::Explain;
use crate::name::network::NetworkName;
use crate::name::reference::Reference;
use crate::oci::digest::Digest;
use crate::state::layout::Layout;
use crate::state::record::{io_code, io_hint};
use crate::state::temporary::Kind;

/// How long a wait is nobody's business.
const QUIET: Duration = Duration::from_secs(2);
/// Between attempts while quiet.
const PAUSE: Duration = Duration::from_millis(10);

/// Who is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// The lock's file.
    pub path: &'a Path,
    /// A process that holds it, if it could be found out.
    pub holder: Option<i32>,
}

/// Called once if a lock is not to be had within two seconds; the wait then goes on.
pub type OnWait<'a> = &'a mut dyn FnMut(&Waiting<'_>);

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("locking {}", path.display())]
pub struct LockError {
    path: PathBuf,
    source: io::Error,
}

impl Explain for LockError {
    fn code(&self) -> &'static str {
        match self.source.raw_os_error() {
            // flock(2) is not to be had on this file system.
            Some(libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS) => "E_STORE_FS",
            Some(libc::EWOULDBLOCK) => "E_BUSY",
            _ => io_code(&self.source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self.code() {
            "E_STORE_FS" => Some("keep the store on a local file system: `--root DIR`".into()),
            _ => io_hint(&self.source),
        }
    }
}

/// Everything stays where it is while this lives.
#[derive(Debug)]
#[must_use = "the lock is held as long as this value lives"]
pub struct Shared {
    _lock: Flock<File>,
}

/// Nobody else holds the lock while this lives.
#[derive(Debug)]
#[must_use = "the lock is held as long as this value lives"]
pub struct Exclusive {
    _lock: Flock<File>,
    /// A file that is there for this lock only, and goes with it. Whoever waits for it notices that its name is gone.
    only_for_this: Option<PathBuf>,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if let Some(path) = &self.only_for_this {
            // Left behind, it is collected by the next command that writes.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The store, shared.
pub fn store_shared(layout: &Layout, on_wait: OnWait<'_>) -> Result<Shared, LockError> {
    let path = layout.store_lock();
    acquire(open_file(&path)?, &path, Mode::Shared, on_wait).map(|_lock| Shared { _lock })
}

/// The store, for oneself.
pub fn store_exclusive(layout: &Layout, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = layout.store_lock();
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// The volumes, shared.
pub fn volumes_shared(layout: &Layout, on_wait: OnWait<'_>) -> Result<Shared, LockError> {
    let path = made(layout.volumes())?;
    acquire(open_file(&path)?, &path, Mode::Shared, on_wait).map(|_lock| Shared { _lock })
}

/// The volumes, for oneself.
pub fn volumes_exclusive(layout: &Layout, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = made(layout.volumes())?;
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// The secrets, for oneself.
pub fn secrets_exclusive(layout: &Layout, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = made(layout.secrets())?;
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// A network's members and the process that holds it, for oneself.
pub fn network_exclusive(layout: &Layout, name: &NetworkName, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = made(layout.network_state(name))?;
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// The records of all networks, for oneself.
pub fn networks_exclusive(layout: &Layout, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = made(layout.networks())?;
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// Making the user namespace to which all networks belong, for oneself.
pub fn network_states_exclusive(layout: &Layout, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    let path = made(layout.network_states())?;
    acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait).map(|_lock| Exclusive { _lock, only_for_this: None })
}

/// A directory whose lock is wanted: made with its first use.
fn made(path: PathBuf) -> Result<PathBuf, LockError> {
    let result = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
    result.map(|()| path.clone()).map_err(|source| LockError { path, source })
}

/// One image reference, for oneself: whoever pulls it holds this.
pub fn image_exclusive(layout: &Layout, image: &Reference, on_wait: OnWait<'_>) -> Result<Exclusive, LockError> {
    // A file of this name, unlike that of the reference, is never too long. It is collected like any temporary file.
    let path = layout.tmp().join(format!("{}{}", Kind::Pull.prefix(), Digest::of(image.to_string().as_bytes()).hex()));
    loop {
        let lock = acquire(open_file(&path)?, &path, Mode::Exclusive, on_wait)?;
        if is_named(&path, &lock) {
            return Ok(Exclusive { _lock: lock, only_for_this: Some(path) });
        }
    }
}

/// The part that is there of a blob, made if there is none, for oneself: to read and to append to.
pub fn partial_exclusive(path: &Path, on_wait: OnWait<'_>) -> Result<Flock<File>, LockError> {
    loop {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path).map_err(|source| LockError { path: path.into(), source })?;
        let lock = acquire(file, path, Mode::Exclusive, on_wait)?;
        // Whoever had it may have put it into the store.
        if is_named(path, &lock) {
            return Ok(lock);
        }
    }
}

/// The same, if nobody has it.
pub fn partial_if_free(path: &Path) -> Result<Option<Flock<File>>, LockError> {
    let lock = Flock::lock(open_file(path)?, FlockArg::LockExclusiveNonblock).ok();
    Ok(lock.filter(|lock| is_named(path, lock)))
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
}

impl Mode {
    fn now(self) -> FlockArg {
        match self {
            Self::Shared => FlockArg::LockSharedNonblock,
            Self::Exclusive => FlockArg::LockExclusiveNonblock,
        }
    }

    fn whenever(self) -> FlockArg {
        match self {
            Self::Shared => FlockArg::LockShared,
            Self::Exclusive => FlockArg::LockExclusive,
        }
    }
}

fn open_file(path: &Path) -> Result<File, LockError> {
    let flags = libc::O_NOFOLLOW;
    // A reader of a store on a read-only file system locks what is there.
    let existing = File::options().read(true).custom_flags(flags).open(path);
    let file = match existing {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
        }
        other => other,
    };
    file.map_err(|source| LockError { path: path.into(), source })
}

fn is_named(path: &Path, file: &File) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let named = std::fs::symlink_metadata(path).map(identity).ok();
    named.is_some() && named == file.metadata().map(identity).ok()
}

fn acquire(file: File, path: &Path, mode: Mode, on_wait: OnWait<'_>) -> Result<Flock<File>, LockError> {
    let failed = |errno: Errno| LockError { path: path.into(), source: errno.into() };
    let started = Instant::now();
    let mut file = file;
    while started.elapsed() < QUIET {
        match Flock::lock(file, mode.now()) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(failed(errno)),
        }
        std::thread::sleep(PAUSE);
    }
    on_wait(&Waiting { path, holder: holder_of(&file) });
    loop {
        match Flock::lock(file, mode.whenever()) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(failed(errno)),
        }
    }
}

/// A process that holds an flock on `file`, by /proc/locks (proc_locks(5)).
fn holder_of(file: &File) -> Option<i32> {
    let metadata = file.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let device = metadata.dev();
    let device = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    find_holder(&locks, device, metadata.ino())
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; `->` after the number marks a process that waits.
fn find_holder(locks: &str, device: (u64, u64), inode: u64) -> Option<i32> {
    let exact = format!("{:02x}:{:02x}:{inode}", device.0, device.1);
    let same_inode = format!(":{inode}");
    let held = || {
        locks.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            match fields[..] {
                [_, "FLOCK", _, _, pid, file, ..] => Some((pid, file)),
                _ => None,
            }
        })
    };
    // On file systems with subvolumes the device is not the one that stat(2) tells.
    let found =
        held().find(|(_, file)| *file == exact).or_else(|| held().find(|(_, file)| file.ends_with(&same_inode)));
    found.and_then(|(pid, _)| pid.parse().ok()).filter(|&pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_and_not_a_waiter() {
        let locks = "1: POSIX  ADVISORY  WRITE 77 fe:00:5678 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 11 fe:00:15678 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  12 fe:00:5678 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 13 fe:00:5678 0 EOF\n";
        assert_eq!(find_holder(locks, (0xfe, 0), 5678), Some(12));
        assert_eq!(find_holder(locks, (0, 0x21), 5678), Some(12), "another device number");
        assert_eq!(find_holder(locks, (0xfe, 0), 678), None);
    }

    #[test]
    fn a_long_wait_tells_who_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        let mut nobody = |_: &Waiting<'_>| panic!("no wait was expected");
        let first = acquire(open_file(&path).unwrap(), &path, Mode::Shared, &mut nobody).unwrap();
        let second = acquire(open_file(&path).unwrap(), &path, Mode::Shared, &mut nobody).unwrap();
        drop(second);
        let (told, tell) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let path = &path;
            let waiter = scope.spawn(move || {
                let mut on_wait = |waiting: &Waiting<'_>| told.send(waiting.holder).unwrap();
                acquire(open_file(path).unwrap(), path, Mode::Exclusive, &mut on_wait).unwrap()
            });
            let holder = tell.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(holder, Some(std::process::id().cast_signed()));
            drop(first);
            drop(waiter.join().unwrap());
        });
    }
}
