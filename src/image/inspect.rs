//! Everything there is to know about an image, under the names that docker's and podman's `inspect` have for it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::oci::digest::{Digest, ImageId};
use crate::state::schema::image::{ImageRecord, ReferenceRecord};
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

/// Largest configuration or manifest that is read back.
const LIMIT: u64 = 8 << 20;

/// A configuration or a manifest of the store.
pub fn document(store: &Store, digest: &Digest) -> Result<Value, Failure> {
    let bytes = store.blobs().read(digest, LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new("E_STORE_CORRUPT", format!("reading {digest}: {error}")).with_hint("pull the image again")
    })
}

/// Everything about an image of the store.
pub fn execute(store: &Store, id: &ImageId) -> Result<Report, Failure> {
    let record = store.images().get(id)?.ok_or_else(|| StoreError::NoImage(id.to_string()))?;
    let config = if record.is_list() { Value::Null } else { document(store, &record.id)? };
    let manifest = document(store, &record.manifest.digest)?;
    let references = store.images().references_of(id)?;
    Ok(report(&record, &references, &config, &manifest))
}

fn report(record: &ImageRecord, references: &[ReferenceRecord], config: &Value, manifest: &Value) -> Report {
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let history: Vec<Value> = config["history"].as_array().cloned().unwrap_or_default();
    let comment = history.last().and_then(|entry| entry["comment"].as_str()).unwrap_or_default().to_owned();
    let tagged = references.iter().filter(|found| found.reference.tag().is_some());
    let annotations = manifest["annotations"].as_object().into_iter().flatten();
    Report {
        id: record.id.hex().to_owned(),
        digest: record.manifest.digest.to_string(),
        repo_tags: tagged.map(|found| found.reference.to_string()).collect(),
        repo_digests: references
            .iter()
            .map(|found| format!("{}@{}", found.reference.name(), found.manifest_digest))
            .collect(),
        parent: String::new(),
        comment,
        created: record.created.clone().unwrap_or_default(),
        config: config["config"].clone(),
        author: text("author"),
        architecture: record.platform.architecture.clone(),
        variant: record.platform.variant.clone(),
        os: record.platform.os.clone(),
        size: record.size,
        virtual_size: record.size,
        rootfs: RootFs {
            kind: "layers".into(),
            layers: record.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
        },
        labels: record.config.labels.clone(),
        annotations: annotations.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        manifest_type: record.manifest.media_type.clone(),
        user: record.config.user.clone(),
        history,
    }
}
