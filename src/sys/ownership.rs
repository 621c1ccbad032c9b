//! Locks that show who holds them without being taken: open file description locks (fcntl(2), Linux 3.15).

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

fn whole_file(kind: libc::c_int) -> libc::flock {
    // SAFETY: flock is plain data, for which zeroes are valid: from offset 0, length 0 (the whole file).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock
}

/// Takes the file for as long as this open file description lives, in whatever process. EAGAIN or EACCES if it is taken.
pub fn take(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let lock = whole_file(libc::F_WRLCK);
    // SAFETY: F_OFD_SETLK reads one struct flock, which outlives the call.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }).map(drop)
}

/// Whether somebody else has taken the file. Takes nothing itself, so that looking never gets in anyone's way.
pub fn is_taken(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut lock = whole_file(libc::F_WRLCK);
    // SAFETY: F_OFD_GETLK reads and writes one struct flock, which outlives the call.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}
