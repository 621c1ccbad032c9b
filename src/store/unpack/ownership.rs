//! Owners and extended attributes: recorded with the file where that is possible, else in the layer's manifest.
//!
//! The record is the extended attribute `user.containers.override_stat`, `UID:GID:MODE:KIND`, as containers-storage and
//! fuse-overlayfs have it. A file without it belongs to 0:0.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::unistd::{Gid, Uid};

use super::apply::{Applier, Ids, failed};
use super::error::UnpackError;
use super::header::Entry;
use crate::state::schema::layer::{FileKind, Ownership};
use crate::state::schema::stamp::{OVERRIDE_STAT, stamp};
use crate::sys::xattr;

/// Largest `security.capability` there is: `struct vfs_ns_cap_data`.
const CAPABILITY_SIZE: usize = 24;

fn is_foreign(owner: Ownership) -> bool {
    (owner.uid, owner.gid) != (0, 0)
}

impl Applier {
    /// Finds out whether this file system keeps extended attributes of users, by giving the root its record, which it gets
    /// in any case: readers look there first.
    pub(super) fn probe_xattrs(&mut self) -> Result<(), UnpackError> {
        let root = self.root.open(b".", OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed("opening", b"/"))?;
        match xattr::set(root.as_fd(), OVERRIDE_STAT, b"0:0:0755:dir") {
            Ok(()) => Ok(()),
            Err(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES) => {
                self.manifest.xattrs = false;
                Ok(())
            }
            Err(errno) => Err(failed("setting an extended attribute of", b"/")(errno)),
        }
    }

    /// Records the owner of `path`, which `fd` has open.
    pub(super) fn own_open(&mut self, path: &[u8], fd: BorrowedFd<'_>, owner: Ownership) -> Result<(), UnpackError> {
        if self.ids == Ids::Many && (is_foreign(owner) || owner.kind == FileKind::Dir) {
            let (uid, gid) = raw_ids(owner);
            ignore_unmapped(nix::unistd::fchown(fd, uid, gid)).map_err(failed("setting the owner of", path))?;
        }
        let special = matches!(owner.kind, FileKind::Char { .. } | FileKind::Block { .. });
        if !is_foreign(owner) && !special && !path.is_empty() {
            return self.disown(path, fd);
        }
        self.manifest.foreign_owners |= is_foreign(owner);
        if self.manifest.xattrs {
            match xattr::set(fd, OVERRIDE_STAT, stamp(owner).as_bytes()) {
                // No room for attributes in the inode: the manifest has some.
                Err(Errno::E2BIG | Errno::ENOSPC) => {}
                result => return result.map_err(failed("recording the owner of", path)),
            }
        }
        self.notes.of(path)?.owner = Some(owner);
        Ok(())
    }

    /// An entry that says 0:0 of what an earlier entry may have given to somebody else: only directories stay what they are
    /// when they are named again.
    fn disown(&mut self, path: &[u8], fd: BorrowedFd<'_>) -> Result<(), UnpackError> {
        if self.notes.get(path).is_none_or(|note| note.directory.is_none()) {
            return Ok(());
        }
        self.notes.of(path)?.owner = None;
        match self.manifest.xattrs {
            true => xattr::remove(fd, OVERRIDE_STAT).map_err(failed("recording the owner of", path)),
            false => Ok(()),
        }
    }

    /// Records the owner of `path`, `name` in `parent`, which is a symbolic link or a named pipe: these have no attributes.
    pub(super) fn own_closed(
        &mut self,
        path: &[u8],
        parent: BorrowedFd<'_>,
        name: &[u8],
        owner: Ownership,
    ) -> Result<(), UnpackError> {
        if !is_foreign(owner) {
            return Ok(());
        }
        if self.ids == Ids::Many {
            let (uid, gid) = raw_ids(owner);
            let set = nix::unistd::fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW);
            ignore_unmapped(set).map_err(failed("setting the owner of", path))?;
        }
        self.manifest.foreign_owners = true;
        self.notes.of(path)?.owner = Some(owner);
        Ok(())
    }

    /// Sets the attributes of an entry that an image may set, on `fd` if it can have any; counts the others.
    pub(super) fn set_xattrs(
        &mut self,
        entry: &Entry,
        path: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), UnpackError> {
        for (name, value) in &entry.xattrs {
            if name == b"security.capability" && value.len() <= CAPABILITY_SIZE {
                self.notes.of(path)?.capability = Some(value.as_slice().into());
            } else if !fd.map_or(Ok(false), |fd| set_user_xattr(fd, name, value)).map_err(failed("marking", path))? {
                self.manifest.skipped.xattrs += 1;
            }
        }
        Ok(())
    }
}

/// Whether the attribute was set; it is not if it is none that an image may set, or if this file system does not have it.
fn set_user_xattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<bool, Errno> {
    // The attributes of overlayfs and our own records mean something to those who read the layer.
    let ours = name.starts_with(b"user.overlay.") || name.starts_with(b"user.containers.");
    let Some(name) = (name.starts_with(b"user.") && !ours).then(|| CString::new(name).ok()).flatten() else {
        return Ok(false);
    };
    match xattr::set(fd, &name, value) {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::EPERM | Errno::E2BIG | Errno::ENOSPC | Errno::ERANGE | Errno::EINVAL) => {
            Ok(false)
        }
        Err(errno) => Err(errno),
    }
}

fn raw_ids(owner: Ownership) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

/// An id that is not mapped here is recorded, like all of them, but not given.
fn ignore_unmapped(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EINVAL) => Ok(()),
        other => other,
    }
}
