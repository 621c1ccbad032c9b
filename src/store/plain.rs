//! A layer whose blob is its tar, not compressed: its bytes are hashed once, and go into the blob and the files at once.

use crate::state::schema::layer::LayerManifest;
use crate::store::StoreError;
use crate::store::layers::LayerIngest;
use crate::store::partial::PartialBlob;

/// Such a layer on its way. Dropped before it is committed, what has come of the blob is kept.
pub struct PlainLayer<'a, 'b> {
    blob: &'b mut PartialBlob<'a>,
    /// A failure is kept until the blob has come to its end: a wrong digest is the better explanation.
    files: Result<LayerIngest<'a>, StoreError>,
}

impl<'a, 'b> PlainLayer<'a, 'b> {
    /// A layer of this blob, whose digest must be that of `files`.
    pub fn new(blob: &'b mut PartialBlob<'a>, files: LayerIngest<'a>) -> Self {
        Self { blob, files: Ok(files) }
    }

    /// As [`PartialBlob::replay`]. `check` is called for each piece.
    pub fn replay<E: From<StoreError>>(&mut self, check: impl Fn() -> Result<(), E>) -> Result<u64, E> {
        let Self { blob, files } = self;
        blob.replay(|bytes| {
            attempt(files, |files| files.feed(bytes));
            check()
        })
    }

    /// Adds the next bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let offset = self.blob.written();
        self.blob.append(bytes)?;
        attempt(&mut self.files, |files| files.feed_from(self.blob.file(), offset, bytes));
        Ok(())
    }

    /// Puts the blob into the store, then the layer. Once this returns, both survive a power cut.
    pub fn commit(self) -> Result<LayerManifest, StoreError> {
        let digest = self.blob.commit()?;
        self.files?.finish_as(digest)?.publish()
    }
}

fn attempt<'a>(
    files: &mut Result<LayerIngest<'a>, StoreError>,
    step: impl FnOnce(&mut LayerIngest<'a>) -> Result<(), StoreError>,
) {
    if let Ok(ingest) = files
        && let Err(error) = step(ingest)
    {
        *files = Err(error);
    }
}
