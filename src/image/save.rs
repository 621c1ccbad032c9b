//! `save` and `push` to a file: images of the store into an archive or a directory.

use super::archive::Writer;
use super::pack::{self, Packed};
use super::progress::Progress;
use super::push::Members;
use super::reform::{self, Change};
use super::send::{self, Outgoing};
use crate::failure::Failure;
use crate::name::image_location::{ArchiveFormat, ArchiveLocation, Member};
use crate::name::reference::Reference;
use crate::oci::digest::Digest;
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

/// What of the images is written.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Which of the images of an index.
    pub members: Members,
    /// What is to be different.
    pub change: Change,
}

impl Content {
    /// All that there is, as it is.
    pub const EVERYTHING: Self = Self { members: Members::All, change: Change { format: None, recompression: None } };
}

impl Saved {
    /// The image under the name by which it was found; one with a digest is none, since nobody could be given it.
    pub fn under_own_name(image: ResolvedImage) -> Self {
        let names = image.reference.iter().filter(|name| name.digest().is_none()).cloned().collect();
        Self { image, names }
    }
}

/// Writes the images; under the name `word`, where there is one, instead of their own. The digest of what each name stands for
/// there. The caller holds the store's shared lock.
pub fn execute(
    store: &Store,
    images: &[Saved],
    content: Content,
    word: Option<&str>,
    writer: Writer,
    progress: &dyn Progress,
) -> Result<Vec<Digest>, Failure> {
    let packed = write(store, images, content, word, writer, progress)?;
    for saved in images {
        let name = saved.image.reference.as_ref().map(Reference::to_string).unwrap_or_default();
        journal::note_image(store.layout(), ImageEvent::Save, saved.image.record.id.hex(), &name);
    }
    Ok(packed)
}

/// Writes an image to where `location` says, under the name that it says, or else its own; its digest there. The caller holds
/// the store's shared lock.
pub fn to_location(
    store: &Store,
    image: ResolvedImage,
    location: &ArchiveLocation,
    content: Content,
    progress: &dyn Progress,
) -> Result<Digest, Failure> {
    let id = image.record.id.clone();
    let mut saved = Saved::under_own_name(image);
    let word = match &location.member {
        None => None,
        // Docker's archives know references only.
        Some(Member::Name(name)) if location.format == ArchiveFormat::DockerArchive => {
            saved.names = vec![name.parse()?];
            None
        }
        Some(Member::Name(name)) => Some(name.as_str()),
        Some(Member::Position(position)) => {
            let failure = Failure::new("E_NAME_INVALID", format!("writing to {location}: @{position} is no name"));
            return Err(failure.with_hint("a name, or nothing, follows the path"));
        }
    };
    let writer = Writer::create(location.format, &location.path)?;
    let digests = write(store, &[saved], content, word, writer, progress)?;
    journal::note_image(store.layout(), ImageEvent::Push, id.hex(), &location.to_string());
    digests.into_iter().next().ok_or_else(|| Failure::new("E_STATE", "the image has no manifest"))
}

fn write(
    store: &Store,
    images: &[Saved],
    content: Content,
    word: Option<&str>,
    writer: Writer,
    progress: &dyn Progress,
) -> Result<Vec<Digest>, Failure> {
    let mut outgoing = Outgoing::default();
    let mut packed: Vec<Packed> = Vec::new();
    for Saved { image, names } in images {
        let mut new = pack::pack(store, image, names.clone(), content.members, &mut outgoing)?;
        match packed.iter_mut().find(|known| known.top == new.top) {
            None => packed.push(new),
            Some(known) => {
                new.names.retain(|name| !known.names.contains(name));
                known.names.append(&mut new.names);
            }
        }
    }
    let mut outgoing = reform::execute(store, outgoing, &content.change, progress)?;
    let packed: Vec<Packed> = packed.into_iter().map(|image| image.changed(&outgoing.replaced)).collect();
    // The same images make the same archive.
    outgoing.blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    send::execute(store, &outgoing, &writer, progress)?;
    let digests = packed.iter().map(|image| image.top.digest.clone()).collect();
    writer.finish(packed, word)?;
    Ok(digests)
}
