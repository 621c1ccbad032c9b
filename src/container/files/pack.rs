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

use super::made::{Made, Whose};
use super::recorded::Recorded;
use super::tar_writer::TarWriter;
use crate::failure::Failure;
use crate::identity::map::Ranges;
use crate::state::schema::layer::{FileKind, Ownership};
use crate::state::schema::stamp::{OVERRIDE_STAT, parse_stamp};
use crate::store::unpack::header::{Entry, Kind};
use crate::sys::fs::is_whiteout;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::status::{self, Status};
use crate::sys::xattr;

/// Whose files they are said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Everything belongs to 0:0.
    Root,
    /// Files of the host: as the file system has it; this user and this group of it mean 0.
    Hosts {
        /// Our own ids.
        own: (u32, u32),
    },
    /// Files of a container that has one id: as recorded of them, else these.
    Recorded {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Files of a container that has these ids: as the file system has it, else as recorded.
    Real(Ranges),
}

/// How files are packed.
pub struct Settings {
    /// Whose they are.
    pub owners: Owners,
    /// What is said of them elsewhere.
    pub recorded: Recorded,
    /// What says whose files without a record are.
    pub made: Option<Made>,
    /// Whether mounts below are left out.
    pub one_mount: bool,
    /// Whether extended attributes are packed.
    pub xattrs: bool,
}

/// Packs files into one tar.
pub struct Packer<W> {
    tar: TarWriter<W>,
    settings: Settings,
    /// Files that have several names, by device and inode: the first of these, and the owner.
    links: HashMap<(u64, u64), (Vec<u8>, Owner)>,
    /// What the user should know: what was left out.
    warnings: Vec<String>,
    /// Files that are said to belong to who owned what they replace.
    kept: Vec<Vec<u8>>,
    /// Our own ids here.
    own: Owner,
}

type Owner = (u32, u32);

/// How many paths a warning names.
const SHOWN_PATHS: usize = 3;

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

/// What is recorded with an open file of its owner.
pub fn record_of(file: BorrowedFd<'_>) -> Option<Ownership> {
    xattr::get(file, OVERRIDE_STAT).ok().as_deref().and_then(parse_stamp)
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
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let (links, warnings, kept) = (HashMap::new(), Vec::new(), Vec::new());
        Self { tar: TarWriter::new(out), settings, links, warnings, kept, own }
    }

    /// Ends the tar; what the user should know of it.
    pub fn finish(mut self) -> Result<Vec<String>, Failure> {
        self.tar.finish().map_err(writing)?;
        if !self.kept.is_empty() {
            let mut shown: Vec<String> =
                self.kept.iter().take(SHOWN_PATHS).map(|path| format!("/{}", String::from_utf8_lossy(path))).collect();
            if self.kept.len() > SHOWN_PATHS {
                shown.push(format!("{} more", self.kept.len() - SHOWN_PATHS));
            }
            self.warnings.push(format!(
                "owners that the container could neither see nor change are kept, those of the image's files of the same \
                 names: {}",
                shown.join(", ")
            ));
        }
        Ok(self.warnings)
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
                Err(Errno::EXDEV) => self.bare((parent, child), &stat, Kind::Directory, name, path).map(|()| None),
                // Replaced by something else meanwhile.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
                Err(errno) => Err(failed("opening", path, errno)),
            },
            libc::S_IFREG => self.file(parent, child, name, path).map(|()| None),
            libc::S_IFLNK => match nix::fcntl::readlinkat(parent, child) {
                Ok(target) => self.link((parent, child), &stat, target.as_bytes(), name, path).map(|()| None),
                Err(Errno::ENOENT | Errno::EINVAL) => Ok(None),
                Err(errno) => Err(failed("reading the link", path, errno)),
            },
            libc::S_IFIFO => self.bare((parent, child), &stat, Kind::Fifo, name, path).map(|()| None),
            libc::S_IFCHR if is_whiteout(&stat) => Ok(None),
            libc::S_IFCHR => self.bare((parent, child), &stat, Kind::CharDevice, name, path).map(|()| None),
            libc::S_IFBLK => self.bare((parent, child), &stat, Kind::BlockDevice, name, path).map(|()| None),
            _ => {
                self.warnings.push(format!("left out: /{} is a socket", String::from_utf8_lossy(path)));
                Ok(None)
            }
        }
    }

    /// Packs an open directory itself.
    pub fn directory(&mut self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let stat = fstat(directory).map_err(|errno| failed("looking at", path, errno))?;
        let owner = self.open_owner(directory.as_fd(), &stat, path);
        let mut entry = new_entry(&stat, Kind::Directory, name, owner);
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
        if type_of(&stat) != libc::S_IFREG || self.seen(&stat, name)? {
            return Ok(());
        }
        let owner = self.open_owner(file.as_fd(), &stat, path);
        let mut entry = new_entry(&stat, Kind::File, name, owner);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.describe(&mut entry, file.as_fd(), &stat, path)?;
        self.append_first(&entry, &stat, &mut File::from(file))
    }

    fn link(
        &mut self,
        at: (BorrowedFd<'_>, &CStr),
        stat: &FileStat,
        target: &[u8],
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Failure> {
        if self.seen(stat, name)? {
            return Ok(());
        }
        let owner = self.closed_owner(at, stat, path);
        let mut entry = new_entry(stat, Kind::Symlink, name, owner);
        entry.link = target.to_vec();
        self.append_first(&entry, stat, &mut io::empty())
    }

    /// Packs what has neither contents nor attributes.
    fn bare(
        &mut self,
        at: (BorrowedFd<'_>, &CStr),
        stat: &FileStat,
        kind: Kind,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Failure> {
        if kind != Kind::Directory && self.seen(stat, name)? {
            return Ok(());
        }
        let owner = self.closed_owner(at, stat, path);
        let mut entry = new_entry(stat, kind, name, owner);
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
        }
        self.append_first(&entry, stat, &mut io::empty())
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
    fn seen(&mut self, stat: &FileStat, name: &[u8]) -> Result<bool, Failure> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let Some((first, owner)) = self.links.get(&(stat.st_dev, stat.st_ino)) else { return Ok(false) };
        let mut entry = new_entry(stat, Kind::HardLink, name, *owner);
        entry.link = first.clone();
        self.append(&entry, &mut io::empty()).map(|()| true)
    }

    /// Packs a file under the first of its names.
    fn append_first(&mut self, entry: &Entry, stat: &FileStat, contents: &mut dyn io::Read) -> Result<(), Failure> {
        if stat.st_nlink > 1 && entry.kind != Kind::Directory {
            let first = (entry.name.clone(), (entry.uid, entry.gid));
            self.links.insert((stat.st_dev, stat.st_ino), first);
        }
        self.append(entry, contents)
    }

    fn open_owner(&mut self, file: BorrowedFd<'_>, stat: &FileStat, path: &[u8]) -> Owner {
        let inside = matches!(self.settings.owners, Owners::Recorded { .. } | Owners::Real(_));
        let record = inside.then(|| record_of(file)).flatten();
        self.owner(record, || Status::of_file(file), stat, path)
    }

    fn closed_owner(&mut self, (parent, child): (BorrowedFd<'_>, &CStr), stat: &FileStat, path: &[u8]) -> Owner {
        let status = || Status::of(parent, child, libc::AT_SYMLINK_NOFOLLOW, status::USUAL);
        self.owner(None, status, stat, path)
    }

    /// The owner of a file, where its own record says `record`.
    fn owner(
        &mut self,
        record: Option<Ownership>,
        status: impl FnOnce() -> Result<Status, Errno>,
        stat: &FileStat,
        path: &[u8],
    ) -> Owner {
        let by_record = || record.or_else(|| self.settings.recorded.owner(path, status));
        let (real_uid, real_gid) = (stat.st_uid, stat.st_gid);
        match &self.settings.owners {
            Owners::Root => (0, 0),
            Owners::Hosts { own: (uid, gid) } => {
                let mean = |id, own: u32| if own == id { 0 } else { id };
                (mean(real_uid, *uid), mean(real_gid, *gid))
            }
            // Who has several ids changes the real ones. Those that it has not cannot have been changed.
            Owners::Real(ranges) if real_uid == 0 || real_gid == 0 => {
                let Some(record) = by_record() else { return (real_uid, real_gid) };
                let ungiven = |real: u32, id: u32, given: bool| if real == 0 && !given { id } else { real };
                let uid = ungiven(real_uid, record.uid, ranges.has_user(record.uid));
                (uid, ungiven(real_gid, record.gid, ranges.has_group(record.gid)))
            }
            Owners::Real(_) => (real_uid, real_gid),
            Owners::Recorded { uid, gid } => match by_record() {
                Some(record) => (record.uid, record.gid),
                // A directory of the host may have files of others.
                None if (real_uid, real_gid) != self.own => {
                    let mean = |real: u32, own: u32, id: u32| if real == own { id } else { real };
                    (mean(real_uid, self.own.0, *uid), mean(real_gid, self.own.1, *gid))
                }
                None => match self.settings.made.as_ref().map(|made| made.whose(path, &self.settings.recorded)) {
                    None => (*uid, *gid),
                    Some(Whose::Images) => (0, 0),
                    Some(Whose::Makers(uid, gid)) => (uid, gid),
                    Some(Whose::Predecessors(owner)) => {
                        self.kept.push(path.to_vec());
                        (owner.uid, owner.gid)
                    }
                },
            },
        }
    }

    /// Adds what the file's attributes and the layers say of an open file.
    fn describe(&self, entry: &mut Entry, fd: BorrowedFd<'_>, stat: &FileStat, path: &[u8]) -> Result<(), Failure> {
        let unreadable = |errno| failed("reading the attributes of", path, errno);
        let inside = !matches!(self.settings.owners, Owners::Hosts { .. });
        if inside
            && entry.kind == Kind::File
            && stat.st_size == 0
            && let Some(record) = record_of(fd)
        {
            // The mode may have changed since: the inode's own is the right one.
            match record.kind {
                FileKind::Char { major, minor } => (entry.kind, entry.device) = (Kind::CharDevice, (major, minor)),
                FileKind::Block { major, minor } => (entry.kind, entry.device) = (Kind::BlockDevice, (major, minor)),
                _ => {}
            }
        }
        if !self.settings.xattrs {
            return Ok(());
        }
        for name in xattr::list(fd).map_err(unreadable)? {
            let bytes = name.to_bytes();
            let ours = bytes.starts_with(b"user.overlay.") || bytes.starts_with(b"user.containers.");
            let is_capability = bytes == FILE_CAPABILITY && inside;
            if is_capability || (bytes.starts_with(b"user.") && !ours) {
                match xattr::get_whole(fd, &name) {
                    Ok(value) => entry.xattrs.push((bytes.to_vec(), value)),
                    Err(Errno::ENODATA) => {}
                    // They count in a user namespace whose root we are not.
                    Err(Errno::EOVERFLOW) if is_capability => {}
                    Err(errno) => return Err(unreadable(errno)),
                }
            }
        }
        let is_known = entry.xattrs.iter().any(|(name, _)| name == FILE_CAPABILITY);
        if !is_known && let Some(capability) = self.settings.recorded.capability(path, stat) {
            entry.xattrs.push((FILE_CAPABILITY.to_vec(), capability.to_vec()));
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry, contents: &mut dyn io::Read) -> Result<(), Failure> {
        self.tar.append(entry, contents).map_err(writing)
    }
}

/// The attribute of file capabilities (capabilities(7)). Read in the user namespace in which it counts, it is that of the first
/// one.
const FILE_CAPABILITY: &[u8] = b"security.capability";

fn new_entry(stat: &FileStat, kind: Kind, name: &[u8], (uid, gid): Owner) -> Entry {
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
