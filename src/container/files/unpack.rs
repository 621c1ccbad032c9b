//! From a tar to files, below a directory that is not left: every name is resolved by descriptors.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};
use serde::{Deserialize, Serialize};

use super::pack::{failed, joined, type_of};
use super::recorded;
use crate::failure::Failure;
use crate::state::schema::layer::{FileKind, LayerPath, Ownership};
use crate::state::schema::owners::OwnerEntry;
use crate::state::schema::stamp::{OVERRIDE_STAT, stamp};
use crate::store::unpack::contents::{self, NotWritten, Target};
use crate::store::unpack::header::{Entries, Entry, Kind};
use crate::sys::fs::{UNCHANGED, remove_tree};
use crate::sys::in_root::{Resolve, create_new, open_below};
use crate::sys::status::{self, Status};
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
    /// In a container: they are recorded, or given where there are several ids; devices are recorded.
    Inside {
        /// Whom everything belongs to; nobody where the archive says it.
        all: Option<(u32, u32)>,
        /// Whose files without a record are. Nothing where there are several ids.
        unrecorded: Option<(u32, u32)>,
    },
}

/// What was unpacked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unpacked {
    /// What the user should know: what was left out.
    pub warnings: Vec<String>,
    /// Owners of files that cannot carry them: the paths from the container's root, and lines for a journal.
    pub owners: Vec<(LayerPath, String)>,
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
    done: Unpacked,
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
/// where its contents are meant.
pub fn unpack(
    to: Destination<'_>,
    entries: &mut Entries<impl Read>,
    (strip, target): (usize, &[u8]),
    settings: Settings,
) -> Result<Unpacked, Failure> {
    let mut unpacker = Unpacker { to, settings, parent: None, directories: Vec::new(), done: Unpacked::default() };
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
                self.complete_closed(entry, path, FileKind::Symlink)
            }
            Kind::HardLink => self.hard_link(path, link),
            Kind::Fifo => {
                let permissions = mode(entry.mode & 0o777);
                self.make(path, |parent, name| mknodat(parent, name, SFlag::S_IFIFO, permissions, 0))?;
                self.complete_closed(entry, path, FileKind::Fifo)
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
        let path = joined(&self.to.shown, path);
        self.done.warnings.push(format!("left out: /{} {why}", String::from_utf8_lossy(&path)));
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
        let owner = self.ownership(entry, kind);
        xattr::set(file.as_fd(), OVERRIDE_STAT, stamp(owner).as_bytes())
            .map_err(self.failed("recording the device", path))?;
        if matches!(self.settings.owners, Owners::Inside { unrecorded: None, .. }) {
            give(&file, owner.uid, owner.gid).map_err(self.failed("setting the owner of", path))?;
        }
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

    /// Who is to own the entry's file in a container.
    fn ownership(&self, entry: &Entry, kind: FileKind) -> Ownership {
        let all = if let Owners::Inside { all, .. } = self.settings.owners { all } else { None };
        let (uid, gid) = all.unwrap_or((entry.uid, entry.gid));
        Ownership { uid, gid, mode: entry.mode, kind }
    }

    /// Owner and attributes of an open file.
    fn describe(&mut self, entry: &Entry, path: &[u8], file: &OwnedFd, kind: FileKind) -> Result<(), Failure> {
        let owner = self.ownership(entry, kind);
        let own = match self.settings.owners {
            Owners::Ours => Ok(()),
            Owners::Given => give(file, entry.uid, entry.gid),
            Owners::Inside { unrecorded, .. } => {
                let recorded = match unrecorded {
                    Some(usual) if usual != (owner.uid, owner.gid) => {
                        xattr::set(file.as_fd(), OVERRIDE_STAT, stamp(owner).as_bytes())
                    }
                    None if (owner.uid, owner.gid) != (0, 0) => {
                        xattr::set(file.as_fd(), OVERRIDE_STAT, stamp(owner).as_bytes())
                    }
                    _ => xattr::remove(file.as_fd(), OVERRIDE_STAT),
                };
                let recorded = match recorded {
                    // Without attributes there are no records: it belongs to root.
                    Err(Errno::EOPNOTSUPP) => Ok(()),
                    other => other,
                };
                recorded.and_then(|()| if unrecorded.is_none() { give(file, owner.uid, owner.gid) } else { Ok(()) })
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

    /// Owner and time of what cannot be opened.
    fn complete_closed(&mut self, entry: &Entry, path: &[u8], kind: FileKind) -> Result<(), Failure> {
        let (failed, owning) = (self.failed("setting the time of", path), self.failed("setting the owner of", path));
        let (owner, owners) = (self.ownership(entry, kind), self.settings.owners);
        let (parent, name) = self.parent(path)?;
        let mut line = None;
        match owners {
            Owners::Ours => {}
            Owners::Given | Owners::Inside { unrecorded: None, .. } => {
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                let given = fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW);
                as_far_as_possible(given).map_err(owning)?;
            }
            Owners::Inside { unrecorded: Some(usual), .. } if usual == (owner.uid, owner.gid) => {}
            Owners::Inside { .. } => {
                let status = Status::of(parent, &c(name), libc::AT_SYMLINK_NOFOLLOW, status::USUAL).map_err(owning)?;
                line = Some((recorded::key(&status), owner));
            }
        }
        utimensat(parent, name, &UNCHANGED, &time(entry.mtime), UtimensatFlags::NoFollowSymlink).map_err(failed)?;
        if let Some((file, ownership)) = line {
            let path = LayerPath::new(&joined(&self.to.prefix, path));
            let entry = OwnerEntry { file, ownership, path: path.clone() };
            self.done.owners.push((path, entry.line()));
        }
        Ok(())
    }

    /// Gives the directories their modes and times, which filling them would have undone.
    fn finish(mut self) -> Result<Unpacked, Failure> {
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
        Ok(self.done)
    }
}

/// Gives an open file to somebody.
fn give(file: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
    as_far_as_possible(nix::unistd::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

/// Without the privilege files stay ours; an id without a mapping cannot be given.
fn as_far_as_possible(given: Result<(), Errno>) -> Result<(), Errno> {
    match given {
        Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
        other => other,
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
