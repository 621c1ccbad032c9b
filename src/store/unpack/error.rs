//! Why a layer is refused, and how the unpacking process tells its parent.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::Explain;
use crate::host::userns;
use crate::state::record::{io_code, io_hint};

/// What stopped the unpacking.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A name that no layer may have.
    #[error("entry {name}: {reason}")]
    Path {
        /// The entry, or its target.
        name: Shown,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Too much of something.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// Of what.
        what: String,
        /// How much is allowed.
        limit: String,
    },
    /// Not a tar as it should be.
    #[error("the tar is malformed at byte {offset}: {reason}")]
    Format {
        /// Where, in the uncompressed tar.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file operation failed.
    #[error("{action} {name}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        name: Shown,
        /// Why it failed.
        source: Errno,
    },
    /// The file system has room for bytes, but not for another file.
    #[error("{action} {name}: no inode is left on the file system")]
    NoInodes {
        /// What was tried.
        action: &'static str,
        /// On what.
        name: Shown,
    },
    /// The tar could not be read, or the report not be written.
    #[error("{action}")]
    Channel {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The process could not be shut in.
    #[error("{action}")]
    Confine {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: Errno,
    },
    /// The kernel did not take the filter for system calls.
    #[error("giving up system calls")]
    Filter {
        /// Why it failed.
        source: Errno,
    },
}

/// A name from a layer, cut to what fits into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// `name`, at most 200 characters of it.
    pub fn new(name: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&name[..name.len().min(1000)]);
        let mut shown: String = text.chars().take(200).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        Self(shown)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Explain for UnpackError {
    fn code(&self) -> &'static str {
        match self {
            Self::Path { .. } => "E_LAYER_PATH",
            Self::Limit { .. } => "E_LAYER_LIMIT",
            Self::Format { .. } => "E_LAYER_FORMAT",
            Self::NoInodes { .. } => "E_NOINODES",
            Self::File { source, .. } => io_code(&(*source).into()),
            Self::Channel { source, .. } => io_code(source),
            Self::Confine { .. } => "E_USERNS_DISABLED",
            Self::Filter { .. } => "E_SECCOMP",
        }
    }
}

/// One line of JSON on the unpacking process's standard error.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReportLine {
    pub code: String,
    pub message: String,
    pub errno: Option<i32>,
}

impl ReportLine {
    pub(super) fn of(error: &UnpackError) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        let errno = match error {
            UnpackError::File { source, .. } | UnpackError::Confine { source, .. } | UnpackError::Filter { source } => {
                Some(*source as i32)
            }
            UnpackError::Channel { source, .. } => source.raw_os_error(),
            _ => None,
        };
        Self { code: error.code().into(), message, errno }
    }
}

/// What the unpacking process has reported, as its parent sees it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct JailReport {
    /// Stable code.
    pub code: &'static str,
    message: String,
    errno: Option<i32>,
}

/// All codes that the unpacking process can have.
const CODES: &[&str] = &[
    "E_LAYER_PATH",
    "E_LAYER_LIMIT",
    "E_LAYER_FORMAT",
    "E_USERNS_DISABLED",
    "E_SECCOMP",
    "E_NOSPACE",
    "E_NOINODES",
    "E_QUOTA",
    "E_READONLY",
    "E_FILES",
    "E_NOPROC",
    "E_NOTFOUND",
];

impl JailReport {
    /// The report in `line`. The process that wrote it has read hostile bytes, so nothing in it is taken on trust.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let ReportLine { code, message, errno } = serde_json::from_slice(line).ok()?;
        let code = CODES.iter().copied().find(|known| *known == code).unwrap_or("E_IO");
        Some(Self { code, message: message.chars().take(1000).collect(), errno })
    }

    /// The cure, if the cause is this machine and not the layer.
    pub fn hint(&self) -> Option<String> {
        if self.code == "E_USERNS_DISABLED" {
            return Some(userns::cure(self.errno.map_or(Errno::EPERM, Errno::from_raw)));
        }
        if self.code == "E_SECCOMP" {
            return Some("use a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)".into());
        }
        if self.code == "E_NOINODES" {
            return io_hint(&std::io::Error::from_raw_os_error(libc::ENOSPC));
        }
        io_hint(&std::io::Error::from_raw_os_error(self.errno?))
    }
}
