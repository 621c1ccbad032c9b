//! As much of D-Bus as is needed to ask systemd for a scope (D-Bus specification, "Message Protocol", "Authentication
//! Protocol"): calls over a Unix socket, with arguments of a few types, their answers and signals.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message is a few lines; systemd's own are not longer than this.
const MESSAGE_LIMIT: usize = 1 << 20;

/// Types of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    serial: u32,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    /// To whom; nobody else is there on a connection that is no bus.
    pub destination: Option<&'a str>,
    /// Object.
    pub path: &'a str,
    /// Interface.
    pub interface: &'a str,
    /// Name.
    pub member: &'a str,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to the call of this serial number: its first argument, if that is text.
    Answer(u32, Option<String>),
    /// The refusal of the call of this serial number, with its reason.
    Refusal(u32, String),
    /// A signal: its name and arguments.
    Signal(String, Body),
    /// Anything else.
    Other,
}

/// Arguments, to be written or read in order. Little-endian.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    at: usize,
}

impl Connection {
    /// Connects and says who we are (mechanism EXTERNAL: the kernel tells).
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid: String = nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        let mut connection = Self { stream, serial: 0 };
        connection.stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            connection.stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
            if answer.len() > 512 {
                return Err(malformed());
            }
        }
        if !answer.starts_with(b"OK") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "we are not who we say we are"));
        }
        connection.stream.write_all(b"BEGIN\r\n")?;
        Ok(connection)
    }

    /// Sends a call; its serial number.
    pub fn call(&mut self, method: &Method<'_>, signature: &str, body: Body) -> io::Result<u32> {
        self.serial += 1;
        let mut message = Body::default();
        message.bytes.extend([b'l', CALL, 0, 1]);
        message.number(body.bytes.len() as u32);
        message.number(self.serial);
        message.array(8, |fields| {
            let texts = [
                (1, "o", Some(method.path)),
                (2, "s", Some(method.interface)),
                (3, "s", Some(method.member)),
                (6, "s", method.destination),
            ];
            for (code, kind, text) in texts.into_iter().filter_map(|(code, kind, text)| Some((code, kind, text?))) {
                fields.align(8);
                fields.bytes.push(code);
                fields.signature(kind);
                fields.text(text);
            }
            if !signature.is_empty() {
                fields.align(8);
                fields.bytes.push(8);
                fields.signature("g");
                fields.signature(signature);
            }
        });
        message.align(8);
        message.bytes.extend(body.bytes);
        self.stream.write_all(&message.bytes)?;
        Ok(self.serial)
    }

    /// The next message.
    pub fn receive(&mut self) -> io::Result<Incoming> {
        let mut start = [0; 16];
        self.stream.read_exact(&mut start)?;
        let [order, kind, ..] = start;
        let mut header = Body { bytes: start.to_vec(), at: 4 };
        let (body_len, _serial, fields_len) = (header.read_number()?, header.read_number()?, header.read_number()?);
        let (body_len, fields_len) = (body_len as usize, fields_len as usize);
        let rest = fields_len.next_multiple_of(8);
        if order != b'l' || body_len > MESSAGE_LIMIT || fields_len > MESSAGE_LIMIT {
            return Err(malformed());
        }
        let mut bytes = vec![0; rest + body_len];
        self.stream.read_exact(&mut bytes)?;
        let body = bytes.split_off(rest);
        bytes.truncate(fields_len);
        let fields = Fields::read(Body { bytes, at: 0 })?;
        let mut body = Body { bytes: body, at: 0 };
        let begins_with_text = fields.signature.starts_with(['s', 'o']);
        Ok(match (kind, fields.reply_to) {
            (RETURN, Some(serial)) => {
                Incoming::Answer(serial, if begins_with_text { Some(body.read_text()?) } else { None })
            }
            (ERROR, Some(serial)) => {
                let text = if begins_with_text { body.read_text()? } else { String::new() };
                Incoming::Refusal(serial, if text.is_empty() { fields.error } else { text })
            }
            (SIGNAL, _) => Incoming::Signal(fields.member, body),
            _ => Incoming::Other,
        })
    }
}

/// The header fields that matter.
#[derive(Debug, Default)]
struct Fields {
    member: String,
    error: String,
    signature: String,
    reply_to: Option<u32>,
}

impl Fields {
    fn read(mut from: Body) -> io::Result<Self> {
        let mut fields = Self::default();
        while from.at < from.bytes.len() {
            from.read_align(8);
            let code = from.read_byte()?;
            match (code, from.read_signature()?.as_str()) {
                (3, "s") => fields.member = from.read_text()?,
                (4, "s") => fields.error = from.read_text()?,
                (5, "u") => fields.reply_to = Some(from.read_number()?),
                (8, "g") => fields.signature = from.read_signature()?,
                (_, "s" | "o") => drop(from.read_text()?),
                (_, "u") => drop(from.read_number()?),
                (_, "g") => drop(from.read_signature()?),
                _ => return Err(malformed()),
            }
        }
        Ok(fields)
    }
}

impl Body {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// Adds a number of 32 bits (`u`), or a truth value (`b`).
    pub fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    /// Adds text (`s`, `o`).
    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.bytes.push(signature.len() as u8);
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// Adds an array whose elements are aligned so.
    pub fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_at = self.bytes.len() - 4;
        self.align(alignment);
        let begin = self.bytes.len();
        write(self);
        let length = (self.bytes.len() - begin) as u32;
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Adds a named value of any type: an element of `a(sv)`.
    pub fn property(&mut self, name: &str, signature: &str, write: impl FnOnce(&mut Self)) {
        self.align(8);
        self.text(name);
        self.signature(signature);
        write(self);
    }

    fn read_align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let begin = self.at;
        self.at = begin.checked_add(count).ok_or_else(malformed)?;
        self.bytes.get(begin..self.at).ok_or_else(malformed)
    }

    fn read_byte(&mut self) -> io::Result<u8> {
        self.take(1)?.first().copied().ok_or_else(malformed)
    }

    /// The next argument, a number.
    pub fn read_number(&mut self) -> io::Result<u32> {
        self.read_align(4);
        let bytes = self.take(4)?.try_into().map_err(|_| malformed())?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The next argument, text.
    pub fn read_text(&mut self) -> io::Result<String> {
        let length = self.read_number()? as usize;
        self.read_terminated(length)
    }

    fn read_signature(&mut self) -> io::Result<String> {
        let length = self.read_byte()?.into();
        self.read_terminated(length)
    }

    fn read_terminated(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8(self.take(length)?.to_vec()).map_err(|_| malformed())?;
        self.take(1)?;
        Ok(text)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not D-Bus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_laid_out_as_the_specification_says() {
        let mut body = Body::default();
        body.text("ab");
        body.array(8, |list| list.property("P", "au", |value| value.array(4, |pids| pids.number(7))));
        // string (7), padding (1), length (4), padding to 8 (4)
        assert_eq!(body.bytes.get(..8), Some(&[2, 0, 0, 0, b'a', b'b', 0, 0][..]));
        assert_eq!(body.bytes.len() - 16, u32::from_le_bytes(body.bytes[8..12].try_into().unwrap()) as usize);
        assert_eq!(body.read_text().unwrap(), "ab");
    }

    #[test]
    fn calls_and_answers() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection { stream: ours, serial: 0 };
        let method = Method { destination: Some("a.b"), path: "/x", interface: "c.d", member: "Do" };
        let mut body = Body::default();
        body.text("hello");
        assert_eq!(connection.call(&method, "s", body).unwrap(), 1);
        let mut sent = vec![0; 512];
        let length = theirs.read(&mut sent).unwrap();
        assert_eq!(length % 8, 2, "a header that is a multiple of 8, and a body of 10 bytes");
        // A return, with the reply serial 1, the signature "o", and a path.
        let mut answer = Body::default();
        answer.bytes.extend([b'l', RETURN, 0, 1]);
        answer.number(11);
        answer.number(9);
        answer.array(8, |fields| {
            fields.bytes.push(5);
            fields.signature("u");
            fields.number(1);
            fields.align(8);
            fields.bytes.push(8);
            fields.signature("g");
            fields.signature("o");
        });
        answer.align(8);
        answer.text("/job/1");
        theirs.write_all(&answer.bytes).unwrap();
        assert_eq!(connection.receive().unwrap(), Incoming::Answer(1, Some("/job/1".into())));
        theirs.write_all(&[b'B'; 16]).unwrap();
        assert!(connection.receive().is_err());
    }
}
