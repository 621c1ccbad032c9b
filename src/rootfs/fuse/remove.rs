//! `unlink` and `rmdir`: what lower layers have is hidden by a whiteout.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use super::copy_up::Contents;
use super::directory::Directory;
use super::node::{Node, Orphan};
use super::overlay::Overlay;
use crate::sys::fs::{Whiteout, announce_whiteouts, make_whiteout};

impl Overlay {
    /// Removes `name`, which is no directory, from `parent`.
    pub(super) fn unlink(&self, parent: u64, name: &[u8]) -> Result<(), Errno> {
        let parent = self.nodes.get(parent)?;
        self.copy_up_to_remove(&parent, name)?;
        self.with_listing(&parent, |directory| {
            let (node, _) = self.child(&parent, directory, name)?;
            if node.is_directory() {
                return Err(Errno::EISDIR);
            }
            let target = self.upper_directory(&parent)?;
            let below = directory.get(name).is_some_and(|entry| entry.below);
            let is_upper = self.is_in_upper(&node);
            let orphan = self.orphan(&node, &parent, name)?;
            let freed = self.blocks_freed(&node);
            match (is_upper, below) {
                (true, true) => {
                    let temporary = self.temporary_name();
                    self.make_whiteout_for(target.as_fd(), &temporary)?;
                    let placed = nix::fcntl::renameat(self.work()?, temporary.as_str(), &*target, name);
                    placed.inspect_err(|_| self.discard(&temporary))?;
                }
                (true, false) => nix::unistd::unlinkat(&*target, name, UnlinkatFlags::NoRemoveDir)?,
                (false, _) => drop(make_whiteout(target.as_fd(), name)?),
            }
            self.give_back(freed);
            self.lose_name(&node, &parent, name, orphan);
            directory.remove(name);
            if below {
                directory.note_whiteout(name.into());
            }
            Ok(())
        })
    }

    /// Removes the empty directory `name` from `parent`.
    pub(super) fn remove_directory(&self, parent: u64, name: &[u8]) -> Result<(), Errno> {
        let parent = self.nodes.get(parent)?;
        self.copy_up_to_remove(&parent, name)?;
        self.with_listing(&parent, |directory| {
            let (node, _) = self.child(&parent, directory, name)?;
            if !node.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            let whiteouts = self.whiteouts_of_empty(&node)?;
            let target = self.upper_directory(&parent)?;
            let below = directory.get(name).is_some_and(|entry| entry.below);
            let orphan = self.orphan(&node, &parent, name)?;
            match (self.is_in_upper(&node), below) {
                (false, _) => drop(make_whiteout(target.as_fd(), name)?),
                (true, false) => {
                    self.clear_whiteouts(&node, whiteouts)?;
                    nix::unistd::unlinkat(&*target, name, UnlinkatFlags::RemoveDir)?;
                }
                (true, true) => self.swap_for_whiteout(target.as_fd(), name)?,
            }
            self.lose_name(&node, &parent, name, orphan);
            directory.remove(name);
            if below {
                directory.note_whiteout(name.into());
            }
            Ok(())
        })
    }

    /// Removing takes place in the upper layer.
    fn copy_up_to_remove(&self, parent: &Arc<Node>, name: &[u8]) -> Result<(), Errno> {
        self.work()?;
        self.with_listing(parent, |directory| directory.get(name).map(drop).ok_or(Errno::ENOENT))?;
        self.copy_up(parent, Contents::Whole)
    }

    /// The whiteouts in a directory that must be empty otherwise.
    pub(super) fn whiteouts_of_empty(&self, node: &Arc<Node>) -> Result<Vec<Arc<[u8]>>, Errno> {
        self.with_listing(node, |directory| match directory.is_empty() {
            true => Ok(directory.whiteouts().cloned().collect()),
            false => Err(Errno::ENOTEMPTY),
        })
    }

    /// Removes whiteouts from an upper directory that is about to go.
    pub(super) fn clear_whiteouts(&self, node: &Arc<Node>, names: Vec<Arc<[u8]>>) -> Result<(), Errno> {
        if names.is_empty() {
            return Ok(());
        }
        let open = self.upper_directory(node)?;
        for name in names {
            match nix::unistd::unlinkat(&*open, &*name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.with_listing(node, |directory: &mut Directory| {
            directory.forget_whiteouts();
            Ok(())
        })
    }

    /// Puts a whiteout into the place of a directory, at once, and removes what was there.
    pub(super) fn swap_for_whiteout(&self, target: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        let (work, temporary) = (self.work()?, self.temporary_name());
        self.make_whiteout_for(target, &temporary)?;
        let swapped = match nix::fcntl::renameat2(work, temporary.as_str(), target, name, RenameFlags::RENAME_EXCHANGE)
        {
            // Not all file systems can exchange.
            Err(Errno::EINVAL) => {
                let aside = self.temporary_name();
                nix::fcntl::renameat(target, name, work, aside.as_str())
                    .and_then(|()| nix::fcntl::renameat(work, temporary.as_str(), target, name))
                    .inspect(|()| self.discard(&aside))
            }
            other => other,
        };
        self.discard(&temporary);
        swapped
    }

    /// Makes a whiteout in the work directory that is about to be moved into `target`.
    fn make_whiteout_for(&self, target: BorrowedFd<'_>, temporary: &str) -> Result<(), Errno> {
        match make_whiteout(self.work()?.as_fd(), temporary.as_bytes())? {
            Whiteout::Device => Ok(()),
            Whiteout::Marked => announce_whiteouts(target).map(drop).inspect_err(|_| self.discard(temporary)),
        }
    }

    /// A descriptor of what is about to lose its last name: somebody may have it open, and it is forgotten soon if nobody has.
    pub(super) fn orphan(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &[u8]) -> Result<Option<Orphan>, Errno> {
        let has_others = node.state.lock().names.len() > 1;
        if has_others || !self.nodes.is_known(node) {
            return Ok(None);
        }
        if node.is_file() {
            let kept = self.descriptors.file(node.serial);
            let (file, writable) = match kept {
                Some(open) if open.1 || !self.is_in_upper(node) => open,
                _ => self.open_file(node)?,
            };
            return Ok(Some(Orphan::File(file, writable)));
        }
        let open = self.directory(parent, node.layer())?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Some(Orphan::Other(Arc::new(nix::fcntl::openat(&*open, name, flags, Mode::empty())?))))
    }

    /// Takes a name from an inode, which is known by `orphan` if that was the last.
    pub(super) fn lose_name(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &[u8], orphan: Option<Orphan>) {
        let mut state = node.state.lock();
        state.names.retain(|(directory, known)| directory.serial != parent.serial || **known != *name);
        let is_last = state.names.is_empty();
        if is_last {
            state.orphan = orphan;
        }
        let layers = if node.is_directory() { state.layers.clone() } else { Vec::new() };
        drop(state);
        self.descriptors.drop_directories(node.serial, &layers);
        if is_last {
            // It is the orphan's alone, and closed with it.
            drop(self.descriptors.take_file(node.serial));
        }
    }
}
