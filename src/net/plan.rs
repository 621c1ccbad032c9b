//! What a container's network is to be: plain data, made by a pure function of the request and of what the host has.

use super::error::NetworkError;
use crate::name::network_mode::NetworkMode;

/// A container's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkPlan {
    /// A namespace of its own, with a loopback device.
    None,
    /// A namespace of its own, attached to networks that have names.
    Named,
    /// The caller's namespace.
    Host,
}

impl NetworkPlan {
    /// For what was asked for.
    pub fn new(mode: &NetworkMode) -> Result<Self, NetworkError> {
        match mode {
            NetworkMode::Default | NetworkMode::None => Ok(Self::None),
            NetworkMode::Networks(_) => Ok(Self::Named),
            NetworkMode::Host => Ok(Self::Host),
            mode => Err(NetworkError::Kind(mode.to_string())),
        }
    }

    /// Whether the container has a network namespace of its own.
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Host)
    }
}
