//! `--ipc`, `--pid` and `--uts`: whose namespaces the container has (namespaces(7)).

use std::fmt;
use std::str::FromStr;

use crate::name::serialize::as_text;

/// A namespace of messages, semaphores and shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpcMode {
    /// Its own.
    #[default]
    Private,
    /// The same: it could be joined by others.
    Shareable,
    /// Its own, without a `/dev/shm`.
    None,
    /// The host's.
    Host,
}

/// A namespace of processes, or of host names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
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
    /// `container:NAME`, `ns:PATH`.
    #[error(
        "{0:?}: a container has namespaces of its own or the host's: each belongs to the user namespace of its container, which no other enters"
    )]
    Others(String),
}

impl crate::failure::Explain for ModeRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => None,
            Self::Others(_) => Some("coracle exec runs another process in a container, with all that it has".into()),
        }
    }
}

fn refused<T>(text: &str, expected: &'static str) -> Result<T, ModeRefused> {
    let text: String = text.chars().take(80).collect();
    match text.split_once(':') {
        Some(("container" | "ns", _)) => Err(ModeRefused::Others(text)),
        _ => Err(ModeRefused::Unknown { text, expected }),
    }
}

impl FromStr for IpcMode {
    type Err = ModeRefused;

    fn from_str(text: &str) -> Result<Self, ModeRefused> {
        match text {
            "" | "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => refused(text, "private, shareable, none or host"),
        }
    }
}

impl FromStr for NamespaceMode {
    type Err = ModeRefused;

    fn from_str(text: &str) -> Result<Self, ModeRefused> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => refused(text, "private or host"),
        }
    }
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Shareable => "shareable",
            Self::None => "none",
            Self::Host => "host",
        })
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Host => "host",
        })
    }
}

as_text!(IpcMode, NamespaceMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_mean_themselves() {
        for text in ["private", "shareable", "none", "host"] {
            assert_eq!(text.parse::<IpcMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        for text in ["private", "host"] {
            assert_eq!(text.parse::<NamespaceMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert!(matches!("container:x".parse::<IpcMode>(), Err(ModeRefused::Others(_))));
        assert!(matches!("ns:/x".parse::<NamespaceMode>(), Err(ModeRefused::Others(_))));
        assert!(matches!("shareable".parse::<NamespaceMode>(), Err(ModeRefused::Unknown { .. })));
    }
}
