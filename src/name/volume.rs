//! Names of volumes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A volume's name: a letter or digit, then letters, digits, `_`, `.` or `-` (docker's and podman's rule), at most as long as
/// the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

/// As a file name may have (NAME_MAX).
const LONGEST: usize = 255;

/// Digits of an anonymous volume's name.
const ANONYMOUS_LENGTH: usize = 64;

impl VolumeName {
    /// The name of an anonymous volume, made of 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as listings show it where room is short.
    pub fn short(&self) -> &str {
        let is_random = self.0.len() == ANONYMOUS_LENGTH && self.0.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.0.get(..12).filter(|_| is_random).unwrap_or(&self.0)
    }
}

/// Why a volume's name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a volume name: expected a letter or digit, then letters, digits, '_', '.', '-', at most 255 in all"
)]
pub struct VolumeNameRefused(String);

impl crate::failure::Explain for VolumeNameRefused {
    fn code(&self) -> &'static str {
        "E_NAME_INVALID"
    }

    fn hint(&self) -> Option<String> {
        let path = self.0.as_str();
        path.contains('/').then(|| format!("for the directory of the host, write ./{path} or its absolute path"))
    }
}

impl FromStr for VolumeName {
    type Err = VolumeNameRefused;

    fn from_str(text: &str) -> Result<Self, VolumeNameRefused> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && text.len() <= LONGEST && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            return Ok(Self(text.into()));
        }
        Err(VolumeNameRefused(text.chars().take(160).collect()))
    }
}

impl TryFrom<String> for VolumeName {
    type Error = VolumeNameRefused;

    fn try_from(text: String) -> Result<Self, VolumeNameRefused> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rule() {
        for good in ["a", "data-1", "A.b_c", &"x".repeat(255)] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good}");
        }
        for bad in ["", "-v", ".x", "..", "a/b", "a/../b", "a b", "a:b", "a\n", "é", &"x".repeat(256)] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad}");
            assert!(serde_json::from_value::<VolumeName>(bad.into()).is_err(), "{bad}");
        }
        assert_eq!(VolumeName::from_random([0xab; 32]).short(), "abababababab");
        assert_eq!("data-of-the-website".parse::<VolumeName>().unwrap().short(), "data-of-the-website");
    }
}
