//! From files to a tar: a walk by descriptors that follows no link, parents before what they contain, in the order of names.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, fstat, fstatat};

use super::recorded::Recorded;
use super::tar_writer::TarWriter;
use crate::failure::Failure;
use crate::state::schema::layer::FileKind;
use crate::store::unpack::header::{Entry, Kind};
use crate::store::unpack::ownership::{OVERRIDE_STAT, parse_stamp};
use crate::sys::fs::is_whiteout;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::xattr;

/// Whose files they are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Everything belongs to 0:0.
    Root,
    /// As recorded with the files, else as the file system has it; this user and this group of it mean 0.
    Kept {
        /// Our own ids where there are no others.
        own: Option<(u32, u32)>,
        /// Whether the files carry records of ours: those of a container do, those of the host do not.
        recorded: bool,
    },
}

/// How files are packed.
pub struct Settings {
    /// Whose they are.
    pub owners: Owners,
    /// What layers say of them.
    pub recorded: Recorded,
    /// Whether mounts below are left out.
    pub one_mount: bool,
    /// Whether extended attributes are packed.
    pub xattrs: bool,
}

/// Packs files into one tar.
pub struct Packer<W> {
    tar: TarWriter<W>,
    settings: Settings,
    /// First names of files that have several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// What was left out, as text for the user.
    pub skipped: Vec<String>,
}

/// The error of `action` on `path`.
pub fn failed(action: &str, path: &[u8], cause: Errno) -> Failure {
    let cause = io::Error::from(cause);
    let shown = String::from_utf8_lossy(path);
    let failure = Failure::new(crate::state::record::io_code(&cause), format!("{action} /{shown}: {cause}"));
    match crate::state::record::io_hint(&cause) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// The error of writing an archive; of a pipe that nobody reads any more it has a code of its own.
pub fn writing(cause: io::Error) -> Failure {
    let code = if cause.kind() == io::ErrorKind::BrokenPipe { "E_PIPE" } else { crate::state::record::io_code(&cause) };
    Failure::new(code, format!("writing the archive: {cause}"))
}

/// The names in a directory, sorted.
pub fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    // A descriptor of its own: the listing's position belongs to the open file.
    let again = open_below(directory, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Resolve::NoSymlinks)?;
    let mut listing = nix::dir::Dir::from_fd(again)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    // A file that is moved while the directory is read may be seen twice.
    names.dedup();
    Ok(names)
}

/// `parent/name`; `name` alone in the root.
pub fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// The type bits of a file's mode.
pub fn type_of(stat: &FileStat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

/// The bits that say what may be done with a file.
pub fn permissions(stat: &FileStat) -> u32 {
    stat.st_mode & 0o7777
}

/// Opens the directory `name` of `parent`, no link.
pub fn open_directory(parent: BorrowedFd<'_>, name: &CStr, one_mount: bool) -> Result<OwnedFd, Errno> {
    let resolve = if one_mount { Resolve::OneMount } else { Resolve::NoSymlinks };
    open_below(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, resolve)
}

impl<W: Write> Packer<W> {
    /// An empty tar that goes to `out`.
    pub fn new(out: W, settings: Settings) -> Self {
        Self { tar: TarWriter::new(out), settings, links: HashMap::new(), skipped: Vec::new() }
    }

    /// Ends the tar.
    pub fn finish(self) -> Result<Vec<String>, Failure> {
        self.tar.finish().map_err(writing)?;
        Ok(self.skipped)
    }

    /// Packs all that the open directory contains. `name` is its path in the tar, `path` that from the container's root.
    pub fn contents(&mut self, directory: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        for child in names(directory).map_err(|errno| failed("listing", path, errno))? {
            let (name, path) = (joined(name, child.to_bytes()), joined(path, child.to_bytes()));
            self.tree(directory, &child, &name, &path)?;
        }
        Ok(())
    }

    /// Packs the file `child` of `parent`, with all it contains.
    pub fn tree(&mut self, parent: BorrowedFd<'_>, child: &CStr, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let Some(directory) = self.one(parent, child, name, path)? else { return Ok(()) };
        if is_kernels(&directory) {
            return Ok(());
        }
        self.contents(directory.as_fd(), name, path)
    }

    /// Packs the file `child` of `parent` itself; returns the directory, if it is one that can be gone through. One that is
    /// gone meanwhile is left out.
    pub fn one(
        &mut self,
        parent: BorrowedFd<'_>,
        child: &CStr,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<OwnedFd>, Failure> {
        let stat = match fstatat(parent, child, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(None),
            other => other.map_err(|errno| failed("looking at", path, errno))?,
        };
        match type_of(&stat) {
            libc::S_IFDIR => match open_directory(parent, child, self.settings.one_mount) {
                Ok(directory) => self.directory(&directory, name, path).map(|()| Some(directory)),
                // Mounted on: the mount is not packed, its place is.
                Err(Errno::EXDEV) => self.bare(&stat, Kind::Directory, name, path).map(|()| None),
                // Replaced by something else meanwhile.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
                Err(errno) => Err(failed("opening", path, errno)),
            },
            libc::S_IFREG => self.file(parent, child, name, path).map(|()| None),
            libc::S_IFLNK => match nix::fcntl::readlinkat(parent, child) {
                Ok(target) => self.link(&stat, target.as_bytes(), name, path).map(|()| None),
                Err(Errno::ENOENT | Errno::EINVAL) => Ok(None),
                Err(errno) => Err(failed("reading the link", path, errno)),
            },
            libc::S_IFIFO => self.bare(&stat, Kind::Fifo, name, path).map(|()| None),
            libc::S_IFCHR if is_whiteout(&stat) => Ok(None),
            libc::S_IFCHR => self.bare(&stat, Kind::CharDevice, name, path).map(|()| None),
            libc::S_IFBLK => self.bare(&stat, Kind::BlockDevice, name, path).map(|()| None),
            _ => {
                self.skipped.push(format!("/{} is a socket", String::from_utf8_lossy(path)));
                Ok(None)
            }
        }
    }

    /// Packs an open directory itself.
    pub fn directory(&mut self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let stat = fstat(directory).map_err(|errno| failed("looking at", path, errno))?;
        let mut entry = self.entry(&stat, Kind::Directory, name, path);
        self.describe(&mut entry, directory.as_fd(), &stat, path)?;
        self.append(&entry, &mut io::empty())
    }

    fn file(&mut self, parent: BorrowedFd<'_>, child: &CStr, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = match open_below(parent, child, flags, Resolve::NoSymlinks) {
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(()),
            other => other.map_err(|errno| failed("opening", path, errno))?,
        };
        self.open_file(file, name, path)
    }

    /// Packs an open file; nothing if it is none that has contents.
    pub fn open_file(&mut self, file: OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let stat = fstat(&file).map_err(|errno| failed("looking at", path, errno))?;
        if type_of(&stat) != libc::S_IFREG || self.seen(&stat, name, path)? {
            return Ok(());
        }
        let mut entry = self.entry(&stat, Kind::File, name, path);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.describe(&mut entry, file.as_fd(), &stat, path)?;
        self.append(&entry, &mut File::from(file))
    }

    fn link(&mut self, stat: &FileStat, target: &[u8], name: &[u8], path: &[u8]) -> Result<(), Failure> {
        if self.seen(stat, name, path)? {
            return Ok(());
        }
        let mut entry = self.entry(stat, Kind::Symlink, name, path);
        entry.link = target.to_vec();
        self.append(&entry, &mut io::empty())
    }

    /// Packs what has neither contents nor attributes.
    fn bare(&mut self, stat: &FileStat, kind: Kind, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        if kind != Kind::Directory && self.seen(stat, name, path)? {
            return Ok(());
        }
        let mut entry = self.entry(stat, kind, name, path);
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
        }
        self.append(&entry, &mut io::empty())
    }

    /// Packs an empty file: what a layer says of the layers below it.
    pub fn mark(&mut self, name: Vec<u8>) -> Result<(), Failure> {
        let entry = Entry {
            kind: Kind::File,
            name,
            link: Vec::new(),
            size: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            device: (0, 0),
            map: None,
            xattrs: Vec::new(),
            acls: 0,
        };
        self.append(&entry, &mut io::empty())
    }

    /// Packs another name of a file that is in the tar already; `false` if it is not.
    fn seen(&mut self, stat: &FileStat, name: &[u8], path: &[u8]) -> Result<bool, Failure> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let inode = (stat.st_dev, stat.st_ino);
        let Some(first) = self.links.get(&inode).cloned() else {
            self.links.insert(inode, name.to_vec());
            return Ok(false);
        };
        let mut entry = self.entry(stat, Kind::HardLink, name, path);
        entry.link = first;
        self.append(&entry, &mut io::empty()).map(|()| true)
    }

    fn entry(&self, stat: &FileStat, kind: Kind, name: &[u8], path: &[u8]) -> Entry {
        let (uid, gid) = match self.settings.owners {
            Owners::Root => (0, 0),
            Owners::Kept { own, .. } => match self.settings.recorded.owner(path, stat) {
                Some(owner) => (owner.uid, owner.gid),
                None => {
                    let mean = |id, own: Option<u32>| if own == Some(id) { 0 } else { id };
                    (mean(stat.st_uid, own.map(|own| own.0)), mean(stat.st_gid, own.map(|own| own.1)))
                }
            },
        };
        let mut name = name.to_vec();
        if kind == Kind::Directory {
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
        }
        Entry {
            kind,
            name,
            link: Vec::new(),
            size: 0,
            mode: if kind == Kind::Symlink { 0o777 } else { permissions(stat) },
            uid,
            gid,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            device: (0, 0),
            map: None,
            xattrs: Vec::new(),
            acls: 0,
        }
    }

    /// Adds what the file's attributes and the layers say of an open file.
    fn describe(&self, entry: &mut Entry, fd: BorrowedFd<'_>, stat: &FileStat, path: &[u8]) -> Result<(), Failure> {
        let unreadable = |errno| failed("reading the attributes of", path, errno);
        let inside = matches!(self.settings.owners, Owners::Root | Owners::Kept { recorded: true, .. });
        if inside && let Some(stamp) = xattr::get(fd, OVERRIDE_STAT).ok().as_deref().and_then(parse_stamp) {
            if self.settings.owners != Owners::Root {
                (entry.uid, entry.gid) = (stamp.uid, stamp.gid);
            }
            // The mode may have changed since: the inode's own is the right one.
            if let (FileKind::Char { major, minor }, Kind::File) = (stamp.kind, entry.kind) {
                (entry.kind, entry.device, entry.size) = (Kind::CharDevice, (major, minor), 0);
            } else if let (FileKind::Block { major, minor }, Kind::File) = (stamp.kind, entry.kind) {
                (entry.kind, entry.device, entry.size) = (Kind::BlockDevice, (major, minor), 0);
            }
        }
        if !self.settings.xattrs {
            return Ok(());
        }
        for name in xattr::list(fd).map_err(unreadable)? {
            let bytes = name.to_bytes();
            let ours = bytes.starts_with(b"user.overlay.") || bytes.starts_with(b"user.containers.");
            if bytes.starts_with(b"user.") && !ours {
                match xattr::get_whole(fd, &name) {
                    Ok(value) => entry.xattrs.push((bytes.to_vec(), value)),
                    Err(Errno::ENODATA) => {}
                    Err(errno) => return Err(unreadable(errno)),
                }
            }
        }
        if let Some(capability) = self.settings.recorded.capability(path, stat) {
            entry.xattrs.push((b"security.capability".to_vec(), capability.to_vec()));
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry, contents: &mut dyn io::Read) -> Result<(), Failure> {
        self.tar.append(entry, contents).map_err(writing)
    }
}

/// Whether a directory is of a file system without files of anybody.
fn is_kernels(directory: &OwnedFd) -> bool {
    const KERNELS: &[i64] =
        &[libc::PROC_SUPER_MAGIC, libc::SYSFS_MAGIC, libc::CGROUP2_SUPER_MAGIC, libc::DEVPTS_SUPER_MAGIC, 0x1980_0202];
    nix::sys::statfs::fstatfs(directory).is_ok_and(|statistics| {
        // The type is signed with one C library and unsigned with another.
        let found = i128::from(statistics.filesystem_type().0);
        KERNELS.iter().any(|&kernels| i128::from(kernels) == found)
    })
}
