//! A container's output as it is kept: lines, each with its stream and the time it was read.
//!
//! A log never blocks or ends its container: what cannot be written is lost, counted, and told when writing works again.

mod file;
mod format;
mod journal;

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;
use memchr::memchr;

use crate::failure::Failure;
use crate::name::log_request::LogDriver;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use file::LogFile;
pub use file::numbered;
pub use format::plain;
use journal::Journal;

/// The longest text of one entry, as docker's (16 KiB): a longer line becomes several.
const ENTRY_LIMIT: usize = 16 * 1024;

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and what a terminal shows.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// Its name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        }
    }
}

/// Whether an entry is the end of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Line,
    Partial,
}

enum Driver {
    Discard,
    File(LogFile),
    Journal(Journal),
}

/// A container's log, to which several streams write.
#[derive(Clone)]
pub struct LogTarget(Rc<RefCell<Driver>>);

impl LogTarget {
    /// Opens the log that the record asks for. One that exists is continued.
    pub fn open(layout: &Layout, record: &ContainerRecord) -> Result<Self, Failure> {
        let driver = match record.log.driver {
            LogDriver::None | LogDriver::Passthrough => Driver::Discard,
            LogDriver::JsonFile | LogDriver::K8sFile => {
                Driver::File(LogFile::open(&layout.container_log(&record.id, &record.log), &record.log)?)
            }
            LogDriver::Journald => Driver::Journal(Journal::connect(record)?),
        };
        Ok(Self(Rc::new(RefCell::new(driver))))
    }

    /// Whether what is written is kept.
    pub fn keeps(&self) -> bool {
        !matches!(*self.0.borrow(), Driver::Discard)
    }

    /// One of its streams.
    pub fn stream(&self, stream: Stream) -> Log {
        Log { target: self.clone(), stream, partial: Vec::new() }
    }
}

/// One stream of a container's log. What is left of an unfinished line is written when it is dropped.
pub struct Log {
    target: LogTarget,
    stream: Stream,
    partial: Vec<u8>,
}

impl Log {
    /// Adds what the container wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        let Self { target, stream, partial } = self;
        target.0.borrow_mut().write(*stream, |add| split(partial, bytes, add));
    }

    /// Gives back what was needed while there was much to write.
    pub fn rest(&mut self) {
        if let Driver::File(file) = &mut *self.target.0.borrow_mut() {
            file.rest();
        }
    }

    fn flush(&mut self) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            self.target.0.borrow_mut().write(self.stream, |add| add(&partial, Ending::Partial));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Driver {
    /// Writes the entries that `cut` gives, which were read just now.
    fn write(&mut self, stream: Stream, cut: impl FnOnce(&mut dyn FnMut(&[u8], Ending))) {
        match self {
            Self::Discard => {}
            Self::File(file) => {
                let frame = file.frame(stream, Timestamp::now());
                cut(&mut |text, ending| file.add(&frame, text, ending));
                file.flush();
            }
            Self::Journal(journal) => cut(&mut |text, ending| journal.send(stream, text, ending)),
        }
    }
}

/// Cuts `bytes`, which follow what is in `partial`, into entries; what does not end yet stays in `partial`.
fn split(partial: &mut Vec<u8>, bytes: &[u8], mut add: impl FnMut(&[u8], Ending)) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let room = ENTRY_LIMIT - partial.len();
        let window = &rest[..rest.len().min(room)];
        let end = memchr(b'\n', window);
        match end {
            Some(at) if partial.is_empty() => add(&window[..at], Ending::Line),
            Some(at) => {
                partial.extend_from_slice(&window[..at]);
                add(partial, Ending::Line);
                partial.clear();
            }
            None => {
                partial.extend_from_slice(window);
                if partial.len() == ENTRY_LIMIT {
                    let end = whole_characters(partial);
                    add(&partial[..end], Ending::Partial);
                    partial.drain(..end);
                }
            }
        }
        rest = &rest[end.map_or(window.len(), |at| at + 1)..];
    }
}

/// How many of the bytes are before a character that is not complete yet.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=3.min(bytes.len().saturating_sub(1)) {
        let at = bytes.len() - back;
        let expected = match bytes[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if expected > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(chunks: &[&[u8]]) -> (Vec<(Vec<u8>, Ending)>, Vec<u8>) {
        let (mut partial, mut entries) = (Vec::new(), Vec::new());
        for chunk in chunks {
            split(&mut partial, chunk, |text, ending| entries.push((text.to_vec(), ending)));
        }
        (entries, partial)
    }

    #[test]
    fn lines_are_found_across_chunks() {
        let (entries, partial) = entries(&[b"a\nb", b"c", b"\n\nd"]);
        let expected: [(Vec<u8>, Ending); 3] =
            [(b"a".into(), Ending::Line), (b"bc".into(), Ending::Line), (b"".into(), Ending::Line)];
        assert_eq!((entries.as_slice(), partial.as_slice()), (&expected[..], &b"d"[..]));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut text = vec![b'x'; ENTRY_LIMIT - 1];
        text.extend("é".as_bytes());
        text.push(b'\n');
        for size in [1, 1000, ENTRY_LIMIT - 1, ENTRY_LIMIT, ENTRY_LIMIT + 1, text.len()] {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let (entries, partial) = entries(&chunks);
            assert_eq!(entries.len(), 2, "{size}");
            assert_eq!((entries[0].0.len(), entries[0].1), (ENTRY_LIMIT - 1, Ending::Partial));
            assert_eq!(entries[1], ("é".as_bytes().to_vec(), Ending::Line));
            assert!(partial.is_empty());
        }
    }

    #[test]
    fn nothing_is_lost_or_added() {
        let text: Vec<u8> =
            (0..200_000_u32).map(|n| if n % 40_001 == 0 { b'\n' } else { (n % 251) as u8 | 0x80 }).collect();
        let (entries, partial) = entries(&text.chunks(777).collect::<Vec<_>>());
        let mut joined = Vec::new();
        for (text, ending) in entries {
            joined.extend(text);
            joined.extend((ending == Ending::Line).then_some(b'\n'));
        }
        joined.extend(partial);
        assert!(joined == text);
    }
}
