//! What of the store is written where an image goes into a file: its documents as they came, as far as their content is
//! there; or, where layers are to be compressed in another way, a new manifest.

use std::sync::Arc;

use serde_json::{Value, json};

use super::recompress;
use super::send::Outgoing;
use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{Descriptor, Document, Index, MAX_DOCUMENT, Manifest};
use crate::oci::media_type::{self, Compression};
use crate::state::schema::image::BlobDescriptor;
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// One image, described for who writes lists of images.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The image.
    pub image: ImageId,
    /// Its names.
    pub names: Vec<Reference>,
    /// What the names stand for: its manifest, or an index.
    pub top: BlobDescriptor,
    /// The manifests that are written of it; that of `image` is among them.
    pub manifests: Vec<PackedManifest>,
}

/// A manifest that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedManifest {
    /// Digest of the configuration.
    pub config: Digest,
    /// Digests of the layers' blobs, lowest first.
    pub layers: Vec<Digest>,
}

/// How much of an image stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All: an index goes with it, and those manifests that are in the store.
    Index,
    /// The manifest.
    Manifest,
    /// The configuration: layers are compressed like this.
    Config(Compression),
}

struct Found {
    document: BlobDescriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// Adds the image to what is sent, under these names. The caller holds the store's shared lock.
pub fn pack(
    store: &Store,
    image: &ResolvedImage,
    names: Vec<Reference>,
    keep: Keep,
    outgoing: &mut Outgoing,
) -> Result<Packed, Failure> {
    let id = &image.record.id;
    let pointer = image.reference.as_ref().map(|name| store.images().reference(name)).transpose()?.flatten();
    let pointed = pointer.and_then(|pointer| document(store, &pointer.manifest_digest, None));
    let (mut manifests, top) = match pointed {
        Some((top, bytes, Document::Index(index))) => {
            let complete = complete_manifests(store, &index);
            let is_there = complete.iter().any(|found| found.manifest.config.digest == *id);
            (complete, Some((top, bytes)).filter(|_| is_there))
        }
        Some((document, bytes, Document::Manifest(manifest))) => (vec![Found { document, bytes, manifest }], None),
        None => (Vec::new(), None),
    };
    manifests.retain(|found| is_complete(store, &found.manifest));
    if keep != Keep::Index || top.is_none() {
        manifests.retain(|found| found.manifest.config.digest == *id);
        manifests.truncate(1);
    }
    if manifests.is_empty() {
        manifests.push(recorded(store, image)?);
    }
    if let Keep::Config(compression) = keep {
        let changed = manifests.into_iter().map(|found| recompress(store, found, compression, outgoing));
        manifests = changed.collect::<Result<_, _>>()?;
    }
    let described = |found: &Found| PackedManifest {
        config: found.manifest.config.digest.clone(),
        layers: found.manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
    };
    let packed_manifests = manifests.iter().map(described).collect();
    let mut last = None;
    for Found { document, bytes, manifest } in manifests {
        last = Some(document.clone());
        outgoing.add_manifest(document, bytes, &manifest);
    }
    if let Some((top, bytes)) = top.filter(|_| keep == Keep::Index) {
        last = Some(top.clone());
        outgoing.add_document(top, bytes);
    }
    let top = last.unwrap_or_else(|| image.record.manifest.clone());
    Ok(Packed { image: id.clone(), names, top, manifests: packed_manifests })
}

/// The manifest in the image's record, all of which must be there.
fn recorded(store: &Store, image: &ResolvedImage) -> Result<Found, Failure> {
    let described = &image.record.manifest;
    let found = match document(store, &described.digest, Some(&described.media_type)) {
        Some((document, bytes, Document::Manifest(manifest))) => Found { document, bytes, manifest },
        _ => return Err(incomplete(&image.record.id, &described.digest)),
    };
    let missing = blobs_of(&found.manifest).find(|blob| !store.blobs().contains(&blob.digest));
    missing.map_or(Ok(()), |missing| Err(incomplete(&image.record.id, &missing.digest)))?;
    Ok(found)
}

fn blobs_of(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.layers.iter().chain([&manifest.config])
}

/// The same image with all layers compressed like this; those that are not yet are made.
fn recompress(store: &Store, found: Found, to: Compression, outgoing: &mut Outgoing) -> Result<Found, Failure> {
    let unreadable = |cause: &dyn std::fmt::Display| Failure::new("E_STATE", format!("changing the manifest: {cause}"));
    let mut value: Value = serde_json::from_slice(&found.bytes).map_err(|cause| unreadable(&cause))?;
    let before = outgoing.made.len();
    for (position, layer) in found.manifest.layers.iter().enumerate() {
        let from = Compression::of_layer(&layer.media_type).map_err(|cause| unreadable(&cause))?;
        if from != to {
            let (digest, size, file) = recompress::blob(store, &layer.digest, from, to)?;
            let media_type = media_type::of_layer(&layer.media_type, to);
            value["layers"][position] = json!({ "mediaType": media_type, "digest": digest, "size": size });
            outgoing.made.push((digest, Arc::new(file)));
        }
    }
    if outgoing.made.len() == before {
        return Ok(found);
    }
    let bytes = value.to_string().into_bytes();
    let document = Document::parse(&bytes, Some(&found.document.media_type)).map_err(|cause| unreadable(&cause))?;
    let Document::Manifest(manifest) = document else { return Err(unreadable(&"it is an index")) };
    let document =
        BlobDescriptor { digest: Digest::of(&bytes), size: bytes.len() as u64, media_type: found.document.media_type };
    Ok(Found { document, bytes, manifest })
}

fn incomplete(image: &ImageId, missing: &Digest) -> Failure {
    let what = format!("reading image {}: {missing} is not in the store, or is damaged", image.short());
    Failure::new("E_STORE_CORRUPT", what).with_hint("pull or load the image again")
}

fn complete_manifests(store: &Store, index: &Index) -> Vec<Found> {
    let found =
        index.manifests.iter().filter_map(|entry| match document(store, &entry.digest, Some(&entry.media_type))? {
            (document, bytes, Document::Manifest(manifest)) => Some(Found { document, bytes, manifest }),
            _ => None,
        });
    found.filter(|found| is_complete(store, &found.manifest)).collect()
}

fn is_complete(store: &Store, manifest: &Manifest) -> bool {
    blobs_of(manifest).all(|blob| store.blobs().contains(&blob.digest))
}

/// A document of the store, if it is there and sound. What it is, where nobody says, it says itself, or it is OCI's index,
/// which need not.
fn document(store: &Store, digest: &Digest, media_type: Option<&str>) -> Option<(BlobDescriptor, Vec<u8>, Document)> {
    let bytes = store.blobs().read(digest, MAX_DOCUMENT).ok()?;
    let media_type = media_type.map_or_else(|| media_type::presumed(&bytes), |known| Some(known.to_owned()))?;
    let document = Document::parse(&bytes, Some(&media_type)).ok()?;
    let size = bytes.len() as u64;
    Some((BlobDescriptor { digest: digest.clone(), media_type, size }, bytes, document))
}
