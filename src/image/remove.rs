//! What removing an image is asked for, and what it did.

use crate::failure::{Explain, Failure};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::OnWait;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::store::images::ResolvedImage;
use crate::store::{Store, collect};

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

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is none of this name or identifier.
    #[error("there is no image {0}")]
    NotFound(String),
    /// Containers use it.
    #[error("image {} is used by {}", id.short(), named(containers))]
    InUse {
        /// The image.
        id: ImageId,
        /// Their names.
        containers: Vec<String>,
    },
}

impl Explain for RemoveError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "E_NOTFOUND",
            Self::InUse { .. } => "E_BUSY",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(_) => "coracle images lists those that there are".into(),
            Self::InUse { .. } => "remove its containers first (coracle ps --all), or use --force".into(),
        })
    }

    fn exit_code(&self) -> u8 {
        // As podman's rmi.
        match self {
            Self::NotFound(_) => 1,
            Self::InUse { .. } => 2,
        }
    }
}

/// A few of them by name, and how many others there are.
fn named(containers: &[String]) -> String {
    let shown = containers.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    let word = if containers.len() == 1 { "container" } else { "containers" };
    match containers.len().saturating_sub(10) {
        0 => format!("the {word} {shown}"),
        others => format!("the {word} {shown} and {others} others"),
    }
}

/// The name of the container with this identifier.
fn name_of(store: &Store, id: &str) -> String {
    let record =
        id.parse().ok().and_then(|id| record::read::<ContainerRecord>(&store.layout().container_record(&id)).ok());
    record.flatten().map_or_else(|| id.to_owned(), |record| record.name.to_string())
}

/// Removes what `selector` means: a name, and with its last name the image; by its id, the image with all its names.
/// `remove_container` is given the identifiers of the containers that are to go first.
pub fn execute(
    store: &Store,
    selector: &ImageSelector,
    if_used: IfUsed,
    remove_container: &mut dyn FnMut(&str) -> Result<(), Failure>,
    on_wait: OnWait<'_>,
) -> Result<Vec<Removed>, Failure> {
    let alone = store.lock_exclusive(on_wait)?;
    let not_found = || RemoveError::NotFound(selector.to_string());
    let ResolvedImage { record, reference } = store.images().resolve(selector)?.ok_or_else(not_found)?;
    let id = record.id;
    let names = store.images().references_of(&id)?.len();
    if let Some(reference) = reference.filter(|_| names > 1) {
        store.images().untag(&reference)?;
        journal::note_image(store.layout(), ImageEvent::Untag, id.hex(), &reference.to_string());
        return Ok(vec![Removed::Untagged(reference)]);
    }
    let containers = collect::containers_of(store, &id)?;
    if if_used == IfUsed::Refuse && !containers.is_empty() {
        let containers = containers.iter().map(|container| name_of(store, container)).collect();
        return Err(RemoveError::InUse { id, containers }.into());
    }
    for container in &containers {
        remove_container(container)?;
    }
    let names: Vec<Reference> = store.images().forget(&id, &alone)?.into_iter().map(|found| found.reference).collect();
    for name in &names {
        journal::note_image(store.layout(), ImageEvent::Untag, id.hex(), &name.to_string());
    }
    let name = names.first().map(Reference::to_string).unwrap_or_default();
    journal::note_image(store.layout(), ImageEvent::Remove, id.hex(), &name);
    // Nobody else is in the store: whatever nothing points to goes too, such as the blobs of another manifest that had the
    // same configuration, and what interrupted pulls have fetched.
    let freed = collect::free_all(store, &alone)?;
    drop(alone);
    freed.discard()?;
    let names = names.into_iter().map(Removed::Untagged);
    Ok(names.chain([Removed::Deleted(id)]).collect())
}
