//! A tar, written from its beginning to its end: the same files make the same bytes.

use std::fs::File;
use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::failure::Failure;
use crate::state::record::failure;

/// Size of a block in bytes (pax(1), "ustar Interchange Format").
const BLOCK: usize = 512;

/// The tar.
#[derive(Debug)]
pub(super) struct TarFile(File);

impl TarFile {
    /// Begins one of blobs.
    pub(super) fn new(file: File) -> Result<Self, Failure> {
        let tar = Self(file);
        for name in ["blobs/", "blobs/sha256/"] {
            tar.header(name, 0, EntryType::Directory)?;
        }
        Ok(tar)
    }

    /// Adds a small file.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.put_with(name, bytes.len() as u64, |mut file| file.write_all(bytes).map_err(|cause| failed(&cause)))
    }

    /// Adds a file of which `write` writes all `size` bytes.
    pub(super) fn put_with(
        &self,
        name: &str,
        size: u64,
        write: impl FnOnce(&File) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.header(name, size, EntryType::Regular)?;
        write(&self.0)?;
        // Less than a block, so it fits.
        let padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        self.write(&[0; BLOCK][..padding])
    }

    /// Writes what ends a tar; to a file of our own in such a way that a full disk cannot be noticed later.
    pub(super) fn finish(&self, durable: bool) -> Result<(), Failure> {
        self.write(&[0; 2 * BLOCK])?;
        if durable { self.0.sync_all().map_err(|cause| failed(&cause)) } else { Ok(()) }
    }

    fn header(&self, name: &str, size: u64, kind: EntryType) -> Result<(), Failure> {
        let mut header = Header::new_gnu();
        header.set_path(name).map_err(|cause| failed(&cause))?;
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        (&self.0).write_all(bytes).map_err(|cause| failed(&cause))
    }
}

fn failed(cause: &io::Error) -> Failure {
    failure("writing the archive", cause)
}
