//! Paths below a directory that may be hostile: openat2(2), never anything else.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::sys::openat2::{Resolve, open_below};

/// A directory below which no path leads out, and in which no symbolic link is followed
/// (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS).
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
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    open_below(dir, &path, flags, 0, Resolve::NoSymlinks)
}

/// Creates the regular file `name`, a single component that must not exist, in `dir` and opens it for writing.
pub fn create_new(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    debug_assert!(!name.contains(&b'/'));
    nix::fcntl::openat(dir, name, flags, mode)
}
