//! How two roots differ that have nothing to do with each other.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, fstatat};

use super::changes::{Change, Kind};
use super::pack::{failed, joined, names, open_directory, permissions, type_of};
use crate::failure::Failure;
use crate::state::schema::stamp::OVERRIDE_STAT;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::xattr;

/// What makes `new` of `old`, by path.
pub fn roots(new: &OwnedFd, old: &OwnedFd) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    directories(new.as_fd(), old.as_fd(), b"", &mut changes)?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// Compares what two directories contain; whether anything differs.
fn directories(
    new: BorrowedFd<'_>,
    old: BorrowedFd<'_>,
    path: &[u8],
    changes: &mut Vec<Change>,
) -> Result<bool, Failure> {
    let looking = |errno| failed("looking at", path, errno);
    let (new_names, old_names) = (names(new).map_err(looking)?, names(old).map_err(looking)?);
    let before = changes.len();
    for name in &new_names {
        let path = joined(path, name.to_bytes());
        match old_names.binary_search(name) {
            Ok(_) => both(new, old, name, &path, changes)?,
            Err(_) => added(new, name, &path, changes)?,
        }
    }
    for name in old_names.iter().filter(|name| new_names.binary_search(name).is_err()) {
        changes.push(Change::new(&joined(path, name.to_bytes()), Kind::Deleted));
    }
    Ok(changes.len() > before)
}

fn added(new: BorrowedFd<'_>, name: &CString, path: &[u8], changes: &mut Vec<Change>) -> Result<(), Failure> {
    let looking = |errno| failed("looking at", path, errno);
    changes.push(Change::new(path, Kind::Added));
    if type_of(&stat(new, name).map_err(looking)?) == libc::S_IFDIR {
        let directory = open_directory(new, name, true).map_err(looking)?;
        for name in names(directory.as_fd()).map_err(looking)? {
            added(directory.as_fd(), &name, &joined(path, name.to_bytes()), changes)?;
        }
    }
    Ok(())
}

fn both(
    new: BorrowedFd<'_>,
    old: BorrowedFd<'_>,
    name: &CString,
    path: &[u8],
    changes: &mut Vec<Change>,
) -> Result<(), Failure> {
    let looking = |errno| failed("looking at", path, errno);
    let (new_stat, old_stat) = (stat(new, name).map_err(looking)?, stat(old, name).map_err(looking)?);
    let is_directory = |stat: &FileStat| type_of(stat) == libc::S_IFDIR;
    let mut differs = is_different((new, &new_stat), (old, &old_stat), name);
    if is_directory(&new_stat) && is_directory(&old_stat) {
        let (new, old) = (open_directory(new, name, true), open_directory(old, name, true));
        differs |= directories(new.map_err(looking)?.as_fd(), old.map_err(looking)?.as_fd(), path, changes)?;
    } else if is_directory(&new_stat) {
        let directory = open_directory(new, name, true).map_err(looking)?;
        for name in names(directory.as_fd()).map_err(looking)? {
            added(directory.as_fd(), &name, &joined(path, name.to_bytes()), changes)?;
        }
    }
    if differs {
        changes.push(Change::new(path, Kind::Changed));
    }
    Ok(())
}

fn stat(directory: BorrowedFd<'_>, name: &CString) -> Result<FileStat, Errno> {
    fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Whether two files differ as far as it is seen without reading them.
fn is_different(new: (BorrowedFd<'_>, &FileStat), old: (BorrowedFd<'_>, &FileStat), name: &CString) -> bool {
    let said = |stat: &FileStat| (type_of(stat), permissions(stat), stat.st_uid, stat.st_gid, stat.st_rdev);
    if said(new.1) != said(old.1) || stamp(new.0, name, new.1) != stamp(old.0, name, old.1) {
        return true;
    }
    let contents = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    match type_of(new.1) {
        libc::S_IFREG => contents(new.1) != contents(old.1),
        libc::S_IFLNK => {
            let target =
                |directory| nix::fcntl::readlinkat(directory, name.as_c_str()).map(|target| target.as_bytes().to_vec());
            target(new.0) != target(old.0)
        }
        _ => false,
    }
}

fn stamp(directory: BorrowedFd<'_>, name: &CString, stat: &FileStat) -> Option<Vec<u8>> {
    if !matches!(type_of(stat), libc::S_IFREG | libc::S_IFDIR) {
        return None;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = open_below(directory, name, flags, Resolve::OneMount).ok()?;
    xattr::get(file.as_fd(), OVERRIDE_STAT).ok()
}
