//! Paths below a directory that may be hostile: openat2(2) (Linux 5.6), never anything else.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;

/// Attempts while the kernel answers EAGAIN because of a concurrent rename.
const ATTEMPTS: usize = 128;

/// How the components of a path are resolved. No mode follows magic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// `/` and `..` stop at the directory, symbolic links are followed within it (RESOLVE_IN_ROOT): what a path means to a
    /// process whose root the directory is.
    InRoot,
    /// No symbolic link anywhere, nothing above the directory (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS).
    NoSymlinks,
    /// The same, and on the directory's own mount (RESOLVE_NO_XDEV).
    OneMount,
}

impl Resolve {
    fn flags(self) -> ResolveFlag {
        let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        ResolveFlag::RESOLVE_NO_MAGICLINKS
            | match self {
                Self::InRoot => ResolveFlag::RESOLVE_IN_ROOT,
                Self::NoSymlinks => beneath,
                Self::OneMount => beneath | ResolveFlag::RESOLVE_NO_XDEV,
            }
    }
}

fn open<P: ?Sized + NixPath>(dir: BorrowedFd<'_>, path: &P, flags: OFlag, resolve: Resolve) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve.flags());
    for _ in 0..ATTEMPTS {
        match nix::fcntl::openat2(dir, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens `path` below `dir`.
pub fn open_below(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, resolve: Resolve) -> Result<OwnedFd, Errno> {
    open(dir, path, flags, resolve)
}

/// A directory below which no path leads out, and in which no symbolic link is followed ([`Resolve::OneMount`]).
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
    open(dir, path, flags, Resolve::OneMount)
}

/// Creates the regular file `name`, a single component that must not exist, in `dir` and opens it for writing.
pub fn create_new(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    debug_assert!(!name.contains(&b'/'));
    nix::fcntl::openat(dir, name, flags, mode)
}
