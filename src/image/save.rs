//! `save` and `push` to a file: images of the store into an archive or a directory.

use super::archive::Writer;
use super::pack::{self, Keep, Packed};
use super::progress::Progress;
use super::send::{self, Outgoing};
use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::state::journal::{self, ImageEvent};
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// One image that is to be written.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The image.
    pub image: ResolvedImage,
    /// Its names where it is written.
    pub names: Vec<Reference>,
}

impl Saved {
    /// The image under the name by which it was found; one with a digest is none, since nobody could be given it.
    pub fn under_own_name(image: ResolvedImage) -> Self {
        let names = image.reference.iter().filter(|name| name.digest().is_none()).cloned().collect();
        Self { image, names }
    }
}

/// Writes the images; under the name `word`, where there is one, instead of their own. The caller holds the store's shared
/// lock.
pub fn execute(
    store: &Store,
    images: &[Saved],
    keep: Keep,
    word: Option<&str>,
    writer: Writer,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let mut outgoing = Outgoing::default();
    let mut packed: Vec<Packed> = Vec::new();
    for Saved { image, names } in images {
        let mut new = pack::pack(store, image, names.clone(), keep, &mut outgoing)?;
        match packed.iter_mut().find(|known| known.top == new.top) {
            None => packed.push(new),
            Some(known) => {
                new.names.retain(|name| !known.names.contains(name));
                known.names.append(&mut new.names);
            }
        }
    }
    // The same images make the same archive.
    outgoing.blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    send::execute(store, &outgoing, &writer, progress)?;
    writer.finish(packed, word)?;
    for saved in images {
        let name = saved.image.reference.as_ref().map(Reference::to_string).unwrap_or_default();
        journal::note_image(store.layout(), ImageEvent::Save, saved.image.record.id.hex(), &name);
    }
    Ok(())
}
