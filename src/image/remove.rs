//! What removing an image did.

use crate::name::reference::Reference;
use crate::oci::digest::ImageId;

/// One thing that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name no longer points to the image.
    Untagged(Reference),
    /// The image itself.
    Deleted(ImageId),
}
