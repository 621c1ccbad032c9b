//! Blobs on their way: what has arrived stays when the transfer breaks, the process dies or the machine does, and the next
//! fetch goes on from there.
//!
//! `partial/ALGORITHM-HEX` is locked by whoever fetches it. Nothing in it is believed: the digest of the whole is what counts,
//! so it is written without fsync.

use std::fs::{File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::fcntl::Flock;

use crate::oci::digest::{Digest, Hasher};
use crate::state::lock::{self, OnWait};
use crate::state::temporary::sync_directory;
use crate::store::images::paths_in;
use crate::store::{Store, StoreError, make_directory};

/// How long what nobody fetches any more is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much is read at once, in bytes.
const PIECE: usize = 128 << 10;

/// A blob of which a part may be there. It is in the store once committed; dropped before that, what has come is kept. Nobody
/// else fetches the blob while this lives.
pub struct PartialBlob<'a> {
    store: &'a Store,
    file: Flock<File>,
    path: PathBuf,
    hasher: Hasher,
    digest: Digest,
    size: u64,
    written: u64,
}

impl<'a> PartialBlob<'a> {
    /// The blob of this digest and size. Waits for whoever is fetching it.
    pub(super) fn open(store: &'a Store, digest: &Digest, size: u64, on_wait: OnWait<'_>) -> Result<Self, StoreError> {
        let directory = store.layout().partial_blobs();
        if !directory.is_dir() {
            make_directory(&directory)?;
        }
        let path = store.layout().partial_blob(digest);
        let file = lock::partial_exclusive(&path, on_wait)?;
        let hasher = digest.algorithm().hasher();
        Ok(Self { store, file, path, hasher, digest: digest.clone(), size, written: 0 })
    }

    /// Whether some of it has arrived before.
    pub fn has_begun(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Passes on what has arrived before and returns its length. To be called first. What is longer than the blob is none of
    /// its bytes.
    pub fn replay<E: From<StoreError>>(&mut self, mut receive: impl FnMut(&[u8]) -> Result<(), E>) -> Result<u64, E> {
        let failed = |path: &PathBuf, error| E::from(StoreError::io("reading the part that is there of", path, error));
        let length = self.file.metadata().map_err(|error| failed(&self.path, error))?.len();
        if length >= self.size {
            self.restart()?;
            return Ok(0);
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.file.read(&mut piece).map_err(|error| failed(&self.path, error))?;
            if count == 0 {
                return Ok(self.written);
            }
            self.hasher.update(&piece[..count]);
            self.written += count as u64;
            receive(&piece[..count])?;
        }
    }

    /// Forgets all that has arrived.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.hasher = self.digest.algorithm().hasher();
        self.written = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(|error| StoreError::io("emptying", &self.path, error))
    }

    /// How many bytes have come.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The bytes that have come.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Adds the next bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.written += bytes.len() as u64;
        if self.written > self.size {
            return Err(self.size_mismatch());
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|error| StoreError::io("writing the blob", &self.path, error))
    }

    /// Puts the blob into the store if its size and digest, which is returned, are right; what is wrong is thrown away. Once
    /// this returns, it survives a power cut.
    pub fn commit(&mut self) -> Result<Digest, StoreError> {
        if self.written != self.size {
            return Err(self.size_mismatch());
        }
        let found = std::mem::replace(&mut self.hasher, self.digest.algorithm().hasher()).finish();
        if found != self.digest {
            self.restart()?;
            return Err(StoreError::DigestMismatch { expected: self.digest.clone(), found });
        }
        let directory = self.store.layout().blobs(&self.digest);
        if !directory.is_dir() {
            make_directory(&directory)?;
        }
        let path = self.store.layout().blob(&self.digest);
        // Under its first name it must stay writable for whoever comes after a death at this moment.
        let published = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, &path));
        published
            .and_then(|()| self.file.set_permissions(Permissions::from_mode(0o400)))
            .and_then(|()| sync_directory(&directory))
            .map_err(|error| StoreError::io("storing the blob", &path, error))?;
        Ok(found)
    }

    fn size_mismatch(&self) -> StoreError {
        StoreError::SizeMismatch { digest: self.digest.clone(), expected: self.size, found: self.written }
    }
}

impl Drop for PartialBlob<'_> {
    fn drop(&mut self) {
        if self.written == 0 {
            // Left behind, it would be removed when it is old.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes what is there of the blob, if nobody is fetching it.
pub(super) fn discard(store: &Store, digest: &Digest) {
    let path = store.layout().partial_blob(digest);
    if path.exists()
        && let Ok(Some(_held)) = lock::partial_if_free(&path)
    {
        let _ = std::fs::remove_file(&path);
    }
}

/// Which parts are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that nothing was added to for a week.
    Old,
}

/// Removes parts that nobody fetches. Returns how many bytes that freed.
pub fn collect(store: &Store, which: Which) -> Result<u64, StoreError> {
    let mut freed = 0;
    for path in paths_in(&store.layout().partial_blobs())? {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if which == Which::Old && age.is_none_or(|age| age <= KEPT) {
            continue;
        }
        // The lock is held while removing: whoever waits for it notices that the name is gone.
        if let Some(_held) = lock::partial_if_free(&path)?
            && std::fs::remove_file(&path).is_ok()
        {
            freed += metadata.len();
        }
    }
    Ok(freed)
}
