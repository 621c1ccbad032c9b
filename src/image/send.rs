//! An image from the store to a destination: blobs, then the documents that name them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::destination::{Destination, Rank};
use super::progress::{LayerEvent, Progress};
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
    /// Adds an image of the store.
    pub fn add(&mut self, store: &Store, image: &ImageRecord) -> Result<(), Failure> {
        self.add_manifest(store, &image.manifest)
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

    /// Adds an index of the store, and the images that it names; those whose manifest is not in the store are returned.
    pub fn add_index(&mut self, store: &Store, digest: &Digest) -> Result<Vec<Descriptor>, Failure> {
        let bytes = store.blobs().read(digest, MAX_DOCUMENT)?;
        let index = Index::parse(&bytes).map_err(|cause| {
            Failure::new("E_STATE", format!("reading the index {digest}: {cause}"))
                .with_hint("coracle system check --repair tells what is wrong with the store")
        })?;
        let mut absent = Vec::new();
        for member in index.manifests {
            match store.blobs().contains(&member.digest) {
                true => self.add_manifest(store, &member.into())?,
                false => absent.push(member),
            }
        }
        let descriptor =
            BlobDescriptor { digest: digest.clone(), media_type: index.media_type, size: bytes.len() as u64 };
        self.documents.push((descriptor, bytes));
        Ok(absent)
    }
}

/// Sends what the destination lacks. The caller holds the store's shared lock. The first failure stops all.
pub fn execute(
    store: &Store,
    outgoing: &Outgoing,
    destination: &dyn Destination,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let sending = Sending { store, outgoing, destination, progress, stopped: AtomicBool::new(false) };
    sending.blobs(&outgoing.blobs)?;
    let last = outgoing.documents.len().saturating_sub(1);
    for (position, (document, bytes)) in outgoing.documents.iter().enumerate() {
        let rank = if position == last { Rank::Top } else { Rank::Member };
        destination.put_document(document, bytes, rank)?;
    }
    Ok(())
}

struct Sending<'a> {
    store: &'a Store,
    outgoing: &'a Outgoing,
    destination: &'a dyn Destination,
    progress: &'a dyn Progress,
    stopped: AtomicBool,
}

impl Sending<'_> {
    fn blobs(&self, blobs: &[BlobDescriptor]) -> Result<(), Failure> {
        for (position, blob) in blobs.iter().enumerate() {
            self.progress.layer(position, LayerEvent::Found { digest: &blob.digest, size: blob.size });
        }
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            while let Some((position, blob)) = self.next(blobs, &next) {
                if let Err(cause) = self.blob(position, blob) {
                    self.stopped.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..blobs.len().min(self.destination.at_once()) {
                scope.spawn(work);
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn next<'b>(&self, blobs: &'b [BlobDescriptor], next: &AtomicUsize) -> Option<(usize, &'b BlobDescriptor)> {
        let position = next.fetch_add(1, Ordering::Relaxed);
        let goes_on = !self.stopped.load(Ordering::Relaxed);
        blobs.get(position).filter(|_| goes_on).map(|blob| (position, blob))
    }

    fn blob(&self, position: usize, blob: &BlobDescriptor) -> Result<(), Failure> {
        if self.destination.has_blob(blob)? {
            self.progress.layer(position, LayerEvent::AlreadyPresent);
            return Ok(());
        }
        let content = match self.outgoing.made.get(&blob.digest) {
            Some(made) => {
                made.try_clone().map_err(|error| StoreError::io("opening", Path::new("a new blob"), error))?
            }
            None => self.store.blobs().open(&blob.digest)?,
        };
        let moved = |bytes| self.progress.layer(position, LayerEvent::Moved(bytes));
        self.destination.put_blob(blob, content, &moved)?;
        self.progress.layer(position, LayerEvent::Done);
        Ok(())
    }
}
