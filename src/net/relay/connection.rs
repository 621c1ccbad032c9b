//! A connection that is passed on: two ends, and what is on its way from each to the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::sys::epoll::EpollFlags;

/// How many pieces are passed on in one way before it is another one's turn.
const TURNS: usize = 8;

/// What is to be told of an end, once for each change (EPOLLET, epoll(7)).
pub const FLAGS: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLOUT)
    .union(EpollFlags::EPOLLPRI)
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLET);

/// Two ends, and what is on its way from each to the other.
pub struct Connection {
    ends: [End; 2],
    ways: [Way; 2],
}

struct End {
    stream: TcpStream,
    /// Whether there may be something to read.
    is_readable: bool,
    /// Whether a read that fills no buffer may leave something to read, of which nothing more is told: the end, an error, or what
    /// follows urgent data (tcp(7)).
    is_unsure: bool,
    is_writable: bool,
}

#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    sent: usize,
    has_ended: bool,
    is_shut: bool,
}

/// How it stands with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The kernel will tell when there is more to do.
    Rests,
    /// There is more to do, and others wait.
    Goes,
    /// Both ways have come to their end.
    Over,
}

impl Connection {
    /// Between a client and a member, of which the second may not be connected yet.
    pub fn new(ends: [TcpStream; 2]) -> Self {
        let end = |stream| End { stream, is_readable: false, is_unsure: false, is_writable: false };
        Self { ends: ends.map(end), ways: Default::default() }
    }

    /// Notes what the kernel has told of an end.
    pub fn hear(&mut self, end: usize, flags: EpollFlags) {
        let Some(end) = self.ends.get_mut(end) else { return };
        let unsure = EpollFlags::EPOLLPRI | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        end.is_unsure |= flags.intersects(unsure);
        end.is_readable |= flags.intersects(unsure | EpollFlags::EPOLLIN);
        end.is_writable |= flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
    }

    /// Passes on until there is nothing left to do, or the turn is over. An error ends both ways.
    pub fn pump(&mut self, buffer: &mut [u8]) -> io::Result<State> {
        let [first, second] = &mut self.ends;
        let goes = [self.ways[0].pump(first, second, buffer)?, self.ways[1].pump(second, first, buffer)?];
        Ok(match self.ways.iter().all(|way| way.is_shut) {
            true => State::Over,
            false if goes.contains(&true) => State::Goes,
            false => State::Rests,
        })
    }
}

impl Way {
    /// Passes on from one end to the other; whether there is more, and the turn is over.
    fn pump(&mut self, source: &mut End, sink: &mut End, buffer: &mut [u8]) -> io::Result<bool> {
        let mut turns = TURNS;
        while !self.is_shut {
            if self.sent < self.bytes.len() {
                if !sink.is_writable {
                    return Ok(false);
                }
                self.sent += sink.write(&self.bytes[self.sent..])?;
                continue;
            }
            if !self.bytes.is_empty() {
                self.bytes = Vec::new();
                self.sent = 0;
            }
            if self.has_ended {
                sink.stream.shutdown(Shutdown::Write)?;
                self.is_shut = true;
                return Ok(false);
            }
            if !source.is_readable {
                return Ok(false);
            }
            if turns == 0 {
                return Ok(true);
            }
            match source.stream.read(buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    turns -= 1;
                    // Who has given less than was asked for has no more: what comes later is told.
                    source.is_readable = count == buffer.len() || source.is_unsure;
                    // Most is taken at once, and needs to be kept by nobody.
                    let sent = if sink.is_writable { sink.write(&buffer[..count])? } else { 0 };
                    if sent < count {
                        self.bytes = buffer[sent..count].to_vec();
                        self.sent = 0;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => source.is_readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

impl End {
    /// Writes what there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            other => other,
        }
    }
}
