//! OCI layouts: `oci-layout`, `index.json`, `blobs/ALGORITHM/HEX` (image-spec "Image Layout").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::ArchiveError;
use super::files::Files;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, MAX_DOCUMENT};
use crate::oci::strict_json::{self, JsonRefused};

/// The file that says that a directory is a layout.
pub(super) const MARK: &str = "oci-layout";
/// The file that lists the images.
pub(super) const INDEX: &str = "index.json";
/// What the mark says.
pub(super) const VERSION: &str = "1.0.0";
/// The annotation with an image's name: a tag, or all of a reference (image-spec "Pre-Defined Annotation Keys").
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with an image's reference, as docker and containerd write it.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// One entry of the list.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    pub(super) descriptor: Descriptor,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    image_layout_version: String,
}

impl Listed {
    /// The text of an annotation, if it is there and not empty.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// The path of a blob below a layout.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest that a path of this form claims.
pub(super) fn claimed(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The images that a layout lists.
pub(super) fn list(files: &Files) -> Result<Vec<Listed>, ArchiveError> {
    let mark: Mark = read(files, MARK)?;
    if mark.image_layout_version != VERSION {
        return Err(ArchiveError::LayoutVersion(mark.image_layout_version.chars().take(80).collect()));
    }
    Ok(read::<Index>(files, INDEX)?.manifests)
}

/// The JSON in the file `name`.
pub(super) fn read<T: serde::de::DeserializeOwned>(files: &Files, name: &str) -> Result<T, ArchiveError> {
    let bytes = files.get(name)?.read(MAX_DOCUMENT)?;
    parse(&bytes).map_err(|cause| ArchiveError::Json { name: name.into(), cause })
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonRefused> {
    strict_json::from_value(strict_json::parse_value(bytes)?)
}
