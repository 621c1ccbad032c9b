//! Records: one JSON file per object, with its version, replaced as a whole.
//!
//! One bad file loses one object. A file of a newer version is refused, never guessed at.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Explain, Failure};
use crate::state::temporary::{Kind, TemporaryFile};

/// Something that is kept in a file of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// The version that this program writes; it reads this and all earlier ones.
    const VERSION: u32;
    /// What it is, for messages.
    const KIND: &'static str = "record";
}

/// A record larger than this is not ours: the largest there are list the owners of a layer's files.
const MAX_SIZE: u64 = 256 << 20;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read.
    #[error("reading the {kind} {}", path.display())]
    Read {
        /// What was expected in it.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("writing the {kind} {}", path.display())]
    Write {
        /// What was to be written.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the JSON of such a record.
    #[error("the {kind} {} is damaged", path.display())]
    Damaged {
        /// What was expected in it.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("the {kind} {} has version {found}, and this program knows versions up to {known}", path.display())]
    Newer {
        /// What was expected in it.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
}

impl Explain for RecordError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => io_code(source),
            Self::Damaged { .. } => "E_STATE",
            Self::Newer { .. } => "E_STORE_VERSION",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => io_hint(source),
            Self::Damaged { path, .. } => {
                Some(format!("move {} away and create or pull the object again", path.display()))
            }
            Self::Newer { .. } => Some("use the newer version of coracle that wrote it".into()),
        }
    }
}

/// The stable code of a failed file operation.
pub fn io_code(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "E_NOSPACE",
        Some(libc::EDQUOT | libc::EFBIG) => "E_QUOTA",
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => "E_READONLY",
        Some(libc::EMFILE | libc::ENFILE) => "E_FILES",
        Some(libc::EAGAIN | libc::ENOMEM) => "E_NOPROC",
        Some(libc::ENOENT) => "E_NOTFOUND",
        _ => "E_IO",
    }
}

/// The cure of a failed file operation, where the error tells.
pub fn io_hint(error: &io::Error) -> Option<String> {
    let hint = match error.raw_os_error()? {
        libc::ENOSPC => {
            "make room, for example with `coracle rmi`; `df` and `df -i` show whether bytes or inodes are short"
        }
        libc::EDQUOT => "make room within your disk quota, for example with `coracle rmi`",
        libc::EFBIG => "raise the limit on file sizes (`ulimit -f`)",
        libc::EROFS | libc::EACCES | libc::EPERM => "choose a place that can be written to with `--root`",
        libc::EMFILE | libc::ENFILE => "raise the limit on open files (`ulimit -n`)",
        _ => return None,
    };
    Some(hint.into())
}

/// The failure of a file operation that has no error type of its own.
pub fn failure(doing: &str, cause: &io::Error) -> Failure {
    let failure = Failure::new(io_code(cause), format!("{doing}: {cause}"));
    match io_hint(cause) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[derive(Deserialize)]
struct Head {
    v: u32,
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    v: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// The names of the records in a directory, `NAME.json`, in their order.
pub fn names<N: FromStr + Ord>(directory: &Path) -> Vec<N> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<N> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect();
    names.sort();
    names
}

/// What `get` finds under each of these names, and failures to read some.
pub fn all<N, T, E: Explain>(names: &[N], get: impl Fn(&N) -> Result<Option<T>, E>) -> (Vec<T>, Vec<Failure>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match get(name) {
            Ok(record) => found.extend(record),
            Err(error) => failures.push(error.into()),
        }
    }
    (found, failures)
}

/// The record in the file `path`, or `None` if there is no such file.
pub fn read<T: Record>(path: &Path) -> Result<Option<T>, RecordError> {
    Ok(read_open(path)?.map(|(record, _)| record))
}

/// The same with the file, whose lock may tell more.
pub fn read_open<T: Record>(path: &Path) -> Result<Option<(T, File)>, RecordError> {
    let failed = |source| RecordError::Read { kind: T::KIND, path: path.into(), source };
    let mut file = match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = read_whole(&mut file).map_err(failed)?;
    Ok(Some((parse(&bytes, path)?, file)))
}

/// Most records are read at once: each is one line.
fn read_whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 8192];
    let count = file.read(&mut bytes)?;
    bytes.truncate(count);
    if !bytes.ends_with(b"\n") {
        file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn parse<T: Record>(bytes: &[u8], path: &Path) -> Result<T, RecordError> {
    let damaged = |source| RecordError::Damaged { kind: T::KIND, path: path.into(), source };
    let v = match version_ahead(bytes) {
        Some(v) => v,
        None => serde_json::from_slice::<Head>(bytes).map_err(damaged)?.v,
    };
    if v > T::VERSION {
        return Err(RecordError::Newer { kind: T::KIND, path: path.into(), found: v, known: T::VERSION });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// The version where we write it: at the beginning, so that the rest is gone through only once.
fn version_ahead(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(b"{\"v\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

fn to_json<T: Record>(record: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&Versioned { v: T::VERSION, record })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes `record` to `path` so that it is there after a power cut, or else what was there before. The file is built in
/// `tmp`, which must be on the same file system ([`Layout::tmp`](crate::state::layout::Layout::tmp)).
pub fn write_durable<T: Record>(tmp: &Path, path: &Path, record: &T) -> Result<(), RecordError> {
    let write = || {
        let temporary = TemporaryFile::create(tmp, Kind::Record)?;
        temporary.file().write_all(&to_json(record)?)?;
        temporary.publish_durable(path)
    };
    write().map_err(|source| RecordError::Write { kind: T::KIND, path: path.into(), source })
}

/// Writes `record` to `path` at once as a whole, for records that need not survive a power cut. The file is built beside
/// `path`, under a name that begins with a dot.
pub fn write_volatile<T: Record>(path: &Path, record: &T) -> Result<(), RecordError> {
    let write = || {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let temporary = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        let bytes = to_json(record)?;
        // A file of that name can only be the leftover of a dead process that had our id.
        let options = || File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let written = options().and_then(|mut file| file.write_all(&bytes));
        written.and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
    };
    write().map_err(|source| RecordError::Write { kind: T::KIND, path: path.into(), source })
}

/// Writes a record that nobody can have seen yet, in a directory that is not published.
pub fn write_new<T: Record>(path: &Path, record: &T) -> Result<(), RecordError> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&to_json(record)?)
    };
    write().map_err(|source| RecordError::Write { kind: T::KIND, path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        #[serde(default)]
        count: u32,
    }

    impl Record for Sample {
        const VERSION: u32 = 2;
        const KIND: &'static str = "sample";
    }

    fn read_text(text: &str) -> Result<Sample, RecordError> {
        parse(text.as_bytes(), Path::new("/s/sample.json"))
    }

    #[test]
    fn what_is_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("sample.json");
        assert_eq!(read::<Sample>(&path).unwrap(), None);
        let sample = Sample { name: "a".into(), count: 3 };
        write_durable(root.path(), &path, &sample).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"v\":2,\"name\":\"a\",\"count\":3}\n");
        assert_eq!(read::<Sample>(&path).unwrap(), Some(sample));
        let other = Sample { name: "b".into(), count: 4 };
        write_volatile(&path, &other).unwrap();
        assert_eq!(read::<Sample>(&path).unwrap(), Some(other));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn older_versions_are_read_and_newer_ones_refused() {
        assert_eq!(read_text(r#"{"v":1,"name":"a"}"#).unwrap(), Sample { name: "a".into(), count: 0 });
        let error = read_text(r#"{"v":3,"something":"else"}"#).unwrap_err();
        assert_eq!(error.code(), "E_STORE_VERSION");
        assert!(error.to_string().contains("/s/sample.json"));
    }

    #[test]
    fn damage_names_the_file() {
        let whole = r#"{"v":2,"name":"a","count":3}"#;
        for length in 0..whole.len() {
            let error = read_text(&whole[..length]).unwrap_err();
            assert_eq!(error.code(), "E_STATE", "{length}");
            assert!(error.to_string().contains("/s/sample.json"));
        }
        assert_eq!(read_text("{\"name\":\"a\"}").unwrap_err().code(), "E_STATE", "no version");
        assert_eq!(read_text(&format!("{whole}{whole}")).unwrap_err().code(), "E_STATE", "trailing data");
        assert_eq!(read_text(&"\0".repeat(28)).unwrap_err().code(), "E_STATE");
    }
}
