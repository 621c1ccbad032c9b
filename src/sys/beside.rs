//! Programs that work beside a container: they die with us, and may live in its user namespace.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::sched::CloneFlags;

/// What such a program gets beside its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The user namespace that it is started in; ours where absent.
    pub users: Option<BorrowedFd<'a>>,
    /// Descriptors that it gets, under the numbers that they have here.
    pub inherited: [Option<BorrowedFd<'a>>; 3],
}

/// Starts the program. It is killed with the thread that starts it.
pub fn spawn(command: &mut Command, beside: Beside<'_>) -> io::Result<Child> {
    let users = beside.users.map(|fd| fd.as_raw_fd());
    let inherited = beside.inherited.map(|fd| fd.map(|fd| fd.as_raw_fd()));
    let parent = nix::unistd::getpid();
    let prepare = move || {
        if let Some(users) = users {
            // SAFETY: it is open in whoever called `spawn`, and so in this child of it.
            nix::sched::setns(unsafe { BorrowedFd::borrow_raw(users) }, CloneFlags::CLONE_NEWUSER)?;
        }
        // After that: new credentials undo it.
        super::process::die_with_parent()?;
        if nix::unistd::getppid() != parent {
            return Err(nix::errno::Errno::ESRCH.into());
        }
        inherited.into_iter().flatten().try_for_each(keep_open)
    };
    // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

fn keep_open(number: RawFd) -> io::Result<()> {
    // SAFETY: it is open in whoever called `spawn`, and so in this child of it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    super::process::duplicate_onto(fd.as_fd(), number).map_err(Into::into)
}
