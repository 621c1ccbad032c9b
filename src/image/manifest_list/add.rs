//! `manifest add`: images of the store or of a registry become members of a list.

use super::{Annotation, StoredSource, edit, entry, members};
use crate::failure::Failure;
use crate::image::fetch::{self, Member, Which};
use crate::image::progress::{Progress, Silent};
use crate::image::pull;
use crate::image::source::RegistrySource;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::registry::Access;
use crate::state::lock::OnWait;
use crate::state::schema::image::ImageRecord;
use crate::store::Store;

/// What becomes a member.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// The list.
    pub list: ImageSelector,
    /// The images.
    pub source: Source,
    /// All of an index, or the one for a platform.
    pub all: bool,
    /// What is said about them.
    pub annotation: Annotation,
    /// How to reach the registry.
    pub access: Access,
}

/// Where an image is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In the store.
    Store(ImageSelector),
    /// In a registry.
    Registry(Reference),
    /// In the store, else in a registry.
    Anywhere(ImageSelector),
}

/// Adds images to a list, in place of those with the same digests; the list's id.
pub fn add(
    store: &Store,
    request: &AddRequest,
    progress: &dyn Progress,
    on_wait: OnWait<'_>,
) -> Result<ImageId, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    super::find(store, &request.list)?;
    let new = fetch(store, request, progress)?;
    edit(store, &request.list, on_wait, |index| {
        for Member { manifest, described } in new {
            let mut new = entry(&manifest, described);
            request.annotation.apply(&mut new)?;
            let digest = manifest.digest.to_string();
            let known = members(index)?.iter_mut().find(|member| member["digest"] == digest);
            match known {
                Some(known) => *known = new,
                None => members(index)?.push(new),
            }
        }
        Ok(())
    })
}

fn fetch(store: &Store, request: &AddRequest, progress: &dyn Progress) -> Result<Vec<Member>, Failure> {
    let reference = match &request.source {
        Source::Registry(reference) => reference,
        Source::Store(selector) | Source::Anywhere(selector) => {
            match (store.images().resolve(selector)?, &request.source, selector) {
                (Some(found), ..) => return stored(store, &found.record, request),
                (None, Source::Anywhere(_), ImageSelector::Reference(reference, _)) => reference,
                (None, ..) => {
                    let failure = Failure::new("E_NOTFOUND", format!("there is no image {selector}"));
                    return Err(failure.with_hint("coracle images lists those that there are"));
                }
            }
        }
    };
    let wanted = request.annotation.platform()?;
    let which = if request.all { Which::All } else { Which::For(&wanted) };
    let found = pull::ask_for(reference, &request.access, progress, &mut |registry, reference| {
        pull::check_policy(reference, &request.access)?;
        fetch::without_unpacking(store, &RegistrySource { registry, reference }, which, progress)
    });
    Ok(found?)
}

/// An image of the store, or those of a list.
fn stored(store: &Store, record: &ImageRecord, request: &AddRequest) -> Result<Vec<Member>, Failure> {
    let wanted = request.annotation.platform()?;
    let which = if request.all { Which::All } else { Which::For(&wanted) };
    let source = StoredSource { store, top: &record.manifest };
    Ok(fetch::without_unpacking(store, &source, which, &Silent)?)
}
