//! One direction of relayed bytes.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::unistd::{read, write};

use super::log::Log;
use super::streams::standard;

/// Bytes taken at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The character that a terminal takes for the end of its input (termios(3), VEOF).
const END_OF_TRANSMISSION: u8 = 4;

enum Source {
    /// Our standard input. It may be shared with the user's shell, so it stays in blocking mode.
    StandardInput,
    /// A pipe from the container, or its terminal; not blocking.
    Container(OwnedFd),
}

/// Where bytes go.
pub enum Sink {
    /// One of our standard descriptors; blocking: a user who stops the output stops the container's.
    Standard(i32),
    /// The container's standard input; not blocking.
    Pipe(OwnedFd),
    /// The container's terminal; not blocking.
    Terminal(OwnedFd),
    /// A log.
    Log(Log),
}

impl Sink {
    /// A pipe to the container.
    pub fn pipe(fd: OwnedFd) -> Result<Self, Errno> {
        without_blocking(fd).map(Self::Pipe)
    }

    /// The container's terminal.
    pub fn terminal(fd: OwnedFd) -> Result<Self, Errno> {
        without_blocking(fd).map(Self::Terminal)
    }
}

fn without_blocking(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(fd)
}

/// A source, a sink, and what is on the way between them.
pub struct Channel {
    source: Source,
    sink: Sink,
    pending: Vec<u8>,
    ended: bool,
}

/// What became of an attempt to move bytes.
enum Moved {
    /// Some were moved, or could not be just now.
    On,
    /// There will be no more.
    End,
}

impl Channel {
    /// From our standard input.
    pub fn input(sink: Sink) -> Self {
        Self { source: Source::StandardInput, sink, pending: Vec::new(), ended: false }
    }

    /// From the container.
    pub fn output(source: OwnedFd, sink: Sink) -> Result<Self, Errno> {
        let source = Source::Container(without_blocking(source)?);
        Ok(Self { source, sink, pending: Vec::new(), ended: false })
    }

    /// Whether it reads our standard input.
    pub fn reads_standard_input(&self) -> bool {
        matches!(self.source, Source::StandardInput)
    }

    /// What to wait for: room where bytes are on the way, else bytes.
    pub fn interest(&self) -> Option<PollFd<'_>> {
        if !self.pending.is_empty() {
            return match &self.sink {
                Sink::Pipe(fd) | Sink::Terminal(fd) => Some(PollFd::new(fd.as_fd(), PollFlags::POLLOUT)),
                Sink::Standard(_) | Sink::Log(_) => None,
            };
        }
        Some(match &self.source {
            Source::StandardInput => PollFd::new(standard(0), PollFlags::POLLIN),
            Source::Container(fd) => PollFd::new(fd.as_fd(), PollFlags::POLLIN),
        })
    }

    /// Moves what can be moved now; false when the channel is at its end.
    pub fn turn(&mut self) -> bool {
        if self.pending.is_empty() && !self.ended && !self.is_readable() {
            return true;
        }
        match self.step() {
            Moved::On => true,
            Moved::End => false,
        }
    }

    fn is_readable(&self) -> bool {
        let mut fds: Vec<PollFd<'_>> = self.interest().into_iter().collect();
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn step(&mut self) -> Moved {
        if self.pending.is_empty() {
            let mut chunk = vec![0; CHUNK];
            let count = match &self.source {
                Source::StandardInput => read(standard(0), &mut chunk),
                Source::Container(fd) => read(fd, &mut chunk),
            };
            match count {
                Ok(0) => return self.end(),
                Ok(count) => {
                    chunk.truncate(count);
                    self.pending = chunk;
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Moved::On,
                // A pseudo-terminal whose last slave is closed answers EIO.
                Err(_) => return self.end(),
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Moved {
        while !self.pending.is_empty() {
            let written = match &mut self.sink {
                Sink::Standard(number) => write(standard(*number), &self.pending),
                Sink::Pipe(fd) | Sink::Terminal(fd) => write(fd, &self.pending),
                Sink::Log(log) => {
                    log.write(&self.pending);
                    Ok(self.pending.len())
                }
            };
            match written {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if !matches!(self.sink, Sink::Standard(_)) => return Moved::On,
                Err(Errno::EAGAIN) => wait_for_room(&self.sink),
                // Nobody reads: closing our end tells the container.
                Err(_) => return Moved::End,
            }
        }
        if self.ended { Moved::End } else { Moved::On }
    }

    /// A pipe ends by being closed, which dropping the channel does; a terminal by a character.
    fn end(&mut self) -> Moved {
        if self.ended || !matches!(self.sink, Sink::Terminal(_)) {
            return Moved::End;
        }
        self.ended = true;
        self.pending.push(END_OF_TRANSMISSION);
        self.flush()
    }

    /// Moves all that is left, after the container has ended.
    pub fn drain(&mut self) {
        loop {
            let before = self.pending.len();
            if !self.is_readable() && self.pending.is_empty() {
                return;
            }
            if matches!(self.step(), Moved::End) || (before > 0 && self.pending.len() == before) {
                return;
            }
        }
    }
}

/// Standard output shared with a program that made it non-blocking.
fn wait_for_room(sink: &Sink) {
    if let Sink::Standard(number) = sink {
        let mut fds = [PollFd::new(standard(*number), PollFlags::POLLOUT)];
        let _ = nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE);
    }
}
