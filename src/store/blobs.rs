//! Bytes under their digest: `blobs/ALGORITHM/HEX`, mode 0400, never changed.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use crate::oci::digest::{Algorithm, Digest, Hasher};
use crate::state::lock::{Exclusive, OnWait};
use crate::state::temporary::{Kind, TemporaryFile};
use crate::store::partial::{self, PartialBlob};
use crate::store::{Store, StoreError, make_directory};

/// How much of a blob is in memory while it is verified, in bytes.
const VERIFY_PIECE: usize = 256 << 10;

/// The store's blobs.
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a> {
    store: &'a Store,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.store.layout().blob(digest).is_file()
    }

    /// The blob, to read. Its bytes are not checked again.
    pub fn open(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.store.layout().blob(digest);
        File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoBlob(digest.clone()),
            _ => StoreError::io("opening the blob", &path, error),
        })
    }

    /// All bytes of the blob, which must be at most `limit` and must still have this digest.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.open(digest)?;
        let mut bytes = Vec::new();
        let failed = |error| StoreError::io("reading the blob", &self.store.layout().blob(digest), error);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(StoreError::BlobTooLarge { digest: digest.clone(), limit });
        }
        let mut hasher = digest.algorithm().hasher();
        hasher.update(&bytes);
        if hasher.finish() != *digest {
            return Err(StoreError::DamagedBlob(digest.clone()));
        }
        Ok(bytes)
    }

    /// The blob's size in bytes; nothing if it is not there.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        std::fs::symlink_metadata(self.store.layout().blob(digest))
            .ok()
            .filter(|found| found.is_file())
            .map(|found| found.len())
    }

    /// Reads all of the blob and verifies its digest.
    pub fn verify(&self, digest: &Digest) -> Result<(), StoreError> {
        let mut file = self.open(digest)?;
        let mut hasher = digest.algorithm().hasher();
        let mut piece = vec![0; VERIFY_PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => hasher.update(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(StoreError::io("reading the blob", &self.store.layout().blob(digest), error));
                }
            }
        }
        if hasher.finish() == *digest { Ok(()) } else { Err(StoreError::DamagedBlob(digest.clone())) }
    }

    /// Removes the blob. Nobody else may be using the store.
    pub fn remove(&self, digest: &Digest, _alone: &Exclusive) -> Result<(), StoreError> {
        let path = self.store.layout().blob(digest);
        std::fs::remove_file(&path).map_err(|error| StoreError::io("removing the blob", &path, error))
    }

    /// Begins the blob `expected`, of `size` bytes where that is known.
    pub fn writer(&self, expected: &Digest, size: Option<u64>) -> Result<BlobWriter<'a>, StoreError> {
        let tmp = self.store.tmp();
        let file = TemporaryFile::create(&tmp, Kind::Blob)
            .map_err(|error| StoreError::io("creating a temporary file in", &tmp, error))?;
        let hasher = expected.algorithm().hasher();
        Ok(BlobWriter { store: self.store, file, hasher, expected: expected.clone(), size, written: 0 })
    }

    /// The blob `digest` on its way, from where its last transfer broke off. Waits for whoever is fetching it.
    pub fn partial(&self, digest: &Digest, size: u64, on_wait: OnWait<'_>) -> Result<PartialBlob<'a>, StoreError> {
        PartialBlob::open(self.store, digest, size, on_wait)
    }

    /// Gives up what has arrived of the blob, unless somebody is fetching it.
    pub fn discard_partial(&self, digest: &Digest) {
        partial::discard(self.store, digest);
    }

    /// Begins a blob whose digest its bytes will tell.
    pub fn create(&self) -> Result<NewBlob<'a>, StoreError> {
        let tmp = self.store.tmp();
        let file = TemporaryFile::create(&tmp, Kind::Blob)
            .map_err(|error| StoreError::io("creating a temporary file in", &tmp, error))?;
        Ok(NewBlob { store: self.store, file, hasher: Algorithm::Sha256.hasher(), written: 0 })
    }

    /// Stores `bytes` under their SHA-256 digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.contains(&digest) {
            let mut writer = self.writer(&digest, Some(bytes.len() as u64))?;
            writer.append(bytes)?;
            writer.commit()?;
        }
        Ok(digest)
    }
}

/// A blob being made here. It is in the store once committed; dropped before that, nothing remains.
pub struct NewBlob<'a> {
    store: &'a Store,
    file: TemporaryFile,
    hasher: Hasher,
    written: u64,
}

impl NewBlob<'_> {
    /// Puts the blob into the store; its digest and size. Once this returns, it survives a power cut.
    pub fn commit(self) -> Result<(Digest, u64), StoreError> {
        let digest = self.hasher.finish();
        publish(self.store, self.file, &digest)?;
        Ok((digest, self.written))
    }
}

impl NewBlob<'_> {
    /// Keeps the blob out of the store: its digest, size and bytes. Nothing remains of it when the file is closed.
    pub fn into_file(self) -> io::Result<(Digest, u64, File)> {
        let file = self.file.file().try_clone()?;
        Ok((self.hasher.finish(), self.written, file))
    }
}

impl Write for NewBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file().write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a complete blob its name.
fn publish(store: &Store, file: TemporaryFile, digest: &Digest) -> Result<(), StoreError> {
    let directory = store.layout().blobs(digest);
    if !directory.is_dir() {
        make_directory(&directory)?;
    }
    let path = store.layout().blob(digest);
    let failed = |error| StoreError::io("storing the blob", &path, error);
    file.file().set_permissions(Permissions::from_mode(0o400)).map_err(failed)?;
    file.publish_durable(&path).map_err(failed)
}

/// A blob being written. It is in the store once committed; dropped before that, nothing remains.
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: TemporaryFile,
    hasher: Hasher,
    expected: Digest,
    size: Option<u64>,
    written: u64,
}

impl BlobWriter<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.written += bytes.len() as u64;
        if self.size.is_some_and(|size| self.written > size) {
            return Err(self.size_mismatch());
        }
        let failed = |error| StoreError::io("writing the blob", &self.store.layout().blob(&self.expected), error);
        self.file.file().write_all(bytes).map_err(failed)?;
        self.hasher.update(bytes);
        Ok(())
    }

    fn size_mismatch(&self) -> StoreError {
        let expected = self.size.unwrap_or_default();
        StoreError::SizeMismatch { digest: self.expected.clone(), expected, found: self.written }
    }

    /// Puts the blob into the store if its size and digest are right. Once this returns, it survives a power cut.
    pub fn commit(self) -> Result<(), StoreError> {
        if self.size.is_some_and(|size| self.written != size) {
            return Err(self.size_mismatch());
        }
        let found = self.hasher.finish();
        if found != self.expected {
            return Err(StoreError::DigestMismatch { expected: self.expected, found });
        }
        publish(self.store, self.file, &self.expected)
    }
}

/// Errors are [`StoreError`]s in disguise: see [`StoreError::from_write`].
impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(StoreError::into_write)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
