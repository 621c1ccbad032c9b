//! Everything there is to know about an image, under the names that docker's and podman's `inspect` have for it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

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
