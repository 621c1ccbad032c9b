//! The bytes of a blob that is being sent: read from their file, hashed once, in order, however often they are sent.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::oci::digest::{Digest, Hasher};

/// How much is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// A blob to be sent.
pub(super) struct Content {
    file: File,
    digest: Digest,
    size: u64,
    state: Mutex<State>,
}

struct State {
    hasher: Hasher,
    /// Bytes that went into the hasher.
    hashed: u64,
    /// Why the file could not be read.
    failure: Option<io::Error>,
}

impl Content {
    pub(super) fn new(file: File, digest: &Digest, size: u64) -> Self {
        let state = State { hasher: digest.algorithm().hasher(), hashed: 0, failure: None };
        Self { file, digest: digest.clone(), size, state: Mutex::new(state) }
    }

    /// How many bytes have been read: a registry cannot have more.
    pub(super) fn hashed(&self) -> u64 {
        self.state().hashed
    }

    /// Why the file could not be read, if it could not.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.state().failure.take()
    }

    /// Whether all has been read, and has the digest.
    pub(super) fn is_sound(&self) -> bool {
        let state = self.state();
        state.hashed == self.size && state.hasher.clone().finish() == self.digest
    }

    /// `length` bytes from `position` on, or fewer if the file ends before.
    pub(super) fn read(&self, position: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(position + filled as u64, rest)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.file.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let mut state = self.state();
        // What was sent before is hashed already; nothing is sent before what precedes it.
        let known = usize::try_from(state.hashed.saturating_sub(position)).unwrap_or(usize::MAX);
        if let Some(new) = buffer.get(..count).and_then(|read| read.get(known..)) {
            state.hasher.update(new);
            state.hashed += new.len() as u64;
        }
        Ok(count)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stretch of a blob, as the body of a request.
pub(super) struct Part {
    content: Arc<Content>,
    position: u64,
    end: u64,
    piece: Vec<u8>,
    consumed: usize,
    told: Sender<u64>,
}

impl Part {
    /// `length` bytes from `position` on; `told` gets the position after each piece that was taken.
    pub(super) fn new(content: Arc<Content>, position: u64, length: u64, told: Sender<u64>) -> Self {
        Self { content, position, end: position + length, piece: Vec::new(), consumed: 0, told }
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let length = (self.end - self.position).min(PIECE as u64);
        // Nobody listens any more if the upload is given up.
        let _ = self.told.send(self.position);
        self.piece = self.content.read(self.position, length)?;
        self.consumed = 0;
        self.position += self.piece.len() as u64;
        match self.piece.is_empty() && length > 0 {
            true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than it was")),
            false => Ok(()),
        }
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.consumed == self.piece.len()
            && let Err(error) = self.next_piece()
        {
            // What the HTTP client makes of it would not name the file.
            self.content.state().failure = Some(io::Error::new(error.kind(), error.to_string()));
            return Err(error);
        }
        let count = self.piece.get(self.consumed..).unwrap_or_default().read(buffer)?;
        self.consumed += count;
        Ok(count)
    }
}
