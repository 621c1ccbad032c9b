//! Freeing layers and blobs that nothing points to. Only under the store's exclusive lock: whoever is about to point to
//! an object holds the shared one.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::oci::digest::{Algorithm, DiffId, Digest, ImageId};
use crate::state::lock::Exclusive;
use crate::state::record::{self, Record};
use crate::state::schema::image::ImageRecord;
use crate::store::images::paths_in;
use crate::store::{Store, StoreError, lists};

/// Layers and blobs.
#[derive(Debug, Default)]
pub(super) struct Objects {
    layers: HashSet<DiffId>,
    blobs: HashSet<Digest>,
}

/// What was freed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Layers.
    pub layers: Vec<DiffId>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Bytes of the blobs and of the layers' files.
    pub bytes: u64,
}

/// What a container's record says of the image that it uses. The rest of that record belongs to others.
#[derive(Serialize, Deserialize)]
struct ContainerUse {
    #[serde(default)]
    image: Option<ImageUse>,
    #[serde(default)]
    layers: Vec<DiffId>,
}

#[derive(Serialize, Deserialize)]
struct ImageUse {
    id: ImageId,
}

impl Record for ContainerUse {
    // Whatever version such a record has, these two fields mean the same.
    const VERSION: u32 = u32::MAX;
    const KIND: &'static str = "container record";
}

impl Objects {
    /// All that `image` needs.
    pub(super) fn of(image: &ImageRecord) -> Self {
        let mut objects = Self::default();
        objects.add(image);
        objects
    }

    /// These and `blobs`.
    pub(super) fn and_blobs(mut self, blobs: impl IntoIterator<Item = Digest>) -> Self {
        self.blobs.extend(blobs);
        self
    }

    fn add(&mut self, image: &ImageRecord) {
        self.blobs.insert(image.id.clone());
        self.blobs.insert(image.manifest.digest.clone());
        for layer in &image.layers {
            self.layers.insert(layer.diff_id.clone());
            self.blobs.insert(layer.descriptor.digest.clone());
        }
    }
}

/// Everything that is in use, or `None` if a record cannot be read: then nobody knows, and nothing is freed.
fn in_use(store: &Store) -> Result<Option<Objects>, StoreError> {
    let (images, references) = (store.images().records()?, store.images().references()?);
    if !images.bad.is_empty() || !references.bad.is_empty() {
        return Ok(None);
    }
    let mut used = Objects::default();
    for image in &images.good {
        used.add(image);
        if image.is_list() && !lists::add_members(store, &image.manifest.digest, &mut used.blobs) {
            return Ok(None);
        }
    }
    used.blobs.extend(references.good.into_iter().map(|reference| reference.manifest_digest));
    for directory in paths_in(&store.layout().containers())? {
        match record::read::<ContainerUse>(&directory.join("record.json")) {
            Ok(container) => used.layers.extend(container.into_iter().flat_map(|container| container.layers)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(used))
}

/// The names of the containers' directories whose record says that they are made from `image`.
pub fn containers_of(store: &Store, image: &ImageId) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for directory in paths_in(&store.layout().containers())? {
        let container = record::read::<ContainerUse>(&directory.join("record.json"))?;
        if container.is_some_and(|container| container.image.is_some_and(|used| used.id == *image)) {
            names.push(directory.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Frees those of `candidates` that are not in use.
pub(super) fn free(store: &Store, candidates: Objects) -> Result<Freed, StoreError> {
    let mut freed = Freed::default();
    let Some(used) = in_use(store)? else { return Ok(freed) };
    for layer in candidates.layers.difference(&used.layers) {
        if store.layers().contains(layer) {
            freed.bytes += store.layers().manifest(layer).map_or(0, |manifest| manifest.bytes);
            store.layers().remove(layer)?;
            freed.layers.push(layer.clone());
        }
    }
    for blob in candidates.blobs.difference(&used.blobs) {
        let path = store.layout().blob(blob);
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        std::fs::remove_file(&path).map_err(|error| StoreError::io("removing the blob", &path, error))?;
        freed.bytes += metadata.len();
        freed.blobs.push(blob.clone());
    }
    freed.layers.sort();
    freed.blobs.sort();
    Ok(freed)
}

/// Frees every layer and blob that no image and no container uses, what an interrupted pull has fetched included.
pub fn free_all(store: &Store, _alone: &Exclusive) -> Result<Freed, StoreError> {
    let mut candidates = Objects::default();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = |path: PathBuf| {
            let hex = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok()
        };
        let blobs = store.layout().blobs(&algorithm.hasher().finish());
        candidates.blobs.extend(paths_in(&blobs)?.into_iter().filter_map(digest));
        candidates.layers.extend(paths_in(&store.layout().layers())?.into_iter().filter_map(digest));
    }
    free(store, candidates)
}
