//! Why a limit cannot be had.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Explain;

/// Why a limit, or a group, cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// There is no place for groups.
    #[error("{flag} cannot be enforced: {reason}")]
    NoGround {
        /// What was asked for.
        flag: String,
        /// Why not.
        reason: String,
    },
    /// The controller is not there.
    #[error("{flag} cannot be enforced: the controller {controller:?} is not ours to use here (there {verb} {available})", verb = if available.contains(',') { "are" } else { "is" })]
    NoController {
        /// What was asked for.
        flag: String,
        /// The controller.
        controller: String,
        /// Those that there are.
        available: String,
    },
    /// It exists with the other version of control groups only.
    #[error("{flag} cannot be enforced: control groups {version} do not have it")]
    OtherVersion {
        /// What was asked for.
        flag: &'static str,
        /// The version of this machine.
        version: &'static str,
    },
    /// More than there is.
    #[error("{flag}: {asked} is more than there is here: {limit}")]
    TooMuch {
        /// What was asked for.
        flag: &'static str,
        /// How much.
        asked: String,
        /// What there is.
        limit: String,
    },
    /// Not a block device.
    #[error("{flag}: {} is not a block device", path.display())]
    NotADevice {
        /// What was asked for.
        flag: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause, if it could not be looked at.
        #[source]
        cause: Option<io::Error>,
    },
    /// The kernel refused a value.
    #[error("{flag}: writing {value:?} to {}", path.display())]
    Refused {
        /// What was asked for.
        flag: String,
        /// The value.
        value: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A group.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// With which directory or file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// systemd said no.
    #[error("asking systemd's user manager for a scope: {0}")]
    Systemd(String),
    /// It did not answer.
    #[error("asking systemd's user manager for a scope")]
    Bus(#[source] io::Error),
}

impl CgroupError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { doing, path, cause }
    }
}

/// What helps where groups cannot be made.
const CURE: &str = "with systemd, log in as this user (or: systemd-run --user --scope -p Delegate=yes SHELL); else have root make \
                    a group that is yours, and start from within it; or take --limits=soft, which enforces what it can and says \
                    what it cannot";

impl Explain for CgroupError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoGround { .. } | Self::NoController { .. } | Self::OtherVersion { .. } => "E_LIMIT_UNENFORCEABLE",
            Self::TooMuch { .. } | Self::NotADevice { .. } => "E_CONFIG",
            Self::Refused { .. } | Self::Io { .. } | Self::Systemd(_) | Self::Bus(_) => "E_CGROUP",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoGround { .. } | Self::NoController { .. } => Some(CURE.into()),
            Self::OtherVersion { .. } => Some("leave it out; coracle info says which version there is".into()),
            Self::Refused { .. } => Some("the group around it may allow less, or the kernel may lack it".into()),
            _ => None,
        }
    }
}
