//! Container identifiers and names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A container's identifier: 64 lowercase hexadecimal digits, chosen at random.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(Box<str>);

impl ContainerId {
    /// The identifier made of 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as listings show them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// A container's name: a letter or digit, then up to 127 letters, digits, `_`, `.` or `-` (docker's and podman's rule).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(Box<str>);

impl ContainerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a container's name or identifier was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameRefused {
    /// Not a name.
    #[error(
        "{0:?} is not a container name: expected a letter or digit, then up to 127 of letters, digits, '_', '.', '-'"
    )]
    Name(String),
    /// Not an identifier.
    #[error("{0:?} is not a container id: expected 64 lowercase hexadecimal digits")]
    Id(String),
}

impl crate::failure::Explain for NameRefused {
    fn code(&self) -> &'static str {
        "E_NAME_INVALID"
    }
}

impl FromStr for ContainerName {
    type Err = NameRefused;

    fn from_str(text: &str) -> Result<Self, NameRefused> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        if first && text.len() <= 128 && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            return Ok(Self(text.into()));
        }
        Err(NameRefused::Name(text.chars().take(160).collect()))
    }
}

impl FromStr for ContainerId {
    type Err = NameRefused;

    fn from_str(text: &str) -> Result<Self, NameRefused> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text.into()));
        }
        Err(NameRefused::Id(text.chars().take(160).collect()))
    }
}

macro_rules! text_type {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(ContainerId);
text_type!(ContainerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rule() {
        for good in ["a", "web-1", "A.b_c", &"x".repeat(128)] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "-v", ".x", "a/b", "a b", "$(id)", "a\n", "é", &"x".repeat(129)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }
}
