//! Media types of image documents and layers, in OCI's spelling (image-spec "Media Types") and in docker's (image
//! manifest version 2, schema 2).

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's index ("manifest list").
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// OCI layer, not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI layer, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker's layer, not compressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's layer, compressed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What a registry is asked to send: every document we understand (header `Accept`, distribution-spec "Pulling
/// manifests").
pub const ACCEPTED_DOCUMENTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// The kinds of document that a manifest's digest or tag may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// One image.
    Manifest,
    /// Several images for different platforms.
    Index,
    /// Docker's schema 1, which nothing supports any more.
    SchemaOne,
}

impl DocumentKind {
    /// The kind that `media_type` names, if it names one. Parameters (`; charset=utf-8`) do not matter.
    pub fn of(media_type: &str) -> Option<Self> {
        match essence(media_type) {
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Self::Manifest),
            OCI_INDEX | DOCKER_INDEX => Some(Self::Index),
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Some(Self::SchemaOne),
            _ => None,
        }
    }
}

/// `media_type` without parameters.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Whether `media_type` is that of an image's configuration, and not of some other artifact.
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, possibly of several members (RFC 1952).
    Gzip,
    /// Zstandard, possibly of several frames (RFC 8878).
    Zstd,
}

/// Why a layer's media type was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayerTypeRefused {
    /// Its publisher does not allow registries to distribute it.
    #[error("a layer of type {0:?} may not be distributed by registries, and its foreign addresses are not followed")]
    Foreign(String),
    /// It is encrypted.
    #[error("a layer of type {0:?} is encrypted, which is not supported")]
    Encrypted(String),
    /// Nothing we know.
    #[error("a layer of type {0:?} is not a file system layer")]
    Unknown(String),
}

impl Compression {
    /// The compression that a layer of `media_type` has.
    pub fn of_layer(media_type: &str) -> Result<Self, LayerTypeRefused> {
        let shown = || media_type.chars().take(160).collect::<String>();
        match media_type {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Ok(Self::Gzip)
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                Ok(Self::Zstd)
            }
            other if other.ends_with("+encrypted") => Err(LayerTypeRefused::Encrypted(shown())),
            other
                if other.starts_with("application/vnd.oci.image.layer.nondistributable.")
                    || other.starts_with("application/vnd.docker.image.rootfs.foreign.") =>
            {
                Err(LayerTypeRefused::Foreign(shown()))
            }
            _ => Err(LayerTypeRefused::Unknown(shown())),
        }
    }

    /// The compression of content that begins with `first`, as far as its first bytes tell.
    pub fn sniff(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame: RFC 8878 sections 3.1.1 and 3.1.2.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Its name, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "plain tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_layers_are_known() {
        let of = |text: &str| Compression::of_layer(text);
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar+zstd"), Ok(Compression::Zstd));
        assert_eq!(of("application/vnd.docker.image.rootfs.diff.tar.gzip"), Ok(Compression::Gzip));
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar"), Ok(Compression::None));
    }

    #[test]
    fn other_layers_are_refused_by_what_they_are() {
        let refused = |text: &str| Compression::of_layer(text).unwrap_err().to_string();
        assert!(
            refused("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip").contains("may not be distributed")
        );
        assert!(refused("application/vnd.oci.image.layer.nondistributable.v1.tar").contains("may not be distributed"));
        assert!(refused("application/vnd.oci.image.layer.v1.tar+gzip+encrypted").contains("encrypted"));
        assert!(refused("application/vnd.cncf.helm.chart.content.v1.tar+gzip").contains("not a file system layer"));
    }

    #[test]
    fn parameters_do_not_matter() {
        assert_eq!(
            DocumentKind::of("application/vnd.oci.image.index.v1+json; charset=utf-8"),
            Some(DocumentKind::Index)
        );
        assert_eq!(DocumentKind::of("application/json"), None);
    }
}
