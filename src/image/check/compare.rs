//! Whether two unpacked layers are the same, down to every byte of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::sys::in_root::open_beneath;
use crate::sys::xattr;

/// How much of each of two files is in memory, in bytes.
const PIECE: usize = 128 << 10;

/// The first thing in which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path below the roots.
    pub path: Vec<u8>,
    /// In what.
    pub what: &'static str,
}

/// Compares the trees `found` and `right`: names, types, modes, sizes, contents, targets of links, extended attributes of users.
/// Times are not compared: a layer need not tell those of all its directories.
pub fn trees(found: &Path, right: &Path) -> io::Result<Option<Difference>> {
    let open =
        |path: &Path| nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let (found, right) = (open(found)?, open(right)?);
    let mut pending = vec![b".".to_vec()];
    while let Some(path) = pending.pop() {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let found = open_beneath(found.as_fd(), &path, flags)?;
        let right = open_beneath(right.as_fd(), &path, flags)?;
        if let Some(difference) = directories(&found, &right, &path, &mut pending)? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

fn directories(
    found: &OwnedFd,
    right: &OwnedFd,
    path: &[u8],
    pending: &mut Vec<Vec<u8>>,
) -> io::Result<Option<Difference>> {
    let differs =
        |path: &[u8], what| Ok(Some(Difference { path: path.strip_prefix(b"./").unwrap_or(path).into(), what }));
    if attributes(found.as_fd())? != attributes(right.as_fd())? {
        return differs(path, "its extended attributes");
    }
    let (names, right_names) = (names(found)?, names(right)?);
    if let Some(name) = names.symmetric_difference(&right_names).next() {
        let what = if names.contains(name) { "it should not be there" } else { "it is missing" };
        return differs(&joined(path, name), what);
    }
    for name in names {
        let path = joined(path, &name);
        let stats = (stat(found.as_fd(), &name)?, stat(right.as_fd(), &name)?);
        if let Some(what) = metadata(&stats.0, &stats.1) {
            return differs(&path, what);
        }
        let what = match stats.0.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                pending.push(path);
                continue;
            }
            libc::S_IFREG => files(found.as_fd(), right.as_fd(), &name)?,
            libc::S_IFLNK => (target(found.as_fd(), &name)? != target(right.as_fd(), &name)?).then_some("its target"),
            _ => None,
        };
        if let Some(what) = what {
            return differs(&path, what);
        }
    }
    Ok(None)
}

fn metadata(found: &FileStat, right: &FileStat) -> Option<&'static str> {
    let kind = |stat: &FileStat| stat.st_mode & libc::S_IFMT;
    let is_file = kind(right) == libc::S_IFREG;
    if kind(found) != kind(right) || found.st_rdev != right.st_rdev {
        Some("its type")
    } else if found.st_mode != right.st_mode {
        Some("its mode")
    } else if (found.st_uid, found.st_gid) != (right.st_uid, right.st_gid) {
        Some("its owner")
    } else if is_file && found.st_size != right.st_size {
        Some("its size")
    } else if kind(right) != libc::S_IFDIR && found.st_nlink < right.st_nlink {
        // It has more where a tree of several layers was made of them (`runtime::copy_mount`).
        Some("its hard links")
    } else {
        None
    }
}

fn joined(path: &[u8], name: &CStr) -> Vec<u8> {
    [path, b"/", name.to_bytes()].concat()
}

fn names(directory: &OwnedFd) -> Result<BTreeSet<CString>, Errno> {
    let mut directory = nix::dir::Dir::from_fd(directory.try_clone().map_err(|_| Errno::EMFILE)?)?;
    let mut names = BTreeSet::new();
    for entry in directory.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.insert(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn stat(directory: BorrowedFd<'_>, name: &CStr) -> Result<FileStat, Errno> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn target(directory: BorrowedFd<'_>, name: &CStr) -> Result<OsString, Errno> {
    nix::fcntl::readlinkat(directory, name)
}

/// Extended attributes of the namespace `user`; others are not the layer's.
fn attributes(file: BorrowedFd<'_>) -> Result<BTreeMap<CString, Vec<u8>>, Errno> {
    let names = match xattr::list(file) {
        Err(Errno::EOPNOTSUPP) => return Ok(BTreeMap::new()),
        other => other?,
    };
    let own = names.into_iter().filter(|name| name.to_bytes().starts_with(b"user."));
    own.map(|name| xattr::get_whole(file, &name).map(|value| (name, value))).collect()
}

fn files(found: BorrowedFd<'_>, right: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<&'static str>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let open = |directory| nix::fcntl::openat(directory, name, flags, Mode::empty()).map(File::from);
    let (mut found, mut right) = (open(found)?, open(right)?);
    if attributes(found.as_fd())? != attributes(right.as_fd())? {
        return Ok(Some("its extended attributes"));
    }
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let length = fill(&mut found, &mut one)?;
        if length != fill(&mut right, &mut other)? || one[..length] != other[..length] {
            return Ok(Some("its content"));
        }
        if length == 0 {
            return Ok(None);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("d/e")).unwrap();
        fs::write(path("d/e/file"), vec![7; 300_000]).unwrap();
        fs::write(path("d/empty"), "").unwrap();
        symlink("e/file", path("d/link")).unwrap();
        root
    }

    #[test]
    fn every_difference_is_found() {
        let right = tree();
        assert_eq!(trees(tree().path(), right.path()).unwrap(), None);
        type Change = fn(&Path);
        let changes: [(&str, &str, Change); 7] = [
            ("d/e/file", "its content", |root| {
                let mut bytes = vec![7; 300_000];
                bytes[299_999] = 8;
                fs::write(root.join("d/e/file"), bytes).unwrap();
            }),
            ("d/e/file", "its size", |root| fs::write(root.join("d/e/file"), vec![7; 300_001]).unwrap()),
            ("d/empty", "its mode", |root| {
                fs::set_permissions(root.join("d/empty"), fs::Permissions::from_mode(0o600)).unwrap();
            }),
            ("d/empty", "it is missing", |root| fs::remove_file(root.join("d/empty")).unwrap()),
            ("d/new", "it should not be there", |root| fs::write(root.join("d/new"), "").unwrap()),
            ("d/link", "its target", |root| {
                fs::remove_file(root.join("d/link")).unwrap();
                symlink("e/fil", root.join("d/link")).unwrap();
            }),
            ("d/empty", "its type", |root| {
                fs::remove_file(root.join("d/empty")).unwrap();
                fs::create_dir(root.join("d/empty")).unwrap();
            }),
        ];
        for (path, what, change) in changes {
            let found = tree();
            change(found.path());
            let difference = trees(found.path(), right.path()).unwrap();
            assert_eq!(difference, Some(Difference { path: path.into(), what }), "{path} {what}");
        }
        let found = tree();
        fs::hard_link(right.path().join("d/empty"), right.path().join("d/e/more")).unwrap();
        fs::write(found.path().join("d/e/more"), "").unwrap();
        assert_eq!(trees(found.path(), right.path()).unwrap().unwrap().what, "its hard links");
    }
}
