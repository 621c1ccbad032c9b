//! What lists of images keep in the store.

use std::collections::HashSet;

use crate::oci::digest::Digest;
use crate::oci::manifest::{Document, Index, MAX_DOCUMENT};
use crate::store::Store;

/// Adds the blobs of all images that the index names to `blobs`. False if a document that is there cannot be read: then
/// nobody knows what it names.
pub fn add_members(store: &Store, index: &Digest, blobs: &mut HashSet<Digest>) -> bool {
    let read = |digest: &Digest| store.blobs().read(digest, MAX_DOCUMENT).ok();
    let Some(index) = read(index).and_then(|bytes| Index::parse(&bytes).ok()) else { return false };
    for member in index.manifests {
        if store.blobs().contains(&member.digest) {
            let document =
                read(&member.digest).and_then(|bytes| Document::parse(&bytes, Some(&member.media_type)).ok());
            let Some(Document::Manifest(manifest)) = document else { return false };
            blobs.extend(manifest.layers.into_iter().chain([manifest.config]).map(|blob| blob.digest));
        }
        blobs.insert(member.digest);
    }
    true
}
