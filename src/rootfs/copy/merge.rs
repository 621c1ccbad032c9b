//! Layers merged into one tree, as an overlay would show them.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};

use crate::rootfs::fuse::{Overlay, Parts, Walked};
use crate::sys::fs::{UNCHANGED, change_mode};
use crate::sys::in_root::open_beneath;

/// Directories that are kept open at most.
const DESCRIPTORS: usize = 64;

/// What becomes of a layer's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// They get another name: only where nobody can write to the tree.
    Link,
    /// They are copied.
    Copy,
}

/// Fills the empty directory `into` with what an overlay of these layers shows, topmost first. Files of `upper`, which is above
/// them, get another name in any case: they belong to whoever gets the tree. `copied` is called when only those are missing.
pub fn fill(
    upper: Option<OwnedFd>,
    lower: Vec<OwnedFd>,
    into: BorrowedFd<'_>,
    take: Take,
    copied: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let has_upper = upper.is_some();
    let layers: Vec<OwnedFd> = upper.into_iter().chain(lower).collect();
    let top = layers.first().ok_or(Errno::EINVAL)?;
    let (top_status, root) = (nix::sys::stat::fstat(top)?, open_directory(top.as_fd(), b".")?);
    copy_attributes(root.as_fd(), into)?;
    let overlay = Overlay::new(Parts { upper: None, lower: layers, limit: None, volatile: true }, DESCRIPTORS)?;
    let mut filling = Filling { into, take, here: None, names: HashMap::new(), directories: Vec::new() };
    let mut own = Vec::new();
    overlay.walk(&mut |file| {
        let is_directory = file.stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
        if has_upper && file.layer == 0 && !is_directory {
            own.push((file.parent.to_vec(), file.name.to_vec()));
            return Ok(());
        }
        filling.add(file)
    })?;
    copied()?;
    for (parent, name) in own {
        let path = joined(&parent, &name);
        nix::unistd::linkat(&root, &*path, filling.directory(&parent)?, &*name, AtFlags::empty())?;
    }
    for (path, status) in filling.directories.into_iter().rev() {
        set_status(into, &path, &status)?;
    }
    set_status(into, b".", &top_status)
}

struct Filling<'a> {
    into: BorrowedFd<'a>,
    take: Take,
    /// The directory that was last filled, and its path.
    here: Option<(Vec<u8>, OwnedFd)>,
    /// Where files are that have several names, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
    /// Directories, and what is to be said of them once they are full.
    directories: Vec<(Vec<u8>, FileStat)>,
}

impl Filling<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let is_here = self.here.as_ref().is_some_and(|(here, _)| here == path);
        if !is_here {
            let opened = open_directory(self.into, if path.is_empty() { b"." } else { path })?;
            self.here = Some((path.to_vec(), opened));
        }
        self.here.as_ref().map(|(_, opened)| opened.as_fd()).ok_or(Errno::EIO)
    }

    fn add(&mut self, file: &Walked<'_>) -> Result<(), Errno> {
        let Walked { parent, name, directory, stat, .. } = *file;
        let path = joined(parent, name);
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            let target = self.directory(parent)?;
            nix::sys::stat::mkdirat(target, name, Mode::S_IRWXU)?;
            let source = open_directory(directory.as_fd(), name)?;
            copy_attributes(source.as_fd(), open_directory(target, name)?.as_fd())?;
            self.directories.push((path, stat));
            return Ok(());
        }
        if self.take == Take::Link {
            match nix::unistd::linkat(directory, name, self.directory(parent)?, name, AtFlags::empty()) {
                // A file can have too many names, and one of somebody else gets none from us.
                Err(Errno::EMLINK | Errno::EPERM | Errno::EXDEV) => {}
                other => return other,
            }
        }
        let key = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.names.get(&key).cloned()
        {
            let root = self.into;
            return nix::unistd::linkat(root, &*first, self.directory(parent)?, name, AtFlags::empty());
        }
        copy_file(directory.as_fd(), name, self.directory(parent)?, &stat)?;
        if stat.st_nlink > 1 {
            self.names.insert(key, path);
        }
        Ok(())
    }
}

fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Copies `name`, which is no directory.
fn copy_file(from: BorrowedFd<'_>, name: &[u8], into: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Errno> {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let source = File::from(nix::fcntl::openat(from, name, flags, Mode::empty())?);
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let copy = File::from(nix::fcntl::openat(into, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
            super::contents(&source, &copy, stat.st_size as u64, stat.st_size as u64)?;
            copy_attributes(source.as_fd(), copy.as_fd())?;
        }
        libc::S_IFLNK => nix::unistd::symlinkat(&*nix::fcntl::readlinkat(from, name)?, into, name)?,
        kind => {
            let kind = SFlag::from_bits_truncate(kind);
            match nix::sys::stat::mknodat(into, name, kind, Mode::S_IRUSR, stat.st_rdev) {
                // A device of the host, of no use in a container.
                Err(Errno::EPERM) => return Ok(()),
                other => other?,
            }
        }
    }
    set_status(into, name, stat)
}

/// Copies attributes as the overlay shows them.
fn copy_attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    super::attributes(source, target, |name| match name.strip_prefix(b"user.overlay.") {
        None => Some(name.to_vec()),
        Some(rest) => rest.strip_prefix(b"overlay.").map(|rest| [b"user.overlay.", rest].concat()),
    })
}

/// Gives `path` owner, permissions and times.
pub(super) fn set_status(root: BorrowedFd<'_>, path: &[u8], stat: &FileStat) -> Result<(), Errno> {
    let now = nix::sys::stat::fstatat(root, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if (now.st_uid, now.st_gid) != (stat.st_uid, stat.st_gid) {
        let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        match nix::unistd::fchownat(root, path, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Somebody whom there is no id for here: a directory of the host has such files.
            Err(Errno::EPERM | Errno::EINVAL) => {}
            other => other?,
        }
    }
    if now.st_mode & libc::S_IFMT != libc::S_IFLNK {
        change_mode(root, path, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    }
    let modified = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    nix::sys::stat::utimensat(root, path, &UNCHANGED, &modified, UtimensatFlags::NoFollowSymlink)
}

/// Opens a directory to be read.
pub(super) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_beneath(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW)
}
