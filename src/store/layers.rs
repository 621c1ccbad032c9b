//! Layers, unpacked once and shared by all images: `layers/HEX/tree` is the files, ready to be a lower directory of an
//! overlay mounted with `userxattr`; `layers/HEX/manifest.json` is what the files cannot say.
//!
//! A layer is there if its directory is: the directory is renamed into place when the layer is complete.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::oci::digest::{DiffId, Digest, Hasher};
use crate::state::record;
use crate::state::schema::layer::LayerManifest;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::store::unpack::jail::Jail;
use crate::store::unpack::limits::Limits;
use crate::store::{Store, StoreError, make_directory};

/// The store's unpacked layers.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    store: &'a Store,
}

fn tree_of(layer: &Path) -> PathBuf {
    layer.join("tree")
}

fn manifest_of(layer: &Path) -> PathBuf {
    layer.join("manifest.json")
}

impl<'a> Layers<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Whether the layer is there.
    pub fn contains(&self, diff_id: &DiffId) -> bool {
        self.store.layout().layer(diff_id).is_dir()
    }

    /// The directory of the layer's files.
    pub fn path(&self, diff_id: &DiffId) -> PathBuf {
        tree_of(&self.store.layout().layer(diff_id))
    }

    /// What the layer's files cannot say themselves.
    pub fn manifest(&self, diff_id: &DiffId) -> Result<LayerManifest, StoreError> {
        let path = manifest_of(&self.store.layout().layer(diff_id));
        record::read(&path)?.ok_or_else(|| StoreError::NoLayer(diff_id.clone()))
    }

    /// Begins to unpack the layer within the limits for a layer of unknown compressed size.
    pub fn ingest(&self, diff_id: &DiffId) -> Result<LayerIngest<'a>, StoreError> {
        self.ingest_within(diff_id, &Limits::default())
    }

    /// Begins to unpack the layer: starts the process that does it. [`Limits::for_compressed`] gives the limits for a blob
    /// of known size.
    pub fn ingest_within(&self, diff_id: &DiffId, limits: &Limits) -> Result<LayerIngest<'a>, StoreError> {
        let tmp = self.store.tmp();
        let directory = TemporaryDirectory::create(&tmp, Kind::Layer)
            .map_err(|error| StoreError::io("creating a temporary directory in", &tmp, error))?;
        let tree = tree_of(directory.path());
        make_directory(&tree)?;
        let jail = Jail::start(&self.store.program, &tree, limits, diff_id)?;
        let hasher = diff_id.algorithm().hasher();
        Ok(LayerIngest { store: self.store, directory, jail, hasher, diff_id: diff_id.clone() })
    }

    /// Removes the layer. Nobody may be using it.
    pub fn remove(&self, diff_id: &DiffId) -> Result<(), StoreError> {
        let path = self.store.layout().layer(diff_id);
        self.store.discard(&path).map_err(|error| StoreError::io("removing the layer", &path, error))
    }
}

/// A layer being unpacked: takes the uncompressed tar. It is in the store once committed; dropped before that, nothing
/// remains.
pub struct LayerIngest<'a> {
    store: &'a Store,
    // Before the directory, so that nobody writes to that any more when it is removed.
    jail: Jail,
    directory: TemporaryDirectory,
    hasher: Hasher,
    diff_id: DiffId,
}

impl<'s> LayerIngest<'s> {
    /// Waits for the last file, verifies that the bytes were those of the layer, and puts it into the store. Once this
    /// returns, it survives a power cut.
    pub fn commit(self) -> Result<LayerManifest, StoreError> {
        self.finish()?.publish()
    }

    /// Waits for the last file and verifies that the bytes were those of the layer, which is not in the store yet.
    pub fn finish(self) -> Result<UnpackedLayer<'s>, StoreError> {
        let found = self.hasher.clone().finish();
        self.finish_as(found)
    }

    /// The same of bytes that were all fed, and hashed, by somebody else: their digest is `found`.
    pub(super) fn finish_as(self, found: Digest) -> Result<UnpackedLayer<'s>, StoreError> {
        let Self { store, jail, directory, diff_id, .. } = self;
        let manifest = jail.finish()?;
        if found != diff_id {
            return Err(StoreError::DigestMismatch { expected: diff_id, found });
        }
        record::write_volatile(&manifest_of(directory.path()), &manifest)?;
        Ok(UnpackedLayer { store, directory, diff_id, manifest })
    }

    /// Passes bytes on without hashing them.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let written = self.jail.feed(bytes)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// The same of bytes that are in `file` at `offset`, too, where nobody changes them.
    pub(super) fn feed_from(&mut self, file: &File, mut offset: u64, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let written = self.jail.feed_from(file, offset, bytes)?;
            offset += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// A complete layer that is not in the store. Dropped, nothing remains of it.
pub struct UnpackedLayer<'a> {
    store: &'a Store,
    directory: TemporaryDirectory,
    diff_id: DiffId,
    manifest: LayerManifest,
}

impl UnpackedLayer<'_> {
    /// The directory of its files.
    pub fn path(&self) -> PathBuf {
        tree_of(self.directory.path())
    }

    /// What its files cannot say.
    pub fn manifest(&self) -> &LayerManifest {
        &self.manifest
    }

    /// Puts it into the store, unless somebody has done so meanwhile.
    pub fn publish(self) -> Result<LayerManifest, StoreError> {
        let path = self.store.layout().layer(&self.diff_id);
        self.directory.publish_durable(&path).map_err(|error| StoreError::io("storing the layer", &path, error))?;
        Ok(self.manifest)
    }
}

/// Errors are [`StoreError`]s in disguise: see [`StoreError::from_write`].
impl Write for LayerIngest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.jail.feed(bytes).map_err(StoreError::into_write)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
