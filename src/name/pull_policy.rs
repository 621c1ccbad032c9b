//! `--pull` and `--policy`.

use std::fmt;
use std::str::FromStr;

use super::serialize::as_text;

/// When to ask the registry for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Only if it is not in the store.
    #[default]
    Missing,
    /// Always; fails if the registry cannot be reached.
    Always,
    /// If the registry has another one; a registry that cannot be reached is no failure if the image is in the store.
    Newer,
    /// Never.
    Never,
}

impl PullPolicy {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Always, Self::Missing, Self::Never, Self::Newer];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Always => "always",
            Self::Newer => "newer",
            Self::Never => "never",
        }
    }
}

/// Why a policy was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a pull policy: expected always, missing, never or newer")]
pub struct UnknownPolicy(String);

impl crate::failure::Explain for UnknownPolicy {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for PullPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = Self::ALL.iter().copied().find(|policy| policy.as_str() == text);
        known.ok_or_else(|| UnknownPolicy(text.chars().take(80).collect()))
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

as_text!(PullPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for &policy in PullPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for text in ["", "Always", "true", "debian"] {
            assert!(text.parse::<PullPolicy>().is_err(), "{text}");
        }
    }
}
