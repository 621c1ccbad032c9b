//! An image from the store to a destination: blobs, then the documents that name them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use super::destination::{Destination, Rank};
use super::parallel;
use super::progress::{LayerEvent, Progress};
use super::push::Members;
use crate::failure::Failure;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Document, Index, MAX_DOCUMENT};
use crate::state::schema::image::{BlobDescriptor, ImageRecord};
use crate::store::{Store, StoreError};

/// All that an image consists of.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Configurations and layers, each once.
    pub blobs: Vec<BlobDescriptor>,
    /// Those of them that are not in the store: they were made on the way.
    pub made: HashMap<Digest, File>,
    /// Manifests, then the index, if there is one: each after what it names.
    pub documents: Vec<(BlobDescriptor, Vec<u8>)>,
}

impl Outgoing {
    /// Adds an image or a list of the store.
    pub fn add(&mut self, store: &Store, image: &ImageRecord) -> Result<(), Failure> {
        if !image.is_list() {
            return self.add_manifest(store, &image.manifest);
        }
        match self.add_index(store, &image.manifest.digest, Members::All)?.first() {
            None => Ok(()),
            Some(member) => Err(StoreError::NoBlob(member.digest.clone()).into()),
        }
    }

    /// Adds the image of a manifest of the store.
    pub fn add_manifest(&mut self, store: &Store, described: &BlobDescriptor) -> Result<(), Failure> {
        let bytes = store.blobs().read(&described.digest, MAX_DOCUMENT)?;
        let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, Some(&described.media_type)) else {
            let failure = Failure::new("E_STATE", format!("reading the manifest {}", described.digest));
            return Err(failure.with_hint("coracle system check --repair tells what is wrong with the store"));
        };
        for blob in manifest.layers.into_iter().chain([manifest.config]) {
            if !self.blobs.iter().any(|known| known.digest == blob.digest) {
                self.blobs.push(blob.into());
            }
        }
        self.documents.push((described.clone(), bytes));
        Ok(())
    }

    /// Adds an index of the store, and those of `members` that it names. Those that are not added, because their manifest is
    /// not in the store or because they are not wanted, are returned.
    pub fn add_index(&mut self, store: &Store, digest: &Digest, members: Members) -> Result<Vec<Descriptor>, Failure> {
        let bytes = store.blobs().read(digest, MAX_DOCUMENT)?;
        let index = Index::parse(&bytes).map_err(|cause| {
            Failure::new("E_STATE", format!("reading the index {digest}: {cause}"))
                .with_hint("coracle system check --repair tells what is wrong with the store")
        })?;
        let mut absent = Vec::new();
        for member in index.manifests {
            match members == Members::All && store.blobs().contains(&member.digest) {
                true => self.add_manifest(store, &member.into())?,
                false => absent.push(member),
            }
        }
        let descriptor =
            BlobDescriptor { digest: digest.clone(), media_type: index.media_type, size: bytes.len() as u64 };
        self.documents.push((descriptor, bytes));
        Ok(absent)
    }

    /// The bytes of one of the blobs.
    fn open(&self, store: &Store, digest: &Digest) -> Result<File, StoreError> {
        match self.made.get(digest) {
            Some(made) => made.try_clone().map_err(|error| StoreError::io("opening", Path::new("a new blob"), error)),
            None => store.blobs().open(digest),
        }
    }
}

/// Sends what the destination lacks. The caller holds the store's shared lock. The first failure stops all.
pub fn execute(
    store: &Store,
    outgoing: &Outgoing,
    destination: &dyn Destination,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    for (position, blob) in outgoing.blobs.iter().enumerate() {
        progress.layer(position, LayerEvent::Found { digest: &blob.digest, size: blob.size });
    }
    parallel::each(&outgoing.blobs, destination.at_once(), |position, blob| {
        if destination.has_blob(blob)? {
            progress.layer(position, LayerEvent::AlreadyPresent);
            return Ok::<_, Failure>(());
        }
        let moved = |bytes| progress.layer(position, LayerEvent::Moved(bytes));
        destination.put_blob(blob, outgoing.open(store, &blob.digest)?, &moved)?;
        progress.layer(position, LayerEvent::Done);
        Ok(())
    })?;
    let last = outgoing.documents.len().saturating_sub(1);
    for (position, (document, bytes)) in outgoing.documents.iter().enumerate() {
        let rank = if position == last { Rank::Top } else { Rank::Member };
        destination.put_document(document, bytes, rank)?;
    }
    Ok(())
}
