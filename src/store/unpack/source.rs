//! The tar as it arrives: blocks, and contents of files in large pieces that are never copied.

use std::io::{Read, Seek, SeekFrom};

use super::error::UnpackError;
use super::limits::Limits;

/// Size of a tar block.
pub const BLOCK: usize = 512;
/// As much as the largest pipe holds.
const BUFFER: usize = 1 << 20;

/// A stream of tar blocks.
pub struct Source<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes handed out.
    offset: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    /// The tar that `reader` gives.
    pub fn new(reader: R, limits: &Limits) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, offset: 0, limit: limits.bytes }
    }

    /// A malformation at the block before the present position.
    pub fn malformed(&self, reason: &'static str) -> UnpackError {
        UnpackError::Format { offset: self.offset.saturating_sub(BLOCK as u64), reason }
    }

    /// Refuses what would end beyond the limit, before any of it is read.
    pub fn expect(&self, bytes: u64) -> Result<(), UnpackError> {
        match self.offset.checked_add(bytes) {
            Some(end) if end <= self.limit => Ok(()),
            _ => Err(UnpackError::Limit { what: "the unpacked size".into(), limit: format!("{} bytes", self.limit) }),
        }
    }

    /// The next bytes, at least one and at most `most`; an empty slice at the end of the stream.
    pub fn piece(&mut self, most: u64) -> Result<&[u8], UnpackError> {
        if self.start == self.end {
            self.fill(0)?;
        }
        let available = self.end - self.start;
        let length = usize::try_from(most).map_or(available, |most| most.min(available));
        self.take(length)
    }

    /// The next block; `None` at the end of the stream.
    pub fn block(&mut self) -> Result<Option<[u8; BLOCK]>, UnpackError> {
        while self.end - self.start < BLOCK {
            let kept = self.end - self.start;
            self.buffer.copy_within(self.start..self.end, 0);
            if !self.fill(kept)? {
                self.offset += kept as u64;
                return match kept {
                    0 => Ok(None),
                    _ => Err(self.malformed("it ends within a block")),
                };
            }
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(self.take(BLOCK)?);
        Ok(Some(block))
    }

    /// All of the next `size` bytes, and of the padding up to the next block.
    pub fn whole(&mut self, size: usize) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let piece = self.piece((size - bytes.len()) as u64)?;
            if piece.is_empty() {
                return Err(self.malformed("it ends within an extended header"));
            }
            bytes.extend_from_slice(piece);
        }
        self.skip_padding(size as u64)?;
        Ok(bytes)
    }

    /// Leaves out what fills the last block of `size` bytes.
    pub fn skip_padding(&mut self, size: u64) -> Result<(), UnpackError> {
        let mut padding = size.next_multiple_of(BLOCK as u64) - size;
        while padding > 0 {
            let skipped = self.piece(padding)?.len() as u64;
            if skipped == 0 {
                return Err(self.malformed("it ends within the padding of a file"));
            }
            padding -= skipped;
        }
        Ok(())
    }

    /// How many bytes were handed out: the position in the tar.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn take(&mut self, length: usize) -> Result<&[u8], UnpackError> {
        self.expect(length as u64)?;
        let piece = &self.buffer[self.start..self.start + length];
        self.start += length;
        self.offset += length as u64;
        Ok(piece)
    }

    /// Reads more into the buffer behind the first `kept` bytes; `false` at the end of the stream.
    fn fill(&mut self, kept: usize) -> Result<bool, UnpackError> {
        (self.start, self.end) = (0, kept);
        loop {
            match self.reader.read(&mut self.buffer[kept..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(UnpackError::Channel { action: "reading the tar", source }),
            }
        }
    }
}

impl<R: Read + Seek> Source<R> {
    /// Leaves out contents of `size` bytes with their padding, without reading them.
    pub fn skip(&mut self, size: u64) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Channel { action: "moving in the tar", source };
        let total = size.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| self.malformed("a file is too large"))?;
        self.expect(total)?;
        let buffered = (self.end - self.start) as u64;
        if total <= buffered {
            // At most the buffer's size, so it fits.
            self.start += total as usize;
        } else {
            let further = i64::try_from(total - buffered).map_err(|_| self.malformed("a file is too large"))?;
            self.reader.seek(SeekFrom::Current(further)).map_err(failed)?;
            (self.start, self.end) = (0, 0);
        }
        self.offset += total;
        Ok(())
    }
}
