//! `load`: images of an archive into the store.

use super::archive::{Archive, ArchiveSource, Image, ReadError};
use super::fetch::{self, FetchCause};
use super::progress::Progress;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::oci::manifest::{Document, Index};
use crate::oci::platform::Platform;
use crate::registry;
use crate::state::journal::{self, ImageEvent};
use crate::store::Store;

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub image: ImageId,
    /// The names that the archive had for it.
    pub references: Vec<Reference>,
}

/// Brings one image of the archive into the store, for `platform` where it has several. Without one it takes what there is,
/// the host's first. The caller holds the store's shared lock.
pub fn execute(
    store: &Store,
    archive: &Archive,
    image: &Image,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Loaded, ReadError> {
    load(store, archive, image, platform, progress).map_err(|cause| archive.failed(cause))
}

fn load(
    store: &Store,
    archive: &Archive,
    image: &Image,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Loaded, FetchCause> {
    let source = archive.source(image, platform)?;
    let platform = match platform {
        Some(wanted) => Some(wanted.clone()),
        None => platform_of(&source)?,
    };
    let references = image.references();
    let pointed = |reference: &Reference| store.images().reference(reference).ok().flatten();
    let before: Vec<_> = references.iter().filter_map(pointed).collect();
    let report = fetch::execute(store, &source, platform.as_ref(), references, progress)?;
    for old in before.iter().filter(|old| old.image != report.image) {
        progress.message(&format!("{} was the name of image {} until now", old.reference, old.image.short()));
    }
    let note = |name: &str| journal::note_image(store.layout(), ImageEvent::Load, report.image.hex(), name);
    references.iter().for_each(|reference| note(&reference.to_string()));
    if references.is_empty() {
        note("");
    }
    Ok(Loaded { image: report.image, references: references.to_vec() })
}

/// The platform that is taken where none is asked for: the host's if it is there, else the first that is.
fn platform_of(source: &ArchiveSource<'_>) -> Result<Option<Platform>, FetchCause> {
    let Document::Index(index) = source.document_at_top() else { return source.only_platform() };
    let mut present = Vec::new();
    for descriptor in &index.manifests {
        if source.has(descriptor)? {
            present.push(descriptor.clone());
        }
    }
    let present = Index { media_type: index.media_type.clone(), manifests: present };
    let best = registry::select(&present, &Platform::host()).ok().or(present.manifests.first());
    Ok(best.and_then(|descriptor| descriptor.platform.as_ref()?.normalized()))
}
