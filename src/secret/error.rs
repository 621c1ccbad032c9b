//! Why something about a secret failed.

use std::io;
use std::path::PathBuf;

use super::LARGEST;
use crate::failure::Explain;
use crate::name::secret::SecretName;
use crate::state::record::{RecordError, io_code, io_hint};

/// Why something about a secret failed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is one of this name already.
    #[error("making the secret {0}: there is one of this name")]
    Exists(SecretName),
    /// There is none.
    #[error("there is no secret {0:?}")]
    Missing(String),
    /// It has too few or too many bytes.
    #[error("making the secret {name}: it has {size} bytes, and may have 1 to {LARGEST}")]
    Size {
        /// Its name.
        name: SecretName,
        /// Bytes.
        size: usize,
    },
    /// A driver that there is not.
    #[error("there is no driver of secrets {0:?}: expected file or shell")]
    Driver(String),
    /// Options of a driver.
    #[error("the driver of secrets {driver} {why}")]
    Options {
        /// The driver.
        driver: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A command of the driver `shell` failed.
    #[error("the secret {name}: its command {command} {why}")]
    Command {
        /// The secret.
        name: SecretName,
        /// Which command.
        command: &'static str,
        /// How it failed.
        why: String,
    },
    /// Its record has no bytes.
    #[error("the record of the secret {0} is damaged: it has no data")]
    Damaged(SecretName),
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
    /// No identifier.
    #[error("getting random bytes for the identifier of a secret")]
    Random(#[source] io::Error),
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Explain for SecretError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "E_EXISTS",
            Self::Missing(_) => "E_NOTFOUND",
            Self::Size { .. } | Self::Options { .. } => "E_CONFIG",
            Self::Driver(_) => "E_UNSUPPORTED",
            Self::Command { .. } => "E_DRIVER",
            Self::Damaged(_) => "E_STORE_CORRUPT",
            Self::Io { cause, .. } | Self::Random(cause) => io_code(cause),
            Self::Record(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("--replace replaces it, --ignore leaves it as it is".into()),
            Self::Missing(_) => Some("coracle secret ls lists all secrets".into()),
            Self::Driver(name) if name == "pass" => Some(
                "with pass(1): --driver shell --driver-opts store='pass insert -m coracle/$SECRET_ID' \
                 --driver-opts lookup='pass show coracle/$SECRET_ID' --driver-opts delete='pass rm -f coracle/$SECRET_ID'"
                    .into(),
            ),
            Self::Options { .. } => Some(
                "for example --driver shell --driver-opts store='cat >~/keys/$SECRET_ID' \
                 --driver-opts lookup='cat ~/keys/$SECRET_ID' --driver-opts delete='rm ~/keys/$SECRET_ID'"
                    .into(),
            ),
            Self::Damaged(name) => Some(format!("make it anew: coracle secret create --replace {name} FILE")),
            Self::Io { cause, .. } => io_hint(cause),
            Self::Record(error) => error.hint(),
            _ => None,
        }
    }
}
