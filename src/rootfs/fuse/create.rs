//! `create`, `mknod`, `mkdir`, `symlink`: new files.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{Gid, Uid};

use super::copy_up::Contents;
use super::directory::{Directory, kind_of};
use super::node::{Found, Node};
use super::overlay::{OPAQUE, Overlay, UPPER};
use crate::sys::xattr;

/// What is made.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Link(&'a [u8]),
    /// Anything else: its type (S_IFMT), and device number.
    Special(u32, u64),
}

/// Who makes it.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Overlay {
    /// Makes `name` in the directory `parent`, with these permissions.
    pub(super) fn create(
        &self,
        parent: u64,
        name: &[u8],
        new: New<'_>,
        mode: u32,
        maker: Maker,
    ) -> Result<(Arc<Node>, FileStat), Errno> {
        let parent = self.nodes.get(parent)?;
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        if let New::Special(libc::S_IFCHR, 0) = new {
            // It would be a whiteout.
            return Err(Errno::EPERM);
        }
        self.copy_up(&parent, Contents::Whole)?;
        self.check_room()?;
        self.with_listing(&parent, |directory| {
            if directory.get(name).is_some() {
                return Err(Errno::EEXIST);
            }
            let target = self.upper_directory(&parent)?;
            let mode = Mode::from_bits_truncate(mode & 0o7777);
            let file = match directory.has_whiteout(name) {
                false => self.make(target.as_fd(), name, new, mode, maker)?,
                true => {
                    let temporary = self.temporary_name();
                    let made = self.make(self.work()?.as_fd(), temporary.as_bytes(), new, mode, maker);
                    let placed = made.and_then(|file| {
                        if let New::Directory = new {
                            self.hide_below(&parent, name, &temporary)?;
                        }
                        self.replace_whiteout(&temporary, target.as_fd(), name, matches!(new, New::Directory))?;
                        Ok(file)
                    });
                    placed.inspect_err(|_| self.discard(&temporary))?
                }
            };
            let stat = nix::sys::stat::fstatat(&*target, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let node = self.add(&parent, directory, name, &stat);
            if let New::Directory = new {
                *node.listing.lock() = Some(Directory::default());
            }
            if let Some(file) = file {
                self.descriptors.keep_file(node.serial, (Arc::new(file), true));
            }
            self.nodes.remember(&node);
            Ok((node, stat))
        })
    }

    /// Makes an inode for a file that is new in the upper layer's part of `parent`.
    pub(super) fn add(&self, parent: &Arc<Node>, directory: &mut Directory, name: &[u8], stat: &FileStat) -> Arc<Node> {
        let below = directory.has_whiteout(name);
        let name: Arc<[u8]> = name.into();
        let node = self.nodes.make(Found {
            kind: kind_of(stat),
            name: Some((parent.clone(), name.clone())),
            layers: vec![UPPER],
            wanted: Some(self.number(stat, UPPER)),
            shared_number: None,
        });
        directory.insert_upper(name, below, &node);
        node
    }

    fn make(
        &self,
        directory: std::os::fd::BorrowedFd<'_>,
        name: &[u8],
        new: New<'_>,
        mode: Mode,
        maker: Maker,
    ) -> Result<Option<File>, Errno> {
        let mut file = None;
        match new {
            New::File => {
                let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                file = Some(File::from(nix::fcntl::openat(directory, name, flags, mode)?));
            }
            New::Directory => nix::sys::stat::mkdirat(directory, name, mode)?,
            New::Link(target) => nix::unistd::symlinkat(target, directory, name)?,
            New::Special(kind, device) => {
                nix::sys::stat::mknodat(directory, name, SFlag::from_bits_truncate(kind), mode, device)?;
            }
        }
        if (maker.uid, maker.gid) == self.own {
            return Ok(file);
        }
        // A directory with the set-group-ID bit has given it its group.
        let stat = nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let gid = Some(Gid::from_raw(maker.gid)).filter(|_| stat.st_gid == self.own.1);
        let uid = Some(Uid::from_raw(maker.uid));
        nix::unistd::fchownat(directory, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !matches!(new, New::Link(_)) && mode.intersects(Mode::S_ISUID | Mode::S_ISGID) {
            crate::sys::fs::change_mode(directory, name, mode)?;
        }
        Ok(file)
    }

    /// Makes a new directory in the work directory opaque: lower layers have something where it will be.
    pub(super) fn hide_below(&self, parent: &Arc<Node>, name: &[u8], temporary: &str) -> Result<(), Errno> {
        let directory = self.open_temporary(temporary)?;
        self.make_opaque(directory.as_fd(), parent, name)
    }

    /// Makes a directory opaque that is, or will be, `name` of `parent`. Where the file system has no attributes, whiteouts
    /// say the same.
    pub(super) fn make_opaque(
        &self,
        directory: std::os::fd::BorrowedFd<'_>,
        parent: &Arc<Node>,
        name: &[u8],
    ) -> Result<(), Errno> {
        if self.has_xattrs {
            return xattr::set(directory, OPAQUE, b"y");
        }
        let layers = parent.state.lock().layers.clone();
        for layer in layers.into_iter().filter(|&layer| !self.is_upper(layer)) {
            let open = self.directory(parent, layer)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let lower = match nix::fcntl::openat(&*open, name, flags, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                Err(Errno::ENOTDIR | Errno::ELOOP) => break,
                other => other?,
            };
            for entry in nix::dir::Dir::from_fd(lower)?.iter() {
                let entry = entry?;
                match entry.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => match crate::sys::fs::make_whiteout(directory, name) {
                        Ok(_) | Err(Errno::EEXIST) => {}
                        Err(errno) => return Err(errno),
                    },
                }
            }
        }
        Ok(())
    }

    /// Puts what was made in the work directory into the place of a whiteout.
    pub(super) fn replace_whiteout(
        &self,
        temporary: &str,
        target: std::os::fd::BorrowedFd<'_>,
        name: &[u8],
        is_directory: bool,
    ) -> Result<(), Errno> {
        let work = self.work()?;
        if !is_directory {
            return nix::fcntl::renameat(work, temporary, target, name);
        }
        match nix::fcntl::renameat2(work, temporary, target, name, RenameFlags::RENAME_EXCHANGE) {
            Ok(()) => nix::unistd::unlinkat(work, temporary, nix::unistd::UnlinkatFlags::NoRemoveDir),
            // Not all file systems can exchange.
            Err(Errno::EINVAL) => {
                nix::unistd::unlinkat(target, name, nix::unistd::UnlinkatFlags::NoRemoveDir)?;
                nix::fcntl::renameat(work, temporary, target, name)
            }
            Err(errno) => Err(errno),
        }
    }
}
