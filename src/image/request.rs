//! What `pull` and `push` were asked for, in types.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::push::Members;
use super::reform::Change;
use crate::name::image_selector::ImageSelector;
use crate::name::pull_policy::PullPolicy;
use crate::name::reference::Reference;
use crate::oci::platform::Platform;

/// Images to be fetched.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// At least one.
    pub references: Vec<Reference>,
    /// The platform wanted; the host's where absent.
    pub platform: Option<Platform>,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// How to speak to registries.
    pub access: RegistryAccess,
    /// What is said meanwhile.
    pub progress: Progress,
}

/// An image to be sent.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Which.
    pub image: ImageSelector,
    /// Where to; under its own name where absent.
    pub destination: Option<Reference>,
    /// Which of the images of an index.
    pub members: Members,
    /// How.
    pub transfer: Transfer,
}

/// How something is sent.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// What is to be different there.
    pub change: Change,
    /// How to speak to the registry.
    pub access: RegistryAccess,
    /// What is said meanwhile.
    pub progress: Progress,
}

/// How to speak to registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryAccess {
    /// The only file in which to look for credentials (`--authfile`).
    pub authfile: Option<PathBuf>,
    /// The only directory in which to look for certificates (`--cert-dir`).
    pub cert_dir: Option<PathBuf>,
    /// The policy for images that are pulled (`--signature-policy`).
    pub signature_policy: Option<PathBuf>,
    /// How often to try again (`--retry`).
    pub retry: Option<u32>,
    /// How long to wait before that (`--retry-delay`).
    pub retry_delay: Option<Duration>,
    /// Credentials given on the command line (`--creds`).
    pub credentials: Option<Credentials>,
    /// `--tls-verify`; the configuration decides where absent.
    pub tls_verify: Option<bool>,
}

/// A user's name and password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Whether progress is shown on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bars on a terminal, lines elsewhere.
    Shown,
    /// Nothing (`--quiet`).
    Quiet,
}
