//! From a tar to files, below a directory that is not left: every name is resolved by descriptors.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, unlinkat};

use super::pack::{failed, joined, type_of};
use crate::failure::Failure;
use crate::state::schema::layer::{FileKind, Ownership};
use crate::store::unpack::contents::{self, NotWritten, Target};
use crate::store::unpack::header::{Entries, Entry, Kind};
use crate::store::unpack::ownership::{OVERRIDE_STAT, stamp};
use crate::sys::fs::{UNCHANGED, remove_tree};
use crate::sys::in_root::{Resolve, create_new, open_below};
use crate::sys::xattr;

/// Where files go.
pub struct Destination<'a> {
    /// The directory that is not left.
    pub root: BorrowedFd<'a>,
    /// The path below it that everything is relative to.
    pub prefix: Vec<u8>,
    /// How paths below it are resolved.
    pub resolve: Resolve,
    /// The same for messages.
    pub shown: Vec<u8>,
}

/// What becomes of owners and devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Everything is ours, on the host; devices are left out.
    Ours,
    /// As the archive says, where we have the privilege to give files away; devices are left out.
    Given,
    /// In a container, everything belongs to its root; devices are recorded.
    Root,
    /// In a container, they are recorded as the archive says, and also given where there are several ids.
    Recorded {
        /// Whether there are several ids.
        many: bool,
    },
}

/// How files are unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Owners.
    pub owners: Owners,
    /// Whether a directory may take the place of something else, and the other way round.
    pub overwrite: bool,
    /// Whether extended attributes are set.
    pub xattrs: bool,
}

/// A tree being filled.
pub struct Unpacker<'a> {
    to: Destination<'a>,
    settings: Settings,
    /// The last parent: mostly the next entry's, too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories with the modes and times they get at the end.
    directories: Vec<(Vec<u8>, u32, (i64, i64))>,
    /// What was left out.
    skipped: Vec<String>,
}

fn c(bytes: &[u8]) -> CString {
    CString::new(if bytes.is_empty() { b"." } else { bytes }).unwrap_or_default()
}

fn time((seconds, nanoseconds): (i64, i64)) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds)
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

/// The plain components of an entry's name, `strip` left out at the beginning and `target` put there. Nothing if the name is
/// not one that can be meant.
fn path_of(name: &[u8], strip: usize, target: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = name.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if name.contains(&0) || parts.contains(&&b".."[..]) || parts.len() < strip {
        return None;
    }
    Some(parts[strip..].iter().fold(target.to_vec(), |path, part| joined(&path, part)))
}

/// Unpacks all entries. Of their names the first `strip` components give way to `target`, which is below the destination; empty
/// where its contents are meant. Returns what was left out.
pub fn unpack(
    to: Destination<'_>,
    entries: &mut Entries<impl Read>,
    (strip, target): (usize, &[u8]),
    settings: Settings,
) -> Result<Vec<String>, Failure> {
    let mut unpacker = Unpacker { to, settings, parent: None, directories: Vec::new(), skipped: Vec::new() };
    while let Some(entry) = entries.next()? {
        let refused = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).into_owned();
            Failure::new("E_PATH_ESCAPE", format!("unpacking {name:?}: the name leads elsewhere"))
        };
        if entry.kind == Kind::Label {
            continue;
        }
        let path = path_of(&entry.name, strip, target).ok_or_else(|| refused(&entry.name))?;
        let link = match entry.kind {
            Kind::HardLink => path_of(&entry.link, strip, target).ok_or_else(|| refused(&entry.link))?,
            _ => Vec::new(),
        };
        unpacker.entry(&entry, &path, &link, entries)?;
    }
    unpacker.finish()
}

impl Unpacker<'_> {
    fn failed(&self, action: &str, path: &[u8]) -> impl FnOnce(Errno) -> Failure + use<> {
        let (action, path) = (action.to_owned(), joined(&self.to.shown, path));
        move |errno| failed(&action, &path, errno)
    }

    fn below(&self, path: &[u8]) -> CString {
        c(&joined(&self.to.prefix, path))
    }

    fn entry(
        &mut self,
        entry: &Entry,
        path: &[u8],
        link: &[u8],
        contents: &mut Entries<impl Read>,
    ) -> Result<(), Failure> {
        if path.is_empty() {
            // The destination itself, which was there before.
            return Ok(());
        }
        let on_host = matches!(self.settings.owners, Owners::Ours | Owners::Given);
        match entry.kind {
            Kind::Directory => self.directory(entry, path),
            Kind::File => self.file(entry, path, contents),
            Kind::Symlink => {
                let target = entry.link.clone();
                self.make(path, |parent, name| nix::unistd::symlinkat(&target[..], parent, name))?;
                self.complete_closed(entry, path)
            }
            Kind::HardLink => self.hard_link(path, link),
            Kind::Fifo => {
                let permissions = mode(entry.mode & 0o777);
                self.make(path, |parent, name| mknodat(parent, name, SFlag::S_IFIFO, permissions, 0))?;
                self.complete_closed(entry, path)
            }
            Kind::CharDevice | Kind::BlockDevice if on_host => {
                self.skip(path, "is a device");
                Ok(())
            }
            Kind::CharDevice | Kind::BlockDevice => self.device(entry, path),
            Kind::Socket => {
                self.skip(path, "is a socket");
                Ok(())
            }
            Kind::Label => Ok(()),
        }
    }

    fn skip(&mut self, path: &[u8], why: &str) {
        self.skipped.push(format!("/{} {why}", String::from_utf8_lossy(&joined(&self.to.shown, path))));
    }

    /// The directory that holds `path`, made with all that is missing above it, and the last component.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p [u8]), Failure> {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
        if self.parent.as_ref().is_none_or(|(open, _)| open != parent) {
            let opened = self.open_directory(parent)?;
            self.parent = Some((parent.to_vec(), opened));
        }
        match &self.parent {
            Some((_, open)) => Ok((open.as_fd(), name)),
            None => Err(self.failed("opening", parent)(Errno::EBADF)),
        }
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Failure> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let open = |path: &[u8]| open_below(self.to.root, &self.below(path), flags, self.to.resolve);
        match open(path) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(self.failed("opening", path)),
        }
        let mut end = 0;
        for part in path.split(|&byte| byte == b'/') {
            let above = open(&path[..usize::saturating_sub(end, 1)]).map_err(self.failed("opening", &path[..end]))?;
            end += part.len();
            match mkdirat(&above, part, mode(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(self.failed("making", &path[..end])(errno)),
            }
            end += 1;
        }
        open(path).map_err(self.failed("opening", path))
    }

    /// Makes something at `path`; what is there already goes, unless it is a directory that must not.
    fn make<T>(
        &mut self,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<Option<T>, Failure> {
        let (failed, overwrite) = (self.failed("making", path), self.settings.overwrite);
        let shown = joined(&self.to.shown, path);
        let (parent, name) = self.parent(path)?;
        match make(parent, name) {
            Err(Errno::EEXIST) => {}
            other => return other.map(Some).map_err(failed),
        }
        let gone = match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) if !overwrite => return Err(in_the_way(&shown, "is a directory")),
            Err(Errno::EISDIR) => remove_tree(parent, &c(name)),
            // It is mounted on: it can only be written.
            Err(Errno::EBUSY) => return Ok(None),
            other => other,
        };
        let made = gone.and_then(|()| make(parent, name));
        made.map(Some).map_err(failed)
    }

    fn directory(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Failure> {
        let failed = self.failed("making", path);
        let (parent, name) = self.parent(path)?;
        match mkdirat(parent, name, mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
                if !self.make_way_for_directory(path, type_of(&stat))? {
                    return Ok(());
                }
            }
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let (parent, name) = self.parent(path)?;
        let opened = open_below(parent, &c(name), flags, Resolve::NoSymlinks);
        let opened = opened.map_err(self.failed("opening", path))?;
        self.describe(entry, path, &opened, FileKind::Dir)?;
        self.directories.push((path.to_vec(), entry.mode, entry.mtime));
        Ok(())
    }

    /// There is something of type `found` where a directory is to be; `false` if it leads to a directory, as /lib of many an
    /// image, which is then what is meant.
    fn make_way_for_directory(&mut self, path: &[u8], found: u32) -> Result<bool, Failure> {
        let follows = self.to.resolve == Resolve::InRoot;
        if found == libc::S_IFDIR {
            return Ok(true);
        }
        if found == libc::S_IFLNK && follows && self.open_directory(path).is_ok() {
            return Ok(false);
        }
        if !self.settings.overwrite {
            return Err(in_the_way(&joined(&self.to.shown, path), "is no directory"));
        }
        let failed = self.failed("replacing", path);
        let (parent, name) = self.parent(path)?;
        let made = unlinkat(parent, name, UnlinkatFlags::NoRemoveDir);
        made.and_then(|()| mkdirat(parent, name, mode(0o700))).map_err(failed)?;
        Ok(true)
    }

    fn file(&mut self, entry: &Entry, path: &[u8], contents: &mut Entries<impl Read>) -> Result<(), Failure> {
        let made = self.make(path, |parent, name| create_new(parent, name, mode(0o600)))?;
        let Some(file) = made else {
            let (parent, name) = self.parent(path)?;
            let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
            let file = open_below(parent, &c(name), flags, Resolve::NoSymlinks);
            let file = file.map_err(self.failed("writing", path))?;
            return write_contents(&mut File::from(file), entry, contents, self.failed("writing", path));
        };
        let mut file = File::from(file);
        write_contents(&mut file, entry, contents, self.failed("writing", path))?;
        let file = OwnedFd::from(file);
        self.describe(entry, path, &file, FileKind::File)?;
        // After the owner: chown(2) and write(2) take bits away.
        fchmod(&file, mode(entry.mode)).map_err(self.failed("setting the mode of", path))?;
        futimens(&file, &UNCHANGED, &time(entry.mtime)).map_err(self.failed("setting the time of", path))
    }

    /// A device becomes an empty regular file that says in its record what it stands for.
    fn device(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Failure> {
        let (major, minor) = entry.device;
        let kind = match entry.kind {
            Kind::CharDevice => FileKind::Char { major, minor },
            _ => FileKind::Block { major, minor },
        };
        let Some(file) = self.make(path, |parent, name| create_new(parent, name, mode(0o600)))? else { return Ok(()) };
        let recorded = matches!(self.settings.owners, Owners::Recorded { .. });
        let (uid, gid) = if recorded { (entry.uid, entry.gid) } else { (0, 0) };
        let owner = Ownership { uid, gid, mode: entry.mode, kind };
        xattr::set(file.as_fd(), OVERRIDE_STAT, stamp(owner).as_bytes())
            .map_err(self.failed("recording the device", path))?;
        fchmod(&file, mode(entry.mode)).map_err(self.failed("setting the mode of", path))?;
        futimens(&file, &UNCHANGED, &time(entry.mtime)).map_err(self.failed("setting the time of", path))
    }

    fn hard_link(&mut self, path: &[u8], link: &[u8]) -> Result<(), Failure> {
        let slash = link.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = slash.map_or((&b""[..], link), |slash| (&link[..slash], &link[slash + 1..]));
        let from = self.open_directory(parent)?;
        let link = |parent: BorrowedFd<'_>, new: &[u8]| nix::unistd::linkat(&from, name, parent, new, AtFlags::empty());
        self.make(path, link).map(drop)
    }

    /// Owner and attributes of an open file.
    fn describe(&mut self, entry: &Entry, path: &[u8], file: &OwnedFd, kind: FileKind) -> Result<(), Failure> {
        let chown = || match nix::unistd::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))) {
            // Without the privilege they stay ours; an id without a mapping cannot be given.
            Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
            other => other,
        };
        let own = match self.settings.owners {
            Owners::Ours | Owners::Root => Ok(()),
            Owners::Given => chown(),
            Owners::Recorded { many } => {
                let recorded = if (entry.uid, entry.gid) == (0, 0) {
                    xattr::remove(file.as_fd(), OVERRIDE_STAT)
                } else {
                    let owner = Ownership { uid: entry.uid, gid: entry.gid, mode: entry.mode, kind };
                    xattr::set(file.as_fd(), OVERRIDE_STAT, stamp(owner).as_bytes())
                };
                let recorded = match recorded {
                    // Without attributes there are no records: it belongs to root.
                    Err(Errno::EOPNOTSUPP) => Ok(()),
                    other => other,
                };
                recorded.and_then(|()| if many { chown() } else { Ok(()) })
            }
        };
        own.map_err(self.failed("setting the owner of", path))?;
        for (name, value) in entry.xattrs.iter().filter(|_| self.settings.xattrs) {
            let ours = name.starts_with(b"user.overlay.") || name.starts_with(b"user.containers.");
            if name.starts_with(b"user.") && !ours {
                // A file system without attributes keeps the file all the same.
                let _ = xattr::set(file.as_fd(), &c(name), value);
            }
        }
        Ok(())
    }

    /// The time of what cannot be opened.
    fn complete_closed(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Failure> {
        let failed = self.failed("setting the time of", path);
        let (parent, name) = self.parent(path)?;
        let nofollow = UtimensatFlags::NoFollowSymlink;
        utimensat(parent, name, &UNCHANGED, &time(entry.mtime), nofollow).map_err(failed)
    }

    /// Gives the directories their modes and times, which filling them would have undone.
    fn finish(mut self) -> Result<Vec<String>, Failure> {
        for (path, bits, mtime) in std::mem::take(&mut self.directories).into_iter().rev() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let (parent, name) = self.parent(&path)?;
            let directory = match open_below(parent, &c(name), flags, Resolve::NoSymlinks) {
                // Replaced meanwhile by whoever works there.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                other => other.map_err(self.failed("opening", &path))?,
            };
            futimens(&directory, &UNCHANGED, &time(mtime)).map_err(self.failed("setting the time of", &path))?;
            fchmod(&directory, mode(bits)).map_err(self.failed("setting the mode of", &path))?;
        }
        Ok(self.skipped)
    }
}

fn in_the_way(path: &[u8], what: &str) -> Failure {
    let path = String::from_utf8_lossy(path);
    let failure =
        Failure::new("E_EXISTS", format!("copying to /{path}: what is there {what}, and what is copied is not alike"));
    failure.with_hint("--overwrite puts the one in the place of the other")
}

/// Writes the contents of `entry`, which was read last.
pub fn write_contents(
    file: &mut File,
    entry: &Entry,
    entries: &mut Entries<impl Read>,
    failed: impl FnOnce(Errno) -> Failure,
) -> Result<(), Failure> {
    let regular = fstat(&*file).is_ok_and(|stat| type_of(&stat) == libc::S_IFREG);
    let target = if regular { Target::Regular } else { Target::Stream };
    match contents::write(file, target, entry, entries) {
        Ok(_) => Ok(()),
        Err(NotWritten::Tar(error)) => Err(error.into()),
        Err(NotWritten::Cut) => Err(Failure::new("E_ARCHIVE_CUT", "unpacking: the archive ends within a file")),
        Err(NotWritten::File(errno)) => Err(failed(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_target() {
        let path = |name: &[u8], strip| path_of(name, strip, b"t").map(|path| String::from_utf8(path).unwrap());
        assert_eq!(path(b"./a//b/", 0).as_deref(), Some("t/a/b"));
        assert_eq!(path(b"/a/b", 1).as_deref(), Some("t/b"));
        assert_eq!(path(b"a", 1).as_deref(), Some("t"));
        for name in [&b"../a"[..], b"a/../../b", b"a\0b", b".."] {
            assert_eq!(path(name, 0), None);
        }
        assert_eq!(path(b"", 1), None);
    }
}
