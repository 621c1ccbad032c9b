//! Why something about a volume failed.

use std::io;
use std::path::PathBuf;

use super::driver::DriverError;
use crate::failure::{EXIT_OWN_FAILURE, Explain};
use crate::name::volume::VolumeName;
use crate::name::volume_options::OptionRefused;
use crate::state::lock::LockError;
use crate::state::record::{RecordError, io_code, io_hint};

/// Why something about a volume failed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is one of this name already.
    #[error("making the volume {0}: there is one of this name")]
    Exists(VolumeName),
    /// There is none.
    #[error("there is no volume with the name {0:?}")]
    Missing(String),
    /// There are several whose names begin so.
    #[error("{0:?} is the beginning of the names of several volumes")]
    Ambiguous(String),
    /// Containers have it.
    #[error("removing the volume {name}: it is in use by {}", users.join(", "))]
    InUse {
        /// The volume.
        name: VolumeName,
        /// Names of containers.
        users: Vec<String>,
    },
    /// The file system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// Its driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// It was made with options that mean nothing.
    #[error(transparent)]
    Option(#[from] OptionRefused),
    /// Its files are not to be had.
    #[error("{doing} the volume {name}: {why}")]
    NoFiles {
        /// What was tried.
        doing: &'static str,
        /// The volume.
        name: VolumeName,
        /// Why not.
        why: &'static str,
    },
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The lock of all volumes.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Explain for VolumeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "E_EXISTS",
            Self::Missing(_) | Self::Ambiguous(_) => "E_NOTFOUND",
            Self::InUse { .. } => "E_BUSY",
            Self::Io { cause, .. } => io_code(cause),
            Self::Record(error) => error.code(),
            Self::Driver(error) => error.code(),
            Self::Option(error) => error.code(),
            Self::NoFiles { .. } => "E_UNSUPPORTED",
            Self::Lock(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("--ignore leaves it as it is, and is no failure".into()),
            Self::Missing(_) => Some("coracle volume ls lists all volumes".into()),
            Self::Ambiguous(_) => Some("type more of it".into()),
            Self::InUse { name, .. } => {
                Some(format!("coracle volume rm --force {name} removes these containers first"))
            }
            Self::Io { cause, .. } => io_hint(cause),
            Self::Record(error) => error.hint(),
            Self::Driver(error) => error.hint(),
            Self::Option(error) => error.hint(),
            Self::NoFiles { .. } => None,
            Self::Lock(error) => error.hint(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            // As podman's volume rm.
            Self::InUse { .. } => 2,
            _ => EXIT_OWN_FAILURE,
        }
    }
}
