//! The configuration files of the `containers` family and of docker, as far as they are honoured.

pub mod auth;
pub mod base64;
pub mod certificates;
pub mod containers;
pub mod credential;
pub mod credential_helper;
pub mod policy;
pub mod registries;
pub mod replace;
pub mod storage;

use std::fmt;
use std::path::{Path, PathBuf};

use super::env;

/// A configuration file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// Line and column, counted from 1, where it goes wrong; absent where it cannot be read.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "line {line} column {column}: ")?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for Broken {}

impl Broken {
    /// The file at `path`, which cannot be read.
    pub(crate) fn unreadable(path: &Path, cause: &std::io::Error) -> Self {
        Self { path: path.into(), place: None, why: cause.to_string() }
    }

    /// The file at `path`, whose `text` goes wrong at this byte.
    fn at(path: &Path, text: &str, byte: usize, why: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let place = (before.matches('\n').count() + 1, line.chars().count() + 1);
        Self { path: path.into(), place: Some(place), why: why.into() }
    }
}

/// The text of the file at `path`; `None` if there is none.
fn read_if_there(path: &Path) -> Result<Option<String>, Broken> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Broken::unreadable(path, &error)),
    }
}

/// A document in TOML.
fn parse_toml<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, Broken> {
    toml::from_str(text).map_err(|error| {
        let byte = error.span().map_or(0, |span| span.start);
        Broken::at(path, text, byte, error.message().trim_end())
    })
}

/// The user's directory of configuration files for containers; absent where not even a home is known.
fn user_directory() -> Option<PathBuf> {
    let config = env::get_absolute(&env::XDG_CONFIG_HOME);
    let config = config.or_else(|| env::get_absolute(&env::HOME).map(|home| home.join(".config")));
    config.map(|config| config.join("containers"))
}
