//! Finding and making the directories that entries go into, and clearing the place for what replaces something.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use super::apply::{Applier, failed, mode};
use super::entry::EntryPath;
use super::error::UnpackError;
use crate::sys::fs::{is_whiteout_at, remove_tree};
use crate::sys::in_root::open_beneath;
use crate::sys::xattr;

/// Directories kept open: a tar goes through a tree, so the next entry's is mostly among the last ones.
const OPEN_PARENTS: usize = 16;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

impl Applier {
    /// The directory `path`, made with all that is missing above it. Whatever else stands in the way goes, symbolic links
    /// included: they are never followed.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        if let Some(index) = self.parents.iter().rposition(|(open, _)| **open == *path) {
            let found = self.parents.remove(index);
            let directory = Rc::clone(&found.1);
            self.parents.push(found);
            return Ok(directory);
        }
        let at_once = self.root.open(if path.is_empty() { b"." } else { path }, DIRECTORY);
        let directory = match at_once {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => self.walk(path)?,
            other => other.map_err(failed("opening", path))?,
        };
        let directory = Rc::new(directory);
        if self.parents.len() == OPEN_PARENTS {
            self.parents.remove(0);
        }
        self.parents.push((path.into(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// As [`Self::parent`], one component after the other.
    fn walk(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let mut directory = self.root.open(b".", DIRECTORY).map_err(failed("opening", b"/"))?;
        let mut end = 0;
        for component in path.split(|&byte| byte == b'/') {
            end += component.len();
            self.ensure_directory(directory.as_fd(), component, &path[..end], mode(0o755))?;
            let opened = open_beneath(directory.as_fd(), component, DIRECTORY);
            directory = opened.map_err(failed("opening", &path[..end]))?;
            end += 1;
        }
        Ok(directory)
    }

    /// Makes the directory `name` in `parent` unless there is one; `path` is its path from the root. One that takes the
    /// place of a whiteout is opaque, for the whiteout says that lower layers do not shine through.
    pub(super) fn ensure_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        permissions: Mode,
    ) -> Result<(), UnpackError> {
        match nix::sys::stat::mkdirat(parent, name, permissions) {
            Err(Errno::EEXIST) => {}
            result => return result.map_err(failed("creating", path)),
        }
        let stat = nix::sys::stat::fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        let stat = stat.map_err(failed("looking at", path))?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            return Ok(());
        }
        let was_whiteout = is_whiteout_at(parent, name, &stat);
        nix::unistd::unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).map_err(failed("replacing", path))?;
        self.notes.forget(path);
        nix::sys::stat::mkdirat(parent, name, permissions).map_err(failed("creating", path))?;
        if was_whiteout { self.opaque(path) } else { Ok(()) }
    }

    /// Removes what is at `path`, with everything below it.
    pub(super) fn clear(&mut self, parent: BorrowedFd<'_>, path: &EntryPath) -> Result<(), UnpackError> {
        let name = CString::new(path.name()).map_err(|_| failed("replacing", path.as_bytes())(Errno::EINVAL))?;
        remove_tree(parent, &name).map_err(failed("replacing", path.as_bytes()))?;
        self.notes.forget(path.as_bytes());
        self.parents.clear();
        Ok(())
    }

    /// Hides what lower layers have in the directory `path`, which is made if it is not there.
    pub(super) fn opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        if path.is_empty() {
            self.manifest.opaque_root = true;
            return Ok(());
        }
        let parent = self.parent(path)?;
        if !self.manifest.xattrs {
            self.notes.of(path)?.opaque = true;
            return Ok(());
        }
        let directory = open_beneath(parent.as_fd(), b".", OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        let directory = directory.map_err(failed("opening", path))?;
        xattr::set(directory.as_fd(), c"user.overlay.opaque", b"y").map_err(failed("making opaque", path))
    }
}
