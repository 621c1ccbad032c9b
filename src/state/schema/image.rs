//! What the store knows of an image: a small record that every `run` reads, and the references that point to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::reference::Reference;
use crate::oci::digest::{DiffId, Digest, ImageId};
use crate::oci::manifest::Descriptor;
use crate::oci::media_type::DocumentKind;
use crate::oci::platform::Platform;
use crate::state::record::Record;

/// A typed pointer to a blob (image-spec "Descriptors").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobDescriptor {
    /// Digest of the blob's bytes.
    pub digest: Digest,
    /// What the bytes are.
    pub media_type: String,
    /// Their number.
    pub size: u64,
}

impl From<&Descriptor> for BlobDescriptor {
    fn from(described: &Descriptor) -> Self {
        let Descriptor { digest, media_type, size, .. } = described;
        Self { digest: digest.clone(), media_type: media_type.clone(), size: *size }
    }
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// Digest of the uncompressed tar: under this name it is unpacked in the store.
    pub diff_id: DiffId,
    /// The blob it came from, as the manifest has it.
    pub descriptor: BlobDescriptor,
    /// Whether it hides all lower layers (image-spec "Opaque Whiteout", in the root directory).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub opaque: bool,
}

/// The parts of the image's configuration that a run needs (image-spec "OCI Image Configuration", `config`). History and
/// author are read from the configuration blob by those who show them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunDefaults {
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Prefix of the command line. Absent and empty are different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The command, or the arguments of the entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// `user[:group]`, names or numbers; empty means 0.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Working directory; empty means `/`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Paths that are to be volumes.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// `port[/protocol]`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the command to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker's health check, as the configuration has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
}

/// What of an image's files decides how the ids of a container are made: known without going through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOwners {
    /// Whether anything belongs to somebody else than 0:0.
    pub others: bool,
    /// Whether `/etc/passwd` has accounts of other ids than 0.
    pub accounts: bool,
    /// Whether what belongs to others does so on disk, too, and is not only said to.
    pub given: bool,
}

impl ImageOwners {
    /// Whether nobody but root has anything in it, or could be meant.
    pub fn is_only_root(self) -> bool {
        !self.others && !self.accounts
    }
}

/// One image of the store; or a list of images that a user makes (`manifest create`). A list has an id that means nothing,
/// an index in place of the manifest, and no layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of the configuration blob.
    pub id: ImageId,
    /// The manifest of this platform.
    pub manifest: BlobDescriptor,
    /// What it was built for.
    pub platform: Platform,
    /// When it was built, as the configuration has it (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<String>,
    /// The layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// Unpacked size of all layers in bytes.
    pub size: u64,
    /// What a container gets unless told otherwise.
    pub config: RunDefaults,
    /// Whom its files belong to. Absent in records of older versions, and of lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owners: Option<ImageOwners>,
}

impl ImageRecord {
    /// Whether it is a list of images.
    pub fn is_list(&self) -> bool {
        DocumentKind::of(&self.manifest.media_type) == Some(DocumentKind::Index)
    }

    /// The layers that can be seen, lowest first. The kernel's overlay ignores that a layer's root is opaque: what it hides is
    /// left out.
    pub fn visible_layers(&self) -> &[ImageLayer] {
        let lowest = self.layers.iter().rposition(|layer| layer.opaque).unwrap_or(0);
        &self.layers[lowest..]
    }
}

impl Record for ImageRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "image record";
}

/// What a reference points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRecord {
    /// The reference, complete.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// What the registry had under this reference: the digest of a manifest, or of an index.
    pub manifest_digest: Digest,
}

impl Record for ReferenceRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "image reference";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, opaque: bool) -> ImageLayer {
        let digest = Digest::of(name.as_bytes());
        let descriptor = BlobDescriptor { digest: digest.clone(), media_type: String::new(), size: 0 };
        ImageLayer { diff_id: digest, descriptor, opaque }
    }

    #[test]
    fn an_opaque_root_hides_what_lies_below() {
        let visible = |opaque: [bool; 3]| {
            let layers = ["a", "b", "c"].into_iter().zip(opaque).map(|(name, opaque)| layer(name, opaque)).collect();
            let record = ImageRecord {
                id: Digest::of(b""),
                manifest: layer("m", false).descriptor,
                platform: Platform::host(),
                created: None,
                layers,
                size: 0,
                config: RunDefaults::default(),
                owners: None,
            };
            record.visible_layers().len()
        };
        assert_eq!(visible([false, false, false]), 3);
        assert_eq!(visible([true, false, false]), 3);
        assert_eq!(visible([false, true, false]), 2);
        assert_eq!(visible([true, true, true]), 1);
    }

    #[test]
    fn records_without_the_mark_still_load() {
        let text = serde_json::to_string(&layer("a", false)).unwrap();
        assert!(!text.contains("opaque"));
        assert_eq!(serde_json::from_str::<ImageLayer>(&text).unwrap(), layer("a", false));
    }
}
