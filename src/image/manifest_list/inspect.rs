//! `manifest inspect`: a document as it is.

use serde_json::Value;

use super::{ListError, Source};
use crate::failure::Failure;
use crate::image::progress::Progress;
use crate::image::pull;
use crate::image::source::{RegistrySource, Source as _};
use crate::name::image_selector::ImageSelector;
use crate::oci::manifest::MAX_DOCUMENT;
use crate::registry::Access;
use crate::store::Store;

/// The index of a list, or the manifest of an image, of the store or of a registry.
pub fn inspect(store: &Store, source: &Source, access: &Access, progress: &dyn Progress) -> Result<Value, Failure> {
    let reference = match source {
        Source::Registry(reference) => reference,
        Source::Store(selector) | Source::Anywhere(selector) => {
            match (store.images().resolve(selector)?, source, selector) {
                (Some(found), ..) => {
                    let digest = found.record.manifest.digest;
                    let bytes = store.blobs().read(&digest, MAX_DOCUMENT)?;
                    return Ok(serde_json::from_slice(&bytes).map_err(|_| ListError::Damaged(digest))?);
                }
                (None, Source::Anywhere(_), ImageSelector::Reference(reference, _)) => reference,
                (None, ..) => return Err(ListError::NotFound(selector.to_string()).into()),
            }
        }
    };
    let top = pull::ask_for(reference, access, progress, &mut |registry, reference| {
        RegistrySource { registry, reference }.top()
    })?;
    Ok(serde_json::from_slice(&top.bytes).map_err(|_| ListError::Damaged(top.digest))?)
}
