//! From the door to what sends images.

use super::archives::stored;
use super::{registry_access, reporter, say_waiting};
use crate::failure::Failure;
use crate::image;
use crate::image::progress::Progress;
use crate::image::push::Request;
use crate::image::request::{PushDestination, PushRequest};
use crate::image::save::{Content, to_location};
use crate::name::image_selector::ImageSelector;
use crate::oci::digest::Digest;
use crate::state::layout::Layout;
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// Sends an image; the digest it has where it was sent to.
pub fn push(layout: &Layout, request: PushRequest) -> Result<Digest, Failure> {
    send(layout, request, stored, |store, request, progress| {
        image::push::execute(store, request, progress, &mut say_waiting).map(|report| report.digest)
    })
}

/// Sends what `find` finds to a file, or to a registry as `to_registry` does.
pub(super) fn send(
    layout: &Layout,
    request: PushRequest,
    find: impl FnOnce(&Store, &ImageSelector) -> Result<ResolvedImage, Failure>,
    to_registry: impl FnOnce(&Store, &Request, &dyn Progress) -> Result<Digest, Failure>,
) -> Result<Digest, Failure> {
    let store = Store::open(layout.clone())?;
    let PushRequest { image, destination, members, transfer } = request;
    let (change, progress) = (transfer.change, reporter(transfer.progress));
    let destination = match destination {
        Some(PushDestination::Archive(location)) => {
            let _stays = store.lock_shared(&mut say_waiting)?;
            return to_location(&store, find(&store, &image)?, &location, Content { members, change }, &*progress);
        }
        Some(PushDestination::Registry(reference)) => Some(reference),
        None => None,
    };
    let access = registry_access(transfer.access);
    to_registry(&store, &Request { image, destination, members, change, access }, &*progress)
}
