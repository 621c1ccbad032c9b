//! Images into the store as they are, for lists: documents and blobs, of any platform, and nothing unpacked.

use std::io::Write;

use serde_json::{Map, Value};

use super::error::FetchCause;
use super::layers::store_error;
use super::record::store_blob;
use crate::image::parallel;
use crate::image::progress::{LayerEvent, Progress};
use crate::image::source::Source;
use crate::oci::manifest::{Descriptor, Document, Fetched, MAX_CONFIG, MAX_DOCUMENT, Manifest};
use crate::oci::platform::Platform;
use crate::registry;
use crate::state::schema::image::BlobDescriptor;
use crate::store::Store;

/// Which of the images of an index.
#[derive(Clone, Copy, Debug)]
pub enum Which<'p> {
    /// The one for this platform.
    For(&'p Platform),
    /// All of them.
    All,
}

/// An image that is in the store now, as an index describes it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its manifest.
    pub manifest: BlobDescriptor,
    /// `platform` and `annotations` of the descriptor (image-spec "Image Index").
    pub described: Map<String, Value>,
}

/// Brings what the store lacks of images into it. The caller holds the store's shared lock, and makes something point to
/// them before letting go of it.
pub fn without_unpacking(
    store: &Store,
    source: &dyn Source,
    which: Which<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Member>, FetchCause> {
    let top = source.top()?;
    let entries: Vec<&Descriptor> = match (&top.document, which) {
        (Document::Manifest(_), _) => Vec::new(),
        (Document::Index(index), Which::For(platform)) => vec![registry::select(index, platform)?],
        (Document::Index(index), Which::All) => index.manifests.iter().collect(),
    };
    let below: Result<Vec<Fetched>, _> = entries.iter().map(|entry| source.document(entry)).collect();
    let below = below?;
    let documents = if below.is_empty() { std::slice::from_ref(&top) } else { &below };
    fetch_blobs(store, source, documents, progress)?;
    let index: Value = serde_json::from_slice(&top.bytes).unwrap_or_default();
    documents.iter().map(|document| member(store, document, &index)).collect()
}

fn manifest_of(document: &Fetched) -> Result<&Manifest, FetchCause> {
    match &document.document {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(FetchCause::NestedIndex(document.digest.clone())),
    }
}

fn fetch_blobs(
    store: &Store,
    source: &dyn Source,
    documents: &[Fetched],
    progress: &dyn Progress,
) -> Result<(), FetchCause> {
    let mut blobs: Vec<&Descriptor> = Vec::new();
    for document in documents {
        let manifest = manifest_of(document)?;
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if !blobs.iter().any(|known| known.digest == blob.digest) {
                progress.layer(blobs.len(), LayerEvent::Found { digest: &blob.digest, size: blob.size });
                blobs.push(blob);
            }
        }
    }
    parallel::each(&blobs, parallel::copies(), |position, blob| {
        if store.blobs().contains(&blob.digest) {
            progress.layer(position, LayerEvent::AlreadyPresent);
            return Ok::<_, FetchCause>(());
        }
        let mut writer = store.blobs().writer(&blob.digest, Some(blob.size))?;
        let mut received = 0;
        source.blob(blob, 0, &mut |piece| {
            writer.write_all(piece).map_err(store_error)?;
            received += piece.len() as u64;
            progress.layer(position, LayerEvent::Moved(received));
            Ok(())
        })?;
        writer.commit()?;
        progress.layer(position, LayerEvent::Done);
        Ok(())
    })
}

/// Stores the manifest; its descriptor, as `index` has it, or made of the image's configuration if that has none.
fn member(store: &Store, document: &Fetched, index: &Value) -> Result<Member, FetchCause> {
    let manifest = manifest_of(document)?;
    store_blob(store, &document.digest, &document.bytes, MAX_DOCUMENT)?;
    let (digest, size) = (document.digest.clone(), document.bytes.len() as u64);
    let described = BlobDescriptor { digest, media_type: manifest.media_type.clone(), size };
    let entries = index["manifests"].as_array().into_iter().flatten();
    let entry = entries.into_iter().find(|entry| entry["digest"] == document.digest.to_string());
    Ok(match entry {
        Some(entry) => {
            let kept = ["annotations", "platform"].into_iter();
            let kept = kept.filter_map(|key| Some((key.to_owned(), entry.get(key)?.clone())));
            Member { manifest: described, described: kept.collect() }
        }
        None => Member { described: platform(store, manifest)?, manifest: described },
    })
}

/// What the configuration of an image says about its platform, as an index has it.
fn platform(store: &Store, manifest: &Manifest) -> Result<Map<String, Value>, FetchCause> {
    let bytes = store.blobs().read(&manifest.config.digest, MAX_CONFIG)?;
    let config: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let keys = ["architecture", "os", "os.version", "os.features", "variant"].into_iter();
    let known: Map<_, _> = keys.filter_map(|key| Some((key.to_owned(), config.get(key)?.clone()))).collect();
    Ok(if known.is_empty() { known } else { Map::from_iter([("platform".to_owned(), Value::Object(known))]) })
}
