//! From the door to what sends images.

use super::{registry_access, reporter, say_waiting};
use crate::failure::Failure;
use crate::image;
use crate::image::request::PushRequest;
use crate::oci::digest::Digest;
use crate::state::layout::Layout;
use crate::store::Store;

/// Sends an image to a registry; the digest it has there.
pub fn push(layout: &Layout, request: PushRequest) -> Result<Digest, Failure> {
    let store = Store::open(layout.clone())?;
    let progress = reporter(request.transfer.progress);
    let report = image::push::execute(&store, &wanted(request), &*progress, &mut say_waiting)?;
    Ok(report.digest)
}

/// What is asked of the module that sends.
pub(super) fn wanted(request: PushRequest) -> image::push::Request {
    let PushRequest { image, destination, members, transfer } = request;
    let change = transfer.change;
    image::push::Request { image, destination, members, change, access: registry_access(transfer.access) }
}
