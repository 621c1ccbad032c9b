//! A log in systemd's journal, read by `journalctl`: only that program knows the journal's files.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use memchr::memchr;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::Value;

use super::entry::Entry;
use super::{Selection, Tail};
use crate::container::monitor::log::Stream;
use crate::failure::Failure;
use crate::name::container::ContainerId;

/// A reader of a container's entries in the journal.
pub struct JournalReader {
    id: ContainerId,
    selection: Selection,
    journalctl: Child,
    buffer: Vec<u8>,
    /// The place of the last entry.
    cursor: Option<String>,
    /// Lines that could not be understood.
    pub damaged: u64,
}

impl JournalReader {
    /// Starts `journalctl`.
    pub fn open(id: &ContainerId, selection: &Selection) -> Result<Self, Failure> {
        let mut words = words(id, selection, None);
        if selection.follow {
            words.push("--follow".into());
            words.extend((selection.tail == Tail::All).then(|| "--no-tail".into()));
        }
        let journalctl = start(&words)?;
        if selection.follow {
            set_nonblocking(&journalctl).map_err(|cause| failed(&cause))?;
        }
        let (id, selection) = (id.clone(), selection.clone());
        Ok(Self { id, selection, journalctl, buffer: Vec::new(), cursor: None, damaged: 0 })
    }

    /// The next entry, if it is known.
    pub fn next(&mut self) -> Result<Option<Entry>, Failure> {
        loop {
            while let Some(length) = memchr(b'\n', &self.buffer) {
                let value = serde_json::from_slice::<Value>(&self.buffer[..length]);
                self.buffer.drain(..=length);
                let entry = value.ok().and_then(|value| {
                    self.cursor = value["__CURSOR"].as_str().map(str::to_owned);
                    entry(&value)
                });
                match entry {
                    Some(entry) => return Ok(Some(entry)),
                    None => self.damaged += 1,
                }
            }
            let Some(stdout) = &mut self.journalctl.stdout else { return Ok(None) };
            let mut chunk = vec![0; 64 * 1024];
            match stdout.read(&mut chunk) {
                Ok(0) => {
                    self.journalctl.stdout = None;
                    return self.ended().map(|()| None);
                }
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn ended(&mut self) -> Result<(), Failure> {
        let status = self.journalctl.wait().map_err(|cause| failed(&cause))?;
        // Without any entry it exits with 1 and says nothing.
        if status.success() || status.code() == Some(1) {
            return Ok(());
        }
        Err(Failure::new("E_IO", format!("reading the journal: journalctl ended with {status}")))
    }

    /// After the container's end: does not follow any longer, and reads what journald has taken meanwhile.
    pub fn finish(&mut self) -> Result<(), Failure> {
        // What it has printed and nobody read is read again, from the last entry on.
        let _ = self.journalctl.kill();
        let _ = self.journalctl.wait();
        self.buffer.clear();
        // Allowed to few; where it is not, journald is nearly always fast enough.
        let _ = Command::new("journalctl").arg("--sync").stderr(Stdio::null()).stdout(Stdio::null()).status();
        self.journalctl = start(&words(&self.id, &self.selection, self.cursor.as_deref()))?;
        Ok(())
    }

    /// Where `journalctl` prints, while it runs.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.journalctl.stdout.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for JournalReader {
    fn drop(&mut self) {
        let _ = self.journalctl.kill();
        let _ = self.journalctl.wait();
    }
}

fn failed(cause: &io::Error) -> Failure {
    let failure = Failure::new("E_NOTFOUND", format!("reading the journal with journalctl: {cause}"));
    failure.with_hint("the log driver journald needs systemd's journalctl to show what was written")
}

fn start(words: &[String]) -> Result<Child, Failure> {
    let mut command = Command::new("journalctl");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|cause| failed(&cause))
}

fn set_nonblocking(journalctl: &Child) -> io::Result<()> {
    let Some(stdout) = &journalctl.stdout else { return Ok(()) };
    let flags = OFlag::from_bits_retain(fcntl(stdout, FcntlArg::F_GETFL)?);
    fcntl(stdout, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// journalctl(1).
fn words(id: &ContainerId, selection: &Selection, after: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = ["--output=json", "--all", "--no-pager", "--quiet"].map(String::from).into();
    match (after, selection.tail) {
        (Some(cursor), _) => words.push(format!("--after-cursor={cursor}")),
        (None, Tail::Lines(count)) => words.push(format!("--lines={count}")),
        (None, Tail::All) => {}
    }
    words.extend(selection.since.map(|time| format!("--since=@{}", time.as_second())));
    // Whole seconds: what is beyond is left out when it is read.
    words.extend(selection.until.map(|time| format!("--until=@{}", time.as_second() + 1)));
    words.push(format!("CONTAINER_ID_FULL={id}"));
    words
}

fn entry(value: &Value) -> Option<Entry> {
    let mut text = match &value["MESSAGE"] {
        Value::String(text) => text.clone().into_bytes(),
        // journalctl(1): what is not printable text is a list of bytes.
        Value::Array(bytes) => {
            bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect::<Option<Vec<u8>>>()?
        }
        _ => return None,
    };
    if value["CONTAINER_PARTIAL_MESSAGE"].is_null() {
        text.push(b'\n');
    }
    let stream = if value["PRIORITY"] == "3" { Stream::Error } else { Stream::Output };
    let time = value["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
    Some(Entry { time: Timestamp::from_microsecond(time).ok()?, stream, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_journal() {
        let time = Timestamp::from_microsecond(5).unwrap();
        let value = serde_json::json!({ "MESSAGE": "a", "PRIORITY": "6", "__REALTIME_TIMESTAMP": "5" });
        assert_eq!(entry(&value), Some(Entry { time, stream: Stream::Output, text: b"a\n".into() }));
        let value = serde_json::json!({
            "MESSAGE": [255, 10], "PRIORITY": "3", "__REALTIME_TIMESTAMP": "5", "CONTAINER_PARTIAL_MESSAGE": "true"
        });
        assert_eq!(entry(&value), Some(Entry { time, stream: Stream::Error, text: b"\xff\n".into() }));
        assert_eq!(entry(&serde_json::json!({ "MESSAGE": null, "__REALTIME_TIMESTAMP": "5" })), None);
    }
}
