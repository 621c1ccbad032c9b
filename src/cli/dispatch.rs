//! From the door to the verbs: the only file of `cli` that knows where they are.

use super::error;
use super::run::Asked;
use crate::container::list::NotFound;
use crate::container::remove::IfRunning;
use crate::container::summary::Summary;
use crate::failure::Failure;
use crate::host::report::Slots;
use crate::image::remove::{IfUsed, Removed};
use crate::image::request::PullRequest;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::state::layout::Layout;
use crate::store::Store;
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

/// All containers, in any order. One whose record is damaged is reported and left out.
pub fn list_containers(layout: &Layout) -> Result<Vec<Summary>, Failure> {
    let (listed, failures) = container::list::execute(layout);
    failures.iter().for_each(error::report);
    Ok(listed.iter().map(Summary::of).collect())
}

/// All images, in any order. One whose record is damaged is reported and left out.
pub fn list_images(layout: &Layout) -> Result<Vec<image::list::Summary>, Failure> {
    let (summaries, damaged) = image::list::execute(&Store::open(layout.clone())?)?;
    damaged.into_iter().for_each(|error| error::report(&error.into()));
    Ok(summaries)
}

/// Removes a container: `E_NOTFOUND` if there is none, `E_BUSY` if it runs and is not to be killed.
pub fn remove_container(layout: &Layout, name: &str, if_running: IfRunning) -> Result<(), Failure> {
    let id = container::list::find(layout, name)?;
    container::remove::execute(layout, &id, if_running)
}

/// Removes a name of an image, and the image with its last name; by its id, an image with all its names. `E_NOTFOUND` if
/// there is none, `E_BUSY` if containers use it and are not to be removed.
pub fn remove_image(layout: &Layout, selector: &ImageSelector, if_used: IfUsed) -> Result<Vec<Removed>, Failure> {
    let store = Store::open(layout.clone())?;
    image::remove::execute(&store, selector, if_used, &mut error::report_wait)
}

/// Everything about a container; nothing if there is none.
pub fn inspect_container(layout: &Layout, name: &str) -> Result<Option<container::inspect::Report>, Failure> {
    let id = match container::list::find(layout, name) {
        Ok(id) => id,
        Err(NotFound::Unknown(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let listed = container::list::load(layout, &id)?;
    Ok(listed.as_ref().map(container::inspect::Report::of))
}

/// Everything about an image; nothing if there is none.
pub fn inspect_image(layout: &Layout, selector: &ImageSelector) -> Result<Option<image::inspect::Report>, Failure> {
    Ok(image::inspect::execute(&Store::open(layout.clone())?, selector)?)
}

/// What `info` shows of higher floors.
pub fn slots(layout: &Layout) -> Slots {
    let _ = layout;
    Slots::default()
}

fn unwired(verb: &str) -> Failure {
    Failure::new("E_CONFIG", format!("{verb} is not wired"))
}
