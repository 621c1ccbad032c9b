//! What a listing shows of an image.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};

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
