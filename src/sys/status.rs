//! What the kernel says of a file: statx(2), whole.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// What statx(2) has written.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Status(pub libc::statx);

/// Everything that stat(2) has, the time of birth, and the mount.
pub const USUAL: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

impl Status {
    /// Of `path`, relative to `directory`; `flags` are `AT_*`.
    pub fn of(directory: impl AsFd, path: &CStr, flags: i32, mask: u32) -> Result<Self, Errno> {
        Self::ask(directory.as_fd().as_raw_fd(), path, flags, mask)
    }

    /// Of `path`, relative to the working directory.
    pub fn of_path(path: &CStr, flags: i32, mask: u32) -> Result<Self, Errno> {
        Self::ask(libc::AT_FDCWD, path, flags, mask)
    }

    /// Of an open file.
    pub fn of_file(file: impl AsFd) -> Result<Self, Errno> {
        Self::ask(file.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH, USUAL)
    }

    /// What tells the file from all others of its file system.
    pub fn key(&self) -> (u64, i64, u32) {
        (self.0.stx_ino, self.0.stx_btime.tv_sec, self.0.stx_btime.tv_nsec)
    }

    fn ask(directory: i32, path: &CStr, flags: i32, mask: u32) -> Result<Self, Errno> {
        // SAFETY: statx is plain data, for which zeroes are valid.
        let mut status: libc::statx = unsafe { std::mem::zeroed() };
        // SAFETY: `path` is a C string; the kernel writes one statx into `status`. Both outlive the call.
        let result = unsafe { libc::statx(directory, path.as_ptr(), flags, mask, &raw mut status) };
        Errno::result(result).map(|_| Self(status))
    }

    /// Its bytes, as a process of this architecture or of the 32-bit one beside it reads them.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: statx has no padding: all of its bytes are initialised, by zeroes first and then by the kernel.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&self.0).cast(), size_of::<libc::statx>()) }
    }
}

/// The bytes of a `struct stat` of this architecture.
pub fn stat_bytes(stat: &libc::stat) -> &[u8] {
    // SAFETY: `stat` was made from zeroes, its padding included, by [`empty_stat`].
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(stat).cast(), size_of::<libc::stat>()) }
}

/// A `struct stat` of zeroes.
pub fn empty_stat() -> libc::stat {
    // SAFETY: stat is plain data, for which zeroes are valid.
    unsafe { std::mem::zeroed() }
}
