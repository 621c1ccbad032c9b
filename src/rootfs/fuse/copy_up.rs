//! Copying up: what is about to be changed gets into the upper layer first, whole or not at all.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use super::node::{Node, Orphan};
use super::overlay::{Overlay, UPPER};
use crate::rootfs::copy;
use crate::sys::fs::change_mode;
use crate::sys::xattr;

/// How much of a file's contents is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// All.
    Whole,
    /// So many bytes: what is behind is about to be cut off.
    UpTo(u64),
}

impl Overlay {
    /// Sees to it that the inode is in the upper layer.
    pub(super) fn copy_up(&self, node: &Arc<Node>, contents: Contents) -> Result<(), Errno> {
        if self.is_in_upper(node) {
            return Ok(());
        }
        self.work()?;
        let Ok((parent, name)) = node.name() else { return self.copy_up_orphan(node, contents) };
        self.copy_up(&parent, Contents::Whole)?;
        let _alone = node.copying.lock();
        if self.is_in_upper(node) {
            return Ok(());
        }
        let stat = self.stat(node)?;
        let target = self.upper_directory(&parent)?;
        let before = nix::sys::stat::fstat(&*target)?;
        let temporary = self.temporary_name();
        let made = self.make_copy(node, &stat, &temporary, contents);
        let named = made.and_then(|file| {
            let (work, flags) = (self.work()?, RenameFlags::RENAME_NOREPLACE);
            nix::fcntl::renameat2(work, temporary.as_str(), &*target, &*name, flags)?;
            Ok(file)
        });
        let file = named.inspect_err(|_| self.discard(&temporary))?;
        // That something was made in it is nobody's business.
        let _ = nix::sys::stat::utimensat(&*target, c".", &access(&before), &modification(&before), FOLLOW);
        {
            let mut state = node.state.lock();
            match node.is_directory() {
                true => state.layers.insert(0, UPPER),
                false => state.layers = vec![UPPER],
            }
        }
        drop(self.descriptors.take_file(node.serial));
        if let Some(file) = file {
            self.descriptors.keep_file(node.serial, (Arc::new(file), true));
        }
        self.with_listing(&parent, |directory| {
            if let Some(entry) = directory.get_mut(&name) {
                entry.below = true;
                match node.is_directory() {
                    true => entry.layers.insert(0, UPPER),
                    false => entry.layers = vec![UPPER],
                }
            }
            Ok(())
        })
    }

    /// Makes a copy in the work directory; of a regular file it is given back, open.
    fn make_copy(
        &self,
        node: &Arc<Node>,
        stat: &FileStat,
        temporary: &str,
        contents: Contents,
    ) -> Result<Option<File>, Errno> {
        let work = self.work()?;
        let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
        let file = match node.kind {
            libc::S_IFREG => {
                let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let file = File::from(nix::fcntl::openat(work, temporary, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
                let source = self.file(node, false)?;
                self.fill(&source, &file, stat, contents)?;
                self.copy_attributes(source.as_fd(), file.as_fd())?;
                Some(file)
            }
            libc::S_IFDIR => {
                nix::sys::stat::mkdirat(work, temporary, Mode::S_IRWXU)?;
                let source = super::directory::open_listing(self.directory(node, node.layer())?.as_fd())?;
                self.copy_attributes(source.as_fd(), self.open_temporary(temporary)?.as_fd())?;
                None
            }
            libc::S_IFLNK => {
                let (directory, name) = self.place(node)?;
                let target = nix::fcntl::readlinkat(&*directory, &*name)?;
                nix::unistd::symlinkat(target.as_os_str(), work, temporary)?;
                None
            }
            kind => {
                let kind = SFlag::from_bits_truncate(kind);
                nix::sys::stat::mknodat(work, temporary, kind, Mode::S_IRUSR | Mode::S_IWUSR, stat.st_rdev)?;
                None
            }
        };
        if (stat.st_uid, stat.st_gid) != self.own {
            let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
            nix::unistd::fchownat(work, temporary, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        match (&file, node.kind) {
            (Some(file), _) => nix::sys::stat::fchmod(file, mode)?,
            (None, libc::S_IFLNK) => {}
            (None, _) => change_mode(work.as_fd(), temporary.as_bytes(), mode)?,
        }
        nix::sys::stat::utimensat(work, temporary, &access(stat), &modification(stat), NO_FOLLOW)?;
        if let Some(file) = &file
            && !self.volatile
        {
            // A name must not survive a crash that its contents do not.
            nix::unistd::fdatasync(file)?;
        }
        Ok(file)
    }

    fn fill(&self, source: &File, file: &File, stat: &FileStat, contents: Contents) -> Result<(), Errno> {
        let size = stat.st_size as u64;
        let wanted = match contents {
            Contents::Whole => size,
            Contents::UpTo(limit) => size.min(limit),
        };
        if let Some(quota) = &self.quota {
            quota.expect((stat.st_blocks as u64 * 512).min(wanted))?;
        }
        copy::contents(source, file, size, wanted)?;
        self.account(|| file.metadata().map(|metadata| std::os::unix::fs::MetadataExt::blocks(&metadata)), 0)
    }

    /// Copies attributes, but those that say something of a layer, and marks the copy as one.
    fn copy_attributes(&self, source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
        copy::attributes(source, target, |name| {
            let is_ours = name.starts_with(b"user.overlay.") && !name.starts_with(b"user.overlay.overlay.");
            (!is_ours).then(|| name.to_vec())
        })?;
        if self.has_xattrs { xattr::set(target, copy::ORIGIN, b"") } else { Ok(()) }
    }

    /// A file that has no name any more but is written to gets contents of its own.
    fn copy_up_orphan(&self, node: &Arc<Node>, contents: Contents) -> Result<(), Errno> {
        let _alone = node.copying.lock();
        if self.is_in_upper(node) {
            return Ok(());
        }
        let orphan = node.state.lock().orphan.clone();
        let Some(Orphan::File(source, _)) = orphan else { return Err(Errno::EROFS) };
        let temporary = self.temporary_name();
        let stat = nix::sys::stat::fstat(&*source)?;
        let made = self.make_copy(node, &stat, &temporary, contents);
        self.discard(&temporary);
        let file = made?.ok_or(Errno::EIO)?;
        let mut state = node.state.lock();
        state.layers = vec![UPPER];
        state.orphan = Some(Orphan::File(Arc::new(file), true));
        drop(state);
        drop(self.descriptors.take_file(node.serial));
        Ok(())
    }

    /// Opens a directory in the work directory.
    pub(super) fn open_temporary(&self, temporary: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(self.work()?, temporary, flags, Mode::empty())
    }

    /// Removes what was begun in the work directory; what stays is removed when the overlay is next served.
    pub(super) fn discard(&self, temporary: &str) {
        if let (Ok(work), Ok(name)) = (self.work(), super::directory::c_name(temporary.as_bytes())) {
            let _ = crate::sys::fs::remove_tree(work.as_fd(), &name);
        }
    }
}

const NO_FOLLOW: UtimensatFlags = UtimensatFlags::NoFollowSymlink;
const FOLLOW: UtimensatFlags = UtimensatFlags::FollowSymlink;

fn access(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_atime, stat.st_atime_nsec)
}

fn modification(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}
