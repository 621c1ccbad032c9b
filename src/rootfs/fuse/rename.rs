//! `rename`: as the kernel's overlay without redirections does it. Directories of lower layers stay where they are (EXDEV).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use nix::unistd::UnlinkatFlags;

use super::copy_up::Contents;
use super::directory::Directory;
use super::node::Node;
use super::overlay::{Overlay, UPPER};
use crate::sys::fs::make_whiteout;

/// What is done about the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What has it goes.
    Replace,
    /// Nobody may have it.
    New,
    /// What has it gets the old name.
    Exchange,
}

/// A name in a directory, while both are locked.
struct Place<'a> {
    parent: &'a Arc<Node>,
    name: &'a [u8],
    open: Arc<OwnedFd>,
}

impl Overlay {
    /// Renames `old` of the directory `from` to `new` of `to`.
    pub(super) fn rename(
        &self,
        (from, old): (u64, &[u8]),
        (to, new): (u64, &[u8]),
        target: Target,
    ) -> Result<(), Errno> {
        let (from, to) = (self.nodes.get(from)?, self.nodes.get(to)?);
        if new.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        self.work()?;
        let source = self.with_listing(&from, |directory| Ok(self.child(&from, directory, old)?.0))?;
        let victim = self.with_listing(&to, |directory| match self.child(&to, directory, new) {
            Ok((node, _)) => Ok(Some(node)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        })?;
        match (&victim, target) {
            (Some(_), Target::New) => return Err(Errno::EEXIST),
            (None, Target::Exchange) => return Err(Errno::ENOENT),
            (Some(victim), _) if victim.serial == source.serial => return Ok(()),
            _ => {}
        }
        for node in [Some(&source), victim.as_ref().filter(|_| target == Target::Exchange)].into_iter().flatten() {
            if node.is_directory() && node.state.lock().layers.iter().any(|&layer| !self.is_upper(layer)) {
                return Err(Errno::EXDEV);
            }
        }
        self.copy_up(&source, Contents::Whole)?;
        self.copy_up(&from, Contents::Whole)?;
        self.copy_up(&to, Contents::Whole)?;
        if target == Target::Exchange
            && let Some(victim) = &victim
        {
            self.copy_up(victim, Contents::Whole)?;
        }
        let places = (
            Place { parent: &from, name: old, open: self.upper_directory(&from)? },
            Place { parent: &to, name: new, open: self.upper_directory(&to)? },
        );
        self.with_both(&from, &to, |directory, other| match target {
            Target::Exchange => self.exchange(&places.0, &places.1, directory, other),
            _ => self.replace(&places.0, &places.1, (directory, other), (&source, victim.as_ref())),
        })
    }

    /// Gives the listings of both; the second is absent where they are the same.
    fn with_both<T>(
        &self,
        one: &Arc<Node>,
        other: &Arc<Node>,
        use_them: impl FnOnce(&mut Directory, Option<&mut Directory>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        // In one order, whoever asks.
        match one.serial.cmp(&other.serial) {
            std::cmp::Ordering::Equal => self.with_listing(one, |directory| use_them(directory, None)),
            std::cmp::Ordering::Less => {
                self.with_listing(one, |first| self.with_listing(other, |second| use_them(first, Some(second))))
            }
            std::cmp::Ordering::Greater => {
                self.with_listing(other, |second| self.with_listing(one, |first| use_them(first, Some(second))))
            }
        }
    }

    fn replace(
        &self,
        from: &Place<'_>,
        to: &Place<'_>,
        (directory, mut other): (&mut Directory, Option<&mut Directory>),
        (source, victim): (&Arc<Node>, Option<&Arc<Node>>),
    ) -> Result<(), Errno> {
        let leaves_whiteout = directory.get(from.name).ok_or(Errno::ENOENT)?.below;
        let target = other.as_deref_mut().unwrap_or(directory);
        let (has_whiteout, entry) = (target.has_whiteout(to.name), target.get(to.name));
        let below = has_whiteout || entry.is_some_and(|entry| entry.below);
        let (mut freed, mut orphan) = (0, None);
        if let Some(victim) = victim {
            match (source.is_directory(), victim.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => {
                    let whiteouts = self.whiteouts_of_empty(victim)?;
                    if self.is_in_upper(victim) {
                        self.clear_whiteouts(victim, whiteouts)?;
                    }
                }
                (false, false) => freed = self.blocks_freed(victim),
            }
            orphan = self.orphan(victim, to.parent, to.name)?;
        }
        if source.is_directory() && below {
            let moved = super::directory::open_listing(self.directory_in(from)?.as_fd())?;
            self.make_opaque(moved.as_fd(), to.parent, to.name)?;
        }
        // Paths of what is below a directory change with it.
        let moving = source.is_directory().then(|| self.moves.write());
        self.move_entry(from, to, leaves_whiteout, source.is_directory() && has_whiteout)?;
        self.give_name(source, from, to);
        drop(moving);
        self.give_back(freed);
        if let Some(victim) = victim {
            self.lose_name(victim, to.parent, to.name, orphan);
        }
        directory.remove(from.name);
        if leaves_whiteout {
            directory.note_whiteout(from.name.into());
        }
        other.unwrap_or(directory).insert_upper(to.name.into(), below, source);
        Ok(())
    }

    fn directory_in(&self, place: &Place<'_>) -> Result<OwnedFd, Errno> {
        use nix::fcntl::OFlag;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&*place.open, place.name, flags, nix::sys::stat::Mode::empty())
    }

    /// Renames in the upper layer.
    fn move_entry(&self, from: &Place<'_>, to: &Place<'_>, leaves_whiteout: bool, swaps: bool) -> Result<(), Errno> {
        let rename = |flags| nix::fcntl::renameat2(&*from.open, from.name, &*to.open, to.name, flags);
        if swaps {
            // A directory cannot replace a whiteout, but change places with it.
            match rename(RenameFlags::RENAME_EXCHANGE) {
                Ok(()) if leaves_whiteout => return Ok(()),
                Ok(()) => return nix::unistd::unlinkat(&*from.open, from.name, UnlinkatFlags::NoRemoveDir),
                Err(Errno::EINVAL) => nix::unistd::unlinkat(&*to.open, to.name, UnlinkatFlags::NoRemoveDir)?,
                Err(errno) => return Err(errno),
            }
        }
        if !leaves_whiteout {
            return rename(RenameFlags::empty());
        }
        match rename(RenameFlags::RENAME_WHITEOUT) {
            Err(Errno::EINVAL) => {
                rename(RenameFlags::empty())?;
                make_whiteout(from.open.as_fd(), from.name).map(drop)
            }
            other => other,
        }
    }

    fn exchange(
        &self,
        from: &Place<'_>,
        to: &Place<'_>,
        directory: &mut Directory,
        mut other: Option<&mut Directory>,
    ) -> Result<(), Errno> {
        let (one, _) = self.child(from.parent, directory, from.name)?;
        let second = other.as_deref_mut().unwrap_or(directory);
        let (two, _) = self.child(to.parent, second, to.name)?;
        let two_below = second.get(to.name).is_some_and(|entry| entry.below);
        let one_below = directory.get(from.name).is_some_and(|entry| entry.below);
        for (node, place, aim, below) in [(&one, from, to, two_below), (&two, to, from, one_below)] {
            if node.is_directory() && below {
                let moved = super::directory::open_listing(self.directory_in(place)?.as_fd())?;
                self.make_opaque(moved.as_fd(), aim.parent, aim.name)?;
            }
        }
        let moving = (one.is_directory() || two.is_directory()).then(|| self.moves.write());
        nix::fcntl::renameat2(&*from.open, from.name, &*to.open, to.name, RenameFlags::RENAME_EXCHANGE)?;
        self.give_name(&one, from, to);
        self.give_name(&two, to, from);
        drop(moving);
        directory.insert_upper(from.name.into(), one_below, &two);
        other.unwrap_or(directory).insert_upper(to.name.into(), two_below, &one);
        Ok(())
    }

    fn give_name(&self, node: &Arc<Node>, from: &Place<'_>, to: &Place<'_>) {
        let mut state = node.state.lock();
        let is_old =
            |(parent, name): &(Arc<Node>, Arc<[u8]>)| parent.serial == from.parent.serial && **name == *from.name;
        let new = (to.parent.clone(), to.name.into());
        match state.names.iter().position(is_old) {
            Some(index) => state.names[index] = new,
            None => state.names.push(new),
        }
        debug_assert!(state.layers.first() == Some(&UPPER));
    }
}
