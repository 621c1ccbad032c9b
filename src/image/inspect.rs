//! Everything there is to know about an image, under the names that docker's and podman's `inspect` have for it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::name::image_selector::ImageSelector;
use crate::oci::digest::Digest;
use crate::store::images::ListedImage;
use crate::store::{Store, StoreError};

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Report {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Digest of the manifest.
    pub digest: String,
    /// References with a tag.
    pub repo_tags: Vec<String>,
    /// `registry/repository@digest`.
    pub repo_digests: Vec<String>,
    /// Always empty: layers are not images.
    pub parent: String,
    /// That of the last entry of the history.
    pub comment: String,
    /// RFC 3339, as the configuration has it; empty if it does not.
    pub created: String,
    /// The member `config` of the image's configuration (image-spec "OCI Image Configuration").
    pub config: Value,
    pub author: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    /// Unpacked size of all layers in bytes.
    pub size: u64,
    /// The same.
    pub virtual_size: u64,
    #[serde(rename = "RootFS")]
    pub rootfs: RootFs,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Media type of the manifest.
    pub manifest_type: String,
    /// User of the configuration.
    pub user: String,
    /// The member `history` of the configuration.
    pub history: Vec<Value>,
}

/// The layers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    pub layers: Vec<String>,
}

/// The largest configuration or manifest that is read, as when it was fetched.
const DOCUMENT_LIMIT: u64 = 8 << 20;

/// Everything about the image that `selector` means; nothing if there is none.
pub fn execute(store: &Store, selector: &ImageSelector) -> Result<Option<Report>, StoreError> {
    let Some(found) = store.images().resolve(selector)? else { return Ok(None) };
    let listed = store.images().list()?.into_iter().find(|image| image.record.id == found.record.id);
    let listed = listed.unwrap_or(ListedImage { record: found.record, references: Vec::new() });
    let config = document(store, &listed.record.id)?;
    let manifest = document(store, &listed.record.manifest.digest)?;
    Ok(Some(Report::of(listed, &config, &manifest)))
}

/// A document of the store. It was checked when it was fetched: what it has not is null here.
fn document(store: &Store, digest: &Digest) -> Result<Value, StoreError> {
    let bytes = store.blobs().read(digest, DOCUMENT_LIMIT)?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

impl Report {
    /// What the record and the documents of an image say.
    fn of(image: ListedImage, config: &Value, manifest: &Value) -> Self {
        let record = image.record;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let history = config["history"].as_array().cloned().unwrap_or_default();
        let tags = image.references.iter().filter(|found| found.reference.tag().is_some());
        let mut repo_digests: Vec<String> = image
            .references
            .iter()
            .map(|found| format!("{}@{}", found.reference.name(), record.manifest.digest))
            .collect();
        repo_digests.dedup();
        Self {
            id: record.id.hex().to_owned(),
            digest: record.manifest.digest.to_string(),
            repo_tags: tags.map(|found| found.reference.to_string()).collect(),
            repo_digests,
            parent: String::new(),
            comment: history.last().map(|last| text(&last["comment"])).unwrap_or_default(),
            created: record.created.unwrap_or_default(),
            config: config["config"].clone(),
            author: text(&config["author"]),
            architecture: record.platform.architecture,
            variant: record.platform.variant,
            os: record.platform.os,
            size: record.size,
            virtual_size: record.size,
            rootfs: RootFs {
                kind: "layers".into(),
                layers: record.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
            },
            labels: record.config.labels,
            annotations: serde_json::from_value(manifest["annotations"].clone()).unwrap_or_default(),
            manifest_type: record.manifest.media_type,
            user: record.config.user,
            history,
        }
    }
}
