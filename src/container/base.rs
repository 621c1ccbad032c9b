//! What a container is made from, found and complete.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::oci::digest::{DiffId, ImageId};

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
    pub defaults: Defaults,
}

/// What an image says of its containers (image-spec, "config").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `Env`: only entries of the form `NAME=value`.
    pub env: Vec<String>,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub workdir: String,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
}
