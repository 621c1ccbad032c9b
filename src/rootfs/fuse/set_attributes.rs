//! `setattr`: permissions, owner, size, times.

use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, TimeOrNow};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use super::copy_up::Contents;
use super::node::{Node, Orphan};
use super::overlay::{Overlay, UPPER};
use crate::sys::fs::{UNCHANGED, change_mode};

/// What is to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size.
    pub size: Option<u64>,
    /// Time of the last access.
    pub accessed: Option<TimeOrNow>,
    /// Time of the last modification.
    pub modified: Option<TimeOrNow>,
}

impl Overlay {
    /// Changes the inode `number`; what it is then.
    pub(super) fn set_attributes(&self, number: u64, change: &Change) -> Result<FileAttr, Errno> {
        let node = self.nodes.get(number)?;
        let contents = change.size.map_or(Contents::Whole, Contents::UpTo);
        self.copy_up(&node, contents)?;
        if let Some(size) = change.size {
            let file = self.file(&node, true)?;
            let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
            let blocks = || file.metadata().map(|metadata| metadata.blocks());
            let before = self.before_growth(blocks, 0)?;
            nix::unistd::ftruncate(&*file, size)?;
            self.account(blocks, before)?;
        }
        if change.uid.is_some() || change.gid.is_some() {
            self.change_owner(&node, change.uid.map(Uid::from_raw), change.gid.map(Gid::from_raw))?;
        }
        if let Some(mode) = change.mode {
            self.change_permissions(&node, Mode::from_bits_truncate(mode & 0o7777))?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            self.change_times(&node, time(change.accessed), time(change.modified))?;
        }
        Ok(self.shown(&node, &self.stat(&node)?))
    }

    fn change_owner(&self, node: &Node, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
        let orphan = node.state.lock().orphan.clone();
        match orphan {
            Some(Orphan::File(file, _)) => nix::unistd::fchown(&*file, uid, gid),
            Some(Orphan::Other(fd)) => nix::unistd::fchownat(&*fd, c"", uid, gid, AtFlags::AT_EMPTY_PATH),
            None if node.serial == self.root.serial => {
                nix::unistd::fchownat(&*self.directory(node, UPPER)?, c"", uid, gid, AtFlags::AT_EMPTY_PATH)
            }
            None => {
                let (directory, name) = self.place(node)?;
                nix::unistd::fchownat(&*directory, &*name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
            }
        }
    }

    fn change_permissions(&self, node: &Node, mode: Mode) -> Result<(), Errno> {
        let orphan = node.state.lock().orphan.clone();
        match orphan {
            Some(Orphan::File(file, _)) => return nix::sys::stat::fchmod(&*file, mode),
            Some(Orphan::Other(_)) if !node.is_directory() => return Err(Errno::EOPNOTSUPP),
            Some(Orphan::Other(fd)) => {
                return nix::sys::stat::fchmod(super::directory::open_listing(std::os::fd::AsFd::as_fd(&*fd))?, mode);
            }
            None => {}
        }
        if node.is_directory() {
            let open = self.upper_directory(node)?;
            return nix::sys::stat::fchmod(super::directory::open_listing(std::os::fd::AsFd::as_fd(&*open))?, mode);
        }
        if node.is_file()
            && let Some((file, true)) = self.descriptors.file(node.serial)
        {
            return nix::sys::stat::fchmod(&*file, mode);
        }
        let (directory, name) = self.place(node)?;
        if node.is_file() {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            return nix::sys::stat::fchmod(nix::fcntl::openat(&*directory, &*name, flags, Mode::empty())?, mode);
        }
        change_mode(std::os::fd::AsFd::as_fd(&*directory), &name, mode)
    }

    fn change_times(&self, node: &Node, accessed: TimeSpec, modified: TimeSpec) -> Result<(), Errno> {
        let orphan = node.state.lock().orphan.clone();
        match orphan {
            Some(Orphan::File(file, _)) => nix::sys::stat::futimens(&*file, &accessed, &modified),
            Some(Orphan::Other(_)) if !node.is_directory() => Ok(()),
            Some(Orphan::Other(fd)) => {
                let open = super::directory::open_listing(std::os::fd::AsFd::as_fd(&*fd))?;
                nix::sys::stat::futimens(open, &accessed, &modified)
            }
            None if node.serial == self.root.serial => {
                let open = self.directory(node, UPPER)?;
                nix::sys::stat::utimensat(&*open, c".", &accessed, &modified, UtimensatFlags::FollowSymlink)
            }
            None => {
                let (directory, name) = self.place(node)?;
                let flags = UtimensatFlags::NoFollowSymlink;
                nix::sys::stat::utimensat(&*directory, &*name, &accessed, &modified, flags)
            }
        }
    }
}

fn time(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => UNCHANGED,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => specific(time),
    }
}

fn specific(time: SystemTime) -> TimeSpec {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => TimeSpec::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos().into()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => TimeSpec::new(seconds, 0),
                nanoseconds => TimeSpec::new(seconds.saturating_sub(1), i64::from(1_000_000_000 - nanoseconds)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_on_both_sides_of_the_epoch() {
        let shown = |time| (specific(time).tv_sec(), specific(time).tv_nsec());
        assert_eq!(shown(UNIX_EPOCH + Duration::new(3, 7)), (3, 7));
        assert_eq!(shown(UNIX_EPOCH - Duration::from_millis(750)), (-1, 250_000_000));
        assert_eq!(shown(UNIX_EPOCH - Duration::from_secs(2)), (-2, 0));
    }
}
