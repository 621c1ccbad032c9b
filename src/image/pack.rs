//! What of the store is written where an image goes into a file: its documents as they came, as far as their content is
//! there.

use std::collections::HashMap;

use super::manifest_list::ListError;
use super::push::Members;
use super::send::Outgoing;
use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{Descriptor, Document, Index, MAX_DOCUMENT, Manifest};
use crate::oci::media_type;
use crate::oci::platform::Platform;
use crate::registry;
use crate::state::schema::image::BlobDescriptor;
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// One image, described for who writes lists of images.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The image that has the names; of a list the one for the host, else the first.
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

struct Found {
    document: BlobDescriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// Adds the image to what is sent, under these names. Of an index those members are added that are in the store. The caller
/// holds the store's shared lock.
pub fn pack(
    store: &Store,
    image: &ResolvedImage,
    names: Vec<Reference>,
    members: Members,
    outgoing: &mut Outgoing,
) -> Result<Packed, Failure> {
    let record = &image.record;
    let (image_id, manifests, index) = match pointed(store, image)? {
        Some((_, _, Document::Index(index))) if index.manifests.is_empty() => {
            let name = image.reference.as_ref().map_or_else(|| record.id.short().to_owned(), Reference::to_string);
            return Err(ListError::Empty(name).into());
        }
        Some((described, bytes, Document::Index(index))) => {
            let complete = complete_manifests(store, &index);
            let own = if record.is_list() { for_host(index, &complete) } else { Some(record.id.clone()) };
            let own = own.ok_or_else(|| incomplete(&record.id, &described.digest))?;
            let is_own = |found: &Found| found.manifest.config.digest == own;
            if (record.is_list() || members == Members::All) && complete.iter().any(is_own) {
                (own, complete, Some((described, bytes)))
            } else {
                let found = complete.into_iter().find(is_own).map_or_else(|| recorded(store, image), Ok)?;
                (own, vec![found], None)
            }
        }
        Some((document, bytes, Document::Manifest(manifest))) if is_complete(store, &manifest) => {
            (record.id.clone(), vec![Found { document, bytes, manifest }], None)
        }
        _ => (record.id.clone(), vec![recorded(store, image)?], None),
    };
    let packed_manifests = manifests.iter().map(Found::packed).collect();
    let mut top = record.manifest.clone();
    for Found { document, bytes, manifest } in manifests {
        top = document.clone();
        outgoing.add_parsed(document, bytes, &manifest);
    }
    if let Some((document, bytes)) = index {
        top = document.clone();
        outgoing.add_document(document, bytes);
    }
    Ok(Packed { image: image_id, names, top, manifests: packed_manifests })
}

impl Found {
    fn packed(&self) -> PackedManifest {
        PackedManifest {
            config: self.manifest.config.digest.clone(),
            layers: self.manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
        }
    }
}

impl Packed {
    /// What it is with what became of its documents and layers.
    pub fn changed(mut self, replaced: &HashMap<Digest, BlobDescriptor>) -> Self {
        if let Some(new) = replaced.get(&self.top.digest) {
            self.top = new.clone();
        }
        for layer in self.manifests.iter_mut().flat_map(|manifest| &mut manifest.layers) {
            if let Some(new) = replaced.get(layer) {
                layer.clone_from(&new.digest);
            }
        }
        self
    }
}

/// What the image's name stands for, if it is in the store and sound; of a list, the list.
fn pointed(store: &Store, image: &ResolvedImage) -> Result<Option<(BlobDescriptor, Vec<u8>, Document)>, Failure> {
    if image.record.is_list() {
        return Ok(document(store, &image.record.manifest.digest, Some(&image.record.manifest.media_type)));
    }
    let Some(name) = &image.reference else { return Ok(None) };
    let pointer = store.images().reference(name)?;
    Ok(pointer.and_then(|pointer| document(store, &pointer.manifest_digest, None)))
}

/// Of what is complete of an index, the image for the host, else the first.
fn for_host(index: Index, complete: &[Found]) -> Option<ImageId> {
    let is_complete = |entry: &Descriptor| complete.iter().any(|found| found.document.digest == entry.digest);
    let manifests = index.manifests.into_iter().filter(is_complete).collect();
    let present = Index { manifests, ..index };
    let chosen = registry::select(&present, &Platform::host()).ok().or(present.manifests.first())?;
    let found = complete.iter().find(|found| found.document.digest == chosen.digest)?;
    Some(found.manifest.config.digest.clone())
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
