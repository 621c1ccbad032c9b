//! Process descriptors (pidfd_open(2), Linux 5.3): signals and waits that cannot hit another process.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// A descriptor of the process that has this number now.
pub fn open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes integers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends the signal of this number (pidfd_send_signal(2)).
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no siginfo is passed; the rest are integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) };
    Errno::result(result).map(drop)
}

/// Whether our child is stopped (SIGSTOP and its like).
pub fn is_stopped(pidfd: BorrowedFd<'_>) -> bool {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::PIDFd(pidfd), flags), Ok(WaitStatus::Stopped(..)))
}

/// Waits until our child exits, and reaps it (waitid(2), P_PIDFD).
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<WaitStatus, Errno> {
    loop {
        match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) {
            Err(Errno::EINTR) => continue,
            other => return other,
        }
    }
}
