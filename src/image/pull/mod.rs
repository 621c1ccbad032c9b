//! `pull`: an image from a registry into the store.
//!
//! ```text
//!   reference -> index -> manifest -> configuration     in memory, each verified against what named it
//!                            |             |
//!                            layers: blob and files     streamed, verified, then published
//!                            v             v
//!                     manifest and configuration        published
//!                                  v
//!                            image record               published
//!                                  v
//!                             the reference             the only commit point
//! ```

mod error;
mod layers;
mod progress;
mod record;

pub use error::{PullCause, PullError};
pub use progress::{LayerEvent, Progress, Silent};
pub(crate) use record::run_defaults;

use crate::name::image_selector::ImageSelector;
use crate::name::pull_policy::PullPolicy;
use crate::name::reference::{DEFAULT_TAG, Reference};
use crate::oci::digest::{Digest, ImageId};
use crate::oci::image_config::ImageConfig;
use crate::oci::manifest::{Document, Manifest};
use crate::oci::media_type::{self, Compression};
use crate::oci::platform::Platform;
use crate::registry::{self, Access, Fetched, MAX_CONFIG, MAX_DOCUMENT, Registry};
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::{self, Waiting};
use crate::store::Store;
use crate::store::images::ResolvedImage;
use layers::{Layer, Layers};

/// An image to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub reference: Reference,
    /// The platform wanted; the host's where absent.
    pub platform: Option<Platform>,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// How to reach the registry.
    pub access: Access,
}

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The image.
    pub image: ImageId,
    /// The reference that points to it. Not always the one that was asked for: a short name may mean an image in
    /// `localhost`.
    pub reference: Reference,
    /// What the registry has under the reference: digest of a manifest or of an index.
    pub manifest_digest: Digest,
    /// What had to be done.
    pub status: Status,
}

/// What a pull did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something new is in the store.
    Downloaded,
    /// All of it was there.
    AlreadyPresent,
}

/// Brings the image into the store, if the policy wants that. When this returns, the threads it has started are gone,
/// and what it reports survives a power cut.
pub fn execute(store: &Store, request: &Request, progress: &dyn Progress) -> Result<Report, PullError> {
    pull(store, request, progress)
        .map_err(|cause| PullError { reference: request.reference.clone(), cause: Box::new(cause) })
}

fn pull(store: &Store, request: &Request, progress: &dyn Progress) -> Result<Report, PullCause> {
    let mut on_wait = |waiting: &Waiting<'_>| progress.message(&waiting_line(waiting));
    let _stays = store.lock_shared(&mut on_wait)?;
    if let Some(report) = satisfied_locally(store, request)? {
        return Ok(report);
    }
    let _alone = lock::image_exclusive(store.layout(), &request.reference, &mut on_wait)?;
    // Whoever held the lock may have fetched it meanwhile.
    if let Some(report) = satisfied_locally(store, request)? {
        return Ok(report);
    }
    let good_enough = match local_image(store, request)? {
        Some(image) if request.policy == PullPolicy::Newer && fits(&image, request) => report_of(store, image)?,
        _ => None,
    };
    match ask_registry(store, request, good_enough.as_ref(), progress) {
        Err(PullCause::Registry(error)) if let Some(local) = good_enough => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            progress.message(&format!("keeping the image that is in the store: {error}{cause}"));
            Ok(local)
        }
        outcome => outcome.inspect(|report| {
            let name = report.reference.to_string();
            journal::note_image(store.layout(), ImageEvent::Pull, report.image.hex(), &name);
        }),
    }
}

/// What the store has, if the policy does not want the registry to be asked.
fn satisfied_locally(store: &Store, request: &Request) -> Result<Option<Report>, PullCause> {
    let policy = request.policy;
    if policy == PullPolicy::Always {
        return Ok(None);
    }
    // What a digest names cannot have become newer.
    let is_final = policy != PullPolicy::Newer || request.reference.digest().is_some();
    match local_image(store, request)? {
        Some(image) if is_final && fits(&image, request) => report_of(store, image),
        Some(image) if policy == PullPolicy::Never => {
            let wanted = request.platform.clone().unwrap_or_else(Platform::host).to_string();
            Err(PullCause::PresentForOther { found: image.record.platform.to_string(), wanted })
        }
        None if policy == PullPolicy::Never => Err(PullCause::NotPresent),
        _ => Ok(None),
    }
}

fn local_image(store: &Store, request: &Request) -> Result<Option<ResolvedImage>, PullCause> {
    Ok(store.images().resolve(&ImageSelector::Reference(request.reference.clone(), None))?)
}

fn fits(image: &ResolvedImage, request: &Request) -> bool {
    request.platform.as_ref().is_none_or(|wanted| image.record.platform.satisfies(wanted))
}

fn report_of(store: &Store, image: ResolvedImage) -> Result<Option<Report>, PullCause> {
    let Some(reference) = image.reference else { return Ok(None) };
    let pointer = store.images().reference(&reference)?;
    Ok(pointer.map(|pointer| Report {
        image: image.record.id,
        reference,
        manifest_digest: pointer.manifest_digest,
        status: Status::AlreadyPresent,
    }))
}

/// Fetches the image, unless `known` is what the registry has.
fn ask_registry(
    store: &Store,
    request: &Request,
    known: Option<&Report>,
    progress: &dyn Progress,
) -> Result<Report, PullCause> {
    let notice = |line: &str| progress.message(line);
    let registry = Registry::open(&request.reference, request.access.clone(), &notice)?;
    if let Some(known) = known {
        let tag = request.reference.tag().unwrap_or(DEFAULT_TAG);
        if registry.resolve_tag(tag)?.as_ref() == Some(&known.manifest_digest) {
            return Ok(known.clone());
        }
    }
    fetch(store, request, &registry, progress)
}

/// Fetches what the store lacks of the image and makes the reference point to it.
fn fetch(
    store: &Store,
    request: &Request,
    registry: &Registry<'_>,
    progress: &dyn Progress,
) -> Result<Report, PullCause> {
    let wanted = request.platform.clone().unwrap_or_else(Platform::host);
    let reference = &request.reference;
    let top = match reference.digest() {
        Some(digest) => registry.document_by_digest(digest)?,
        None => registry.document_by_tag(reference.tag().unwrap_or(DEFAULT_TAG))?,
    };
    let below = match &top.document {
        Document::Manifest(_) => None,
        Document::Index(index) => Some(registry.document_described(registry::select(index, &wanted)?)?),
    };
    let (source, manifest) = manifest_of(below.as_ref().unwrap_or(&top))?;
    let id = manifest.config.digest.clone();
    let (config_bytes, config) = fetch_config(registry, manifest, &wanted)?;
    let layers = layers_of(manifest, &config)?;

    let fetched = Layers::new(store, registry, progress).fetch(&layers)?;
    let mut stored = 0;
    for document in [Some(&top), below.as_ref()].into_iter().flatten() {
        stored += record::store_blob(store, &document.digest, &document.bytes, MAX_DOCUMENT)?;
    }
    stored += record::store_blob(store, &id, &config_bytes, MAX_CONFIG)?;
    let record = record::image_record(store, source, manifest, config, &layers)?;
    let unchanged = store.images().get(&id).is_ok_and(|known| known.as_ref() == Some(&record));
    if !unchanged {
        store.images().put(&record)?;
    }
    let known = store.images().reference(reference).ok().flatten();
    let points_there = known.is_some_and(|known| known.image == id && known.manifest_digest == top.digest);
    if !points_there {
        store.images().tag(reference, &id, &top.digest)?;
    }
    let nothing_new = fetched == 0 && stored == 0 && unchanged && points_there;
    let status = if nothing_new { Status::AlreadyPresent } else { Status::Downloaded };
    Ok(Report { image: id, reference: reference.clone(), manifest_digest: top.digest.clone(), status })
}

/// The manifest that a document is, if it is an image's.
fn manifest_of(fetched: &Fetched) -> Result<(&Fetched, &Manifest), PullCause> {
    match &fetched.document {
        Document::Index(_) => Err(PullCause::NestedIndex(fetched.digest.clone())),
        Document::Manifest(manifest) if media_type::is_image_config(&manifest.config.media_type) => {
            Ok((fetched, manifest))
        }
        Document::Manifest(manifest) => {
            Err(PullCause::NotAnImage(manifest.config.media_type.chars().take(160).collect()))
        }
    }
}

fn fetch_config(
    registry: &Registry<'_>,
    manifest: &Manifest,
    wanted: &Platform,
) -> Result<(Vec<u8>, ImageConfig), PullCause> {
    let bytes = registry.config(&manifest.config)?;
    let digest = &manifest.config.digest;
    let config = ImageConfig::parse(&bytes).map_err(|cause| PullCause::Config { digest: digest.clone(), cause })?;
    match config.platform.normalized() {
        Some(platform) if platform.satisfies(wanted) => Ok((bytes, config)),
        other => {
            let written = || format!("{}/{}", config.platform.os, config.platform.architecture);
            let found = other.map_or_else(written, |platform| platform.to_string());
            Err(PullCause::OtherPlatform { found, wanted: wanted.to_string() })
        }
    }
}

/// The layers, lowest first: blobs by the manifest, diff ids by the configuration.
fn layers_of(manifest: &Manifest, config: &ImageConfig) -> Result<Vec<Layer>, PullCause> {
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
    if layers != diff_ids {
        return Err(PullCause::LayerCount { layers, diff_ids });
    }
    let pairs = manifest.layers.iter().zip(&config.diff_ids);
    pairs
        .map(|(descriptor, diff_id)| {
            let compression = Compression::of_layer(&descriptor.media_type)?;
            Ok(Layer { descriptor: descriptor.clone(), diff_id: diff_id.clone(), compression })
        })
        .collect()
}

fn waiting_line(waiting: &Waiting<'_>) -> String {
    match waiting.holder {
        Some(pid) => format!("waiting: process {pid} is already at it"),
        None => "waiting: another process is already at it".into(),
    }
}
