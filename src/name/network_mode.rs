//! `--network`.

use std::fmt;
use std::str::FromStr;

use super::serialize::as_text;

/// The container's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// A network namespace with a loopback device only.
    None,
    /// The caller's network namespace.
    Host,
}

impl NetworkMode {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::None, Self::Host];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// Why a network was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a network of this version")]
pub struct UnknownNetwork(String);

impl crate::failure::Explain for UnknownNetwork {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some("this version has `none` (loopback only) and `host` (the network of the host)".into())
    }
}

impl FromStr for NetworkMode {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let known = Self::ALL.iter().copied().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| UnknownNetwork(text.chars().take(80).collect()))
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

as_text!(NetworkMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_exists_is_accepted() {
        assert_eq!("none".parse(), Ok(NetworkMode::None));
        assert_eq!("host".parse(), Ok(NetworkMode::Host));
        for text in ["", "None", "bridge", "slirp4netns", "container:x", "-v"] {
            assert!(text.parse::<NetworkMode>().is_err(), "{text}");
        }
    }
}
