//! Which images there are.

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

/// All images, in any order. What is wrong with the records of those that are left out is in the second list.
pub fn execute(store: &Store) -> Result<(Vec<Summary>, Vec<StoreError>), StoreError> {
    let mut summaries = Vec::new();
    for image in store.images().list()? {
        let containers = collect::containers_of(store, &image.record.id)?.len();
        summaries.push(Summary::of(image, containers));
    }
    Ok((summaries, store.images().damaged()?))
}

impl Summary {
    fn of(image: ListedImage, containers: usize) -> Self {
        let record = image.record;
        Self {
            id: record.id,
            manifest: record.manifest.digest,
            references: image.references.into_iter().map(|reference| reference.reference).collect(),
            created: record.created.and_then(|created| created.parse().ok()),
            size: record.size,
            labels: record.config.labels,
            containers,
        }
    }
}
