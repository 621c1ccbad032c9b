//! A log's entries from its files, first to last, across the change to a new file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::Selection;
use super::backwards::LONGEST_LINE;
use super::entry::{Entry, Format, Parser};
use super::files::{self, Identity, Part};
use crate::failure::Failure;
use crate::state::record;

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A reader of a log's files.
pub struct FileReader {
    path: PathBuf,
    max_files: u32,
    parser: Parser,
    /// What is to be read, the file being read first.
    parts: VecDeque<Part>,
    /// The place in the first of them.
    offset: u64,
    /// Where to stop if the log is not followed: a container may write faster than anybody reads.
    end: Option<(Identity, u64)>,
    /// Whether what comes up to the next line feed is the rest of something that is no entry.
    skipping: bool,
    buffer: Vec<u8>,
    /// How much of the buffer has been used.
    used: usize,
    /// Lines that could not be understood.
    pub damaged: u64,
}

impl FileReader {
    /// Opens the log at `path` where the selection begins.
    pub fn open(path: &Path, max_files: u32, format: Format, selection: &Selection) -> Result<Self, Failure> {
        let begin = || -> io::Result<Self> {
            let mut parts = files::parts(path, max_files)?;
            let offset = files::skip(&mut parts, format, selection)?;
            let last = parts.last().filter(|_| !selection.follow);
            let end = last.map(|part| Ok::<_, io::Error>((part.identity, part.file.metadata()?.len()))).transpose()?;
            Ok(Self {
                path: path.to_owned(),
                max_files,
                parser: Parser::new(format),
                parts: parts.into(),
                offset,
                end,
                skipping: false,
                buffer: Vec::new(),
                used: 0,
                damaged: 0,
            })
        };
        begin().map_err(|cause| failed(path, &cause))
    }

    /// The next entry, if it has been written.
    pub fn next(&mut self) -> Result<Option<Entry>, Failure> {
        loop {
            while let Some(length) = memchr(b'\n', &self.buffer[self.used..]) {
                let line = &self.buffer[self.used..self.used + length];
                self.used += length + 1;
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                match self.parser.parse(line) {
                    Some(entry) => return Ok(Some(entry)),
                    None => self.damaged += 1,
                }
            }
            if !self.read_more().map_err(|cause| failed(&self.path, &cause))? {
                return Ok(None);
            }
        }
    }

    /// False at the end of what has been written.
    fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        if self.buffer.len() > LONGEST_LINE {
            self.buffer.clear();
            self.damaged += u64::from(!std::mem::replace(&mut self.skipping, true));
        }
        loop {
            // A file that has a successor gets no more.
            let complete = self.parts.len() > 1;
            let Some(part) = self.parts.front() else {
                self.look_for_successors()?;
                if self.parts.is_empty() {
                    return Ok(false);
                }
                continue;
            };
            let end = self.end.filter(|(identity, _)| *identity == part.identity);
            let room = end.map_or(CHUNK, |(_, end)| (end.saturating_sub(self.offset) as usize).min(CHUNK));
            if room == 0 {
                return Ok(false);
            }
            let before = self.buffer.len();
            self.buffer.resize(before + room, 0);
            let count = part.file.read_at(&mut self.buffer[before..], self.offset);
            self.buffer.truncate(before + *count.as_ref().unwrap_or(&0));
            let count = count?;
            if count > 0 {
                self.offset += count as u64;
                return Ok(true);
            }
            if !complete {
                self.look_for_successors()?;
            }
            if self.parts.len() == 1 {
                return Ok(false);
            }
            if complete {
                // What is left was torn.
                self.buffer.clear();
                self.skipping = false;
                self.parts.pop_front();
                self.offset = 0;
            }
        }
    }

    fn look_for_successors(&mut self) -> io::Result<()> {
        if !self.is_replaced() {
            return Ok(());
        }
        let current = self.current();
        let parts = files::parts(&self.path, self.max_files)?;
        let known = parts.iter().position(|part| Some(part.identity) == current).map_or(0, |at| at + 1);
        self.parts.extend(parts.into_iter().skip(known));
        Ok(())
    }

    /// Whether the log's name stands for another file than the one being read, or for none.
    pub fn is_replaced(&self) -> bool {
        let named = std::fs::metadata(&self.path).ok();
        named.map(|metadata| Identity::of(metadata.dev(), metadata.ino())) != self.current()
    }

    /// Whether there is no file yet.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Which file is being read.
    pub fn current(&self) -> Option<Identity> {
        self.parts.front().map(|part| part.identity)
    }

    /// The file being read.
    pub fn file(&self) -> Option<&std::fs::File> {
        self.parts.front().map(|part| &part.file)
    }
}

fn failed(path: &Path, cause: &io::Error) -> Failure {
    Failure::new(record::io_code(cause), format!("reading the log {}: {cause}", path.display()))
}
