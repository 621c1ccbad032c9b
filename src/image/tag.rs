//! `tag` and `untag`: names of images of the store.

use crate::failure::{Explain, Failure};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::state::journal::{self, ImageEvent};
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// Why a name was not given or taken away.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// There is no such image.
    #[error("there is no image {0}")]
    NoImage(String),
    /// The image does not have this name.
    #[error("the image {image} is not named {name}")]
    NotItsName {
        /// What the user called the image.
        image: String,
        /// The name that was to be taken away.
        name: Reference,
    },
}

impl Explain for TagError {
    fn code(&self) -> &'static str {
        "E_NOTFOUND"
    }

    fn hint(&self) -> Option<String> {
        Some("coracle images lists the images and their names".into())
    }
}

/// The image that `selector` means; an error if there is none.
pub fn find(store: &Store, selector: &ImageSelector) -> Result<ResolvedImage, Failure> {
    let found = store.images().resolve(selector)?;
    Ok(found.ok_or_else(|| TagError::NoImage(selector.to_string()))?)
}

/// Gives an image more names, whatever had them before. They survive a power cut. The caller holds the store's shared lock.
pub fn tag(store: &Store, selector: &ImageSelector, names: &[Reference]) -> Result<(), Failure> {
    let ResolvedImage { record, reference } = find(store, selector)?;
    // The name that it was found by may stand for an index, which its other names then stand for, too.
    let known = reference.map(|reference| store.images().reference(&reference)).transpose()?.flatten();
    let digest = known.map_or(record.manifest.digest, |known| known.manifest_digest);
    for name in names {
        store.images().tag(name, &record.id, &digest)?;
        journal::note_image(store.layout(), ImageEvent::Tag, record.id.hex(), &name.to_string());
    }
    Ok(())
}

/// Takes names away from an image: those in `names`, or all. The image stays, with its last name gone, too. The caller
/// holds the store's shared lock.
pub fn untag(store: &Store, selector: &ImageSelector, names: &[Reference]) -> Result<(), Failure> {
    let id = find(store, selector)?.record.id;
    let had: Vec<Reference> = store.images().references_of(&id)?.into_iter().map(|found| found.reference).collect();
    let mut going = Vec::new();
    for name in names {
        let local = name.is_short().then(|| name.in_localhost());
        let found = had.iter().find(|had| *had == name || Some(*had) == local.as_ref());
        let missing = || TagError::NotItsName { image: selector.to_string(), name: name.clone() };
        going.push(found.ok_or_else(missing)?.clone());
    }
    for name in if names.is_empty() { had } else { going } {
        store.images().untag(&name)?;
        journal::note_image(store.layout(), ImageEvent::Untag, id.hex(), &name.to_string());
    }
    Ok(())
}
