//! Files by descriptor: whiteouts, times, trees of our own that are to go.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag};
use nix::sys::time::TimeSpec;
use nix::unistd::UnlinkatFlags;

use super::xattr;

/// Marks a directory that hides what lower layers have in its place (`y`), or that has marked whiteouts (`x`).
pub const OPAQUE: &CStr = c"user.overlay.opaque";
/// Marks an empty file that is a whiteout.
pub const WHITEOUT: &CStr = c"user.overlay.whiteout";

/// What a whiteout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// A character device 0:0.
    Device,
    /// An empty file that is marked as one, in a directory that is marked as having such.
    Marked,
}

/// Creates the whiteout `name` in `dir`: a character device 0:0, which needs no privilege since Linux 5.8, or where the file system
/// is itself an overlay and takes none, a marked file (overlayfs.rst, "Nesting overlayfs mounts", Linux 6.7).
pub fn make_whiteout(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Whiteout, Errno> {
    match nix::sys::stat::mknodat(dir, name, SFlag::S_IFCHR, Mode::empty(), 0) {
        Err(Errno::EPERM) => make_marked(dir, name).map(|()| Whiteout::Marked),
        other => other.map(|()| Whiteout::Device),
    }
}

fn make_marked(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    if !announce_whiteouts(dir)? {
        return Ok(());
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = nix::fcntl::openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    xattr::set(file.as_fd(), WHITEOUT, b"y").map_err(|_| {
        let _ = nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir);
        Errno::EPERM
    })
}

/// Marks `dir` as one that has marked whiteouts; whether it may have some. One that hides all that lower layers have needs none,
/// and stays marked as that.
pub fn announce_whiteouts(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let listing = nix::fcntl::openat(dir, c".", flags, Mode::empty())?;
    match xattr::get(listing.as_fd(), OPAQUE) {
        Ok(value) => Ok(value == b"x"),
        Err(_) => xattr::set(listing.as_fd(), OPAQUE, b"x").map(|()| true).map_err(|_| Errno::EPERM),
    }
}

/// Whether `name` of `dir`, of which `stat` is known, is a whiteout of either kind.
pub fn is_whiteout_at(dir: BorrowedFd<'_>, name: &[u8], stat: &FileStat) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let marked =
        || nix::fcntl::openat(dir, name, flags, Mode::empty()).is_ok_and(|file| is_marked_whiteout(file.as_fd()));
    is_whiteout(stat) || (stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_size == 0 && marked())
}

/// Whether an open file that is empty is a marked whiteout.
pub fn is_marked_whiteout(file: BorrowedFd<'_>) -> bool {
    nix::sys::stat::fstat(file).is_ok_and(|stat| stat.st_size == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG)
        && xattr::get(file, WHITEOUT).is_ok()
}

/// Whether `stat` is that of an overlayfs whiteout.
pub fn is_whiteout(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == 0
}

/// Changes the permissions of `name` in `dir`, which is not followed if it is a link (fchmodat2(2), Linux 6.6). Before that the
/// kernel has no such call for what cannot be opened: then the name is looked at before, and must not be changed by others.
pub fn change_mode(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let (fd, bits, flags) = (dir.as_raw_fd(), mode.bits(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: `c_name` is a C string that outlives the call; the rest are integers.
    let result = unsafe { libc::syscall(libc::SYS_fchmodat2, fd, c_name.as_ptr(), bits, flags) };
    match Errno::result(result) {
        Err(Errno::ENOSYS) => {
            let stat = nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if stat.st_mode & libc::S_IFMT == libc::S_IFLNK {
                return Err(Errno::EOPNOTSUPP);
            }
            nix::sys::stat::fchmodat(dir, name, mode, FchmodatFlags::FollowSymlink)
        }
        other => other.map(drop),
    }
}

/// Makes the empty file `target` share the contents of `source` (FICLONE, ioctl_ficlone(2)).
pub fn clone_contents(source: &File, target: &File) -> Result<(), Errno> {
    // SAFETY: takes two descriptors, which are open.
    let result = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// A time that leaves the file's as it is (utimensat(2), UTIME_OMIT).
pub const UNCHANGED: TimeSpec = TimeSpec::UTIME_OMIT;

/// Removes `name` from `dir`, with everything below it if it is a directory. Directories that do not let their owner in
/// are opened up first. That there is no `name` is no error.
///
/// Works without recursion and with three descriptors, however deep the tree is: a directory that is not empty is moved
/// up to the top before it is emptied. So `dir` must be one that nobody else changes meanwhile.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    let top = open_up(dir, name)?;
    let mut moved = 0_u64;
    loop {
        let below = empty_one(top.as_fd(), top.as_fd(), &mut moved)?;
        if below.is_empty() {
            break;
        }
        for directory in below {
            let directory = directory.as_c_str();
            let open = open_up(top.as_fd(), directory)?;
            // What it contains is moved up beside it, to be emptied in the next round.
            empty_one(open.as_fd(), top.as_fd(), &mut moved)?;
            nix::unistd::unlinkat(&top, directory, UnlinkatFlags::RemoveDir)?;
        }
    }
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir)
}

/// Opens the directory `name` of `dir` so that entries of it can be listed and removed.
fn open_up(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let stat = nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR && stat.st_mode & 0o700 != 0o700 {
        nix::sys::stat::fchmodat(dir, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(dir, name, flags, Mode::empty())
}

/// Removes all entries of `from` that are not full directories, and moves those into `top` under new names (or lists them
/// where they are, if `from` is `top`).
fn empty_one(from: BorrowedFd<'_>, top: BorrowedFd<'_>, moved: &mut u64) -> Result<Vec<std::ffi::CString>, Errno> {
    let in_place = from.as_raw_fd() == top.as_raw_fd();
    let mut full = Vec::new();
    let again = nix::fcntl::openat(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut listing = nix::dir::Dir::from_fd(again)?;
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || remove_simple(from, name)? {
            continue;
        }
        if in_place {
            full.push(name.to_owned());
            continue;
        }
        // Renaming a directory into another one writes its "..", so it must be writable itself.
        drop(open_up(from, name)?);
        move_up(from, name, top, moved)?;
    }
    Ok(full)
}

/// Removes a file or an empty directory; `false` if `name` is a directory that is not empty.
fn remove_simple(dir: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(true),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    match nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Ok(()) => Ok(true),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Renames `name` of `from` to an unused name of `top`.
fn move_up(from: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> Result<(), Errno> {
    loop {
        *moved += 1;
        let target = format!(".moved-{moved}");
        let flags = nix::fcntl::RenameFlags::RENAME_NOREPLACE;
        match nix::fcntl::renameat2(from, name, top, target.as_str(), flags) {
            Err(Errno::EEXIST) => {}
            result => return result,
        }
    }
}
