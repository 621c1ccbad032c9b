//! Why a container cannot have the network that it was to have.

use crate::failure::Explain;

/// Why a container cannot have the network that it was to have.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A kind of network that there is not.
    #[error("--network {0}: this version has no networks of that kind")]
    Kind(String),
}

impl Explain for NetworkError {
    fn code(&self) -> &'static str {
        match self {
            Self::Kind(_) => "E_NETWORK",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Kind(_) => {
                Some("this version has `none` (loopback only) and `host` (the network of the host)".into())
            }
        }
    }
}
