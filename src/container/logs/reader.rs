//! A log's entries from its files, first to last, across the change to a new file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::Selection;
use super::entry::{Entry, Format};
use super::files::{self, Identity, Part};
use crate::failure::Failure;
use crate::state::record;

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A reader of a log's files.
pub struct FileReader {
    path: PathBuf,
    max_files: u32,
    format: Format,
    /// What is to be read, the file being read first. Never empty.
    parts: VecDeque<Part>,
    /// The place in the first of them.
    offset: u64,
    buffer: Vec<u8>,
    /// How much of the buffer has been used.
    used: usize,
    /// Lines that could not be understood.
    pub damaged: u64,
}

impl FileReader {
    /// Opens the log at `path` where the selection begins; `None` if there is no log.
    pub fn open(path: &Path, max_files: u32, format: Format, selection: &Selection) -> Result<Option<Self>, Failure> {
        let mut parts = files::parts(path, max_files).map_err(|cause| failed(path, &cause))?;
        if parts.is_empty() {
            return Ok(None);
        }
        let offset = files::skip(&mut parts, format, selection).map_err(|cause| failed(path, &cause))?;
        let (path, parts) = (path.to_owned(), parts.into());
        Ok(Some(Self { path, max_files, format, parts, offset, buffer: Vec::new(), used: 0, damaged: 0 }))
    }

    /// The next entry, if it has been written.
    pub fn next(&mut self) -> Result<Option<Entry>, Failure> {
        loop {
            while let Some(length) = memchr(b'\n', &self.buffer[self.used..]) {
                let line = &self.buffer[self.used..self.used + length];
                self.used += length + 1;
                match self.format.parse(line) {
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
        loop {
            // A file that has a successor gets no more.
            let complete = self.parts.len() > 1;
            let Some(part) = self.parts.front() else { return Ok(false) };
            let before = self.buffer.len();
            self.buffer.resize(before + CHUNK, 0);
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
                self.parts.pop_front();
                self.offset = 0;
            }
        }
    }

    fn look_for_successors(&mut self) -> io::Result<()> {
        if !self.is_replaced() {
            return Ok(());
        }
        let Some(current) = self.current() else { return Ok(()) };
        let parts = files::parts(&self.path, self.max_files)?;
        let known = parts.iter().position(|part| part.identity == current).map_or(0, |at| at + 1);
        self.parts.extend(parts.into_iter().skip(known));
        Ok(())
    }

    /// Whether the log's name stands for another file than the one being read, or for none.
    pub fn is_replaced(&self) -> bool {
        let named = std::fs::metadata(&self.path).ok();
        named.map(|metadata| Identity::of(metadata.dev(), metadata.ino())) != self.current()
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
