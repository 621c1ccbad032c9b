//! The container's standard streams: handed over where that is safe, relayed where it is not.
//!
//! A terminal of the user never enters a container (SECURITY.md R18): whoever holds it can type into the user's shell.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{isatty, pipe2};

use super::channel::{Channel, Input, Output};
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

/// Streams of a process without a terminal, attached to this command; `log` gets its output, too.
pub fn attached(stdin: Stdin, log: Option<&LogTarget>) -> Result<Streams, Errno> {
    let mut channels = Vec::new();
    let input = match stdin {
        Stdin::Null => null()?,
        Stdin::Open if isatty(standard(0)).unwrap_or(false) => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            channels.push(Channel::Input(Input::pipe(write, true)?));
            read
        }
        Stdin::Open => duplicate(standard(0))?,
    };
    let output = output(1, log, &mut channels)?;
    let error = self::output(2, log, &mut channels)?;
    Ok(Streams { given: [input, output, error], channels })
}

/// A stream that goes to one of our own descriptors: as it is, unless that is a terminal or there is a log.
fn output(number: i32, log: Option<&LogTarget>, channels: &mut Vec<Channel>) -> Result<OwnedFd, Errno> {
    if log.is_none() && !isatty(standard(number)).unwrap_or(false) {
        return duplicate(standard(number));
    }
    let is_open = fcntl(standard(number), FcntlArg::F_GETFD).is_ok();
    relayed(stream(number), is_open.then_some(number), log, channels)
}

fn stream(number: i32) -> Stream {
    if number == 2 { Stream::Error } else { Stream::Output }
}

fn relayed(
    stream: Stream,
    standard: Option<i32>,
    log: Option<&LogTarget>,
    channels: &mut Vec<Channel>,
) -> Result<OwnedFd, Errno> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    channels.push(Channel::Output(Output::new(read, stream, standard, log.map(|log| log.stream(stream)))?));
    Ok(write)
}

/// Streams of a container whose monitor stands alone: its output goes to a log and to clients, its input comes from them.
pub fn detached(stdin: Stdin, log: Option<&LogTarget>) -> Result<Streams, Errno> {
    let mut channels = Vec::new();
    let input = match stdin {
        Stdin::Null => null()?,
        Stdin::Open => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            channels.push(Channel::Input(Input::pipe(write, false)?));
            read
        }
    };
    let output = relayed(Stream::Output, None, log, &mut channels)?;
    let error = relayed(Stream::Error, None, log, &mut channels)?;
    Ok(Streams { given: [input, output, error], channels })
}

/// Our own standard output and error, kept for containers that get them as they are.
pub struct Caller(OwnedFd, OwnedFd);

impl Caller {
    /// Ours as they are now.
    pub fn now() -> Result<Self, Errno> {
        Ok(Self(duplicate(standard(1))?, duplicate(standard(2))?))
    }

    /// Streams of a container that gets them.
    pub fn streams(&self) -> Result<Streams, Errno> {
        let given = [null()?, duplicate(self.0.as_fd())?, duplicate(self.1.as_fd())?];
        Ok(Streams { given, channels: Vec::new() })
    }
}

/// Whether our standard output or error is a terminal.
pub fn shows_on_terminal() -> bool {
    [1, 2].into_iter().any(|number| isatty(standard(number)).unwrap_or(false))
}

/// Channels of a terminal, whose monitor stands alone.
pub fn terminal(master: &OwnedFd, stdin: Stdin, log: Option<&LogTarget>) -> Result<Vec<Channel>, Errno> {
    let log = log.map(|log| log.stream(Stream::Output));
    let mut channels = vec![Channel::Output(Output::new(duplicate(master.as_fd())?, Stream::Output, None, log)?)];
    if stdin == Stdin::Open {
        channels.push(Channel::Input(Input::terminal(duplicate(master.as_fd())?)?));
    }
    Ok(channels)
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
