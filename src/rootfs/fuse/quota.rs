//! The limit of the upper layer (`--storage-opt size=`): blocks are counted as files grow and shrink.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI64, Ordering};

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::node::Node;
use super::overlay::Overlay;

/// Bytes of the units in which the kernel counts blocks (`st_blocks`).
const UNIT: i64 = 512;

/// A limit, and what is used of it.
#[derive(Debug)]
pub struct Quota {
    limit: i64,
    used: AtomicI64,
}

impl Quota {
    /// The limit, in bytes, of what is in the directory `root`.
    pub fn new(root: BorrowedFd<'_>, limit: u64) -> Result<Self, Errno> {
        let used = AtomicI64::new(measure(root)?);
        Ok(Self { limit: i64::try_from(limit).unwrap_or(i64::MAX), used })
    }

    /// ENOSPC if there is no room for so many bytes.
    pub fn expect(&self, bytes: u64) -> Result<(), Errno> {
        let used = self.used.load(Ordering::Relaxed);
        let fits = i64::try_from(bytes).ok().and_then(|bytes| used.checked_add(bytes));
        fits.filter(|&used| used <= self.limit).map(drop).ok_or(Errno::ENOSPC)
    }

    fn add(&self, bytes: i64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The limit, and what is left of it, in blocks of so many bytes.
    pub fn in_blocks(&self, block: u64) -> (u64, u64) {
        let left = (self.limit - self.used.load(Ordering::Relaxed)).max(0);
        (self.limit as u64 / block, left as u64 / block)
    }
}

/// Bytes on disk of all files in a directory. Deep trees are gone through with a list of directories to look into.
fn measure(root: BorrowedFd<'_>) -> Result<i64, Errno> {
    let mut used = 0;
    let mut waiting = vec![super::directory::open_listing(root)?];
    // A file of several names counts once.
    let mut seen = std::collections::HashSet::new();
    while let Some(open) = waiting.pop() {
        let here = open.try_clone().map_err(|_| Errno::EMFILE)?;
        for entry in nix::dir::Dir::from_fd(open)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match nix::sys::stat::fstatat(&here, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                other => other?,
            };
            if stat.st_nlink > 1 && stat.st_mode & libc::S_IFMT != libc::S_IFDIR && !seen.insert(stat.st_ino) {
                continue;
            }
            used += stat.st_blocks * UNIT;
            if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                let below = crate::sys::in_root::open_beneath(
                    here.as_fd(),
                    name.to_bytes(),
                    nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW,
                )?;
                waiting.push(below);
            }
        }
    }
    Ok(used)
}

impl Overlay {
    /// ENOSPC if nothing new can be made.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        self.quota.as_ref().map_or(Ok(()), |quota| quota.expect(0))
    }

    /// Before a file gets at most so many bytes more: what it has now, for [`Self::account`].
    pub(super) fn before_growth(
        &self,
        blocks: impl FnOnce() -> std::io::Result<u64>,
        bytes: u64,
    ) -> Result<u64, Errno> {
        let Some(quota) = &self.quota else { return Ok(0) };
        quota.expect(bytes)?;
        blocks().map_err(|_| Errno::EIO)
    }

    /// Counts what a file has more, or less, than `before`.
    pub(super) fn account(&self, blocks: impl FnOnce() -> std::io::Result<u64>, before: u64) -> Result<(), Errno> {
        if let Some(quota) = &self.quota {
            let now = blocks().map_err(|_| Errno::EIO)?;
            quota.add((now as i64 - before as i64) * UNIT);
        }
        Ok(())
    }

    /// What the last name of a file in the upper layer gives back when it goes, in blocks. A file that is still open gives it
    /// back now and not later: the limit is what is named.
    pub(super) fn blocks_freed(&self, node: &Node) -> u64 {
        if self.quota.is_none() || !self.is_in_upper(node) {
            return 0;
        }
        self.stat(node).ok().filter(|stat| stat.st_nlink <= 1).map_or(0, |stat| stat.st_blocks as u64)
    }

    /// Counts blocks that were given back.
    pub(super) fn give_back(&self, blocks: u64) {
        if let Some(quota) = &self.quota {
            quota.add(-(blocks as i64) * UNIT);
        }
    }
}
