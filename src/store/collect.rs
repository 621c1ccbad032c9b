//! Freeing layers and blobs that nothing points to. Only under the store's exclusive lock: whoever is about to point to
//! an object holds the shared one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::oci::digest::{Algorithm, DiffId, Digest, ImageId};
use crate::state::disk_usage;
use crate::state::layout::{LAYERS, MERGED_OF};
use crate::state::lock::Exclusive;
use crate::state::record::{self, Record};
use crate::state::schema::image::ImageRecord;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::store::images::paths_in;
use crate::store::{Store, StoreError, lists};

/// Layers and blobs.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub(super) layers: HashSet<DiffId>,
    pub(super) blobs: HashSet<Digest>,
}

/// What nothing points to any more. It is out of the store and out of sight; its room is free once this is dropped or
/// discarded, which needs no lock. If nobody lives to do that, the next command does.
#[derive(Debug, Default)]
pub struct Freed {
    /// Layers.
    pub layers: Vec<DiffId>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// How many trees that were made of layers.
    merged: usize,
    /// Where they are.
    trash: Option<TemporaryDirectory>,
}

impl Freed {
    /// Takes `path` out of the store, at once and as a whole.
    fn take(&mut self, store: &Store, path: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("removing", path, error);
        let trash = match &mut self.trash {
            Some(trash) => trash,
            none => none.insert(TemporaryDirectory::create(&store.tmp(), Kind::Trash).map_err(failed)?),
        };
        // A number of its own: a layer and its blob have the same name if that is not compressed.
        let number = self.layers.len() + self.blobs.len() + self.merged;
        std::fs::rename(path, trash.path().join(number.to_string())).map_err(failed)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.trash.as_ref().map_or(0, |trash| disk_usage::of(trash.path()))
    }

    /// Removes it from the disk, and says what went wrong.
    pub fn discard(self) -> Result<(), StoreError> {
        let Some(trash) = self.trash else { return Ok(()) };
        let path = trash.path().to_owned();
        trash.remove().map_err(|error| StoreError::io("removing", &path, error))
    }
}

/// What a container's record says of the image that it uses. The rest of that record belongs to others.
#[derive(Serialize, Deserialize)]
struct ContainerUse {
    #[serde(default)]
    image: Option<ImageUse>,
    #[serde(default)]
    layers: Vec<DiffId>,
    #[serde(default)]
    mounts: Vec<MountUse>,
}

/// A mount, which may show an image.
#[derive(Serialize, Deserialize)]
struct MountUse {
    #[serde(default)]
    layers: Vec<DiffId>,
}

#[derive(Serialize, Deserialize)]
struct ImageUse {
    id: ImageId,
}

impl Record for ContainerUse {
    // Whatever version such a record has, these fields mean the same.
    const VERSION: u32 = u32::MAX;
    const KIND: &'static str = "container record";
}

impl Objects {
    pub(super) fn add(&mut self, image: &ImageRecord) {
        self.blobs.insert(image.id.clone());
        self.blobs.insert(image.manifest.digest.clone());
        for layer in &image.layers {
            self.layers.insert(layer.diff_id.clone());
            self.blobs.insert(layer.descriptor.digest.clone());
        }
    }
}

/// Everything that is in use, or `None` if a record cannot be read: then nobody knows, and nothing is freed.
pub(super) fn in_use(store: &Store) -> Result<Option<Objects>, StoreError> {
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
            Ok(container) => used.layers.extend(container.into_iter().flat_map(|container| {
                container.layers.into_iter().chain(container.mounts.into_iter().flat_map(|mount| mount.layers))
            })),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(used))
}

/// Names of containers' directories, by image.
pub type NamesByImage = HashMap<ImageId, Vec<String>>;

/// For each image the names of the containers' directories whose record says that they are made from it, and what is wrong
/// with the records that cannot be read.
pub fn containers(store: &Store) -> Result<(NamesByImage, Vec<StoreError>), StoreError> {
    let (mut containers, mut damaged) = (NamesByImage::new(), Vec::new());
    for directory in paths_in(&store.layout().containers())? {
        match record::read(&directory.join("record.json")) {
            Ok(Some(ContainerUse { image: Some(image), .. })) => {
                containers.entry(image.id).or_default().push(name_of(&directory));
            }
            Ok(_) => {}
            Err(error) => damaged.push(error.into()),
        }
    }
    Ok((containers, damaged))
}

/// The names of the containers' directories whose record says that they are made from `image`.
pub fn containers_of(store: &Store, image: &ImageId) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for directory in paths_in(&store.layout().containers())? {
        let container = record::read::<ContainerUse>(&directory.join("record.json"))?;
        if container.is_some_and(|container| container.image.is_some_and(|used| used.id == *image)) {
            names.push(name_of(&directory));
        }
    }
    Ok(names)
}

fn name_of(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Frees those of `candidates` that are not in use.
fn free(store: &Store, candidates: Objects) -> Result<Freed, StoreError> {
    let mut freed = Freed::default();
    let Some(used) = in_use(store)? else { return Ok(freed) };
    let mut layers: Vec<DiffId> = candidates.layers.difference(&used.layers).cloned().collect();
    let mut blobs: Vec<Digest> = candidates.blobs.difference(&used.blobs).cloned().collect();
    layers.retain(|layer| store.layers().contains(layer));
    blobs.retain(|blob| store.blobs().contains(blob));
    layers.sort();
    blobs.sort();
    for layer in layers {
        freed.take(store, &store.layout().layer(&layer))?;
        freed.layers.push(layer);
    }
    for blob in blobs {
        freed.take(store, &store.layout().blob(&blob))?;
        freed.blobs.push(blob);
    }
    let merged = paths_in(&store.layout().merged())?;
    for tree in merged.iter().filter(|tree| !is_of_layers(store, tree)) {
        freed.take(store, tree)?;
        freed.merged += 1;
    }
    Ok(freed)
}

/// Whether the layers are all there of which this tree was made. Files of theirs live on in it.
fn is_of_layers(store: &Store, tree: &Path) -> bool {
    let names = std::fs::read_to_string(tree.join(MERGED_OF)).unwrap_or_default();
    names.lines().filter_map(|name| name.strip_prefix(LAYERS.to_str().ok()?)).all(|name| {
        let hex = name.split('/').next().unwrap_or_default();
        format!("sha256:{hex}").parse().is_ok_and(|layer| store.layers().contains(&layer))
    })
}

/// Every layer and blob there is.
pub(super) fn everything(store: &Store) -> Result<Objects, StoreError> {
    let mut all = Objects::default();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = |path: PathBuf| format!("{}:{}", algorithm.as_str(), name_of(&path)).parse::<Digest>().ok();
        let blobs = store.layout().blobs(&algorithm.hasher().finish());
        all.blobs.extend(paths_in(&blobs)?.into_iter().filter_map(digest));
        all.layers.extend(paths_in(&store.layout().layers())?.into_iter().filter_map(digest));
    }
    Ok(all)
}

/// Frees every layer and blob that no image and no container uses, what an interrupted pull has fetched included.
pub fn free_all(store: &Store, _alone: &Exclusive) -> Result<Freed, StoreError> {
    free(store, everything(store)?)
}

/// What there is that nobody uses and nobody has touched for `age`; nothing as long as a damaged record keeps that from
/// being known.
pub fn free_old(store: &Store, age: Duration, _alone: &Exclusive) -> Result<Freed, StoreError> {
    let mut old = everything(store)?;
    let is_old = |path: PathBuf| {
        let touched = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        touched.is_ok_and(|touched| touched.elapsed().is_ok_and(|elapsed| elapsed >= age))
    };
    old.layers.retain(|layer| is_old(store.layout().layer(layer)));
    old.blobs.retain(|blob| is_old(store.layout().blob(blob)));
    free(store, old)
}

/// Every blob there is.
pub fn all_blobs(store: &Store) -> Result<Vec<Digest>, StoreError> {
    let mut blobs: Vec<Digest> = everything(store)?.blobs.into_iter().collect();
    blobs.sort();
    Ok(blobs)
}
