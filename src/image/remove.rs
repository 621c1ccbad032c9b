//! What removing an image is asked for, and what it did.

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

/// What is done about an image that containers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUsed {
    /// It is left alone: an error.
    Refuse,
    /// The containers are removed, too.
    RemoveContainers,
}
