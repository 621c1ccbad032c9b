//! clone3(2), used as a fork into new namespaces.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::process::exit_now;
use super::single_threaded::SingleThreaded;

/// clone(2).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child process. Not reaped by `Drop`: whoever has the pidfd waits.
#[derive(Debug)]
pub struct Child {
    /// Its process id in our pid namespace.
    pub pid: Pid,
    /// Refers to the process, never to another one of the same number.
    pub pidfd: OwnedFd,
}

/// Forks into the namespaces of `namespaces` (`CLONE_NEW*`; clone3(2), Linux 5.3). The child runs `child` and exits with
/// the status it returns; it never returns to the caller's code. Where `group` is the directory of a v2 control group, the child
/// begins in that (CLONE_INTO_CGROUP, Linux 5.7).
pub fn fork_into(
    proof: &SingleThreaded,
    namespaces: CloneFlags,
    group: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> u8,
) -> Result<Child, Errno> {
    match clone3(proof, namespaces, group)? {
        Some(process) => Ok(process),
        None => exit_now(child()),
    }
}

/// The same, but both sides return: `None` is the child.
pub fn fork_or_child(proof: &SingleThreaded, namespaces: CloneFlags) -> Result<Option<Child>, Errno> {
    clone3(proof, namespaces, None)
}

/// Why there is no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChild {
    /// The fork failed.
    Fork(Errno),
    /// What was to be done before could not be: which part of that, and why.
    Enter(u8, Errno),
}

/// What the process in between says: there is a child, of this number.
const FORKED: u8 = 0;
/// There is none.
const NOT_FORKED: u8 = 1;
/// It did not come to that; parts are counted from here.
const NOT_ENTERED: u8 = 2;

/// As [`fork_into`], but before the fork into new namespaces others are entered, by `enter`: in a process between us and the
/// child, which is ours all the same (CLONE_PARENT). Where `enter` fails it says in which of its parts, which are few.
pub fn fork_within(
    proof: &SingleThreaded,
    enter: impl FnOnce() -> Result<(), (u8, Errno)>,
    namespaces: CloneFlags,
    group: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> u8,
) -> Result<Child, NoChild> {
    let (heard, told) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(NoChild::Fork)?;
    let Some(between) = clone3(proof, CloneFlags::empty(), None).map_err(NoChild::Fork)? else {
        let made = enter().map_err(|(part, errno)| NoChild::Enter(part, errno)).and_then(|()| {
            let parents = namespaces | CloneFlags::CLONE_PARENT;
            clone3(proof, parents, group).map_err(NoChild::Fork)
        });
        let (kind, number) = match made {
            Ok(None) => exit_now(child()),
            Ok(Some(child)) => (FORKED, child.pid.as_raw()),
            Err(NoChild::Fork(errno)) => (NOT_FORKED, errno as i32),
            Err(NoChild::Enter(part, errno)) => (NOT_ENTERED + part, errno as i32),
        };
        let [a, b, c, d] = number.to_le_bytes();
        let _ = nix::unistd::write(&told, &[kind, a, b, c, d]);
        exit_now(0)
    };
    drop(told);
    let mut message = [0; 5];
    let length = nix::unistd::read(&heard, &mut message);
    let _ = super::pidfd::wait(std::os::fd::AsFd::as_fd(&between.pidfd));
    let [kind, number @ ..] = message;
    let number = i32::from_le_bytes(number);
    match (length, kind) {
        (Ok(5), FORKED) => {
            // A child of ours that was not waited for: its number is not given away.
            let pid = Pid::from_raw(number);
            super::pidfd::open(pid).map(|pidfd| Child { pid, pidfd }).map_err(NoChild::Fork)
        }
        (Ok(5), NOT_FORKED) => Err(NoChild::Fork(Errno::from_raw(number))),
        (Ok(5), part) => Err(NoChild::Enter(part - NOT_ENTERED, Errno::from_raw(number))),
        _ => Err(NoChild::Fork(Errno::ECHILD)),
    }
}

fn clone3(
    _proof: &SingleThreaded,
    namespaces: CloneFlags,
    group: Option<BorrowedFd<'_>>,
) -> Result<Option<Child>, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data, for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(namespaces.bits() as u32) | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    // With CLONE_PARENT it is our own (clone(2)).
    let is_ours = !namespaces.contains(CloneFlags::CLONE_PARENT);
    args.exit_signal = if is_ours { libc::SIGCHLD as u64 } else { 0 };
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
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

/// Size of the stack of a child that shares our memory: what init uses, many times over.
const CHILD_STACK: usize = 256 * 1024;

/// As [`fork_into`], but the child uses our memory until it executes a program or exits, and we stand still meanwhile
/// (clone(2), CLONE_VM and CLONE_VFORK): no page tables are copied and no page is faulted in twice, which is a good part of
/// the cost of a small program.
///
/// What the child does to memory stays done. It has its own descriptors, signal dispositions and working directory; values
/// that own descriptors must therefore not be moved into `child`, or ours stay open.
pub fn spawn_sharing_memory<F: FnOnce() -> u8>(
    _proof: &SingleThreaded,
    namespaces: CloneFlags,
    child: F,
) -> Result<Child, Errno> {
    extern "C" fn enter<F: FnOnce() -> u8>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the `call` below, which nobody else uses while its owner stands still.
        let call = unsafe { &mut *argument.cast::<Option<F>>() };
        exit_now(call.take().map_or(crate::failure::EXIT_OWN_FAILURE, |child| child()))
    }
    let mut call = Some(child);
    let mut pidfd: RawFd = -1;
    // Of a type that has the alignment which the ABI wants of a stack.
    let mut stack = Vec::<u128>::with_capacity(CHILD_STACK / size_of::<u128>());
    // SAFETY: one past the end of the allocation: stacks grow down.
    let top = unsafe { stack.as_mut_ptr().add(stack.capacity()) };
    let flags = namespaces.bits() | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: CLONE_VFORK lets nothing of this process run until the child is gone from its memory, so the child is alone
    // with it, on a stack of its own; the proof says that there are no other threads. `call`, `pidfd` and `stack` live on.
    let result = unsafe { libc::clone(enter::<F>, top.cast(), flags, (&raw mut call).cast(), &raw mut pidfd) };
    let pid = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD).
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: Pid::from_raw(pid), pidfd })
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
