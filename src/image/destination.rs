//! Where an image goes: a registry, or a file or directory of the user's.

use std::fs::File;

use crate::failure::Failure;
use crate::state::schema::image::BlobDescriptor;

/// A place that takes one image. Asked from several threads, but for documents.
pub trait Destination: Sync {
    /// How many blobs it takes at once.
    fn at_once(&self) -> usize;

    /// Whether it has the blob, or could get it without being sent it.
    fn has_blob(&self, blob: &BlobDescriptor) -> Result<bool, Failure>;

    /// Takes the blob, of which `content` is the whole, at its beginning; tells how many bytes it has by now.
    fn put_blob(&self, blob: &BlobDescriptor, content: File, moved: &dyn Fn(u64)) -> Result<(), Failure>;

    /// Takes a manifest or an index after everything that it names. The last one is the image's own.
    fn put_document(&self, document: &BlobDescriptor, bytes: &[u8], rank: Rank) -> Result<(), Failure>;
}

/// What a document is to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// An index names it.
    Member,
    /// It is what the image's name stands for.
    Top,
}
