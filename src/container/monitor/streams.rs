//! The container's standard streams: handed over where that is safe, relayed where it is not.
//!
//! A terminal of the user never enters a container (SECURITY.md R18): whoever holds it can type into the user's shell.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{isatty, pipe2};

use super::channel::{Channel, Sink};
use super::log::Log;
use crate::container::request::Stdin;

/// One of our own standard descriptors.
pub fn standard(number: i32) -> BorrowedFd<'static> {
    crate::sys::process::standard_fd(number)
}

/// What the container gets, and what the monitor relays.
pub struct Streams {
    /// Standard input, output and error of the container.
    pub given: [OwnedFd; 3],
    /// What is relayed.
    pub channels: Vec<Channel>,
}

/// Streams of a container without a terminal, attached to this command.
pub fn attached(stdin: Stdin) -> Result<Streams, Errno> {
    let mut channels = Vec::new();
    let input = match stdin {
        Stdin::Null => null()?,
        Stdin::Open if isatty(standard(0)).unwrap_or(false) => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            channels.push(Channel::input(Sink::pipe(write)?));
            read
        }
        Stdin::Open => duplicate(standard(0))?,
    };
    let output = output(1, &mut channels)?;
    let error = self::output(2, &mut channels)?;
    Ok(Streams { given: [input, output, error], channels })
}

fn output(number: i32, channels: &mut Vec<Channel>) -> Result<OwnedFd, Errno> {
    if !isatty(standard(number)).unwrap_or(false) {
        return duplicate(standard(number));
    }
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    channels.push(Channel::output(read, Sink::Standard(number))?);
    Ok(write)
}

/// Streams of a detached container: its output goes to a log.
pub fn logged(log: File) -> Result<Streams, Errno> {
    let log = std::rc::Rc::new(std::cell::RefCell::new(log));
    let mut channels = Vec::new();
    let mut stream = |name| -> Result<OwnedFd, Errno> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        channels.push(Channel::output(read, Sink::Log(Log::new(log.clone(), name)))?);
        Ok(write)
    };
    let (output, error) = (stream("stdout")?, stream("stderr")?);
    Ok(Streams { given: [null()?, output, error], channels })
}

/// Channels between this command and the container's terminal.
pub fn terminal(master: &OwnedFd, stdin: Stdin) -> Result<Vec<Channel>, Errno> {
    let mut channels = vec![Channel::output(duplicate(master.as_fd())?, Sink::Standard(1))?];
    if stdin == Stdin::Open {
        channels.push(Channel::input(Sink::terminal(duplicate(master.as_fd())?)?));
    }
    Ok(channels)
}

/// The channel between a detached container's terminal and its log.
pub fn terminal_log(master: &OwnedFd, log: File) -> Result<Vec<Channel>, Errno> {
    let log = Log::new(std::rc::Rc::new(std::cell::RefCell::new(log)), "stdout");
    Ok(vec![Channel::output(duplicate(master.as_fd())?, Sink::Log(log))?])
}

/// The channel between a terminal and `sink`, a file that takes everything.
pub fn terminal_discarded(master: &OwnedFd, sink: OwnedFd) -> Result<Vec<Channel>, Errno> {
    Ok(vec![Channel::output(duplicate(master.as_fd())?, Sink::pipe(sink)?)?])
}

fn null() -> Result<OwnedFd, Errno> {
    nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())
}

/// A copy above the standard descriptors, so that making it one of the container's overwrites none of the others.
fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3));
    match copy {
        Ok(number) => crate::sys::process::adopt_fd(number).ok_or(Errno::EBADF),
        // A standard descriptor that is closed stays closed for the container as /dev/null.
        Err(Errno::EBADF) if fd.as_raw_fd() < 3 => null(),
        Err(errno) => Err(errno),
    }
}
