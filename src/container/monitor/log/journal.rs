//! A log in systemd's journal: its native protocol, one datagram an entry.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Ending, Stream};
use crate::failure::Failure;
use crate::state::schema::container::ContainerRecord;
use crate::sys::socket;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long a journald that is busy is waited for; after that entries are lost until it takes one again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection to the journal.
pub struct Journal {
    socket: UnixDatagram,
    /// The fields that name the container.
    fixed: Vec<u8>,
    lost: u64,
    message: Vec<u8>,
}

impl Journal {
    /// Connects to journald, for entries of this container.
    pub fn connect(record: &ContainerRecord) -> Result<Self, Failure> {
        let socket = connect().map_err(|cause| {
            Failure::new("E_NOTFOUND", format!("connecting to the journal at {SOCKET}: {cause}"))
                .with_hint("where no journald runs, use another log driver: --log-driver json-file")
        })?;
        Ok(Self { socket, fixed: fixed_fields(record), lost: 0, message: Vec::new() })
    }

    /// Sends an entry.
    pub fn send(&mut self, stream: Stream, text: &[u8], ending: Ending) {
        if self.lost > 0 {
            let notice = format!("coracle: {} lines of this log could not be written and are lost", self.lost);
            if self.send_message(Stream::Error, notice.as_bytes(), Ending::Line).is_err() {
                self.lost += 1;
                return;
            }
            self.set_lost(0);
        }
        if self.send_message(stream, text, ending).is_err() {
            self.set_lost(1);
        }
    }

    /// A journal that takes nothing is not waited for each time.
    fn set_lost(&mut self, lost: u64) {
        self.lost = lost;
        let _ = self.socket.set_nonblocking(lost > 0);
    }

    fn send_message(&mut self, stream: Stream, text: &[u8], ending: Ending) -> Result<(), Errno> {
        encode(&mut self.message, &self.fixed, stream, text, ending);
        let sent = match socket::send(self.socket.as_fd(), &self.message, None) {
            Err(Errno::EMSGSIZE | Errno::ENOBUFS) => send_file(&self.socket, &self.message),
            Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET) => {
                // journald was started anew.
                self.socket = connect().map_err(|_| Errno::ENOTCONN)?;
                socket::send(self.socket.as_fd(), &self.message, None)
            }
            sent => sent,
        };
        self.message.clear();
        sent
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// What does not fit a datagram is sent as a sealed file.
fn send_file(socket: &UnixDatagram, message: &[u8]) -> Result<(), Errno> {
    let fd = memfd_create(c"coracle-log", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(message).map_err(|_| Errno::ENOMEM)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    socket::send(socket.as_fd(), &[], Some(file.as_fd()))
}

fn fixed_fields(record: &ContainerRecord) -> Vec<u8> {
    let image = record.image.as_ref().map(|image| image.name.as_str()).unwrap_or_default();
    let (id, short, name) = (record.id.as_str(), record.id.short(), record.name.as_str());
    let tag = record.log.tag.as_deref().unwrap_or("{{.ID}}");
    let replaced = [("{{.ID}}", short), ("{{.FullID}}", id), ("{{.Name}}", name), ("{{.ImageName}}", image)]
        .into_iter()
        .fold(tag.to_owned(), |tag, (placeholder, value)| tag.replace(placeholder, value));
    let mut out = Vec::new();
    for (key, value) in [
        ("CONTAINER_ID", short),
        ("CONTAINER_ID_FULL", id),
        ("CONTAINER_NAME", name),
        ("CONTAINER_TAG", &replaced),
        ("SYSLOG_IDENTIFIER", &replaced),
        ("IMAGE_NAME", image),
    ] {
        field(&mut out, key, value.as_bytes());
    }
    out
}

/// A field whose value may have any bytes (systemd, "Native Journal Protocol").
fn field(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'\n');
    out.extend((value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn encode(out: &mut Vec<u8>, fixed: &[u8], stream: Stream, text: &[u8], ending: Ending) {
    out.clear();
    out.extend_from_slice(fixed);
    // syslog(3): LOG_INFO and LOG_ERR.
    out.extend_from_slice(if stream == Stream::Output { b"PRIORITY=6\n" } else { b"PRIORITY=3\n" });
    if ending == Ending::Partial {
        out.extend_from_slice(b"CONTAINER_PARTIAL_MESSAGE=true\n");
    }
    field(out, "MESSAGE", text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn entries_are_fields() {
        let mut out = Vec::new();
        encode(&mut out, b"A=1\n", Stream::Error, b"x\ny", Ending::Partial);
        assert_eq!(out, b"A=1\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE\n\x03\0\0\0\0\0\0\0x\ny\n");
    }

    #[test]
    fn large_messages_are_files() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        send_file(&ours, b"message").unwrap();
        let (length, fd) = socket::receive(theirs.as_fd(), &mut [0; 8]).unwrap();
        let mut file = File::from(fd.unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((length, text.as_str()), (0, "message"));
        assert!(file.set_len(0).is_err());
    }
}
