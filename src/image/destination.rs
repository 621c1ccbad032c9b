//! Where an image goes: a registry, or a file or directory of the user's.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use super::parallel;
use crate::failure::Failure;
use crate::oci::digest::Digest;
use crate::registry::{Mount, Registry, Session};
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

/// A repository of a registry, opened for pushing.
pub struct RegistryDestination<'a> {
    registry: &'a Registry<'a>,
    tag: &'a str,
    sources: HashMap<Digest, Vec<String>>,
    /// Uploads that the registry has begun instead of a mount.
    sessions: Mutex<HashMap<Digest, Session>>,
}

impl<'a> RegistryDestination<'a> {
    /// The image gets the name `tag`. `sources` are other repositories of the registry
    /// that may have a blob.
    pub fn new(registry: &'a Registry<'a>, tag: &'a str, sources: HashMap<Digest, Vec<String>>) -> Self {
        Self { registry, tag, sources, sessions: Mutex::default() }
    }

    fn mount(&self, digest: &Digest) -> bool {
        for source in self.sources.get(digest).into_iter().flatten() {
            match self.registry.mount(digest, source) {
                Ok(Mount::Done) => return true,
                Ok(Mount::Refused(session)) => drop(self.sessions().insert(digest.clone(), session)),
                // Then it is sent; if that fails for the same reason, that is the time to say so.
                Err(_) => {}
            }
        }
        false
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for RegistryDestination<'_> {
    fn at_once(&self) -> usize {
        parallel::copies()
    }

    fn has_blob(&self, blob: &BlobDescriptor) -> Result<bool, Failure> {
        Ok(self.registry.has_blob(&blob.digest)? || self.mount(&blob.digest))
    }

    fn put_blob(&self, blob: &BlobDescriptor, content: File, moved: &dyn Fn(u64)) -> Result<(), Failure> {
        let session = self.sessions().remove(&blob.digest);
        Ok(self.registry.upload(&blob.digest, blob.size, content, session, moved)?)
    }

    fn put_document(&self, document: &BlobDescriptor, bytes: &[u8], rank: Rank) -> Result<(), Failure> {
        let digest = document.digest.to_string();
        let selector = match rank {
            Rank::Top => self.tag,
            Rank::Member => &digest,
        };
        Ok(self.registry.put_document(selector, &document.media_type, &document.digest, bytes)?)
    }
}
