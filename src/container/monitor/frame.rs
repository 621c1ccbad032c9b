//! What a container's monitor and its clients say to each other: one message of a SOCK_SEQPACKET socket each, a letter and
//! what belongs to it.

/// The most bytes of a stream in one message.
pub const STREAM_LIMIT: usize = 64 * 1024;

/// The longest message.
pub const FRAME_LIMIT: usize = STREAM_LIMIT + 1;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// From a client: bytes for the container's standard input or terminal.
    Input(&'a [u8]),
    /// From a client: there will be no more of them.
    EndOfInput,
    /// From a client: the size of its terminal's window.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// From a client: a signal for the container, by number.
    Signal(i32),
    /// From a client, at last: its user leaves the container running.
    Leave,
    /// From a client: the container, which was made ready, is to be started. Until this is answered it hears nothing else.
    Start,
    /// From the monitor, to that: it runs.
    Started,
    /// From the monitor, to that, at last: it could not be started. A failure's report.
    NotStarted(&'a [u8]),
    /// From a client that is to join the container: credentials, as [`crate::identity::table`] writes them.
    Credentials(&'a [u8]),
    /// From the monitor, to that: the limit that stands for them.
    Limit(u64),
    /// From that client: with a listener, whose system calls are to be answered.
    Listener,
    /// From the monitor: what the container wrote to its standard output or terminal.
    Output(&'a [u8]),
    /// From the monitor: what it wrote to its standard error.
    Error(&'a [u8]),
    /// From the monitor, at last: the container has ended, with this exit code.
    Exited(u8),
}

impl Frame<'_> {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let stream = |letter: u8, bytes: &[u8]| [&[letter], bytes].concat();
        match *self {
            Self::Input(bytes) => stream(b'i', bytes),
            Self::EndOfInput => vec![b'e'],
            Self::Resize { rows, columns } => [&b"r"[..], &rows.to_ne_bytes(), &columns.to_ne_bytes()].concat(),
            Self::Signal(number) => vec![b's', number as u8],
            Self::Leave => vec![b'l'],
            Self::Start => vec![b'g'],
            Self::Started => vec![b'y'],
            Self::NotStarted(report) => stream(b'n', report),
            Self::Credentials(bytes) => stream(b'c', bytes),
            Self::Limit(limit) => [&b"m"[..], &limit.to_ne_bytes()].concat(),
            Self::Listener => vec![b'h'],
            Self::Output(bytes) => stream(b'1', bytes),
            Self::Error(bytes) => stream(b'2', bytes),
            Self::Exited(code) => vec![b'x', code],
        }
    }

    /// What a message says; nothing if it is none of ours.
    pub fn decode(message: &[u8]) -> Option<Frame<'_>> {
        Some(match message {
            [b'i', bytes @ ..] => Frame::Input(bytes),
            [b'e'] => Frame::EndOfInput,
            [b'r', row_low, row_high, column_low, column_high] => Frame::Resize {
                rows: u16::from_ne_bytes([*row_low, *row_high]),
                columns: u16::from_ne_bytes([*column_low, *column_high]),
            },
            [b's', number] => Frame::Signal(i32::from(*number)),
            [b'l'] => Frame::Leave,
            [b'g'] => Frame::Start,
            [b'y'] => Frame::Started,
            [b'n', report @ ..] => Frame::NotStarted(report),
            [b'c', bytes @ ..] => Frame::Credentials(bytes),
            [b'm', limit @ ..] => Frame::Limit(u64::from_ne_bytes(limit.try_into().ok()?)),
            [b'h'] => Frame::Listener,
            [b'1', bytes @ ..] => Frame::Output(bytes),
            [b'2', bytes @ ..] => Frame::Error(bytes),
            [b'x', code] => Frame::Exited(*code),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for frame in [
            Frame::Input(b"a\0b"),
            Frame::Input(b""),
            Frame::EndOfInput,
            Frame::Resize { rows: 24, columns: 1000 },
            Frame::Signal(64),
            Frame::Leave,
            Frame::Start,
            Frame::Started,
            Frame::NotStarted(b"why"),
            Frame::Credentials(b"who"),
            Frame::Limit(1 << 40),
            Frame::Listener,
            Frame::Output(b"x"),
            Frame::Error(b""),
            Frame::Exited(255),
        ] {
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
        for nonsense in [&b""[..], b"?", b"e ", b"r123", b"s", b"x", b"x12"] {
            assert_eq!(Frame::decode(nonsense), None);
        }
    }
}
