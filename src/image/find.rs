//! The image that a command is about: from the store, else from this program, else from a registry.

use super::hello;
use super::manifest_list;
use super::progress::Progress;
use super::pull;
use crate::failure::Failure;
use crate::name::image_selector::ImageSelector;
use crate::name::pull_policy::PullPolicy;
use crate::oci::platform::Platform;
use crate::registry::Access;
use crate::store::images::ResolvedImage;
use crate::store::{Store, StoreError};

/// What is wanted.
pub struct Wanted<'a> {
    /// What the user typed.
    pub selector: &'a ImageSelector,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// The platform; the host's where absent.
    pub platform: Option<&'a Platform>,
    /// How to reach the registry.
    pub access: &'a Access,
}

/// Finds the image, and fetches it where the policy says so.
pub fn execute(store: &Store, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<ResolvedImage, Failure> {
    let found = store.images().resolve(wanted.selector)?;
    let found = hello::refreshed(store, wanted.selector, found)?;
    let local = matches!(wanted.policy, PullPolicy::Missing | PullPolicy::Never);
    let found = match found {
        Some(list) if list.record.is_list() && (local || is_local(&list)) => {
            return manifest_list::image_for(store, &list, wanted.platform, progress);
        }
        found => found,
    };
    let suits =
        |found: &ResolvedImage| wanted.platform.is_none_or(|platform| found.record.platform.satisfies(platform));
    match (found, wanted.selector) {
        (Some(found), _) if local && suits(&found) => Ok(found),
        (Some(found), ImageSelector::Id(_)) if suits(&found) => Ok(found),
        (Some(found), _) if is_local(&found) => Ok(found),
        (_, ImageSelector::Reference(reference, _)) => {
            let request = pull::Request {
                reference: reference.clone(),
                platform: wanted.platform.cloned(),
                policy: wanted.policy,
                access: wanted.access.clone(),
            };
            let report = pull::execute(store, &request, progress)?;
            let record = store.images().get(&report.image)?;
            let record = record.ok_or_else(|| StoreError::NoImage(report.image.to_string()))?;
            Ok(ResolvedImage { record, reference: Some(report.reference) })
        }
        (_, ImageSelector::Id(id)) => {
            let failure = Failure::new("E_NOTFOUND", format!("there is no image with the id {id}"));
            Err(failure.with_hint("coracle images lists those that there are; a registry is asked by name, not by id"))
        }
    }
}

/// Whether no registry has it.
fn is_local(found: &ResolvedImage) -> bool {
    found.reference.as_ref().is_some_and(|name| name.registry() == "localhost")
}
