//! What has been changed in a copy of layers, as an upper layer of an overlay says it.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode};

use super::merge::{open_directory, set_status};
use crate::sys::fs::{is_whiteout, make_whiteout};
use crate::sys::status::{self, Status};
use crate::sys::xattr;

/// Writes into the empty directory `into`, of the same file system, what makes `tree` of `lower`, of which it was a copy when the
/// file of `made` was made. Files get another name there, so that this costs no room.
///
/// The kernel notes the time of every change of a file (`st_ctime`), which nobody sets: what has not been changed since is as it
/// was. What has is looked at, and is no change if it is the same.
pub fn record(tree: BorrowedFd<'_>, lower: BorrowedFd<'_>, into: BorrowedFd<'_>, made: &Status) -> Result<(), Errno> {
    let recording = Recording { made: (made.0.stx_ctime.tv_sec, made.0.stx_ctime.tv_nsec) };
    let target = Target { parent: None, opened: OnceCell::from(open_directory(into, b".")?) };
    recording.directory(tree, Some(lower), &target)?;
    copy_status(tree, into)
}

struct Recording {
    /// The time at which the copy was complete: seconds and nanoseconds.
    made: (i64, u32),
}

/// A directory of the upper layer, made when there is something to put into it.
struct Target<'a> {
    parent: Option<(&'a Target<'a>, &'a CStr)>,
    opened: OnceCell<OwnedFd>,
}

impl Target<'_> {
    fn open(&self) -> Result<BorrowedFd<'_>, Errno> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.as_fd());
        }
        let (parent, name) = self.parent.ok_or(Errno::EIO)?;
        let above = parent.open()?;
        nix::sys::stat::mkdirat(above, name, Mode::S_IRWXU)?;
        let opened = open_directory(above, name.to_bytes())?;
        Ok(self.opened.get_or_init(|| opened).as_fd())
    }

    fn is_made(&self) -> bool {
        self.opened.get().is_some()
    }
}

impl Recording {
    fn directory(&self, tree: BorrowedFd<'_>, lower: Option<BorrowedFd<'_>>, target: &Target<'_>) -> Result<(), Errno> {
        let names = names(tree)?;
        for name in &names {
            let Some(new) = stat_of(tree, name)? else { continue };
            let old = lower.map(|lower| stat_of(lower, name)).transpose()?.flatten();
            let done = match is_directory(&new) {
                true => self.below(tree, lower.filter(|_| old.as_ref().is_some_and(is_directory)), name, target),
                false => self.file((tree, &new), lower.zip(old.as_ref()), name, target),
            };
            match done {
                // It was removed meanwhile.
                Err(Errno::ENOENT) if stat_of(tree, name)?.is_none() => {}
                other => other?,
            }
        }
        let Some(lower) = lower else { return Ok(()) };
        for name in self::names(lower)? {
            if names.binary_search(&name).is_err() {
                make_whiteout(target.open()?, name.to_bytes())?;
            }
        }
        Ok(())
    }

    /// The directory `name`, which there is in `lower`, too.
    fn below(
        &self,
        tree: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        name: &CStr,
        target: &Target<'_>,
    ) -> Result<(), Errno> {
        let below = Target { parent: Some((target, name)), opened: OnceCell::new() };
        let new = open_directory(tree, name.to_bytes())?;
        let old = lower.map(|lower| open_directory(lower, name.to_bytes())).transpose()?;
        self.directory(new.as_fd(), old.as_ref().map(AsFd::as_fd), &below)?;
        let is_same = match &old {
            Some(old) => !below.is_made() && is_same_directory(new.as_fd(), old.as_fd())?,
            None => false,
        };
        if is_same {
            return Ok(());
        }
        if old.is_some() {
            mark(below.open()?)?;
        }
        copy_status(new.as_fd(), below.open()?)
    }

    /// Anything else by that name.
    fn file(
        &self,
        (tree, new): (BorrowedFd<'_>, &FileStat),
        lower: Option<(BorrowedFd<'_>, &FileStat)>,
        name: &CStr,
        target: &Target<'_>,
    ) -> Result<(), Errno> {
        // Nobody has use for a whiteout but who makes an overlay of his own.
        if is_whiteout(new) || self.is_unchanged((tree, new), lower, name)? {
            return Ok(());
        }
        nix::unistd::linkat(tree, name, target.open()?, name, AtFlags::empty())?;
        let is_in_place = lower.is_some_and(|(_, old)| kind_of(old) == kind_of(new));
        if is_in_place && self.is_copy(tree, name) { mark(open_file(tree, name)?.as_fd()) } else { Ok(()) }
    }

    fn is_unchanged(
        &self,
        (tree, new): (BorrowedFd<'_>, &FileStat),
        lower: Option<(BorrowedFd<'_>, &FileStat)>,
        name: &CStr,
    ) -> Result<bool, Errno> {
        let Some((lower, old)) = lower else { return Ok(false) };
        let known = |stat: &FileStat| {
            (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, stat.st_rdev, stat.st_mtime, stat.st_mtime_nsec)
        };
        if known(new) != known(old) {
            return Ok(false);
        }
        if (new.st_ctime, new.st_ctime_nsec) < (self.made.0, i64::from(self.made.1)) {
            return Ok(true);
        }
        match kind_of(new) {
            libc::S_IFREG => {
                let (new, old) = (open_file(tree, name)?, open_file(lower, name)?);
                let is_same = has_same_attributes(new.as_fd(), old.as_fd())?;
                let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
                Ok(is_same && has_same_contents(&new, &old).map_err(errno)?)
            }
            libc::S_IFLNK => Ok(nix::fcntl::readlinkat(tree, name)? == nix::fcntl::readlinkat(lower, name)?),
            _ => Ok(true),
        }
    }

    /// Whether it is a regular file that was copied, and not one that was made in its place.
    fn is_copy(&self, tree: BorrowedFd<'_>, name: &CStr) -> bool {
        Status::of(tree, name, libc::AT_SYMLINK_NOFOLLOW, status::USUAL).is_ok_and(|status| {
            let born = &status.0.stx_btime;
            u32::from(status.0.stx_mode) & libc::S_IFMT == libc::S_IFREG && (born.tv_sec, born.tv_nsec) < self.made
        })
    }
}

fn kind_of(stat: &FileStat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

fn is_directory(stat: &FileStat) -> bool {
    kind_of(stat) == libc::S_IFDIR
}

fn stat_of(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileStat>, Errno> {
    match nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The names in a directory, sorted.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in nix::dir::Dir::from_fd(open_directory(directory, b".")?)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn open_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<File, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::openat(directory, name, flags, Mode::empty())?.into())
}

fn is_same_directory(new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<bool, Errno> {
    let known = |stat: &FileStat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    Ok(known(&nix::sys::stat::fstat(new)?) == known(&nix::sys::stat::fstat(old)?) && has_same_attributes(new, old)?)
}

/// Attributes of users, without those by which overlays are made.
fn attributes(file: BorrowedFd<'_>) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let names = xattr::list(file)?.into_iter().filter(|name| {
        let name = name.to_bytes();
        name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") || name == b"security.capability"
    });
    names.map(|name| xattr::get_whole(file, &name).map(|value| (name, value))).collect()
}

fn has_same_attributes(new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(attributes(new)? == attributes(old)?)
}

fn has_same_contents(new: &File, old: &File) -> io::Result<bool> {
    let mut buffers = (vec![0; 1 << 17], vec![0; 1 << 17]);
    let mut at = 0;
    loop {
        let read = new.read_at(&mut buffers.0, at)?;
        if read == 0 {
            return Ok(old.read_at(&mut buffers.1[..1], at)? == 0);
        }
        match old.read_exact_at(&mut buffers.1[..read], at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if buffers.0[..read] != buffers.1[..read] {
            return Ok(false);
        }
        at += read as u64;
    }
}

/// Says that there was one in a lower layer.
fn mark(file: BorrowedFd<'_>) -> Result<(), Errno> {
    match xattr::set(file, super::ORIGIN, b"") {
        Err(Errno::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Gives a directory of the upper layer what is said of the tree's. What the container calls an overlay's attribute is none.
fn copy_status(tree: BorrowedFd<'_>, upper: BorrowedFd<'_>) -> Result<(), Errno> {
    super::attributes(tree, upper, |name| match name.strip_prefix(b"user.overlay.") {
        None => Some(name.to_vec()),
        Some(b"origin") => None,
        Some(rest) => Some([b"user.overlay.overlay.", rest].concat()),
    })?;
    set_status(upper, b".", &nix::sys::stat::fstat(tree)?)
}
