//! Whose files are of which nothing is recorded, where a container could not record it: its ids were one of the kernel's, and no
//! others.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, fstatat};

use super::pack::{record_of, type_of};
use super::recorded::Recorded;
use super::{trees, visit};
use crate::failure::Failure;
use crate::state::schema::layer::Ownership;
use crate::sys::fs::is_whiteout;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::status::{self, Status};
use crate::sys::xattr;

/// A container's own layer and what is below it.
pub struct Made {
    upper: OwnedFd,
    lower: OwnedFd,
    /// Who made what is new; nobody where that is 0:0.
    maker: Option<(u32, u32)>,
}

/// Whose a file without a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// As the image has it: 0:0.
    Images,
    /// The container's user made it.
    Makers(u32, u32),
    /// It has taken the place of a file that belongs to somebody else, which the container did not see.
    Predecessors(Ownership),
}

impl Made {
    /// Of what the visitor's plan holds. `maker` is the container's user and group.
    pub fn new(inside: &visit::Inside, maker: (u32, u32)) -> Result<Self, Failure> {
        let root_of = |slot: trees::Slot| {
            let mount = inside.mounts.get(slot.0).and_then(Option::as_ref);
            mount.ok_or_else(|| visit::internal("opening a layer", "it is not mounted")).and_then(trees::root_of)
        };
        let maker = (maker != (0, 0)).then_some(maker);
        Ok(Self { upper: root_of(trees::OTHER)?, lower: root_of(trees::BELOW)?, maker })
    }

    /// Whose the file at `path` is, of which nothing is recorded.
    pub fn whose(&self, path: &[u8], recorded: &Recorded) -> Whose {
        let Some(new) = Found::at(self.upper.as_fd(), path).filter(|new| !is_whiteout(&new.stat)) else {
            return Whose::Images;
        };
        let old = Found::at(self.lower.as_fd(), path).filter(|old| type_of(&old.stat) == type_of(&new.stat));
        let predecessor = || old.as_ref().and_then(|old| old.owner(path, recorded));
        match new.is_copied_up() {
            // Links and pipes do not say whether they were: what stands in the place of one alike is taken for the same.
            None if old.is_some() => predecessor().map_or(Whose::Images, Whose::Predecessors),
            Some(true) => Whose::Images,
            _ => match self.maker {
                Some((uid, gid)) => Whose::Makers(uid, gid),
                None => predecessor().map_or(Whose::Images, Whose::Predecessors),
            },
        }
    }
}

/// A file in a tree.
struct Found {
    parent: OwnedFd,
    name: CString,
    stat: FileStat,
}

impl Found {
    fn at(tree: BorrowedFd<'_>, path: &[u8]) -> Option<Self> {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (above, name) = slash.map_or((&b"."[..], path), |slash| (&path[..slash], &path[slash + 1..]));
        let (above, name) = (CString::new(above).ok()?, CString::new(name).ok().filter(|name| !name.is_empty())?);
        let parent = open_below(tree, &above, OFlag::O_PATH | OFlag::O_DIRECTORY, Resolve::OneMount).ok()?;
        let stat = fstatat(&parent, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some(Self { parent, name, stat })
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        open_below(self.parent.as_fd(), &self.name, flags, Resolve::OneMount)
    }

    fn has_attributes(&self) -> bool {
        matches!(type_of(&self.stat), libc::S_IFREG | libc::S_IFDIR)
    }

    /// Whether overlayfs has copied it from a lower layer (overlayfs.rst, "Inode properties"); nothing if it cannot say.
    fn is_copied_up(&self) -> Option<bool> {
        let file = self.has_attributes().then(|| self.open())?.ok()?;
        Some(xattr::get(file.as_fd(), c"user.overlay.origin").is_ok())
    }

    /// Its owner, if that is anybody but 0:0.
    fn owner(&self, path: &[u8], recorded: &Recorded) -> Option<Ownership> {
        let stamp =
            if self.has_attributes() { self.open().ok().and_then(|file| record_of(file.as_fd())) } else { None };
        let status = || Status::of(&self.parent, &self.name, libc::AT_SYMLINK_NOFOLLOW, status::USUAL);
        let owner = stamp.or_else(|| recorded.owner(path, status));
        owner.filter(|owner| (owner.uid, owner.gid) != (0, 0))
    }
}
