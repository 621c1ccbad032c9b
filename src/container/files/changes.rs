//! What a container's own layer changes in what is below it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, fstat, fstatat};
use serde::{Deserialize, Serialize};

use super::pack::{failed, joined, names, open_directory, permissions, type_of};
use crate::failure::Failure;
use crate::state::schema::layer::LayerPath;
use crate::state::schema::stamp::OVERRIDE_STAT;
use crate::sys::fs::is_whiteout;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::xattr;

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Its contents or what is said of it.
    #[serde(rename = "C")]
    Changed,
    /// It is new.
    #[serde(rename = "A")]
    Added,
    /// It is gone.
    #[serde(rename = "D")]
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// From the root, without the first slash.
    pub path: LayerPath,
    /// How.
    pub kind: Kind,
    /// A directory that hides all that is below it in lower layers.
    #[serde(default)]
    pub opaque: bool,
    /// Gone because a directory above is opaque.
    #[serde(default)]
    pub implied: bool,
}

impl Change {
    /// A change of this kind, without more.
    pub fn new(path: &[u8], kind: Kind) -> Self {
        Self { path: LayerPath::new(path), kind, opaque: false, implied: false }
    }
}

/// What was found below a directory.
#[derive(Clone, Copy, Default)]
struct Found {
    /// A change that is shown.
    changes: bool,
    /// Something that is only there because of a mount.
    hidden: bool,
}

struct Walk<'a> {
    mounted_on: &'a BTreeSet<Vec<u8>>,
    changes: Vec<Change>,
}

/// The changes that `upper`, the upper directory of an overlay, makes to `lower`, by path. What is only there to be mounted
/// on is none.
pub fn of(upper: &OwnedFd, lower: &OwnedFd, mounted_on: &[Vec<u8>]) -> Result<Vec<Change>, Failure> {
    let mounted_on = mounted_on.iter().cloned().collect();
    let mut walk = Walk { mounted_on: &mounted_on, changes: Vec::new() };
    walk.directory(upper.as_fd(), Some(lower.as_fd()), b"", false)?;
    walk.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.changes)
}

fn looking(path: &[u8]) -> impl Fn(Errno) -> Failure {
    move |errno| failed("looking at", path, errno)
}

impl Walk<'_> {
    fn directory(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        path: &[u8],
        opaque: bool,
    ) -> Result<Found, Failure> {
        let mut found = Found::default();
        let children = names(upper).map_err(looking(path))?;
        for child in &children {
            let one = self.child(upper, lower, child, &joined(path, child.to_bytes()), opaque)?;
            found = Found { changes: found.changes || one.changes, hidden: found.hidden || one.hidden };
        }
        if opaque && let Some(lower) = lower {
            for child in names(lower).map_err(looking(path))? {
                if children.binary_search(&child).is_err() {
                    let path = joined(path, child.to_bytes());
                    self.changes.push(Change { implied: true, ..Change::new(&path, Kind::Deleted) });
                    found.changes = true;
                }
            }
        }
        Ok(found)
    }

    fn child(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        child: &CString,
        path: &[u8],
        opaque: bool,
    ) -> Result<Found, Failure> {
        let Some(new) = stat_of(upper, child).map_err(looking(path))? else { return Ok(Found::default()) };
        let old = match lower {
            Some(lower) => stat_of(lower, child).map_err(looking(path))?,
            None => None,
        };
        if is_gone(upper, child, &new) {
            if old.is_some() {
                self.changes.push(Change::new(path, Kind::Deleted));
            }
            return Ok(Found { changes: old.is_some(), hidden: false });
        }
        if old.is_none() && self.mounted_on.contains(path) && is_bare(upper, child, &new) {
            return Ok(Found { changes: false, hidden: true });
        }
        if type_of(&new) != libc::S_IFDIR {
            let kind = if old.is_some() { Kind::Changed } else { Kind::Added };
            self.changes.push(Change::new(path, kind));
            return Ok(Found { changes: true, hidden: false });
        }
        self.subdirectory(upper, lower.filter(|_| is_directory(old.as_ref())), child, path, (opaque, old))
    }

    fn subdirectory(
        &mut self,
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        child: &CString,
        path: &[u8],
        (inherited, old): (bool, Option<FileStat>),
    ) -> Result<Found, Failure> {
        let directory = open_directory(upper, child, true).map_err(looking(path))?;
        let below = lower.map(|lower| open_directory(lower, child, true)).transpose().map_err(looking(path))?;
        let own = xattr::get(directory.as_fd(), c"user.overlay.opaque").as_deref() == Ok(b"y");
        let opaque = own && below.is_some() && !inherited;
        let inside = self.directory(directory.as_fd(), below.as_ref().map(AsFd::as_fd), path, own || inherited)?;
        let differs = match &below {
            Some(below) => opaque || is_changed(&directory, below, inside).map_err(looking(path))?,
            // Made on the way to something that is mounted.
            None => old.is_some() || inside.changes || !inside.hidden,
        };
        if !differs && !inside.changes {
            return Ok(Found { changes: false, hidden: inside.hidden });
        }
        let kind = if old.is_some() { Kind::Changed } else { Kind::Added };
        self.changes.push(Change { opaque, ..Change::new(path, kind) });
        Ok(Found { changes: true, hidden: false })
    }
}

fn stat_of(directory: BorrowedFd<'_>, name: &CString) -> Result<Option<FileStat>, Errno> {
    match fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn is_directory(stat: Option<&FileStat>) -> bool {
    stat.is_some_and(|stat| type_of(stat) == libc::S_IFDIR)
}

/// Whether it says that there is nothing (overlayfs.rst, "whiteouts and opaque directories").
fn is_gone(directory: BorrowedFd<'_>, name: &CString, stat: &FileStat) -> bool {
    let marked = || {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        open_below(directory, name, flags, Resolve::OneMount)
            .is_ok_and(|file| xattr::get(file.as_fd(), c"user.overlay.whiteout").is_ok())
    };
    is_whiteout(stat) || (type_of(stat) == libc::S_IFREG && stat.st_size == 0 && marked())
}

/// Whether there is nothing in it: what is mounted on was made so.
fn is_bare(directory: BorrowedFd<'_>, name: &CString, stat: &FileStat) -> bool {
    match type_of(stat) {
        libc::S_IFREG => stat.st_size == 0,
        libc::S_IFDIR => open_directory(directory, name, true)
            .and_then(|directory| names(directory.as_fd()))
            .is_ok_and(|names| names.is_empty()),
        _ => false,
    }
}

fn stamp_of(file: &OwnedFd) -> Option<Vec<u8>> {
    xattr::get(file.as_fd(), OVERRIDE_STAT).ok()
}

/// Whether something else is said of a directory. Its time says nothing where something was made in it to be mounted on.
fn is_changed(new: &OwnedFd, old: &OwnedFd, inside: Found) -> Result<bool, Errno> {
    let (new_stat, old_stat) = (fstat(new)?, fstat(old)?);
    let time = |stat: &FileStat| (stat.st_mtime, stat.st_mtime_nsec);
    Ok(permissions(&new_stat) != permissions(&old_stat)
        || (new_stat.st_uid, new_stat.st_gid) != (old_stat.st_uid, old_stat.st_gid)
        || stamp_of(new) != stamp_of(old)
        || (time(&new_stat) != time(&old_stat) && !inside.hidden))
}
