//! What a listing shows of an image.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::store::images::ListedImage;
use crate::store::{Store, StoreError, collect};

/// One image of the store.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Identifier.
    pub id: ImageId,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// The references that point to it; none if others have taken its names.
    pub references: Vec<Reference>,
    /// When it was built, if its configuration says so.
    pub created: Option<Timestamp>,
    /// Unpacked size of all layers in bytes.
    pub size: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it.
    pub containers: usize,
}

/// All images.
pub fn execute(store: &Store) -> Result<Vec<Summary>, StoreError> {
    let images = store.images().list()?;
    images.into_iter().map(|image| summary(store, image)).collect()
}

fn summary(store: &Store, image: ListedImage) -> Result<Summary, StoreError> {
    let ListedImage { record, references } = image;
    Ok(Summary {
        containers: collect::containers_of(store, &record.id)?.len(),
        id: record.id,
        manifest: record.manifest.digest,
        references: references.into_iter().map(|reference| reference.reference).collect(),
        created: record.created.and_then(|text| text.parse().ok()),
        size: record.size,
        labels: record.config.labels,
    })
}
