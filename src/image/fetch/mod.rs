//! An image from a source into the store.
//!
//! ```text
//!   source -> index -> manifest -> configuration        in memory, each verified against what named it
//!                         |             |
//!                         layers: blob and files        streamed, verified, then published
//!                         v             v
//!                  manifest and configuration           published
//!                               v
//!                          image record                 published
//!                               v
//!                          the references               the only commit point
//! ```

mod error;
pub(super) mod layers;
mod members;
mod record;

pub use error::FetchCause;
pub use members::{Member, Which, without_unpacking};
pub(crate) use record::run_defaults;

use super::progress::Progress;
use super::source::Source;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::image_config::ImageConfig;
use crate::oci::manifest::{Document, Fetched, MAX_CONFIG, MAX_DOCUMENT, Manifest};
use crate::oci::media_type::{self, Compression};
use crate::oci::platform::Platform;
use crate::registry;
use crate::store::{Store, StoreError};
use layers::{Layer, Layers};

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The image.
    pub image: ImageId,
    /// What the source has: digest of a manifest or of an index.
    pub manifest_digest: Digest,
    /// What had to be done.
    pub status: Status,
}

/// What a fetch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something new is in the store.
    Downloaded,
    /// All of it was there.
    AlreadyPresent,
}

/// Brings what the store lacks of the image for `platform`, the host's where absent, into the store, and makes
/// `references` point to it. The caller holds the store's shared lock. What it reports survives a power cut.
pub fn execute(
    store: &Store,
    source: &dyn Source,
    platform: Option<&Platform>,
    references: &[Reference],
    progress: &dyn Progress,
) -> Result<Report, FetchCause> {
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let top = source.top()?;
    let below = match &top.document {
        Document::Manifest(_) => None,
        Document::Index(index) => Some(source.document(registry::select(index, &wanted)?)?),
    };
    let (described, manifest) = manifest_of(below.as_ref().unwrap_or(&top))?;
    let id = manifest.config.digest.clone();
    let (config_bytes, config) = fetch_config(source, manifest, &wanted)?;
    let layers = layers_of(manifest, &config)?;

    let fetched = Layers::new(store, source, progress).fetch(&layers)?;
    let mut stored = 0;
    for document in [Some(&top), below.as_ref()].into_iter().flatten() {
        stored += record::store_blob(store, &document.digest, &document.bytes, MAX_DOCUMENT)?;
    }
    stored += record::store_blob(store, &id, &config_bytes, MAX_CONFIG)?;
    let record = record::image_record(store, described, manifest, config, &layers)?;
    let unchanged = store.images().get(&id).is_ok_and(|known| known.as_ref() == Some(&record));
    if !unchanged {
        store.images().put(&record)?;
    }
    let tagged = references.iter().try_fold(0, |tagged, reference| {
        Ok::<_, StoreError>(tagged + usize::from(point(store, reference, &id, &top.digest)?))
    })?;
    let nothing_new = fetched == 0 && stored == 0 && unchanged && tagged == 0;
    let status = if nothing_new { Status::AlreadyPresent } else { Status::Downloaded };
    Ok(Report { image: id, manifest_digest: top.digest, status })
}

/// Makes `reference` point to the image; whether it did not before.
fn point(store: &Store, reference: &Reference, id: &ImageId, digest: &Digest) -> Result<bool, StoreError> {
    let known = store.images().reference(reference).ok().flatten();
    let points_there = known.is_some_and(|known| known.image == *id && known.manifest_digest == *digest);
    if !points_there {
        store.images().tag(reference, id, digest)?;
    }
    Ok(!points_there)
}

/// The manifest that a document is, if it is an image's.
fn manifest_of(fetched: &Fetched) -> Result<(&Fetched, &Manifest), FetchCause> {
    match &fetched.document {
        Document::Index(_) => Err(FetchCause::NestedIndex(fetched.digest.clone())),
        Document::Manifest(manifest) if media_type::is_image_config(&manifest.config.media_type) => {
            Ok((fetched, manifest))
        }
        Document::Manifest(manifest) => {
            Err(FetchCause::NotAnImage(manifest.config.media_type.chars().take(160).collect()))
        }
    }
}

fn fetch_config(
    source: &dyn Source,
    manifest: &Manifest,
    wanted: &Platform,
) -> Result<(Vec<u8>, ImageConfig), FetchCause> {
    let bytes = source.config(&manifest.config)?;
    let digest = &manifest.config.digest;
    let config = ImageConfig::parse(&bytes).map_err(|cause| FetchCause::Config { digest: digest.clone(), cause })?;
    match config.platform.normalized() {
        Some(platform) if platform.satisfies(wanted) => Ok((bytes, config)),
        other => {
            let written = || format!("{}/{}", config.platform.os, config.platform.architecture);
            let found = other.map_or_else(written, |platform| platform.to_string());
            Err(FetchCause::OtherPlatform { found, wanted: wanted.to_string() })
        }
    }
}

/// The layers, lowest first: blobs by the manifest, diff ids by the configuration.
fn layers_of(manifest: &Manifest, config: &ImageConfig) -> Result<Vec<Layer>, FetchCause> {
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
    if layers != diff_ids {
        return Err(FetchCause::LayerCount { layers, diff_ids });
    }
    let pairs = manifest.layers.iter().zip(&config.diff_ids);
    pairs
        .map(|(descriptor, diff_id)| {
            let compression = Compression::of_layer(&descriptor.media_type)?;
            Ok(Layer { descriptor: descriptor.clone(), diff_id: diff_id.clone(), compression })
        })
        .collect()
}
