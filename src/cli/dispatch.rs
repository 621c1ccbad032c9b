//! From the door to the verbs: the only file of `cli` that knows where they are.

use super::run::Asked;
use crate::failure::Failure;
use crate::host::report::Slots;
use crate::image::remove::Removed;
use crate::image::request::PullRequest;
use crate::name::container_selector::ContainerSelector;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::state::layout::Layout;
use crate::{container, image};

/// Runs a container; its exit code.
pub fn run(layout: &Layout, asked: Asked) -> Result<u8, Failure> {
    let _ = (layout, asked);
    Err(unwired("run"))
}

/// Fetches one of the request's images; its id.
pub fn pull(layout: &Layout, request: &PullRequest, reference: &Reference) -> Result<ImageId, Failure> {
    let _ = (layout, request, reference);
    Err(unwired("pull"))
}

/// All containers, in any order.
pub fn list_containers(layout: &Layout) -> Result<Vec<container::list::Summary>, Failure> {
    let _ = layout;
    Err(unwired("ps"))
}

/// All images, in any order.
pub fn list_images(layout: &Layout) -> Result<Vec<image::list::Summary>, Failure> {
    let _ = layout;
    Err(unwired("images"))
}

/// Removes a container: `E_NOTFOUND` if there is none, `E_BUSY` if it runs and `force` is not set.
pub fn remove_container(layout: &Layout, selector: &ContainerSelector, force: bool) -> Result<(), Failure> {
    let _ = (layout, selector, force);
    Err(unwired("rm"))
}

/// Removes a name of an image, or the image: `E_NOTFOUND` if there is none, `E_BUSY` if a container uses it and `force`
/// is not set.
pub fn remove_image(layout: &Layout, selector: &ImageSelector, force: bool) -> Result<Vec<Removed>, Failure> {
    let _ = (layout, selector, force);
    Err(unwired("rmi"))
}

/// Everything about a container; nothing if there is none.
pub fn inspect_container(
    layout: &Layout,
    selector: &ContainerSelector,
) -> Result<Option<container::inspect::Report>, Failure> {
    let _ = (layout, selector);
    Err(unwired("inspect"))
}

/// Everything about an image; nothing if there is none.
pub fn inspect_image(layout: &Layout, selector: &ImageSelector) -> Result<Option<image::inspect::Report>, Failure> {
    let _ = (layout, selector);
    Err(unwired("inspect"))
}

/// What `info` shows of higher floors.
pub fn slots(layout: &Layout) -> Slots {
    let _ = layout;
    Slots::default()
}

fn unwired(verb: &str) -> Failure {
    Failure::new("E_CONFIG", format!("{verb} is not wired"))
}
