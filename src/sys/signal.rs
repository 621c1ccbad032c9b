//! Signals as descriptors, real-time ones included.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Signals that are blocked and arrive here instead (signalfd(2)).
#[derive(Debug)]
pub struct SignalQueue(OwnedFd);

impl SignalQueue {
    /// Blocks the signals that `wanted` accepts, by number, and queues them.
    pub fn new(wanted: impl Fn(i32) -> bool) -> Result<Self, Errno> {
        // SAFETY: sigset_t is plain data; sigemptyset makes it a valid set, sigaddset keeps it one.
        let set = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in (1..=libc::SIGRTMAX()).filter(|&signal| wanted(signal)) {
                libc::sigaddset(&raw mut set, signal);
            }
            set
        };
        // SAFETY: the set is read; the old mask is not asked for.
        Errno::result(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
        // SAFETY: -1 asks for a new descriptor, which the kernel makes for us.
        let fd = Errno::result(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal's number, if one has arrived.
    pub fn next(&self) -> Option<i32> {
        // SAFETY: signalfd_siginfo is plain data, for which zeroes are valid.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes into `info`.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        (read == size as isize).then_some(info.ssi_signo as i32)
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
