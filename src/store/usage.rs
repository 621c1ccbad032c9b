//! How much room the store's objects take.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use crate::oci::digest::{DiffId, Digest};
use crate::state::disk_usage;
use crate::state::schema::image::ImageRecord;
use crate::store::collect::{self, Objects};
use crate::store::images::paths_in;
use crate::store::{Store, StoreError};

/// Bytes on the disk of every layer and every blob.
#[derive(Debug)]
pub struct Sizes {
    layers: BTreeMap<DiffId, u64>,
    blobs: BTreeMap<Digest, u64>,
    used: Option<Objects>,
}

/// Some objects, each once.
#[derive(Debug)]
pub struct Share<'a> {
    sizes: &'a Sizes,
    objects: Objects,
}

/// Things that are there, and the room they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// How many.
    pub count: usize,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// Measures everything. The caller holds the store's shared lock.
pub fn measure(store: &Store) -> Result<Sizes, StoreError> {
    let all = collect::everything(store)?;
    let layers = all.layers.into_iter().map(|layer| (disk_usage::of(&store.layout().layer(&layer)), layer));
    let blobs = all.blobs.into_iter().map(|blob| (disk_usage::of(&store.layout().blob(&blob)), blob));
    Ok(Sizes {
        layers: layers.map(|(size, layer)| (layer, size)).collect(),
        blobs: blobs.map(|(size, blob)| (blob, size)).collect(),
        used: collect::in_use(store)?,
    })
}

/// What is being written, or was being written by a process that is dead; what has come of blobs that can be fetched to
/// their end.
pub fn unfinished(store: &Store) -> Result<Room, StoreError> {
    let mut room = Room::default();
    for directory in [store.layout().tmp(), store.layout().partial_blobs()] {
        room.count += paths_in(&directory)?.len();
        room.bytes += disk_usage::below(&directory);
    }
    Ok(room)
}

fn sum<K: Eq + Hash + Ord>(sizes: &BTreeMap<K, u64>, wanted: &HashSet<K>) -> Room {
    let found = wanted.iter().filter_map(|object| sizes.get(object));
    found.fold(Room::default(), |room, bytes| Room { count: room.count + 1, bytes: room.bytes + bytes })
}

impl Sizes {
    /// What these images consist of.
    pub fn of<'i>(&self, images: impl IntoIterator<Item = &'i ImageRecord>) -> Share<'_> {
        let mut objects = Objects::default();
        images.into_iter().for_each(|image| objects.add(image));
        Share { sizes: self, objects }
    }

    /// What images and containers use; everything as long as a damaged record keeps that from being known.
    pub fn in_use(&self) -> Share<'_> {
        let objects = match &self.used {
            Some(used) => used.clone(),
            None => {
                Objects { layers: self.layers.keys().cloned().collect(), blobs: self.blobs.keys().cloned().collect() }
            }
        };
        Share { sizes: self, objects }
    }

    /// What nothing points to.
    pub fn unreferenced(&self) -> Room {
        let used = self.in_use().room();
        let all = self.layers.values().chain(self.blobs.values());
        Room { count: all.clone().count() - used.count, bytes: all.sum::<u64>() - used.bytes }
    }
}

impl Share<'_> {
    /// Their room.
    pub fn room(&self) -> Room {
        let (layers, blobs) =
            (sum(&self.sizes.layers, &self.objects.layers), sum(&self.sizes.blobs, &self.objects.blobs));
        Room { count: layers.count + blobs.count, bytes: layers.bytes + blobs.bytes }
    }

    /// The room of those that are also among `others`.
    pub fn shared_with(&self, others: &Share<'_>) -> Room {
        let objects = Objects {
            layers: self.objects.layers.intersection(&others.objects.layers).cloned().collect(),
            blobs: self.objects.blobs.intersection(&others.objects.blobs).cloned().collect(),
        };
        Share { sizes: self.sizes, objects }.room()
    }
}
