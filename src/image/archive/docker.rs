//! Archives as `docker save` makes them: `manifest.json` lists images, each a configuration and layers by their names in
//! the tar. There is no manifest and there are no digests of layers: the configuration's diff ids verify them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ArchiveError;
use super::files::{Content, Files};
use super::layout;
use crate::image::fetch::FetchCause;
use crate::oci::digest::{DiffId, Digest};
use crate::oci::image_config::ImageConfig;
use crate::oci::manifest::{Document, Fetched, MAX_CONFIG};
use crate::oci::media_type::{self, Compression};

/// The file that lists the images.
pub(super) const LIST: &str = "manifest.json";

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Item {
    /// Its references, as written.
    pub(super) fn names(&self) -> Vec<String> {
        self.repo_tags.clone().unwrap_or_default()
    }
}

/// The images of the archive.
pub(super) fn list(files: &Files) -> Result<Vec<Item>, ArchiveError> {
    layout::read(files, LIST)
}

/// A manifest for the image, the same for the same image, and the names of what it describes.
pub(super) fn describe(files: &Files, item: &Item) -> Result<(Fetched, HashMap<Digest, String>), FetchCause> {
    let config = files.get(&item.config)?.read(MAX_CONFIG)?;
    let id = Digest::of(&config);
    let parsed = ImageConfig::parse(&config).map_err(|cause| FetchCause::Config { digest: id.clone(), cause })?;
    let layers = item.layers.clone().unwrap_or_default();
    if layers.len() != parsed.diff_ids.len() {
        return Err(FetchCause::LayerCount { layers: layers.len(), diff_ids: parsed.diff_ids.len() });
    }
    let mut names = HashMap::new();
    let mut described = Vec::with_capacity(layers.len());
    for (name, diff_id) in layers.into_iter().zip(&parsed.diff_ids) {
        let (digest, descriptor) = layer(&files.get(&name)?, &name, diff_id)?;
        described.push(descriptor);
        names.insert(digest, name);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::DOCKER_MANIFEST,
        "config": { "mediaType": media_type::DOCKER_CONFIG, "size": config.len(), "digest": id },
        "layers": described,
    });
    names.insert(id, item.config.clone());
    let bytes = manifest.to_string().into_bytes();
    let document =
        Document::parse(&bytes, None).map_err(|cause| ArchiveError::Document { name: LIST.into(), cause })?;
    Ok((Fetched { digest: Digest::of(&bytes), bytes, document }, names))
}

/// The descriptor of a layer as it is in the archive.
fn layer(content: &Content, name: &str, diff_id: &DiffId) -> Result<(Digest, Value), ArchiveError> {
    let (media_type, digest) = match Compression::sniff(&content.first(4)?) {
        // The layer is its own tar.
        Compression::None => (media_type::DOCKER_LAYER, diff_id.clone()),
        Compression::Gzip => (media_type::DOCKER_LAYER_GZIP, claimed_or_found(content, name)?),
        Compression::Zstd => (media_type::DOCKER_LAYER_ZSTD, claimed_or_found(content, name)?),
    };
    let descriptor = json!({ "mediaType": media_type, "size": content.size(), "digest": digest });
    Ok((digest, descriptor))
}

/// Newer archives name layers by their digests, which whoever receives the layer verifies.
fn claimed_or_found(content: &Content, name: &str) -> Result<Digest, ArchiveError> {
    layout::claimed(name).map_or_else(|| content.digest(), Ok)
}
