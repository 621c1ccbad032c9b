//! openat2(2) (Linux 5.6): opening below a directory that may be hostile.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// How the components of a path are resolved. No mode follows magic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// `/` and `..` stop at the directory, symbolic links are followed within it (RESOLVE_IN_ROOT): what a path means to a
    /// process whose root the directory is.
    InRoot,
    /// No symbolic link anywhere, nothing above the directory (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS).
    NoSymlinks,
}

// linux/openat2.h
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;

/// Attempts while the kernel answers EAGAIN because of a concurrent rename.
const ATTEMPTS: usize = 128;

/// Opens `path` below `dir`. `mode` counts only with O_CREAT.
pub fn open_below(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlag,
    mode: u32,
    resolve: Resolve,
) -> Result<OwnedFd, Errno> {
    // SAFETY: open_how is plain data, for which zeroes are valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | OFlag::O_CLOEXEC).bits() as u32 as u64;
    how.mode = if flags.contains(OFlag::O_CREAT) { u64::from(mode) } else { 0 };
    how.resolve = RESOLVE_NO_MAGICLINKS
        | match resolve {
            Resolve::InRoot => RESOLVE_IN_ROOT,
            Resolve::NoSymlinks => RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        };
    let mut last = Errno::EAGAIN;
    for _ in 0..ATTEMPTS {
        // SAFETY: `path` is a C string and `how` is read for its whole size; both outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        match Errno::result(result) {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(errno) => {
                last = errno;
                break;
            }
        }
    }
    Err(last)
}
