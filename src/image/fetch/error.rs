//! Why an image could not be brought into the store.

use crate::failure::Explain;
use crate::host::config::policy::PolicyRefused;
use crate::host::config::registries::RegistriesRefused;
use crate::image::archive::ArchiveError;
use crate::image::decompress::DecompressError;
use crate::oci::digest::Digest;
use crate::oci::image_config::ConfigRefused;
use crate::oci::media_type::LayerTypeRefused;
use crate::oci::platform::Platform;
use crate::registry::{NoSuchPlatform, RegistryError};
use crate::state::lock::LockError;
use crate::store::StoreError;

/// Why an image could not be brought into the store.
#[derive(Debug, thiserror::Error)]
pub enum FetchCause {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An archive of the user's.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What is configured about registries.
    #[error(transparent)]
    Configuration(#[from] RegistriesRefused),
    /// The policy for images.
    #[error(transparent)]
    Policy(#[from] PolicyRefused),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its index has nothing for the platform.
    #[error(transparent)]
    NoSuchPlatform(#[from] NoSuchPlatform),
    /// A layer could not be decompressed or unpacked.
    #[error(transparent)]
    Layer(#[from] DecompressError<StoreError>),
    /// Not in the store, and the registry is not to be asked.
    #[error("there is no such image in the store, and it is not to be pulled")]
    NotPresent,
    /// In the store for another platform, and the registry is not to be asked.
    #[error("the image in the store is for {found} and not for {wanted}, and it is not to be pulled")]
    PresentForOther {
        /// What there is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The image is for one platform only, which is another one.
    #[error("the image is for {found} and not for {wanted}")]
    OtherPlatform {
        /// What it is for, as its configuration says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// An index that leads to an index.
    #[error("the index leads to {0}, which is another index")]
    NestedIndex(Digest),
    /// Something else than an image.
    #[error("it is not a container image: its configuration is of type {0:?}")]
    NotAnImage(String),
    /// Its configuration is not one.
    #[error("refusing the image's configuration {digest}")]
    Config {
        /// Digest of the configuration.
        digest: Digest,
        /// Why.
        #[source]
        cause: ConfigRefused,
    },
    /// Manifest and configuration disagree.
    #[error("the manifest has {layers} layers, but the configuration {diff_ids}")]
    LayerCount {
        /// By the manifest.
        layers: usize,
        /// By the configuration.
        diff_ids: usize,
    },
    /// A layer of a kind that cannot be unpacked.
    #[error(transparent)]
    LayerType(#[from] LayerTypeRefused),
    /// Another layer failed. Never the cause of a whole fetch.
    #[error("stopped because another layer failed")]
    Stopped,
}

impl FetchCause {
    /// Whether what came under `digest` has another one.
    pub(super) fn is_digest_mismatch(&self, digest: &Digest) -> bool {
        matches!(self, Self::Store(StoreError::DigestMismatch { expected, .. }) if expected == digest)
    }

    /// Whether another place may well have what this one has not.
    pub(in crate::image) fn is_the_places_fault(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::NoSuchPlatform(_) | Self::Store(StoreError::DigestMismatch { .. }))
    }
}

impl Explain for FetchCause {
    fn code(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.code(),
            Self::Archive(error) => error.code(),
            Self::Configuration(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::NoSuchPlatform(error) => error.code(),
            Self::Layer(error) => error.code(),
            Self::NotPresent | Self::PresentForOther { .. } | Self::OtherPlatform { .. } => "E_NOTFOUND",
            Self::NestedIndex(_) | Self::NotAnImage(_) | Self::Config { .. } | Self::LayerCount { .. } => {
                "E_MANIFEST_AMBIGUOUS"
            }
            Self::LayerType(_) => "E_LAYER_FORMAT",
            Self::Stopped => "E_LAYER_FORMAT",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Configuration(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::NoSuchPlatform(error) => error.hint(),
            Self::Layer(error) => error.hint(),
            Self::NotPresent | Self::PresentForOther { .. } => Some("allow it with `--pull=missing`".into()),
            Self::OtherPlatform { found, .. } => {
                found.parse::<Platform>().ok().map(|_| format!("`--platform={found}` takes it all the same"))
            }
            Self::NotAnImage(_) => Some("fetch artifacts with a tool made for them".into()),
            _ => None,
        }
    }
}
