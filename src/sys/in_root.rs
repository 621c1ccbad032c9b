//! Paths below a directory that may be hostile: openat2(2) (Linux 5.6), never anything else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;

/// Attempts while the kernel answers EAGAIN because of a concurrent rename.
const ATTEMPTS: usize = 128;

/// A directory below which no path leads out, and in which no symbolic link is followed
/// (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV).
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// The directory that `fd` has open.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens `path`: relative, not empty.
    ///
    /// ELOOP means that a component is a symbolic link, EXDEV that the path leads out.
    pub fn open(&self, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
        open_beneath(self.0.as_fd(), path, flags)
    }
}

impl AsFd for Beneath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// As [`Beneath::open`], for a directory that is only borrowed.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    for _ in 0..ATTEMPTS {
        match nix::fcntl::openat2(dir, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Creates the regular file `name`, a single component that must not exist, in `dir` and opens it for writing.
pub fn create_new(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    debug_assert!(!name.contains(&b'/'));
    nix::fcntl::openat(dir, name, flags, mode)
}
