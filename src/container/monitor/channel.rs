//! What the monitor relays: the container's output to whoever wants it, and input to the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use super::frame::STREAM_LIMIT;
use super::log::{Log, Stream};
use super::streams::standard;

/// The character that a terminal takes for the end of its input (termios(3), VEOF).
const END_OF_TRANSMISSION: u8 = 4;

/// Output taken at once, at most.
pub const OUTPUT_LIMIT: usize = 256 * 1024;

/// Bytes in a pipe as the kernel makes it, and in that of a container that fills more than half of it before we come: neither has to
/// wait for the other after every few lines then. All pipes of a user together have a limit (pipe(7)).
const PIPE: (usize, usize) = (64 * 1024, OUTPUT_LIMIT);

/// Input that is on the way: while there is more, no more is taken.
const PENDING_LIMIT: usize = STREAM_LIMIT;

/// One direction of relayed bytes.
pub enum Channel {
    /// From the container.
    Output(Output),
    /// To the container.
    Input(Input),
}

/// A stream of the container, and who gets it beside the clients.
pub struct Output {
    source: OwnedFd,
    /// Which it is.
    pub stream: Stream,
    /// One of our standard descriptors; blocking: a user who stops the output stops the container's.
    standard: Option<i32>,
    log: Option<Log>,
    /// Whether the pipe has been enlarged, or cannot be.
    is_large: bool,
    is_closed: bool,
}

impl Channel {
    /// Whether nothing will pass through it any more.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Output(output) => output.is_closed,
            Self::Input(input) => input.is_closed,
        }
    }
}

impl Output {
    /// From `source`, a pipe or a terminal.
    pub fn new(source: OwnedFd, stream: Stream, standard: Option<i32>, log: Option<Log>) -> Result<Self, Errno> {
        Ok(Self { source: without_blocking(source)?, stream, standard, log, is_large: false, is_closed: false })
    }

    /// What to wait for.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    /// Takes what is there, at most a buffer full, for the log and our own descriptor: how many bytes there were.
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = match read(&self.source, buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => return 0,
            // A pseudo-terminal whose last slave is closed answers EIO.
            Ok(0) | Err(_) => {
                self.is_closed = true;
                return 0;
            }
            Ok(count) => count,
        };
        if count > PIPE.0 / 2 && !self.is_large {
            self.is_large = true;
            let _ = fcntl(&self.source, FcntlArg::F_SETPIPE_SZ(PIPE.1 as i32));
        }
        if let Some(log) = &mut self.log {
            log.write(&buffer[..count]);
        }
        let reader_is_gone = self.standard.is_some_and(|number| write_all(standard(number), &buffer[..count]).is_err());
        if reader_is_gone {
            // Closing our end tells the container, unless the log still wants it.
            self.standard = None;
            self.is_closed = self.log.is_none();
        }
        count
    }

    /// Gives back what was needed while there was much to take.
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.is_large) {
            let _ = fcntl(&self.source, FcntlArg::F_SETPIPE_SZ(PIPE.0 as i32));
        }
        if let Some(log) = &mut self.log {
            log.rest();
        }
    }
}

/// Writes all to a descriptor that may be shared with a program that made it non-blocking.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], PollTimeout::NONE)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Where input goes.
enum Sink {
    Pipe(OwnedFd),
    Terminal(OwnedFd),
}

/// Input on its way to the container.
pub struct Input {
    sink: Sink,
    /// Whether our own standard input, which may be shared with the user's shell and so stays blocking, is read.
    pub reads_standard_input: bool,
    pending: Vec<u8>,
    ended: bool,
    is_closed: bool,
}

impl Input {
    /// Into a pipe, which ends by being closed.
    pub fn pipe(fd: OwnedFd, reads_standard_input: bool) -> Result<Self, Errno> {
        Ok(Self::new(Sink::Pipe(without_blocking(fd)?), reads_standard_input))
    }

    /// Into a terminal, where a character ends it.
    pub fn terminal(fd: OwnedFd) -> Result<Self, Errno> {
        Ok(Self::new(Sink::Terminal(without_blocking(fd)?), false))
    }

    fn new(sink: Sink, reads_standard_input: bool) -> Self {
        Self { sink, reads_standard_input, pending: Vec::new(), ended: false, is_closed: false }
    }

    /// Whether more can be taken.
    pub fn has_room(&self) -> bool {
        self.pending.len() < PENDING_LIMIT && !self.ended
    }

    /// Where there must be room before what is on the way can go on.
    pub fn blocked(&self) -> Option<BorrowedFd<'_>> {
        let (Sink::Pipe(fd) | Sink::Terminal(fd)) = &self.sink;
        (!self.pending.is_empty()).then_some(fd.as_fd())
    }

    /// Takes what there is on our standard input.
    pub fn take_standard(&mut self, buffer: &mut [u8]) {
        match read(standard(0), buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => self.end(),
            Ok(count) => self.push(&buffer[..count]),
        }
    }

    /// Sends bytes on their way.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.pending.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// There is no more input.
    pub fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            if matches!(self.sink, Sink::Terminal(_)) {
                self.pending.push(END_OF_TRANSMISSION);
            }
            self.flush();
        }
    }

    /// Moves what can be moved now.
    pub fn flush(&mut self) {
        let (Sink::Pipe(fd) | Sink::Terminal(fd)) = &self.sink;
        while !self.pending.is_empty() {
            match write(fd, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // Nobody will read it.
                Err(_) => {
                    self.pending.clear();
                    self.ended = true;
                }
            }
        }
        // A pipe ends by being closed, which dropping the channel does.
        self.is_closed = self.ended;
    }
}

fn without_blocking(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    set_nonblocking(&fd)?;
    Ok(fd)
}

/// Nobody waits for it any more.
pub(super) fn set_nonblocking(fd: &impl AsFd) -> Result<(), Errno> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
