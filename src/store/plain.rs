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
            feed(files, bytes);
            check()
        })
    }

    /// Adds the next bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.blob.append(bytes)?;
        feed(&mut self.files, bytes);
        Ok(())
    }

    /// Puts the blob into the store, then the layer. Once this returns, both survive a power cut.
    pub fn commit(self) -> Result<LayerManifest, StoreError> {
        let digest = self.blob.commit()?;
        self.files?.finish_as(digest)?.publish()
    }
}

fn feed(files: &mut Result<LayerIngest<'_>, StoreError>, bytes: &[u8]) {
    if let Ok(ingest) = files
        && let Err(error) = ingest.feed(bytes)
    {
        *files = Err(error);
    }
}
