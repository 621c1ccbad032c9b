//! An image from the store to a destination: blobs, then the documents that name them.

use std::fs::File;
use std::io::Seek;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::destination::{Destination, Rank};
use super::progress::{LayerEvent, Progress};
use crate::failure::Failure;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Document, MAX_DOCUMENT, Manifest};
use crate::state::record::failure;
use crate::state::schema::image::{BlobDescriptor, ImageRecord};
use crate::store::Store;

/// All that an image consists of.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Configurations and layers, each once.
    pub blobs: Vec<BlobDescriptor>,
    /// Content of those blobs that are not in the store but were made to be sent.
    pub made: Vec<(Digest, Arc<File>)>,
    /// Manifests, then the index, if there is one: each after what it names.
    pub documents: Vec<(BlobDescriptor, Vec<u8>)>,
}

impl Outgoing {
    /// Adds an image of the store.
    pub fn add(&mut self, store: &Store, image: &ImageRecord) -> Result<(), Failure> {
        let bytes = store.blobs().read(&image.manifest.digest, MAX_DOCUMENT)?;
        match Document::parse(&bytes, Some(&image.manifest.media_type)) {
            Ok(Document::Manifest(manifest)) => self.add_manifest(image.manifest.clone(), bytes, &manifest),
            _ => {
                let failure = Failure::new("E_STATE", format!("reading the manifest of image {}", image.id));
                return Err(failure.with_hint("coracle system check --repair tells what is wrong with the store"));
            }
        }
        Ok(())
    }

    /// Adds a manifest and what it names.
    pub fn add_manifest(&mut self, document: BlobDescriptor, bytes: Vec<u8>, manifest: &Manifest) {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if !self.blobs.iter().any(|known| known.digest == blob.digest) {
                self.blobs.push(blob.into());
            }
        }
        self.add_document(document, bytes);
    }

    /// Adds a document after all that it names.
    pub fn add_document(&mut self, document: BlobDescriptor, bytes: Vec<u8>) {
        if !self.documents.iter().any(|(known, _)| known.digest == document.digest) {
            self.documents.push((document, bytes));
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
        let first = Mutex::new(None);
        let work = || {
            while let Some((position, blob)) = self.next(blobs, &next) {
                if let Err(cause) = self.blob(position, blob) {
                    self.stopped.store(true, Ordering::Relaxed);
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..blobs.len().min(self.destination.at_once()) {
                scope.spawn(work);
            }
        });
        first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
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
        let content = self.content(&blob.digest)?;
        let moved = |bytes| self.progress.layer(position, LayerEvent::Moved(bytes));
        self.destination.put_blob(blob, content, &moved)?;
        self.progress.layer(position, LayerEvent::Done);
        Ok(())
    }

    /// The blob, at its beginning.
    fn content(&self, digest: &Digest) -> Result<File, Failure> {
        match self.outgoing.made.iter().find(|(made, _)| made == digest) {
            None => Ok(self.store.blobs().open(digest)?),
            Some((_, file)) => {
                let again = file.try_clone().and_then(|mut file| file.rewind().map(|()| file));
                again.map_err(|cause| failure("reading what was made to be sent", &cause))
            }
        }
    }
}
