//! `zstd:chunked`: a layer of which others can fetch parts. Who does not know the format sees a layer compressed with zstd as any
//! other: files' contents, and what is between them, are frames of their own, and the rest is in skippable frames
//! (RFC 8878 section 3.1.2) at the end: a table of contents, what the tar consists of beside the contents ("tar-split"), and
//! a footer that tells where these are. Annotations of the layer tell the same, and the table's digest.
//!
//! The format is that of containers/storage (containers-storage-zstd-chunked(1)). A tar that it cannot describe without loss
//! becomes zstd without a table: nobody may see other files by the table than by the tar.

mod frames;
mod split;
mod tar;
mod tar_split;
mod toc;

use std::io::{self, Write};

use self::frames::Frames;
use self::tar::{Stop, Tar};

pub use self::frames::{ANNOTATIONS, Annotations};

/// A layer that was written.
#[derive(Debug)]
pub struct Finished<W> {
    /// Where it went.
    pub writer: W,
    /// Its annotations; or why it has no table of contents.
    pub annotations: Result<Annotations, &'static str>,
}

/// Takes a layer's tar and writes the layer.
pub struct Writer<W> {
    frames: Frames<W>,
    /// What is known of the tar; or why that is nothing.
    tar: Result<Tar, &'static str>,
}

impl<W: Write> Writer<W> {
    /// Begins a layer, compressed with this level of zstd.
    pub fn new(writer: W, level: i32) -> io::Result<Self> {
        Ok(Self { frames: Frames::new(writer, level)?, tar: Ok(Tar::new(level)?) })
    }

    /// After the last byte.
    pub fn finish(mut self) -> io::Result<Finished<W>> {
        if let Ok(tar) = &mut self.tar {
            let ended = tar.end(&mut self.frames);
            self.check(ended)?;
        }
        self.frames.flush()?;
        let annotations = match self.tar {
            Ok(tar) => Ok(self.frames.end(tar.toc, tar.rest)?),
            Err(reason) => Err(reason),
        };
        Ok(Finished { writer: self.frames.into_writer(), annotations })
    }

    /// What cannot be described is, from there on, only compressed.
    fn check(&mut self, outcome: Result<(), Stop>) -> io::Result<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Write(error)) => Err(error),
            Err(Stop::Undescribed(reason)) => match std::mem::replace(&mut self.tar, Err(reason)) {
                Ok(tar) => tar.give_up(&mut self.frames),
                Err(_) => Ok(()),
            },
        }
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = bytes;
        while !left.is_empty()
            && let Ok(tar) = &mut self.tar
        {
            let taken = tar.take(&mut left, &mut self.frames);
            self.check(taken)?;
        }
        self.frames.add(left)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
