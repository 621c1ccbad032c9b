//! From the door to lists of images.

use std::collections::BTreeMap;

use serde_json::Value;

use super::push::wanted;
use super::{registry_access, remove_image, reporter, say_waiting};
use crate::failure::Failure;
use crate::image::manifest_list::{self, AddRequest, Annotation, IfExists, MemberSelector, Source};
use crate::image::remove::{IfUsed, Removed};
use crate::image::request::{Progress, PushRequest, RegistryAccess};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::state::layout::Layout;
use crate::store::Store;

/// Makes an empty list; its id.
pub fn create(
    layout: &Layout,
    name: &Reference,
    if_exists: IfExists,
    annotations: &BTreeMap<String, String>,
) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    manifest_list::create(&store, name, if_exists, annotations, &mut say_waiting)
}

/// An image that is to be added to a list.
pub struct Addition {
    /// The list.
    pub list: ImageSelector,
    /// Where the image is.
    pub source: Source,
    /// All images of an index.
    pub all: bool,
    /// What is said about it.
    pub annotation: Annotation,
    /// How to speak to the registry.
    pub access: RegistryAccess,
}

/// Adds images to a list; the list's id.
pub fn add(layout: &Layout, addition: Addition) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    let Addition { list, source, all, annotation, access } = addition;
    let request = AddRequest { list, source, all, annotation, access: registry_access(access) };
    manifest_list::add(&store, &request, &*reporter(Progress::Shown), &mut say_waiting)
}

/// Says something about a member of a list, or about the list; the list's id.
pub fn annotate(
    layout: &Layout,
    list: &ImageSelector,
    member: Option<&MemberSelector>,
    annotation: &Annotation,
) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    manifest_list::annotate(&store, list, member, annotation, &mut say_waiting)
}

/// Removes a member from a list; the list's id.
pub fn remove(layout: &Layout, list: &ImageSelector, member: &MemberSelector) -> Result<ImageId, Failure> {
    manifest_list::remove(&Store::open(layout.clone())?, list, member, &mut say_waiting)
}

/// The index of a list, or the manifest of an image.
pub fn inspect(layout: &Layout, source: &Source, access: RegistryAccess) -> Result<Value, Failure> {
    let store = Store::open(layout.clone())?;
    manifest_list::inspect(&store, source, &registry_access(access), &*reporter(Progress::Shown))
}

/// Sends a list to a registry; the digest that its index has there.
pub fn push(layout: &Layout, request: PushRequest) -> Result<Digest, Failure> {
    let store = Store::open(layout.clone())?;
    let progress = reporter(request.transfer.progress);
    manifest_list::push(&store, &wanted(request), &*progress, &mut say_waiting)
}

/// Removes a list, and none of its images that have names of their own.
pub fn rm(layout: &Layout, list: &ImageSelector) -> Result<Vec<Removed>, Failure> {
    manifest_list::find(&Store::open(layout.clone())?, list)?;
    remove_image(layout, list, IfUsed::Refuse)
}

/// Whether there is such a list.
pub fn exists(layout: &Layout, list: &ImageSelector) -> Result<bool, Failure> {
    match manifest_list::find(&Store::open(layout.clone())?, list) {
        Ok(_) => Ok(true),
        Err(failure) if ["E_NOTFOUND", "E_CONFIG"].contains(&failure.code()) => Ok(false),
        Err(failure) => Err(failure),
    }
}
