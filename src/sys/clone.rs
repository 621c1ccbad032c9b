//! clone3(2), used as a fork into new namespaces.

#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::process::exit_now;
use super::single_threaded::SingleThreaded;

/// A child process. Not reaped by `Drop`: whoever has the pidfd waits.
#[derive(Debug)]
pub struct Child {
    /// Its process id in our pid namespace.
    pub pid: Pid,
    /// Refers to the process, never to another one of the same number.
    pub pidfd: OwnedFd,
}

/// Forks into the namespaces of `namespaces` (`CLONE_NEW*`; clone3(2), Linux 5.3). The child runs `child` and exits with
/// the status it returns; it never returns to the caller's code.
pub fn fork_into(proof: &SingleThreaded, namespaces: CloneFlags, child: impl FnOnce() -> u8) -> Result<Child, Errno> {
    match fork_or_child(proof, namespaces)? {
        Some(process) => Ok(process),
        None => exit_now(child()),
    }
}

/// The same, but both sides return: `None` is the child.
pub fn fork_or_child(_proof: &SingleThreaded, namespaces: CloneFlags) -> Result<Option<Child>, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data, for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(namespaces.bits() as u32) | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and with a null stack this is a fork: the child has its own copy of all memory. The proof
    // says that no other thread held a lock. `args` and `pidfd` outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => Ok(None),
        pid => {
            // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD).
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some(Child { pid: Pid::from_raw(pid as i32), pidfd }))
        }
    }
}

/// Forks within the same namespaces, by fork(2): the default seccomp profile, which may be in force, has no clone3.
/// `None` is the child.
pub fn fork(_proof: &SingleThreaded) -> Result<Option<Pid>, Errno> {
    // SAFETY: the proof says that no other thread held a lock, so the child may run ordinary code.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child)),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}
