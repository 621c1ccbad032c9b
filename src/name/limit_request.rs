//! What was asked for about a container's share of the machine.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::resources::{Bound, Resources};
use super::ulimit::Ulimit;

/// Limits, and how they are to be enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitRequest {
    /// What its processes together may use.
    pub resources: Resources,
    /// Whether it gets a control group.
    pub groups: GroupMode,
    /// In which group that is made, or in which slice of systemd's.
    pub parent: Option<String>,
    /// What it sees of the hierarchy.
    pub namespace: GroupNamespace,
    /// What happens where a limit cannot be enforced.
    pub enforcement: Enforcement,
    /// What each process may use.
    pub ulimits: Vec<Ulimit>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<Bound>,
    /// How readily the kernel kills its processes when memory is short: -1000 to 1000.
    pub oom_score_adj: Option<i16>,
}

impl LimitRequest {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `--cgroups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupMode {
    /// A group where a limit needs one.
    #[default]
    AsNeeded,
    /// A group in any case.
    Enabled,
    /// None.
    Disabled,
    /// A group in any case, below that of the command.
    Split,
}

impl GroupMode {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsNeeded | Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Split => "split",
        }
    }
}

/// `--cgroupns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupNamespace {
    /// Its own group is the root.
    #[default]
    Private,
    /// All of it.
    Host,
}

impl GroupNamespace {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Host => "host",
        }
    }
}

/// `--limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// It is an error.
    #[default]
    Strict,
    /// It is enforced in part, or not at all, and said so.
    Soft,
}

/// Why a word was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {expected}")]
pub struct UnknownWord {
    text: String,
    expected: &'static str,
}

impl crate::failure::Explain for UnknownWord {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

fn unknown<T>(text: &str, expected: &'static str) -> Result<T, UnknownWord> {
    Err(UnknownWord { text: text.chars().take(80).collect(), expected })
}

impl FromStr for GroupMode {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            // The monitor is never in the container's group.
            "enabled" | "no-conmon" => Ok(Self::Enabled),
            "disabled" => Ok(Self::Disabled),
            "split" => Ok(Self::Split),
            _ => unknown(text, "enabled, disabled, no-conmon or split"),
        }
    }
}

impl FromStr for GroupNamespace {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => unknown(text, "private or host"),
        }
    }
}

impl FromStr for Enforcement {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "strict" => Ok(Self::Strict),
            "soft" => Ok(Self::Soft),
            _ => unknown(text, "strict or soft"),
        }
    }
}

/// A group's path without a way out of the hierarchy.
pub fn parse_parent(text: &str) -> Result<String, UnknownWord> {
    let names = || text.split('/').filter(|name| !name.is_empty());
    match names().next().is_some() && names().all(|name| name != "." && name != ".." && !name.contains('\0')) {
        true => Ok(text.to_owned()),
        false => unknown(text, "a control group's path, like /user/limits, or a slice, like user-limits.slice"),
    }
}

/// The inclination to be killed.
pub fn parse_oom_score(text: &str) -> Result<i16, UnknownWord> {
    match text.parse() {
        Ok(score @ -1000..=1000) => Ok(score),
        _ => unknown(text, "a number from -1000 to 1000, like 500"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(parse_parent("/a/b").as_deref(), Ok("/a/b"));
        for text in ["", "/", "..", "/a/../b", "./a"] {
            assert!(parse_parent(text).is_err(), "{text}");
        }
        assert!(parse_oom_score("-1001").is_err() && parse_oom_score("-1000") == Ok(-1000));
        assert_eq!("no-conmon".parse(), Ok(GroupMode::Enabled));
        assert!("".parse::<GroupMode>().is_err() && "Host".parse::<GroupNamespace>().is_err());
        assert!("hard".parse::<Enforcement>().is_err());
    }
}
