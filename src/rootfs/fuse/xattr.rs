//! `getxattr`, `setxattr`, `listxattr`, `removexattr`.
//!
//! As in the kernel's overlay, attributes whose names begin with `user.overlay.` belong to the one who serves the layer; those
//! of the same name that a container sets have another `overlay.` in theirs, so that overlays can be stacked.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use super::copy_up::Contents;
use super::node::{Node, Orphan};
use super::overlay::Overlay;
use crate::sys::xattr::{self, Existing};

const OWN: &[u8] = b"user.overlay.";
const ESCAPED: &[u8] = b"user.overlay.overlay.";

/// What attributes are of.
enum Holder {
    File(Arc<File>),
    Directory(OwnedFd),
}

impl AsFd for Holder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::File(file) => file.as_fd(),
            Self::Directory(directory) => directory.as_fd(),
        }
    }
}

/// The name on disk of an attribute; nothing if there can be none of that name.
fn stored(name: &[u8]) -> Option<CString> {
    // No access lists: who checks them would have to be told of them.
    if !name.starts_with(b"user.") && name != b"security.capability" {
        return None;
    }
    CString::new(match name.strip_prefix(OWN) {
        Some(rest) => [ESCAPED, rest].concat(),
        None => name.to_vec(),
    })
    .ok()
}

/// The name that is shown of an attribute on disk; nothing if it is not shown.
fn shown(name: &[u8]) -> Option<Vec<u8>> {
    match name.strip_prefix(ESCAPED) {
        Some(rest) => Some([OWN, rest].concat()),
        None if name.starts_with(OWN) => None,
        None => stored(name).map(|_| name.to_vec()),
    }
}

impl Overlay {
    /// The value of an attribute.
    pub(super) fn attribute(&self, number: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let name = stored(name).ok_or(Errno::EOPNOTSUPP)?;
        let holder = self.holder(&*self.nodes.get(number)?)?.ok_or(Errno::ENODATA)?;
        xattr::get_whole(holder.as_fd(), &name)
    }

    /// The names of all attributes, each ended by a NUL.
    pub(super) fn attribute_names(&self, number: u64) -> Result<Vec<u8>, Errno> {
        let Some(holder) = self.holder(&*self.nodes.get(number)?)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for name in xattr::list(holder.as_fd())?.iter().filter_map(|name| shown(name.to_bytes())) {
            names.extend(name);
            names.push(0);
        }
        Ok(names)
    }

    /// Sets an attribute.
    pub(super) fn set_attribute(&self, number: u64, name: &[u8], value: &[u8], flags: i32) -> Result<(), Errno> {
        let name = stored(name).ok_or(Errno::EOPNOTSUPP)?;
        let existing = match flags {
            libc::XATTR_CREATE => Existing::Refuse,
            libc::XATTR_REPLACE => Existing::Demand,
            _ => Existing::Replace,
        };
        let node = self.nodes.get(number)?;
        if !(node.is_file() || node.is_directory()) {
            return Err(Errno::EPERM);
        }
        self.copy_up(&node, Contents::Whole)?;
        let holder = self.holder(&node)?.ok_or(Errno::EPERM)?;
        xattr::set_with(holder.as_fd(), &name, value, existing)
    }

    /// Removes an attribute.
    pub(super) fn remove_attribute(&self, number: u64, name: &[u8]) -> Result<(), Errno> {
        let stored = stored(name).ok_or(Errno::EOPNOTSUPP)?;
        let node = self.nodes.get(number)?;
        if !(node.is_file() || node.is_directory()) {
            return Err(Errno::EPERM);
        }
        if !self.is_in_upper(&node) {
            // Without it there is nothing to copy up for.
            self.attribute(number, name)?;
            self.copy_up(&node, Contents::Whole)?;
        }
        let holder = self.holder(&node)?.ok_or(Errno::EPERM)?;
        xattr::remove_existing(holder.as_fd(), &stored)
    }

    /// What can be asked for attributes; nothing of what has none, or must not be opened to find out.
    fn holder(&self, node: &Node) -> Result<Option<Holder>, Errno> {
        if node.is_file() {
            return self.file(node, false).map(Holder::File).map(Some);
        }
        if !node.is_directory() {
            return Ok(None);
        }
        let orphan = node.state.lock().orphan.clone();
        let listing = match orphan {
            Some(Orphan::Other(fd)) => super::directory::open_listing(fd.as_fd()),
            _ => super::directory::open_listing(self.directory(node, node.layer())?.as_fd()),
        };
        listing.map(Holder::Directory).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_out_of_reach() {
        assert_eq!(stored(b"user.a").as_deref(), Some(c"user.a"));
        assert_eq!(stored(b"user.overlay.opaque").as_deref(), Some(c"user.overlay.overlay.opaque"));
        assert_eq!(stored(b"trusted.overlay.opaque"), None);
        assert_eq!(stored(b"system.posix_acl_access"), None);
        assert_eq!(shown(b"user.overlay.opaque"), None);
        assert_eq!(shown(b"user.overlay.overlay.opaque").as_deref(), Some(&b"user.overlay.opaque"[..]));
        assert_eq!(shown(b"user.a").as_deref(), Some(&b"user.a"[..]));
    }
}
