//! `--ids`.

use std::fmt;
use std::str::FromStr;

use super::serialize::as_text;

/// How a container's user and group ids are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IdsMode {
    /// As the image and the caller allow.
    #[default]
    Auto,
    /// Many ids of the caller's.
    Range,
    /// One id of the caller's, for the container's user.
    Native,
    /// One id of the caller's, and all others virtual.
    Emulate,
    /// One id of the caller's; calls for others only seem to succeed.
    Fake,
}

impl IdsMode {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Range, Self::Native, Self::Emulate, Self::Fake];

    /// The only way there was once.
    pub fn before_there_were_others() -> Self {
        Self::Native
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Range => "range",
            Self::Native => "native",
            Self::Emulate => "emulate",
            Self::Fake => "fake",
        }
    }
}

/// Why a word was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no way to make ids: expected auto, range, native, emulate or fake")]
pub struct UnknownMode(String);

impl crate::failure::Explain for UnknownMode {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for IdsMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let known = Self::ALL.iter().copied().find(|mode| mode.as_str() == text);
        known.ok_or_else(|| UnknownMode(text.chars().take(80).collect()))
    }
}

impl fmt::Display for IdsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

as_text!(IdsMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for &mode in IdsMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for text in ["", "Auto", "true", "subuid"] {
            assert!(text.parse::<IdsMode>().is_err(), "{text}");
        }
    }
}
