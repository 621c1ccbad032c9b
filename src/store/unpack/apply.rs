//! From entries to files. Every name is resolved by descriptor below the root, no symbolic link is followed, and things
//! are created under a single component that must not exist.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;

use super::contents::{self, NotWritten};
use super::entry::{EntryPath, Target};
use super::error::{Shown, UnpackError};
use super::header::{Entries, Entry, Kind};
use super::limits::{self, Limits};
use super::notes::{DirectoryEnd, Notes};
use crate::state::schema::layer::{FileKind, LayerManifest, Ownership};
use crate::sys::fs::{self, UNCHANGED};
use crate::sys::in_root::{Beneath, create_new};

/// Mode of directories that no entry describes.
const IMPLIED: u32 = 0o755;

/// Which ids files can really be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Only our own: other owners are recorded beside the files.
    Single,
    /// Others too: they are recorded and also given to the files.
    Many,
}

/// A tree being filled.
pub struct Applier {
    pub(super) root: Beneath,
    pub(super) ids: Ids,
    pub(super) parents: Vec<(Box<[u8]>, Rc<OwnedFd>)>,
    pub(super) notes: Notes,
    pub(super) manifest: LayerManifest,
}

/// Fills the empty directory `root` from the tar that `reader` gives. The umask must be 0.
pub fn apply(root: OwnedFd, ids: Ids, reader: impl Read, limits: &Limits) -> Result<LayerManifest, UnpackError> {
    let mut applier = Applier::new(root, ids)?;
    let mut entries = Entries::new(reader, limits);
    while let Some(entry) = entries.next()? {
        applier.entry(&entry, &mut entries).map_err(|error| applier.explain(error))?;
    }
    applier.finish()
}

/// Turns the errno of `action` on `name` into an error.
pub(super) fn failed(action: &'static str, name: &[u8]) -> impl FnOnce(Errno) -> UnpackError {
    move |source| UnpackError::File { action, name: Shown::new(name), source }
}

fn refused(name: &[u8], reason: &'static str) -> UnpackError {
    UnpackError::Path { name: Shown::new(name), reason }
}

pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

fn time((seconds, nanoseconds): (i64, i64)) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds)
}

impl Applier {
    fn new(root: OwnedFd, ids: Ids) -> Result<Self, UnpackError> {
        let manifest = LayerManifest { xattrs: true, single: ids == Ids::Single, ..LayerManifest::default() };
        let root = Beneath::new(root);
        let mut applier = Self { root, ids, parents: Vec::new(), notes: Notes::default(), manifest };
        applier.probe_xattrs()?;
        applier.notes.of(b"")?.directory = Some(DirectoryEnd { mode: IMPLIED, mtime: None });
        Ok(applier)
    }

    /// ENOSPC has two causes, with different cures.
    fn explain(&self, error: UnpackError) -> UnpackError {
        match error {
            UnpackError::File { action, name, source: Errno::ENOSPC } => {
                // A file system that makes inodes as it needs them says that it has none at all.
                let used_up = nix::sys::statvfs::fstatvfs(&self.root)
                    .is_ok_and(|statistics| statistics.files() > 0 && statistics.files_available() == 0);
                match used_up {
                    true => UnpackError::NoInodes { action, name },
                    false => UnpackError::File { action, name, source: Errno::ENOSPC },
                }
            }
            other => other,
        }
    }

    fn entry(&mut self, entry: &Entry, contents: &mut Entries<impl Read>) -> Result<(), UnpackError> {
        if entry.kind == Kind::Label {
            return Ok(());
        }
        self.manifest.entries += 1;
        self.manifest.skipped.xattrs += entry.acls;
        let path = match Target::parse(&entry.name)? {
            Target::Path(path) => path,
            Target::Whiteout(path) if entry.kind == Kind::File && entry.size == 0 => return self.whiteout(&path),
            Target::Opaque(path) if entry.kind == Kind::File && entry.size == 0 => return self.opaque(path.as_bytes()),
            _ => return Err(refused(&entry.name, "a whiteout must be an empty regular file")),
        };
        if path.is_root() && entry.kind != Kind::Directory {
            return Err(refused(&entry.name, "the root can only be a directory"));
        }
        match entry.kind {
            Kind::File => self.file(entry, &path, contents),
            Kind::Directory => self.directory(entry, &path),
            Kind::Symlink => self.symlink(entry, &path),
            Kind::HardLink => self.hard_link(entry, &path),
            Kind::Fifo => self.fifo(entry, &path),
            Kind::CharDevice | Kind::BlockDevice => self.device(entry, &path),
            Kind::Socket => {
                self.manifest.skipped.sockets += 1;
                Ok(())
            }
            Kind::Label => Ok(()),
        }
    }

    /// Makes something at `path` by `make`, which gets the parent and the name; what is there already goes.
    fn make<T>(
        &mut self,
        path: &EntryPath,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<(Rc<OwnedFd>, T), UnpackError> {
        let parent = self.parent(path.parent())?;
        let made = match make(parent.as_fd(), path.name()) {
            Err(Errno::EEXIST) => {
                self.clear(parent.as_fd(), path)?;
                make(parent.as_fd(), path.name())
            }
            result => result,
        };
        Ok((parent, made.map_err(failed("creating", path.as_bytes()))?))
    }

    fn file(&mut self, entry: &Entry, path: &EntryPath, contents: &mut Entries<impl Read>) -> Result<(), UnpackError> {
        let (_, mut file) = self.create(entry, path)?;
        if let Some(map) = &entry.map {
            map.expect(self.manifest.bytes)?;
        }
        let written = contents::write(&mut file, contents::Target::Regular, entry, contents);
        self.manifest.bytes += written.map_err(|cause| match cause {
            NotWritten::Tar(error) => error,
            NotWritten::Cut => contents.source().malformed("it ends within a file"),
            NotWritten::File(errno) => failed("writing", path.as_bytes())(errno),
        })?;
        self.complete_file(entry, path, &file, FileKind::File)
    }

    fn create(&mut self, entry: &Entry, path: &EntryPath) -> Result<(Rc<OwnedFd>, File), UnpackError> {
        let permissions = mode(entry.mode & 0o777);
        let (parent, fd) = self.make(path, |parent, name| create_new(parent, name, permissions))?;
        Ok((parent, File::from(fd)))
    }

    /// What an open file needs beside its contents: owner, attributes, the bits that creation cannot set, time.
    fn complete_file(
        &mut self,
        entry: &Entry,
        path: &EntryPath,
        file: &File,
        kind: FileKind,
    ) -> Result<(), UnpackError> {
        self.own_open(path.as_bytes(), file.as_fd(), ownership(entry, kind))?;
        self.set_xattrs(entry, path.as_bytes(), Some(file.as_fd()))?;
        // After the owner: chown(2) and write(2) take these bits away.
        if entry.mode & 0o7000 != 0 {
            nix::sys::stat::fchmod(file, mode(entry.mode)).map_err(failed("setting the mode of", path.as_bytes()))?;
        }
        let set = nix::sys::stat::futimens(file, &UNCHANGED, &time(entry.mtime));
        set.map_err(failed("setting the time of", path.as_bytes()))
    }

    fn directory(&mut self, entry: &Entry, path: &EntryPath) -> Result<(), UnpackError> {
        let name = path.as_bytes();
        let directory = self.open_directory(path)?;
        self.own_open(name, directory.as_fd(), ownership(entry, FileKind::Dir))?;
        self.set_xattrs(entry, name, Some(directory.as_fd()))?;
        self.notes.of(name)?.directory = Some(DirectoryEnd { mode: entry.mode, mtime: Some(entry.mtime) });
        Ok(())
    }

    /// The directory `path`, made if it is not there, in place of anything else that is.
    fn open_directory(&mut self, path: &EntryPath) -> Result<OwnedFd, UnpackError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        if path.is_root() {
            return self.root.open(b".", flags).map_err(failed("opening", b"/"));
        }
        let parent = self.parent(path.parent())?;
        self.ensure_directory(parent.as_fd(), path.name(), path.as_bytes(), mode(0o700))?;
        let opened = crate::sys::in_root::open_beneath(parent.as_fd(), path.name(), flags);
        opened.map_err(failed("opening", path.as_bytes()))
    }

    fn symlink(&mut self, entry: &Entry, path: &EntryPath) -> Result<(), UnpackError> {
        if entry.link.is_empty() || entry.link.len() > limits::PATH {
            return Err(refused(&entry.name, "the target of a symbolic link is empty or too long"));
        }
        let (parent, ()) = self.make(path, |parent, name| nix::unistd::symlinkat(&entry.link[..], parent, name))?;
        self.complete_special(entry, path, parent.as_fd(), FileKind::Symlink)
    }

    fn fifo(&mut self, entry: &Entry, path: &EntryPath) -> Result<(), UnpackError> {
        let permissions = mode(entry.mode & 0o777);
        let (parent, ()) =
            self.make(path, |parent, name| nix::sys::stat::mknodat(parent, name, SFlag::S_IFIFO, permissions, 0))?;
        self.complete_special(entry, path, parent.as_fd(), FileKind::Fifo)
    }

    /// As [`Self::complete_file`], for what cannot be opened: it has no extended attributes either.
    fn complete_special(
        &mut self,
        entry: &Entry,
        path: &EntryPath,
        parent: BorrowedFd<'_>,
        kind: FileKind,
    ) -> Result<(), UnpackError> {
        self.own_closed(path.as_bytes(), parent, path.name(), ownership(entry, kind))?;
        self.set_xattrs(entry, path.as_bytes(), None)?;
        let nofollow = UtimensatFlags::NoFollowSymlink;
        let set = nix::sys::stat::utimensat(parent, path.name(), &UNCHANGED, &time(entry.mtime), nofollow);
        set.map_err(failed("setting the time of", path.as_bytes()))
    }

    /// A device becomes an empty regular file that says in its record what it stands for.
    fn device(&mut self, entry: &Entry, path: &EntryPath) -> Result<(), UnpackError> {
        let (major, minor) = entry.device;
        let kind = match entry.kind {
            Kind::CharDevice if entry.device == (0, 0) => {
                return Err(refused(&entry.name, "the device 0:0 is overlayfs's own whiteout"));
            }
            Kind::CharDevice => FileKind::Char { major, minor },
            _ => FileKind::Block { major, minor },
        };
        let (_, file) = self.create(entry, path)?;
        self.manifest.devices += 1;
        self.complete_file(entry, path, &file, kind)
    }

    fn hard_link(&mut self, entry: &Entry, path: &EntryPath) -> Result<(), UnpackError> {
        let target = Target::parse_link(&entry.link)?;
        let missing = || refused(&entry.link, "a hard link refers to it, and this layer has no such file");
        if target == *path {
            return Err(refused(&entry.name, "a hard link refers to itself"));
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let parent = if target.parent().is_empty() { &b"."[..] } else { target.parent() };
        let directory = self.root.open(parent, flags).map_err(|_| missing())?;
        let stat = nix::sys::stat::fstatat(&directory, target.name(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|_| missing())?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR || fs::is_whiteout_at(directory.as_fd(), target.name(), &stat) {
            return Err(missing());
        }
        let link = |parent: BorrowedFd<'_>, name: &[u8]| {
            nix::unistd::linkat(&directory, target.name(), parent, name, AtFlags::empty())
        };
        match self.make(path, link) {
            // It was below what it was to replace.
            Err(UnpackError::File { source: Errno::ENOENT, .. }) => return Err(missing()),
            result => result?,
        };
        // One file: what is noted of one name holds for the other.
        if let Some(note) = self.notes.get(target.as_bytes()).cloned() {
            *self.notes.of(path.as_bytes())? = note;
        }
        Ok(())
    }

    /// Hides what lower layers have at `path`. What this layer has there stays: whiteouts are about lower layers only.
    fn whiteout(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        let parent = self.parent(path.parent())?;
        match fs::make_whiteout(parent.as_fd(), path.name()) {
            Ok(_) => Ok(()),
            Err(Errno::EEXIST) => {
                let stat = nix::sys::stat::fstatat(&parent, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW);
                let stat = stat.map_err(failed("looking at", path.as_bytes()))?;
                match stat.st_mode & libc::S_IFMT {
                    libc::S_IFDIR => self.opaque(path.as_bytes()),
                    _ => Ok(()),
                }
            }
            Err(errno) => Err(failed("creating the whiteout of", path.as_bytes())(errno)),
        }
    }

    /// Gives the directories their modes and times, which filling them would have undone.
    fn finish(mut self) -> Result<LayerManifest, UnpackError> {
        self.parents.clear();
        for (path, end) in self.notes.directories() {
            let name = if path.is_empty() { &b"."[..] } else { path };
            let directory = self.root.open(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
            let directory = directory.map_err(failed("opening", path))?;
            if let Some(mtime) = end.mtime {
                let set = nix::sys::stat::futimens(&directory, &UNCHANGED, &time(mtime));
                set.map_err(failed("setting the time of", path))?;
            }
            nix::sys::stat::fchmod(&directory, mode(end.mode)).map_err(failed("setting the mode of", path))?;
        }
        self.notes.write_to(&mut self.manifest);
        Ok(self.manifest)
    }
}

fn ownership(entry: &Entry, kind: FileKind) -> Ownership {
    Ownership { uid: entry.uid, gid: entry.gid, mode: entry.mode, kind }
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
