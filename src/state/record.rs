//! Records: one JSON file each, replaced atomically, versioned.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    /// Version written, and the newest that is read.
    const VERSION: u32;
}

/// What is on disk: the record with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// `reading` or `writing`.
        doing: &'static str,
        /// The record.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// Not what we wrote.
    #[error("reading {}: the record is damaged", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: serde_json::Error,
    },
    /// Written by a newer coracle.
    #[error("reading {}: version {found} of this record needs a newer coracle", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl crate::failure::Explain for RecordError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { cause, .. } => io_code(cause),
            Self::Damaged { .. } => "E_STATE",
            Self::Newer { .. } => "E_STORE_VERSION",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { cause, .. } => io_hint(cause),
            Self::Damaged { path, .. } => Some(format!("only this object is affected: remove {}", path.display())),
            Self::Newer { .. } => Some("use the coracle that wrote it".into()),
        }
    }
}

/// The stable code of an I/O error.
pub fn io_code(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::ENOSPC) => "E_NOSPACE",
        Some(libc::EDQUOT) => "E_QUOTA",
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => "E_READONLY",
        Some(libc::EMFILE | libc::ENFILE) => "E_FILES",
        Some(libc::ENOENT) => "E_NOTFOUND",
        _ => "E_IO",
    }
}

/// The cure of an I/O error, where it has a general one.
pub fn io_hint(cause: &io::Error) -> Option<String> {
    let hint = match io_code(cause) {
        "E_NOSPACE" => "the disk is full: coracle rm and coracle rmi free space",
        "E_QUOTA" => "your disk quota is used up: coracle rm and coracle rmi free space",
        "E_READONLY" => "the store cannot be written to: use another directory with --root or XDG_DATA_HOME",
        "E_FILES" => "raise the limit on open files: ulimit -n",
        _ => return None,
    };
    Some(hint.into())
}

/// Replaces the record at `path` so that a reader sees the old one or the new one, and a power cut may leave either: for
/// state that is worthless after a reboot.
pub fn write_volatile<T: Record>(path: &Path, record: &T) -> Result<(), RecordError> {
    write(path, record, false).map_err(|cause| RecordError::Io { doing: "writing", path: path.into(), cause })
}

/// Replaces the record at `path` so that it is on disk when this returns.
pub fn write_durable<T: Record>(path: &Path, record: &T) -> Result<(), RecordError> {
    write(path, record, true).map_err(|cause| RecordError::Io { doing: "writing", path: path.into(), cause })
}

fn write<T: Record>(path: &Path, record: &T, durable: bool) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Versioned { v: T::VERSION, record })?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}~", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_file(&temporary, &bytes, durable).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    } else if durable {
        File::open(directory)?.sync_all()?;
    }
    written
}

fn write_file(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if durable { file.sync_all() } else { Ok(()) }
}

/// The record at `path`; `None` if there is none.
pub fn read<T: Record>(path: &Path) -> Result<Option<T>, RecordError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(RecordError::Io { doing: "reading", path: path.into(), cause }),
    };
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let damaged = |cause| RecordError::Damaged { path: path.into(), cause };
    let Version { v } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if v > T::VERSION {
        return Err(RecordError::Newer { path: path.into(), found: v });
    }
    serde_json::from_slice::<Versioned<T>>(&bytes).map(|versioned| Some(versioned.record)).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Sample {
        name: String,
    }

    impl Record for Sample {
        const VERSION: u32 = 2;
    }

    #[test]
    fn records_survive_and_damage_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sample.json");
        assert!(read::<Sample>(&path).unwrap().is_none());
        let sample = Sample { name: "x".into() };
        write_durable(&path, &sample).unwrap();
        assert_eq!(read::<Sample>(&path).unwrap(), Some(sample));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
        fs::write(&path, br#"{"v":3,"name":"x"}"#).unwrap();
        assert!(matches!(read::<Sample>(&path), Err(RecordError::Newer { found: 3, .. })));
        let whole = br#"{"v":2,"name":"x"}"#;
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(read::<Sample>(&path), Err(RecordError::Damaged { .. })), "{end}");
        }
    }
}
