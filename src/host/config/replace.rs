//! Changes of the user's configuration files: all of a change or nothing, and one at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Replaces what is in the file at `path`, mode 0600, by what `change` makes of it; `None` stands for a file that is not
/// there, and as a result for one that is to stay as it is. Directories that are missing are made, mode 0700. What a
/// symbolic link leads to is replaced, not the link.
///
/// Whoever else changes it like this waits meanwhile, and a reader sees the old file or the new one.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    change: impl FnOnce(Option<Vec<u8>>) -> Result<Option<Vec<u8>>, E>,
) -> Result<(), E> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let lock =
        Flock::lock(File::open(directory)?, FlockArg::LockExclusive).map_err(|(_, errno)| io::Error::from(errno))?;
    let before = match fs::read(&path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let Some(after) = change(before)? else { return Ok(()) };
    let new = Unfinished(directory.join(format!(".{}.new", path.file_name().unwrap_or_default().display())));
    // What somebody left who died here; the lock keeps others away.
    let _ = fs::remove_file(&new.0);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new.0)?;
    file.write_all(&after)?;
    file.sync_all()?;
    fs::rename(&new.0, &path)?;
    lock.sync_all()?;
    Ok(())
}

/// A file that is removed unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn append(path: &Path, byte: u8) {
        let appended = |before: Option<Vec<u8>>| Ok(Some([before.unwrap_or_default(), vec![byte]].concat()));
        replace::<io::Error>(path, appended).unwrap();
    }

    #[test]
    fn files_are_made_replaced_and_followed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/file");
        append(&path, b'1');
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let link = root.path().join("link");
        std::os::unix::fs::symlink("a/b/file", &link).unwrap();
        append(&link, b'2');
        assert_eq!(fs::read(&path).unwrap(), b"12");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn a_failed_change_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        append(&path, b'1');
        let failed = replace(&path, |_| Err(io::Error::other("no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        replace::<io::Error>(&path, |_| Ok(None)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }

    #[test]
    fn changes_at_the_same_time_are_all_made() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::thread::scope(|scope| {
            for byte in 0..16 {
                let path = &path;
                scope.spawn(move || append(path, byte));
            }
        });
        let mut bytes = fs::read(&path).unwrap();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..16).collect::<Vec<u8>>());
    }
}
