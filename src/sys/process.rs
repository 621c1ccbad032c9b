//! What a process says of itself before it becomes another program.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::single_threaded::SingleThreaded;

/// Ends this process at once: no destructors, no `atexit`, no flushing of buffers that a parent shares.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Sets a variable of this process's environment. `name` is not empty and has neither `=` nor NUL, and `value` has no NUL.
pub fn set_variable(_proof: &SingleThreaded, name: &str, value: &str) {
    // SAFETY: there is no other thread that could read the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}

/// Asks the kernel to kill this process when its parent dies (PR_SET_PDEATHSIG).
pub fn die_with_parent() -> Result<(), Errno> {
    // SAFETY: PR_SET_PDEATHSIG takes one integer and touches no memory of ours.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, Signal::SIGKILL as libc::c_ulong, 0, 0, 0) }).map(drop)
}

/// Makes this process invisible to ptrace and `/proc/PID/{fd,mem,...}` readers of the same user (PR_SET_DUMPABLE 0).
/// `execve` of an ordinary program undoes it.
pub fn hide_from_ptrace() -> Result<(), Errno> {
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory of ours.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Undoes that.
pub fn show_to_ptrace() -> Result<(), Errno> {
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory of ours.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// Sets the NIS domain name of our UTS namespace (setdomainname(2)): the setting of the same name is root's of the machine.
pub fn set_domain_name(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the pointer and the length are those of a slice.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Names this process in `ps`; at most 15 bytes are kept (PR_SET_NAME).
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: `name` is a C string that outlives the call; the kernel copies it. It cannot fail with a valid pointer.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Marks every descriptor from `first` up as close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: the call only sets a flag on descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(result).map(drop)
}

/// Makes `new` refer to what `old` refers to, without close-on-exec, even if they are the same number.
pub fn duplicate_onto(old: BorrowedFd<'_>, new: i32) -> Result<(), Errno> {
    if old.as_raw_fd() == new {
        // SAFETY: F_SETFD on a descriptor that `old` keeps open.
        return Errno::result(unsafe { libc::fcntl(new, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: only called for the standard descriptors, which no OwnedFd of ours owns.
    Errno::result(unsafe { libc::dup2(old.as_raw_fd(), new) }).map(drop)
}

/// Resets all signal dispositions to their default and unblocks all signals: `execve` keeps ignored ones ignored, and the
/// Rust runtime ignores SIGPIPE.
pub fn reset_signals() {
    // SAFETY: sigaction is plain data, for which zeroes mean SIG_DFL, no flags and an empty mask.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: installs no handler. Fails, harmlessly, for SIGKILL, SIGSTOP and the C library's own.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    }
    // SAFETY: an empty mask is made and installed; the old one is not asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Sets a resource limit (setrlimit(2)).
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads `limit` and writes nothing (the old value is not asked for); 0 is this process.
    Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, 0) }).map(drop)
}

/// This process's limit as (soft, hard) (getrlimit(2)).
pub fn rlimit(resource: u32) -> Result<(u64, u64), Errno> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit64 into `limit`; 0 is this process.
    Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, 0, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Takes over a descriptor that was inherited under a known number, if it is open.
pub fn adopt_fd(number: i32) -> Option<OwnedFd> {
    // SAFETY: F_GETFD only asks.
    let open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: the descriptor is open, and the caller states that nobody else owns it.
    open.then(|| unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

/// The same for one that the caller of this program meant for programs: nothing of our own is left open by execve.
pub fn adopt_inherited_fd(number: i32) -> Option<OwnedFd> {
    // SAFETY: F_GETFD only asks.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags >= 0 && flags & libc::FD_CLOEXEC == 0 { adopt_fd(number) } else { None }
}

/// One of the standard descriptors, 0, 1 or 2.
pub fn standard_fd(number: i32) -> BorrowedFd<'static> {
    debug_assert!((0..3).contains(&number));
    // SAFETY: nothing in this crate owns or closes 0, 1 and 2 while it may still use them; where one was never open, system
    // calls on it answer EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Closes a descriptor that a forked process shares with its parent and does not need.
pub fn close_inherited(fd: &impl AsRawFd) {
    // SAFETY: the process ends through `exit_now`, without destructors, so nothing closes this number a second time; and
    // nothing uses it again: the caller is done with it.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Closes every descriptor above the standard ones but `kept`, in ascending order, in a child that owns no others.
pub fn close_others(kept: &[i32]) {
    let mut first = 3;
    for &fd in kept.iter().filter(|&&fd| fd >= 3) {
        close_between(first, fd - 1);
        first = fd + 1;
    }
    close_between(first, i32::MAX);
}

fn close_between(first: i32, last: i32) {
    if first <= last {
        // SAFETY: the caller is a child that leaves through execve or `exit_now`: its copies of our values, whose
        // descriptors these are, are neither used nor dropped.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Closes every descriptor from `first` up (close_range(2)), in a process that ends through [`exit_now`].
pub fn close_all_from(first: u32) {
    // SAFETY: as above: no destructor runs after this, and the caller uses no descriptor again.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Starts a program that keeps these capabilities in our user namespace, though we are not root there (capabilities(7), ambient
/// set), and has `given` as its descriptors 3, 4, and so on.
pub fn spawn_with_capabilities(
    command: &mut std::process::Command,
    capabilities: &'static [u8],
    given: &[BorrowedFd<'_>],
) -> std::io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;

    use nix::fcntl::{FcntlArg, fcntl};

    // Copies that lie above all numbers that are to be used.
    let copies = given.iter().map(|fd| {
        let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(64))?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(copy) })
    });
    let copies: Vec<OwnedFd> = copies.collect::<Result<_, Errno>>()?;
    let prepare = move || {
        let mut own = super::credentials::capabilities()?;
        own.inheritable |= capabilities.iter().map(|number| 1 << number).sum::<u64>();
        super::credentials::set_capabilities(own)?;
        capabilities.iter().try_for_each(|&number| super::credentials::raise_ambient(number, 0))?;
        for (number, fd) in (3..).zip(&copies) {
            // SAFETY: dup2(2) onto a number that nothing in this process will use: it executes a program.
            Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), number) })?;
        }
        reset_signals();
        Ok(())
    };
    // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) }.spawn()
}
