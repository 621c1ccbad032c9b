//! From the door to what sends images.

use super::{registry_access, reporter, say_waiting};
use crate::failure::Failure;
use crate::image;
use crate::image::request::{PushRequest, Transfer};
use crate::oci::digest::Digest;
use crate::registry::{Access, RetryPolicy};
use crate::state::layout::Layout;
use crate::store::Store;

/// Sends an image to a registry; the digest it has there.
pub fn push(layout: &Layout, request: PushRequest) -> Result<Digest, Failure> {
    let store = Store::open(layout.clone())?;
    let PushRequest { image, destination, members, transfer } = request;
    let progress = reporter(transfer.progress);
    let Transfer { change, .. } = transfer;
    let wanted = image::push::Request { image, destination, members, change, access: access(transfer) };
    image::push::execute(&store, &wanted, &*progress, &mut say_waiting).map(|report| report.digest)
}

/// How a registry is reached that something is sent to.
fn access(transfer: Transfer) -> Access {
    let usual = RetryPolicy::default();
    let retry = RetryPolicy {
        tries: transfer.retries.saturating_add(1),
        first_delay: transfer.retry_delay.unwrap_or(usual.first_delay),
        ..usual
    };
    Access { retry, ..registry_access(transfer.access) }
}
