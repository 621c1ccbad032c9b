//! `push`: an image of the store to a registry, bit for bit unless something else is asked for.

use std::collections::{HashMap, HashSet};

use super::destination::RegistryDestination;
use super::progress::Progress;
use super::reform::{self, Change};
use super::send::{self, Outgoing};
use crate::failure::Failure;
use crate::host::config::registries::Registries;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::{DEFAULT_TAG, Reference};
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{DescribedPlatform, Descriptor};
use crate::registry::{Access, Purpose, Registry};
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::OnWait;
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// Other repositories of the registry that are asked for one blob.
const SOURCES: usize = 3;

/// An image to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub image: ImageSelector,
    /// Where to; under its own name where absent.
    pub destination: Option<Reference>,
    /// Which of the images of an index.
    pub members: Members,
    /// What is to be different there.
    pub change: Change,
    /// How to reach the registry.
    pub access: Access,
}

/// Which of the images of an index are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Of a pulled index the one image that the store has, without the index; of a list none.
    Own,
    /// All, and the index.
    All,
}

/// An image that the registry has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name there.
    pub destination: Reference,
    /// The digest of its manifest or of its index.
    pub digest: Digest,
}

/// Sends the image.
pub fn execute(
    store: &Store,
    request: &Request,
    progress: &dyn Progress,
    on_wait: OnWait<'_>,
) -> Result<Report, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    let found = find(store, &request.image)?;
    let destination = destination(&found, request.destination.as_ref())?;
    let index = match request.members {
        // There is nothing else in it.
        _ if found.record.is_list() => Some(found.record.manifest.digest.clone()),
        Members::All => index_of(store, &found)?,
        Members::Own => None,
    };
    let id = found.record.id.clone();
    let what = match index {
        Some(index) => What::Index(index, Members::All),
        None => What::Image(Box::new(found)),
    };
    let digest = to_registry(store, &what, &destination, &request.change, &request.access, progress)?;
    note(store, &id, &destination);
    Ok(Report { destination, digest })
}

/// What is sent.
pub(super) enum What {
    /// One image.
    Image(Box<ResolvedImage>),
    /// An index of the store, and the images that it names; or none of them, which must be there already then.
    Index(Digest, Members),
}

/// Sends an image or an index to a registry; the digest it has there. The caller holds the store's shared lock.
pub(super) fn to_registry(
    store: &Store,
    what: &What,
    destination: &Reference,
    change: &Change,
    access: &Access,
    progress: &dyn Progress,
) -> Result<Digest, Failure> {
    let mut outgoing = Outgoing::default();
    let absent = match what {
        What::Image(image) => outgoing.add(store, &image.record).map(|()| Vec::new())?,
        What::Index(digest, members) => outgoing.add_index(store, digest, *members)?,
    };
    let sources = sources(store, destination, &outgoing)?;
    let mut names: Vec<String> = sources.values().flatten().cloned().collect();
    names.sort();
    names.dedup();
    let notice = |line: &str| progress.message(line);
    let configured = Registries::discover();
    configured.warnings().for_each(|warning| notice(&warning));
    let purpose = Purpose::Push { repository: destination.repository().into(), sources: names };
    let registry = Registry::open(destination.registry(), purpose, &configured, access.clone(), &notice)?;
    for member in absent {
        // What is not here cannot be changed.
        if *change != Change::default() || !registry.has_document(&member.digest)? {
            return Err(absent_member(store, &member));
        }
    }
    let outgoing = reform::execute(store, outgoing, change, progress)?;
    let to = RegistryDestination::new(&registry, destination.tag().unwrap_or(DEFAULT_TAG), sources);
    send::execute(store, &outgoing, &to, progress)?;
    let (top, _) = outgoing.documents.last().ok_or_else(|| Failure::new("E_STATE", "the image has no manifest"))?;
    progress.message(&format!("pushed {destination}, {}", top.digest));
    Ok(top.digest.clone())
}

fn absent_member(store: &Store, member: &Descriptor) -> Failure {
    let platform = member.platform.as_ref().and_then(DescribedPlatform::normalized);
    let what = platform.map_or_else(|| "one of its images".into(), |platform| format!("its image for {platform}"));
    if store.blobs().contains(&member.digest) {
        let message = format!("pushing the index alone: the repository does not have {what}, {}", member.digest);
        return Failure::new("E_NOTFOUND", message).with_hint("--all sends the images, too");
    }
    let message = format!("pushing all images of the index: {what}, {}, is not in the store", member.digest);
    Failure::new("E_NOTFOUND", message).with_hint(
        "coracle manifest create LIST, then coracle manifest add --all LIST docker://IMAGE fetches all of them",
    )
}

/// Notes the event.
pub(super) fn note(store: &Store, id: &ImageId, destination: &Reference) {
    journal::note_image(store.layout(), ImageEvent::Push, id.hex(), &destination.to_string());
}

fn find(store: &Store, selector: &ImageSelector) -> Result<ResolvedImage, Failure> {
    let found = store.images().resolve(selector)?;
    found.ok_or_else(|| {
        let failure = Failure::new("E_NOTFOUND", format!("there is no image {selector}"));
        failure.with_hint("coracle images lists those that there are")
    })
}

/// Where the image goes.
pub(super) fn destination(found: &ResolvedImage, wanted: Option<&Reference>) -> Result<Reference, Failure> {
    let Some(destination) = wanted.or(found.reference.as_ref()) else {
        let failure =
            Failure::new("E_CONFIG", format!("pushing image {}: it was named by its id", found.record.id.short()));
        return Err(failure.with_hint("say where it goes: coracle push IMAGE REGISTRY/NAME:TAG"));
    };
    check_destination(destination)?;
    Ok(destination.clone())
}

/// A digest follows from what is pushed: nobody can choose it.
fn check_destination(destination: &Reference) -> Result<(), Failure> {
    match destination.digest() {
        None => Ok(()),
        Some(_) => Err(Failure::new("E_CONFIG", format!("pushing to {destination}: an image is pushed to a tag"))
            .with_hint(format!("coracle push IMAGE {}:TAG", destination.name()))),
    }
}

/// The index under which the image was pulled, if it was pulled under one.
fn index_of(store: &Store, found: &ResolvedImage) -> Result<Option<Digest>, Failure> {
    let Some(reference) = &found.reference else { return Ok(None) };
    let pointer = store.images().reference(reference)?;
    Ok(pointer.map(|pointer| pointer.manifest_digest).filter(|digest| *digest != found.record.manifest.digest))
}

/// Other repositories of the registry of `destination` that the store has names in, by those of the blobs that they should
/// have.
fn sources(
    store: &Store,
    destination: &Reference,
    outgoing: &Outgoing,
) -> Result<HashMap<Digest, Vec<String>>, Failure> {
    let wanted: HashSet<&Digest> = outgoing.blobs.iter().map(|blob| &blob.digest).collect();
    let mut sources: HashMap<Digest, Vec<String>> = HashMap::new();
    for image in store.images().list()? {
        let record = &image.record;
        let blobs = record.layers.iter().map(|layer| &layer.descriptor.digest).chain([&record.id]);
        let blobs: Vec<&Digest> = blobs.filter(|blob| wanted.contains(blob)).collect();
        for reference in image.references.iter().map(|found| &found.reference) {
            let repository = reference.repository();
            if reference.registry() != destination.registry() || repository == destination.repository() {
                continue;
            }
            for blob in &blobs {
                let known = sources.entry((*blob).clone()).or_default();
                if known.len() < SOURCES && !known.iter().any(|name| name == repository) {
                    known.push(repository.to_owned());
                }
            }
        }
    }
    Ok(sources)
}
