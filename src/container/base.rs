//! What a container is made from, found and complete.

use std::path::PathBuf;

use crate::oci::digest::{DiffId, ImageId};
use crate::state::schema::image::{ImageOwners, RunDefaults};

/// An image of the store, or a directory of the host.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one exists per command")]
pub enum Base {
    /// An image.
    Image(BaseImage),
    /// A directory (`--rootfs`).
    Directory(PathBuf),
}

/// An image whose layers are in the store.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// Identifier.
    pub id: ImageId,
    /// The name it was found by.
    pub name: String,
    /// Layers, bottom first.
    pub layers: Vec<DiffId>,
    /// Defaults for containers.
    pub defaults: RunDefaults,
    /// Whom its files belong to.
    pub owners: ImageOwners,
}
