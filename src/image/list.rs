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

/// All images that can be read, and what is wrong with the records of the others.
pub fn execute(store: &Store) -> Result<(Vec<Summary>, Vec<StoreError>), StoreError> {
    let (images, damaged) = store.images().scan()?;
    // Of containers that cannot be read others tell.
    let (containers, _) = collect::containers(store)?;
    let used = |id: &ImageId| containers.get(id).map_or(0, Vec::len);
    Ok((images.into_iter().map(|image| summary(used(&image.record.id), image)).collect(), damaged))
}

fn summary(containers: usize, image: ListedImage) -> Summary {
    let ListedImage { record, references } = image;
    Summary {
        id: record.id,
        manifest: record.manifest.digest,
        references: references.into_iter().map(|reference| reference.reference).collect(),
        created: record.created.and_then(|text| text.parse().ok()),
        size: record.size,
        labels: record.config.labels,
        containers,
    }
}
