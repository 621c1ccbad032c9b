//! A layer's zstd frames, and where each begins.

use std::io::{self, Write};

use super::split::Chunk;
use super::tar_split::TarSplit;
use super::toc::Toc;
use crate::oci::digest::Digest;

/// What the annotations of the format begin with.
pub const ANNOTATIONS: &str = "io.github.containers.zstd-chunked.";
/// Keys and values.
pub type Annotations = Vec<(String, String)>;

/// Most of what is between contents that is in one frame, in bytes.
const PIECE: usize = 1 << 20;
/// Begins a skippable frame: 0x184D2A50, little endian.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
/// Ends the footer.
const MAGIC: &[u8; 8] = b"GNUlInUx";
/// A table of contents as CRFS has it, in JSON: the only type there is.
const TABLE_TYPE: u64 = 1;

/// Writes frames.
pub(super) struct Frames<W> {
    writer: W,
    compressor: zstd::bulk::Compressor<'static>,
    /// What becomes the next frame that is no chunk.
    waiting: Vec<u8>,
    compressed: Vec<u8>,
    offset: u64,
}

impl<W: Write> Frames<W> {
    pub(super) fn new(writer: W, level: i32) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(level)?;
        Ok(Self { writer, compressor, waiting: Vec::new(), compressed: Vec::new(), offset: 0 })
    }

    /// Where the next frame begins, once what waits is flushed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds what is between contents.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (taken, left) = bytes.split_at(bytes.len().min(PIECE - self.waiting.len()));
            self.waiting.extend_from_slice(taken);
            bytes = left;
            if self.waiting.len() == PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the frame of what is between contents.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.frame(&waiting)?;
        }
        self.waiting = waiting;
        self.waiting.clear();
        Ok(())
    }

    /// Adds a chunk of contents. Nothing may wait.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        chunk.pieces().try_for_each(|piece| self.frame(piece))
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.compressed)?;
        self.writer.write_all(&self.compressed)?;
        self.offset += self.compressed.len() as u64;
        Ok(())
    }

    /// Adds a frame that decoders skip; where its content begins.
    fn skippable(&mut self, content: &[u8]) -> io::Result<u64> {
        // Both are bounded by [`Packed::MOST`].
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        self.writer.write_all(&[SKIPPABLE, length.to_le_bytes()].concat())?;
        self.writer.write_all(content)?;
        let begin = self.offset + 8;
        self.offset = begin + u64::from(length);
        Ok(begin)
    }

    /// Ends the layer with its table of contents; its annotations.
    pub(super) fn end(&mut self, toc: Toc, rest: TarSplit) -> io::Result<Annotations> {
        let (rest, rest_length) = rest.finish()?;
        let (toc, toc_length) = toc.finish(&Digest::of(&rest))?;
        let (toc_at, rest_at) = (self.skippable(&toc)?, self.skippable(&rest)?);
        let (toc_size, rest_size) = (toc.len() as u64, rest.len() as u64);
        let numbers = [toc_at, toc_size, toc_length, TABLE_TYPE, rest_at, rest_size, rest_length];
        let mut footer: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        footer.extend_from_slice(MAGIC);
        self.skippable(&footer)?;
        let annotation = |key: &str, value: String| (format!("{ANNOTATIONS}{key}"), value);
        Ok(vec![
            annotation("manifest-checksum", Digest::of(&toc).to_string()),
            annotation("manifest-position", format!("{toc_at}:{toc_size}:{toc_length}:{TABLE_TYPE}")),
            annotation("tarsplit-position", format!("{rest_at}:{rest_size}:{rest_length}")),
        ])
    }

    pub(super) fn into_writer(self) -> W {
        self.writer
    }
}

/// A document that is compressed as it is made.
pub(super) struct Packed {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    length: u64,
}

impl Packed {
    /// Most bytes of it, not compressed: containers/storage reads no more.
    const MOST: u64 = 150 << 20;

    pub(super) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { encoder: zstd::Encoder::new(Vec::new(), level)?, length: 0 })
    }

    /// Whether others read it.
    pub(super) fn check_size(&self) -> Result<(), &'static str> {
        if self.length <= Self::MOST { Ok(()) } else { Err("its table of contents is too large") }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.encoder.write_all(bytes)
    }

    /// The compressed document, and its length before that.
    pub(super) fn finish(self) -> io::Result<(Vec<u8>, u64)> {
        Ok((self.encoder.finish()?, self.length))
    }
}
