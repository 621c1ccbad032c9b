//! `--ipc`, `--pid` and `--uts`: whose namespaces the container has (namespaces(7)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::name::serialize::as_text;

/// A namespace of messages, semaphores and shared memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IpcMode {
    /// Its own, which no other container joins.
    Private,
    /// Its own, which others may join.
    #[default]
    Shareable,
    /// Its own, without a `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// Somebody else's.
    Of(Owner),
}

/// A namespace of processes, or of host names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Somebody else's.
    Of(Owner),
}

/// Whose namespace is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A container's: its name, or its identifier or the beginning of it.
    Container(String),
    /// Of whoever keeps it at this path, which is absolute.
    Path(PathBuf),
}

/// Why a mode was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModeRefused {
    /// Not a mode.
    #[error("{text:?} is not {expected}")]
    Unknown {
        /// What was given.
        text: String,
        /// What could be.
        expected: &'static str,
    },
    /// `container:` without a name.
    #[error("{0:?} names no container")]
    NoContainer(String),
    /// `ns:` without an absolute path.
    #[error("{0:?} names no absolute path")]
    NoPath(String),
}

impl crate::failure::Explain for ModeRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => None,
            Self::NoContainer(_) => Some("for example: container:web".into()),
            Self::NoPath(_) => Some("for example: ns:/proc/4711/ns/ipc".into()),
        }
    }
}

/// Somebody else's, if the text says so.
fn owner(text: &str) -> Result<Option<Owner>, ModeRefused> {
    match text.split_once(':') {
        Some(("container", "")) => Err(ModeRefused::NoContainer(text.into())),
        Some(("container", name)) => Ok(Some(Owner::Container(name.into()))),
        Some(("ns", path)) if path.starts_with('/') => Ok(Some(Owner::Path(path.into()))),
        Some(("ns", _)) => Err(ModeRefused::NoPath(text.into())),
        _ => Ok(None),
    }
}

fn unknown(text: &str, expected: &'static str) -> ModeRefused {
    ModeRefused::Unknown { text: text.chars().take(80).collect(), expected }
}

impl FromStr for IpcMode {
    type Err = ModeRefused;

    fn from_str(text: &str) -> Result<Self, ModeRefused> {
        match text {
            "" => Ok(Self::default()),
            "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => {
                let expected = "private, shareable, none, host, container:NAME or ns:PATH";
                owner(text)?.map(Self::Of).ok_or_else(|| unknown(text, expected))
            }
        }
    }
}

impl FromStr for NamespaceMode {
    type Err = ModeRefused;

    fn from_str(text: &str) -> Result<Self, ModeRefused> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => owner(text)?.map(Self::Of).ok_or_else(|| unknown(text, "private, host, container:NAME or ns:PATH")),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Path(path) => write!(f, "ns:{}", path.display()),
        }
    }
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Of(owner) => owner.fmt(f),
        }
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Host => f.write_str("host"),
            Self::Of(owner) => owner.fmt(f),
        }
    }
}

as_text!(IpcMode, NamespaceMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_mean_themselves() {
        for text in ["private", "shareable", "none", "host", "container:web", "ns:/proc/1/ns/ipc"] {
            assert_eq!(text.parse::<IpcMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        for text in ["private", "host", "container:web", "ns:/proc/1/ns/pid"] {
            assert_eq!(text.parse::<NamespaceMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert!(matches!("container:".parse::<IpcMode>(), Err(ModeRefused::NoContainer(_))));
        assert!(matches!("ns:x".parse::<NamespaceMode>(), Err(ModeRefused::NoPath(_))));
        for text in ["shareable", "pod:x", "other"] {
            assert!(matches!(text.parse::<NamespaceMode>(), Err(ModeRefused::Unknown { .. })), "{text}");
        }
    }
}
