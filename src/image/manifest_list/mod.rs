//! Lists of images for several platforms, as users make them: `manifest create` and what is done with it.
//!
//! A list is in the store as an image without layers whose manifest is an index. Each change makes a new index; the
//! list's record, replaced as a whole, says which one is the list's.

mod add;
mod change;
mod inspect;

pub use add::{AddRequest, Source, add};
pub use change::{Annotation, MemberSelector, annotate, remove};
pub use inspect::inspect;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fetch::{self, FetchCause};
use super::progress::Progress;
use super::push::{self, What};
use super::source::{Receive, Source as _};
use crate::failure::{Explain, Failure};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{Descriptor, Document, Fetched, Index, MAX_CONFIG, MAX_DOCUMENT};
use crate::oci::media_type;
use crate::oci::platform::Platform;
use crate::registry;
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::{self, OnWait};
use crate::state::schema::image::{BlobDescriptor, ImageRecord, RunDefaults};
use crate::store::images::ResolvedImage;
use crate::store::{Store, StoreError};

/// What is wrong with a list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// There is none of this name.
    #[error("there is no list {0}")]
    NotFound(String),
    /// It is something else.
    #[error("{0} is an image and not a list of images")]
    NotAList(String),
    /// The name has been given.
    #[error("the name {0} is in use")]
    NameTaken(Reference),
    /// The list does not name such an image.
    #[error("the list {list} names no image {member}")]
    NoMember {
        /// The list.
        list: String,
        /// What was looked for.
        member: String,
    },
    /// There is nothing to push.
    #[error("the list {0} names no image")]
    Empty(String),
    /// Its index cannot be read.
    #[error("the index {0} cannot be read")]
    Damaged(Digest),
}

impl Explain for ListError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::NoMember { .. } => "E_NOTFOUND",
            Self::NotAList(_) | Self::Empty(_) => "E_CONFIG",
            Self::NameTaken(_) => "E_EXISTS",
            Self::Damaged(_) => "E_STORE_CORRUPT",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(_) => {
                "coracle images shows the names that there are; coracle manifest create makes a list".into()
            }
            Self::NotAList(name) => format!("coracle manifest create LIST {name} makes a list that has it"),
            Self::NameTaken(name) => format!("coracle manifest create --amend {name} goes on with a list of this name"),
            Self::NoMember { list, .. } => format!("coracle manifest inspect {list} shows the digests of its images"),
            Self::Empty(list) => format!("coracle manifest add {list} IMAGE"),
            Self::Damaged(_) => "remove the list and make it again".into(),
        })
    }
}

/// What happens if there is a list of the wanted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// That is an error.
    Refuse,
    /// It is taken as it is.
    Amend,
}

/// The list that `selector` means.
pub fn find(store: &Store, selector: &ImageSelector) -> Result<ResolvedImage, Failure> {
    let found = store.images().resolve(selector)?.ok_or_else(|| ListError::NotFound(selector.to_string()))?;
    if found.record.is_list() { Ok(found) } else { Err(ListError::NotAList(selector.to_string()).into()) }
}

/// Makes an empty list; its id.
pub fn create(
    store: &Store,
    name: &Reference,
    if_exists: IfExists,
    annotations: &BTreeMap<String, String>,
    on_wait: OnWait<'_>,
) -> Result<ImageId, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    let _alone = lock::image_exclusive(store.layout(), name, on_wait)?;
    if let Some(known) = store.images().resolve(&ImageSelector::Reference(name.clone(), None))? {
        return match if_exists {
            IfExists::Amend if known.record.is_list() => {
                edit_locked(store, &known, |index| add_annotations(index, annotations))
            }
            _ => Err(ListError::NameTaken(name.clone()).into()),
        };
    }
    let mut index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] });
    add_annotations(&mut index, annotations)?;
    let created = jiff::Timestamp::now().to_string();
    let index = put_index(store, &index)?;
    let record = ImageRecord {
        id: Digest::of(format!("{name} {created}").as_bytes()),
        manifest: index,
        platform: Platform::host(),
        created: Some(created),
        layers: Vec::new(),
        size: 0,
        config: RunDefaults::default(),
        owners: None,
    };
    store.images().put(&record)?;
    store.images().tag(name, &record.id, &record.manifest.digest)?;
    journal::note_image(store.layout(), ImageEvent::Tag, record.id.hex(), &name.to_string());
    Ok(record.id)
}

/// Changes the index of a list; the list's id. Nobody else changes it meanwhile. The caller holds the store's shared lock.
fn edit(
    store: &Store,
    selector: &ImageSelector,
    on_wait: OnWait<'_>,
    change: impl FnOnce(&mut Value) -> Result<(), Failure>,
) -> Result<ImageId, Failure> {
    let id = find(store, selector)?.record.id;
    let lock: Reference = format!("localhost/list:{}", id.hex()).parse()?;
    let _alone = lock::image_exclusive(store.layout(), &lock, on_wait)?;
    // Whoever held the lock may have changed it meanwhile.
    edit_locked(store, &find(store, selector)?, change)
}

fn edit_locked(
    store: &Store,
    list: &ResolvedImage,
    change: impl FnOnce(&mut Value) -> Result<(), Failure>,
) -> Result<ImageId, Failure> {
    let mut index = read_index(store, &list.record.manifest.digest)?;
    change(&mut index)?;
    let record = ImageRecord { manifest: put_index(store, &index)?, ..list.record.clone() };
    store.images().put(&record)?;
    for name in store.images().list()?.into_iter().filter(|listed| listed.record.id == record.id) {
        for name in name.references {
            store.images().tag(&name.reference, &record.id, &record.manifest.digest)?;
        }
    }
    Ok(record.id)
}

fn read_index(store: &Store, digest: &Digest) -> Result<Value, Failure> {
    let bytes = store.blobs().read(digest, MAX_DOCUMENT)?;
    Ok(serde_json::from_slice(&bytes).map_err(|_| ListError::Damaged(digest.clone()))?)
}

fn put_index(store: &Store, index: &Value) -> Result<BlobDescriptor, Failure> {
    let bytes = index.to_string().into_bytes();
    let parsed = Index::parse(&bytes);
    let parsed = parsed.map_err(|cause| Failure::new("E_CONFIG", format!("making the list's index: {cause}")))?;
    let digest = store.blobs().put(&bytes)?;
    Ok(BlobDescriptor { digest, media_type: parsed.media_type, size: bytes.len() as u64 })
}

/// Adds annotations to an index or to a descriptor.
fn add_annotations(to: &mut Value, annotations: &BTreeMap<String, String>) -> Result<(), Failure> {
    if annotations.is_empty() {
        return Ok(());
    }
    if !to["annotations"].is_object() {
        to["annotations"] = json!({});
    }
    if let Some(known) = to["annotations"].as_object_mut() {
        known.extend(annotations.iter().map(|(key, value)| (key.clone(), json!(value))));
    }
    Ok(())
}

/// The members of an index.
fn members(index: &mut Value) -> Result<&mut Vec<Value>, Failure> {
    let found = index.get_mut("manifests").and_then(Value::as_array_mut);
    found.ok_or_else(|| Failure::new("E_STORE_CORRUPT", "the list's index has no manifests"))
}

/// A member of an index, as a JSON object.
fn entry(manifest: &BlobDescriptor, described: Map<String, Value>) -> Value {
    let mut entry = json!({ "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size });
    if let Some(entry) = entry.as_object_mut() {
        entry.extend(described);
    }
    entry
}

/// Sends a list with all images that it names, or without; the digest of its index there.
pub fn push(
    store: &Store,
    request: &push::Request,
    progress: &dyn Progress,
    on_wait: OnWait<'_>,
) -> Result<Digest, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    let list = find(store, &request.image)?;
    let destination = push::destination(&list, request.destination.as_ref())?;
    let index = list.record.manifest.digest;
    if members(&mut read_index(store, &index)?)?.is_empty() {
        return Err(ListError::Empty(request.image.to_string()).into());
    }
    let what = What::Index(index, request.members);
    let digest = push::to_registry(store, &what, &destination, &request.change, &request.access, progress)?;
    push::note(store, &list.record.id, &destination);
    Ok(digest)
}

/// The image of a list for a platform, the host's where absent; unpacked if it was not yet.
pub fn image_for(
    store: &Store,
    list: &ResolvedImage,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<ResolvedImage, Failure> {
    let digest = &list.record.manifest.digest;
    let bytes = store.blobs().read(digest, MAX_DOCUMENT)?;
    let index = Index::parse(&bytes).map_err(|_| ListError::Damaged(digest.clone()))?;
    if index.manifests.is_empty() {
        let name = list.reference.as_ref().map_or_else(|| list.record.id.short().to_owned(), Reference::to_string);
        return Err(ListError::Empty(name).into());
    }
    let host = Platform::host();
    let member = registry::select(&index, platform.unwrap_or(&host))?;
    let member = BlobDescriptor::from(member);
    let source = StoredSource { store, top: &member };
    let id = match source.top()?.document {
        Document::Manifest(manifest) => manifest.config.digest,
        Document::Index(_) => return Err(ListError::Damaged(digest.clone()).into()),
    };
    let known = match store.images().get(&id)? {
        Some(known) => Some(known),
        None => {
            fetch::execute(store, &source, platform, &[], progress)?;
            store.images().get(&id)?
        }
    };
    let record = known.ok_or_else(|| ListError::Damaged(digest.clone()))?;
    Ok(ResolvedImage { record, reference: list.reference.clone() })
}

/// An image whose blobs are in the store, and its files not yet.
struct StoredSource<'a> {
    store: &'a Store,
    /// Its manifest, or an index.
    top: &'a BlobDescriptor,
}

impl StoredSource<'_> {
    fn read(&self, digest: &Digest, media_type: &str) -> Result<Fetched, FetchCause> {
        let bytes = self.store.blobs().read(digest, MAX_DOCUMENT)?;
        let document = Document::parse(&bytes, Some(media_type));
        let document = document.map_err(|_| StoreError::DamagedBlob(digest.clone()))?;
        Ok(Fetched { digest: digest.clone(), bytes, document })
    }
}

impl super::source::Source for StoredSource<'_> {
    fn top(&self) -> Result<Fetched, FetchCause> {
        self.read(&self.top.digest, &self.top.media_type)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, FetchCause> {
        self.read(&descriptor.digest, &descriptor.media_type)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, FetchCause> {
        Ok(self.store.blobs().read(&descriptor.digest, MAX_CONFIG)?)
    }

    fn blob(&self, descriptor: &Descriptor, _: u64, _: Receive<'_>) -> Result<(), FetchCause> {
        // Asked only for what the store does not have, or has damaged.
        Err(StoreError::NoBlob(descriptor.digest.clone()).into())
    }
}
