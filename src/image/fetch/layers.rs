//! The layers of one image: several at a time, each from the source through verification and decompression into the
//! unpacking process, with bounded memory on the way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::error::FetchCause;
use crate::failure::Explain;
use crate::image::decompress::{DecompressError, decompress};
use crate::image::parallel;
use crate::image::progress::{LayerEvent, Progress};
use crate::image::source::Source;
use crate::oci::digest::DiffId;
use crate::oci::manifest::Descriptor;
use crate::oci::media_type::Compression;
use crate::state::lock::Waiting;
use crate::store::layers::LayerIngest;
use crate::store::partial::PartialBlob;
use crate::store::plain::PlainLayer;
use crate::store::unpack::limits::Limits;
use crate::store::{Store, StoreError};

/// Pieces between the network and the decompressor: what one may be ahead of the other.
const PIECES_AHEAD: usize = 16;

/// One layer to be had.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: DiffId,
    pub(super) compression: Compression,
}

/// Where layers come from and go to.
pub(super) struct Layers<'a> {
    pub(super) store: &'a Store,
    pub(super) source: &'a dyn Source,
    pub(super) progress: &'a dyn Progress,
    stopped: AtomicBool,
}

impl<'a> Layers<'a> {
    pub(super) fn new(store: &'a Store, source: &'a dyn Source, progress: &'a dyn Progress) -> Self {
        Self { store, source, progress, stopped: AtomicBool::new(false) }
    }

    /// Brings those of `layers` into the store that are not there, and returns how many these were. The first failure
    /// stops all.
    pub(super) fn fetch(&self, layers: &[Layer]) -> Result<usize, FetchCause> {
        let mut missing = Vec::new();
        for (position, layer) in layers.iter().enumerate() {
            let (digest, size) = (&layer.descriptor.digest, layer.descriptor.size);
            self.progress.layer(position, LayerEvent::Found { digest, size });
            let is_same = |other: &Layer| other.diff_id == layer.diff_id && other.descriptor.digest == *digest;
            if layers[..position].iter().any(is_same) || self.is_there(layer) {
                self.progress.layer(position, LayerEvent::AlreadyPresent);
            } else {
                missing.push((position, layer));
            }
        }
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            while let Some((position, layer)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(cause) = self.fetch_one(*position, layer) {
                    self.stopped.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..missing.len().min(parallel::copies()) {
                scope.spawn(work);
            }
        });
        let Some(cause) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(missing.len());
        };
        if cause.code() == "E_NOSPACE" {
            // What could be continued later is in the way now.
            missing.iter().for_each(|(_, layer)| self.store.blobs().discard_partial(&layer.descriptor.digest));
        }
        Err(cause)
    }

    fn fetch_one(&self, position: usize, layer: &Layer) -> Result<(), FetchCause> {
        self.check_stopped()?;
        let (digest, size) = (&layer.descriptor.digest, layer.descriptor.size);
        let short = digest.short();
        let mut on_wait = |waiting: &Waiting<'_>| {
            let holder = waiting.holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            self.progress.message(&format!("waiting: {holder} is fetching {short}"));
        };
        let mut blob = self.store.blobs().partial(digest, size, &mut on_wait)?;
        // By whoever was waited for.
        if self.is_there(layer) {
            self.progress.layer(position, LayerEvent::AlreadyPresent);
            return Ok(());
        }
        if self.store.blobs().contains(digest) {
            self.progress.layer(position, LayerEvent::Unpacking);
            match self.unpack_stored(layer) {
                Ok(()) => {
                    self.progress.layer(position, LayerEvent::Done);
                    return Ok(());
                }
                // The blob may have rotted. If it has not, the fresh one will fail in the same way.
                Err(cause) => {
                    let code = cause.code();
                    let line = format!("the stored blob {short} cannot be unpacked ({code}): fetching it again");
                    self.progress.message(&line);
                }
            }
        }
        let is_rest = blob.has_begun();
        let mut outcome = self.download(position, layer, &mut blob);
        if is_rest && outcome.as_ref().is_err_and(|cause| cause.is_digest_mismatch(digest)) {
            self.progress.message(&format!("what was there of {short} is none of it: fetching it from the beginning"));
            outcome = self.download(position, layer, &mut blob);
        }
        outcome?;
        self.progress.layer(position, LayerEvent::Done);
        Ok(())
    }

    /// Whether its files are in the store and its blob as well: the files may have come from a blob that was compressed otherwise.
    fn is_there(&self, layer: &Layer) -> bool {
        self.store.layers().contains(&layer.diff_id) && self.store.blobs().contains(&layer.descriptor.digest)
    }

    fn check_stopped(&self) -> Result<(), FetchCause> {
        if self.stopped.load(Ordering::Relaxed) { Err(FetchCause::Stopped) } else { Ok(()) }
    }

    fn ingest(&self, layer: &Layer) -> Result<LayerIngest<'a>, StoreError> {
        self.store.layers().ingest_within(&layer.diff_id, &Limits::for_compressed(layer.descriptor.size))
    }

    fn unpack_stored(&self, layer: &Layer) -> Result<(), FetchCause> {
        let blob = BufReader::with_capacity(128 << 10, self.store.blobs().open(&layer.descriptor.digest)?);
        unpack(blob, layer.compression, self.ingest(layer)?)?.commit()?;
        Ok(())
    }

    /// One thread receives, hashes and stores the blob; another decompresses and hashes the tar, unless the blob is the tar;
    /// the unpacking process writes the files. What has arrived before comes first.
    ///
    /// If the second fails, the first goes on to the blob's end: a wrong digest is the better explanation.
    fn download(&self, position: usize, layer: &Layer, blob: &mut PartialBlob<'a>) -> Result<(), FetchCause> {
        let ingest = self.ingest(layer)?;
        if layer.compression == Compression::None && layer.descriptor.digest == layer.diff_id {
            return self.download_plain(position, layer, PlainLayer::new(blob, ingest));
        }
        let (sender, receiver) = sync_channel(PIECES_AHEAD);
        thread::scope(|scope| {
            let unpacking = scope.spawn(move || unpack(Pieces::new(receiver), layer.compression, ingest));
            // Fails if the other thread has failed, which tells why when it is joined.
            let pass_on = |piece: &[u8]| drop(sender.send(piece.to_vec()));
            let before = blob.replay(|piece| {
                pass_on(piece);
                self.check_stopped()
            });
            let arrived = before.and_then(|before| {
                self.receive(position, layer, before, &mut |piece| {
                    blob.append(piece)?;
                    pass_on(piece);
                    Ok(())
                })
            });
            drop(sender);
            arrived?;
            self.progress.layer(position, LayerEvent::Unpacking);
            blob.commit()?;
            let unpacked = unpacking.join().unwrap_or_else(|panic| resume_unwind(panic));
            unpacked?.commit()?;
            Ok(())
        })
    }

    fn download_plain(&self, position: usize, layer: &Layer, mut both: PlainLayer<'a, '_>) -> Result<(), FetchCause> {
        let before = both.replay(|| self.check_stopped())?;
        self.receive(position, layer, before, &mut |piece| both.append(piece))?;
        self.progress.layer(position, LayerEvent::Unpacking);
        both.commit()?;
        Ok(())
    }

    /// Receives the blob from its byte `received`.
    fn receive(
        &self,
        position: usize,
        layer: &Layer,
        mut received: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), FetchCause> {
        self.source.blob(&layer.descriptor, received, &mut |piece| {
            self.check_stopped()?;
            take(piece)?;
            received += piece.len() as u64;
            self.progress.layer(position, LayerEvent::Moved(received));
            Ok(())
        })
    }
}

/// Decompresses `blob` into `ingest`, which is then ready to be committed.
pub(in crate::image) fn unpack<'s>(
    blob: impl BufRead,
    compression: Compression,
    mut ingest: LayerIngest<'s>,
) -> Result<LayerIngest<'s>, DecompressError<StoreError>> {
    decompress(blob, compression, |piece| ingest.write_all(piece).map_err(store_error))?;
    Ok(ingest)
}

/// What is behind a failed write to the store. One that is no error of the store's own took nothing and said nothing.
pub(super) fn store_error(error: io::Error) -> StoreError {
    StoreError::from_write(error).unwrap_or_else(|error| StoreError::io("writing to", Path::new("the store"), error))
}

/// The pieces of a blob, as a reader. Ends when the sender is gone.
struct Pieces {
    receiver: Receiver<Vec<u8>>,
    current: Vec<u8>,
    consumed: usize,
}

impl Pieces {
    fn new(receiver: Receiver<Vec<u8>>) -> Self {
        Self { receiver, current: Vec::new(), consumed: 0 }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.consumed == self.current.len() {
            let Ok(next) = self.receiver.recv() else { return Ok(&[]) };
            self.current = next;
            self.consumed = 0;
        }
        Ok(&self.current[self.consumed..])
    }

    fn consume(&mut self, length: usize) {
        self.consumed = self.current.len().min(self.consumed + length);
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
