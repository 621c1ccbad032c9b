//! A tar as it comes, in pieces of any size: what is contents, and what is between them.

use std::io::{self, Write};

use super::frames::Frames;
use super::split::{Chunk, Splitter};
use super::tar_split::{Checksum, TarSplit};
use super::toc::{File, Placed, Toc};
use crate::oci::digest::{Algorithm, Hasher};
use crate::store::unpack::header::{self, Pending, Refused};
use crate::store::unpack::source::BLOCK;

/// Most zeroes at the end that are kept together, in bytes.
const PIECE: usize = 1 << 20;

/// Why a tar is not read on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The layer cannot be written.
    Write(io::Error),
    /// It has, or is, something that a table of contents cannot say.
    Undescribed(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<&'static str> for Stop {
    fn from(reason: &'static str) -> Self {
        Self::Undescribed(reason)
    }
}

/// A tar up to where it has come.
pub(super) struct Tar {
    pub(super) toc: Toc,
    pub(super) rest: TarSplit,
    state: State,
    /// What belongs to no contents and has not been passed on: padding, and the headers of one file.
    segment: Vec<u8>,
    pending: Pending,
}

/// What comes next.
enum State {
    /// So many bytes, the last of which are a header; before that are the data of an extended header of this type and size.
    Header { left: usize, extension: Option<(u8, usize)> },
    /// Contents.
    Contents(Box<Contents>),
    /// Zeroes, up to the end.
    Zeroes,
}

/// A file whose contents are coming.
struct Contents {
    file: File,
    left: u64,
    splitter: Splitter,
    hasher: Hasher,
    checksum: Checksum,
    chunks: Vec<Placed>,
}

const HEADER: State = State::Header { left: BLOCK, extension: None };

impl Tar {
    /// A tar whose beginning comes next.
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let (toc, rest) = (Toc::new(level)?, TarSplit::new(level)?);
        Ok(Self { toc, rest, state: HEADER, segment: Vec::new(), pending: Pending::default() })
    }

    /// Takes some bytes off the beginning of `bytes`, and passes them on, or keeps them.
    pub(super) fn take(&mut self, bytes: &mut &[u8], frames: &mut Frames<impl Write>) -> Result<(), Stop> {
        match &mut self.state {
            State::Header { left, extension } => {
                let taken = first(bytes, *left);
                self.segment.extend_from_slice(taken);
                *left -= taken.len();
                if *left == 0 {
                    let extension = extension.take();
                    self.header(extension, frames)?;
                }
            }
            State::Contents(contents) => {
                let taken = first(bytes, usize::try_from(contents.left).unwrap_or(usize::MAX));
                contents.take(taken, frames)?;
                if contents.left == 0 {
                    self.end_contents(frames)?;
                }
            }
            State::Zeroes => {
                let taken = first(bytes, PIECE - self.segment.len());
                self.segment.extend_from_slice(taken);
                if taken.iter().any(|&byte| byte != 0) {
                    return Err("there are bytes after its end".into());
                }
                if self.segment.len() == PIECE {
                    self.end_segment(frames)?;
                }
            }
        }
        Ok(())
    }

    /// After the last byte.
    pub(super) fn end(&mut self, frames: &mut Frames<impl Write>) -> Result<(), Stop> {
        match self.state {
            State::Header { left: BLOCK, extension: None } if self.pending.is_empty() => {}
            State::Zeroes if self.segment.len().is_multiple_of(BLOCK) => {}
            _ => return Err("it ends within an entry".into()),
        }
        Ok(self.end_segment(frames)?)
    }

    /// Passes on what was kept.
    pub(super) fn give_up(self, frames: &mut Frames<impl Write>) -> io::Result<()> {
        if let State::Contents(mut contents) = self.state {
            contents.splitter.end(|chunk| frames.chunk(&chunk))?;
        }
        frames.add(&self.segment)
    }

    fn end_segment(&mut self, frames: &mut Frames<impl Write>) -> io::Result<()> {
        self.rest.segment(&self.segment)?;
        frames.add(&self.segment)?;
        self.segment.clear();
        Ok(())
    }

    /// The header that is at the end of the segment now.
    fn header(&mut self, extension: Option<(u8, usize)>, frames: &mut Frames<impl Write>) -> Result<(), Stop> {
        let Some((before, block)) = self.segment.split_last_chunk::<BLOCK>() else { return Ok(()) };
        if let Some((typeflag, size)) = extension {
            let data = &before[before.len() - size.next_multiple_of(BLOCK)..][..size];
            self.pending.add(typeflag, data.to_vec())?;
        }
        if block.iter().all(|&byte| byte == 0) {
            if !self.pending.is_empty() {
                return Err("an extended header has no file".into());
            }
            self.state = State::Zeroes;
            return Ok(self.end_segment(frames)?);
        }
        let header = ::tar::Header::from_byte_slice(block);
        header::check_sum(header)?;
        match header::extension(header) {
            Err(Refused::Malformed(reason)) => return Err(reason.into()),
            Err(Refused::Limit { what, .. }) => return Err(what.into()),
            Ok(Some((b'g', _))) => return Err("it has a global extended header".into()),
            Ok(Some((typeflag, size))) => {
                let left = size.next_multiple_of(BLOCK) + BLOCK;
                self.state = State::Header { left, extension: Some((typeflag, size)) };
                return Ok(());
            }
            Ok(None) => {}
        }
        let file = File::describe(header, &self.pending)?;
        self.toc.check(&file)?;
        self.pending = Pending::default();
        self.end_segment(frames)?;
        if file.size() == 0 {
            self.rest.file(file.name(), 0, None)?;
            self.toc.add(&file, None)?;
            self.state = HEADER;
        } else {
            frames.flush()?;
            self.state = State::Contents(Box::new(Contents::new(file)));
        }
        Ok(())
    }

    fn end_contents(&mut self, frames: &mut Frames<impl Write>) -> Result<(), Stop> {
        let State::Contents(contents) = std::mem::replace(&mut self.state, HEADER) else { return Ok(()) };
        let Contents { file, mut splitter, hasher, checksum, mut chunks, .. } = *contents;
        splitter.end(|chunk| place(&chunk, &file, &mut chunks, frames))?;
        self.rest.file(file.name(), file.size(), Some(checksum))?;
        self.toc.add(&file, Some((&hasher.finish(), &chunks, frames.offset())))?;
        // At most a block's, so it fits.
        let padding = (file.size().next_multiple_of(BLOCK as u64) - file.size()) as usize;
        self.state = State::Header { left: padding + BLOCK, extension: None };
        Ok(())
    }
}

impl Contents {
    fn new(file: File) -> Self {
        let hasher = Algorithm::Sha256.hasher();
        let left = file.size();
        Self { file, left, splitter: Splitter::default(), hasher, checksum: Checksum::default(), chunks: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8], frames: &mut Frames<impl Write>) -> io::Result<()> {
        self.hasher.update(bytes);
        self.checksum.update(bytes);
        self.left -= bytes.len() as u64;
        self.splitter.take(bytes, |chunk| place(&chunk, &self.file, &mut self.chunks, frames))
    }
}

/// Writes a chunk of `file`, and adds it to the others.
fn place(chunk: &Chunk<'_>, file: &File, chunks: &mut Vec<Placed>, frames: &mut Frames<impl Write>) -> io::Result<()> {
    let digest = (chunk.len() < file.size()).then(|| chunk.digest());
    chunks.push(Placed { offset: frames.offset(), size: chunk.len(), digest, is_hole: chunk.is_hole() });
    frames.chunk(chunk)
}

/// At most `most` bytes off the beginning.
fn first<'b>(bytes: &mut &'b [u8], most: usize) -> &'b [u8] {
    let (taken, left) = bytes.split_at(most.min(bytes.len()));
    *bytes = left;
    taken
}
