//! Copying what a mount covers into it, from init, inside the new root: `--tmpfs` with `tmpcopyup`, and new volumes.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstat, fstatat, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use crate::sys::fs::{UNCHANGED, remove_tree};
use crate::sys::xattr;
use crate::volume::{FILLING, NEW};

/// Copies directories, regular files, symbolic links and named pipes below `from` into `into`, with their permissions, owners,
/// attributes and times; files of several names stay that. Devices and sockets are left out, as podman leaves them.
pub fn copy_tree(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut copying = Copying { root: into, path: Vec::new(), names: HashMap::new() };
    copying.directory(from, into)
}

/// Copies `from` into the new volume `into`, once: whoever holds the lock on `marks` does it, all others wait and find it done.
/// A volume into which somebody has written stays as it is. What one that was killed has left is done anew.
pub fn fill_volume(from: BorrowedFd<'_>, into: BorrowedFd<'_>, marks: BorrowedFd<'_>) -> Result<(), Errno> {
    let directory = File::from(openat(marks, c".", read_flags() | OFlag::O_DIRECTORY, Mode::empty())?);
    let marks = Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    let is_marked = |name| fstatat(&*marks, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
    if is_marked(FILLING) {
        for name in names(into)? {
            remove_tree(into, &name)?;
        }
    } else if !is_marked(NEW) {
        return Ok(());
    } else if !names(into)?.is_empty() {
        return unlinkat(&*marks, NEW, UnlinkatFlags::NoRemoveDir);
    } else {
        renameat(&*marks, NEW, &*marks, FILLING)?;
    }
    copy_tree(from, into)?;
    unlinkat(&*marks, FILLING, UnlinkatFlags::NoRemoveDir)
}

struct Copying<'a> {
    /// The copy's root.
    root: BorrowedFd<'a>,
    /// Where we are below it; every name ends with a slash.
    path: Vec<u8>,
    /// Copies, by path below the root, of files that have several names, by device and inode.
    names: HashMap<(u64, u64), CString>,
}

impl Copying<'_> {
    fn directory(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Errno> {
        for name in names(from)? {
            self.entry(from, into, &name)?;
        }
        copy_attributes(from, into)?;
        copy_status(&fstat(from)?, into, c".")
    }

    fn entry(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR {
            return self.below(from, into, name);
        }
        let path = CString::new([&self.path, name.to_bytes()].concat()).map_err(|_| Errno::EINVAL)?;
        if stat.st_nlink > 1
            && let Some(first) = self.names.get(&(stat.st_dev, stat.st_ino))
        {
            return linkat(self.root, first.as_c_str(), into, name, LinkatFlags::empty());
        }
        match kind {
            SFlag::S_IFREG => {
                let mut source = File::from(openat(from, name, read_flags(), Mode::empty())?);
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mut copy = File::from(openat(into, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
                // By copy_file_range(2) where it can be: without copying anything on file systems with reflinks.
                std::io::copy(&mut source, &mut copy)
                    .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
                copy_attributes(source.as_fd(), copy.as_fd())?;
            }
            SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), into, name)?,
            SFlag::S_IFIFO => mknodat(into, name, kind, Mode::S_IRUSR, 0)?,
            _ => return Ok(()),
        }
        if stat.st_nlink > 1 {
            self.names.insert((stat.st_dev, stat.st_ino), path);
        }
        copy_status(&stat, into, name)
    }

    fn below(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let source = openat(from, name, read_flags() | OFlag::O_DIRECTORY, Mode::empty())?;
        mkdirat(into, name, Mode::S_IRWXU)?;
        let copy = openat(into, name, read_flags() | OFlag::O_DIRECTORY, Mode::empty())?;
        let length = self.path.len();
        self.path.extend(name.to_bytes());
        self.path.push(b'/');
        self.directory(source.as_fd(), copy.as_fd())?;
        self.path.truncate(length);
        Ok(())
    }
}

/// The names in a directory.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    let mut opened = Dir::from_fd(openat(directory, c".", read_flags() | OFlag::O_DIRECTORY, Mode::empty())?)?;
    for entry in opened.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Those that users set. Others belong to the kernel, or to the overlay that shows the file.
fn copy_attributes(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in xattr::list(from)? {
        let bytes = name.to_bytes();
        if !bytes.starts_with(b"user.") || bytes.starts_with(b"user.overlay.") {
            continue;
        }
        match xattr::set(into, &name, &xattr::get_whole(from, &name)?) {
            // A tmpfs has none before Linux 6.6.
            Err(Errno::EOPNOTSUPP) => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

/// Owner, permissions and times of `name`.
fn copy_status(stat: &FileStat, into: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let copy = fstatat(into, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if (copy.st_uid, copy.st_gid) != (stat.st_uid, stat.st_gid) {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        match fchownat(into, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // An id that the container does not have.
            Err(Errno::EPERM | Errno::EINVAL) => {}
            result => result?,
        }
    }
    if copy.st_mode & libc::S_IFMT != libc::S_IFLNK {
        fchmodat(into, name, Mode::from_bits_truncate(stat.st_mode & 0o7777), FchmodatFlags::FollowSymlink)?;
    }
    let modified = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    utimensat(into, name, &UNCHANGED, &modified, UtimensatFlags::NoFollowSymlink)
}

fn read_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK
}
