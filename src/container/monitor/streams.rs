//! The container's standard streams: handed over where that is safe, relayed where it is not.
//!
//! A terminal of the user never enters a container (SECURITY.md R18): whoever holds it can type into the user's shell.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{isatty, pipe2};

use super::channel::{Channel, Sink};
use super::log::{LogTarget, Stream};
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

/// Where the output of a detached container goes.
pub enum Outlet {
    /// To a log.
    Log(LogTarget),
    /// To descriptors of the caller: standard output and error.
    Caller(OwnedFd, OwnedFd),
}

impl Outlet {
    /// The caller's standard output and error, to be given to the container as they are.
    pub fn of_caller() -> Result<Self, Errno> {
        Ok(Self::Caller(duplicate(standard(1))?, duplicate(standard(2))?))
    }
}

/// Whether our standard output or error is a terminal.
pub fn shows_on_terminal() -> bool {
    [1, 2].into_iter().any(|number| isatty(standard(number)).unwrap_or(false))
}

/// Streams of a detached container.
pub fn detached(outlet: Outlet) -> Result<Streams, Errno> {
    let log = match outlet {
        Outlet::Caller(output, error) => return Ok(Streams { given: [null()?, output, error], channels: Vec::new() }),
        Outlet::Log(log) if !log.keeps() => {
            return Ok(Streams { given: [null()?, null()?, null()?], channels: Vec::new() });
        }
        Outlet::Log(log) => log,
    };
    let mut channels = Vec::new();
    let mut stream = |stream| -> Result<OwnedFd, Errno> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        channels.push(Channel::output(read, Sink::Log(log.stream(stream)))?);
        Ok(write)
    };
    let (output, error) = (stream(Stream::Output)?, stream(Stream::Error)?);
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
pub fn terminal_log(master: &OwnedFd, outlet: &Outlet) -> Result<Vec<Channel>, Errno> {
    let Outlet::Log(log) = outlet else { return Ok(Vec::new()) };
    Ok(vec![Channel::output(duplicate(master.as_fd())?, Sink::Log(log.stream(Stream::Output)))?])
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
