//! Where an image comes from: a registry, or a file or directory of the user's.

use crate::image::fetch::FetchCause;
use crate::name::reference::{DEFAULT_TAG, Reference};
use crate::oci::manifest::{Descriptor, Fetched};
use crate::registry::{Registry, Transfer};

/// Takes the next bytes of a blob.
pub type Receive<'r> = &'r mut dyn FnMut(&[u8]) -> Result<(), FetchCause>;

/// A place that has one image. Asked from several threads.
pub trait Source: Sync {
    /// The document that the user asked for: the image's manifest, or an index.
    fn top(&self) -> Result<Fetched, FetchCause>;

    /// The document that an index describes; digest, size and type are as described.
    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, FetchCause>;

    /// The configuration that a manifest describes; digest and size are as described.
    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, FetchCause>;

    /// Passes the blob on from its byte `from`, every byte once and in order. Its length is as described; verifying the
    /// digest is the receiver's, who must not believe anything before.
    fn blob(&self, descriptor: &Descriptor, from: u64, receive: Receive<'_>) -> Result<(), FetchCause>;
}

/// A registry and what is wanted of it.
pub struct RegistrySource<'a> {
    /// The repository.
    pub registry: &'a Registry<'a>,
    /// Tag and digest of the image.
    pub reference: &'a Reference,
}

impl Source for RegistrySource<'_> {
    fn top(&self) -> Result<Fetched, FetchCause> {
        Ok(match self.reference.digest() {
            Some(digest) => self.registry.document_by_digest(digest)?,
            None => self.registry.document_by_tag(self.reference.tag().unwrap_or(DEFAULT_TAG))?,
        })
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, FetchCause> {
        Ok(self.registry.document_described(descriptor)?)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, FetchCause> {
        Ok(self.registry.config(descriptor)?)
    }

    fn blob(&self, descriptor: &Descriptor, from: u64, receive: Receive<'_>) -> Result<(), FetchCause> {
        self.registry.blob(descriptor, from, receive).map_err(|failure| match failure {
            Transfer::Registry(error) => error.into(),
            Transfer::Receiver(cause) => cause,
        })
    }
}
