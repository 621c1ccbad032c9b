//! Contents of files, from the tar to the disk. Long runs of zeroes take no room there, and files that are stored without their
//! holes get them back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use nix::errno::Errno;

use super::apply::errno_of;
use super::error::UnpackError;
use super::header::{Entries, Entry};

/// So many zeroes are left out of a file.
const HOLE: usize = 64 << 10;

/// Why contents were not written.
#[derive(Debug)]
pub enum NotWritten {
    /// The tar is at fault.
    Tar(UnpackError),
    /// It ends within the file.
    Cut,
    /// The file cannot be written.
    File(Errno),
}

impl From<UnpackError> for NotWritten {
    fn from(error: UnpackError) -> Self {
        Self::Tar(error)
    }
}

/// What is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file.
    Regular,
    /// A device or a pipe: every byte is written in its turn.
    Stream,
}

/// Writes the contents of `entry`, which was read last, into `file`, which is empty; the file's size.
pub fn write(
    file: &mut File,
    target: Target,
    entry: &Entry,
    contents: &mut Entries<impl Read>,
) -> Result<u64, NotWritten> {
    let mut writer = Writer { file, target, ends_in_hole: false };
    let size = match &entry.map {
        None => {
            writer.copy(entry.size, contents)?;
            entry.size
        }
        Some(_) if target == Target::Stream => return Err(NotWritten::File(Errno::ESPIPE)),
        Some(map) => {
            for &(offset, length) in &map.pieces {
                writer.seek(SeekFrom::Start(offset))?;
                writer.copy(length, contents)?;
            }
            let last = map.pieces.iter().rfind(|(_, length)| *length > 0);
            writer.ends_in_hole |= last.is_none_or(|(offset, length)| offset + length < map.size);
            map.size
        }
    };
    contents.source().skip_padding(entry.size)?;
    if writer.ends_in_hole && size > 0 {
        // Its last byte says how long it is: where layers are unpacked, no file's length can be set.
        writer.seek(SeekFrom::Start(size - 1))?;
        writer.file.write_all(&[0]).map_err(|error| NotWritten::File(errno_of(&error)))?;
    }
    Ok(size)
}

struct Writer<'a> {
    file: &'a mut File,
    target: Target,
    ends_in_hole: bool,
}

impl Writer<'_> {
    /// Copies the next `left` bytes of the tar.
    fn copy(&mut self, mut left: u64, contents: &mut Entries<impl Read>) -> Result<(), NotWritten> {
        while left > 0 {
            let piece = contents.source().piece(left)?;
            if piece.is_empty() {
                return Err(NotWritten::Cut);
            }
            left -= piece.len() as u64;
            self.append(piece)?;
        }
        Ok(())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), NotWritten> {
        while !bytes.is_empty() {
            let is_hole = self.is_hole(bytes);
            let end = bytes.chunks(HOLE).position(|chunk| is_hole != self.is_hole(chunk));
            let (run, rest) = bytes.split_at(end.map_or(bytes.len(), |chunks| chunks * HOLE));
            if is_hole {
                // At most the reader's buffer, so it fits.
                self.seek(SeekFrom::Current(run.len() as i64))?;
            } else {
                self.file.write_all(run).map_err(|error| NotWritten::File(errno_of(&error)))?;
            }
            self.ends_in_hole = is_hole;
            bytes = rest;
        }
        Ok(())
    }

    /// Whether `bytes` begin with as many zeroes as make a hole.
    fn is_hole(&self, bytes: &[u8]) -> bool {
        let is_zero = |chunk: &[u8]| chunk.iter().fold(0, |all, byte| all | byte) == 0;
        self.target == Target::Regular && bytes.get(..HOLE).is_some_and(|bytes| bytes.chunks(64).all(is_zero))
    }

    fn seek(&mut self, to: SeekFrom) -> Result<(), NotWritten> {
        self.file.seek(to).map(drop).map_err(|error| NotWritten::File(errno_of(&error)))
    }
}
