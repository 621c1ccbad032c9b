//! Owners of files: stamps on those that can carry one, a journal or memory for the others, and what is known of them.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid};

use super::{MountRule, Recorded, Rule};
use crate::identity::credentials::FileCapabilities;
use crate::identity::ownership::Owner;
use crate::state::schema::layer::{FileKind, LayerPath, Ownership};
use crate::state::schema::owners::{FileKey, OwnerEntry, Owners};
use crate::state::schema::stamp::{OVERRIDE_STAT, parse_stamp, stamp};
use crate::sys::status::Status;
use crate::sys::xattr;

/// Parts of what is known, each with a lock of its own.
const SHARDS: usize = 16;

/// Files that a part remembers; then it forgets them all.
const MOST_KNOWN: usize = 8192;

/// Bytes that a journal may have.
const MOST_JOURNAL: u64 = 64 << 20;

/// The longest time between two ticks (CONFIG_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Files whose owner only memory knows.
const MOST_HELD: usize = 1 << 20;

/// What the files of a mount are to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The container's own: they carry stamps. The journal of those that cannot.
    Own(Option<usize>),
    /// The kernel's, or memory's: nothing is written.
    Kernels,
    /// Processes.
    Processes,
    /// The caller's: nothing is written, and what is the caller's is shown as the container's user's.
    Callers,
}

/// Names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    /// The journal, or the device, that it belongs to.
    domain: (u32, u32),
    file: FileKey,
}

/// What is known of a file that may carry a stamp, as long as it is not changed.
#[derive(Clone, Copy)]
struct Known {
    changed: (i64, u32),
    owner: Option<Ownership>,
}

/// What is recorded with a file.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Whose it is.
    pub owner: Owner,
    /// What it stands for, if that is something else.
    pub kind: Option<FileKind>,
    /// Its permissions, for those who read the record alone.
    pub mode: u32,
}

/// Owners of files.
pub struct Files {
    mounts: RwLock<HashMap<u64, Class>>,
    rules: Vec<MountRule>,
    root_device: (u32, u32),
    user: Owner,
    known: [Mutex<HashMap<Name, Known>>; SHARDS],
    held: Mutex<HashMap<Name, Ownership>>,
    /// How many are held.
    count: AtomicUsize,
    journals: Vec<Mutex<Journal>>,
    capabilities: HashMap<Name, FileCapabilities>,
}

/// A journal, which others may write to as well: whoever copies into the container, and containers that have the same volume.
struct Journal {
    file: File,
    /// Bytes of it that are in memory.
    known: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kind of file, and whether it can carry a stamp.
fn kind_of(status: &Status) -> (FileKind, bool) {
    match u32::from(status.0.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => (FileKind::File, true),
        libc::S_IFDIR => (FileKind::Dir, true),
        libc::S_IFLNK => (FileKind::Symlink, false),
        libc::S_IFSOCK => (FileKind::Socket, false),
        libc::S_IFCHR => (FileKind::Char { major: status.0.stx_rdev_major, minor: status.0.stx_rdev_minor }, false),
        libc::S_IFBLK => (FileKind::Block { major: status.0.stx_rdev_major, minor: status.0.stx_rdev_minor }, false),
        _ => (FileKind::Fifo, false),
    }
}

/// The name by which calls that take a path reach an open file, whatever its descriptor is good for: relative to the host's
/// `/proc`, which is where workers are.
pub fn path_of(file: BorrowedFd<'_>) -> CString {
    CString::new(format!("self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

impl Files {
    /// With these rules for mounts; the container's root has `root`'s device. `recorded` is what layers know of files that
    /// do not say it themselves.
    pub fn new(rules: Vec<MountRule>, root: &Status, user: Owner, journals: Vec<OwnedFd>, recorded: Recorded) -> Self {
        let of_layer = |file| Name { domain: journal_domain(0), file };
        let files = Self {
            mounts: RwLock::default(),
            rules,
            root_device: (root.0.stx_dev_major, root.0.stx_dev_minor),
            user,
            known: Default::default(),
            held: Mutex::default(),
            count: AtomicUsize::new(0),
            journals: journals.into_iter().map(|file| Mutex::new(Journal { file: file.into(), known: 0 })).collect(),
            capabilities: recorded.capabilities.into_iter().map(|(file, set)| (of_layer(file), set)).collect(),
        };
        lock(&files.held).extend(recorded.owners.into_iter().map(|(file, owner)| (of_layer(file), owner)));
        for index in 0..files.journals.len() {
            files.read_journal(index);
        }
        files.count.store(lock(&files.held).len(), Ordering::Release);
        files
    }

    /// Takes in what is new in a journal.
    fn read_journal(&self, index: usize) {
        let Some(journal) = self.journals.get(index) else { return };
        let mut journal = lock(journal);
        let length = journal.file.metadata().map_or(0, |metadata| metadata.len());
        if length <= journal.known {
            return;
        }
        let mut bytes = vec![0; (length - journal.known).min(2 * MOST_JOURNAL) as usize];
        if journal.file.read_exact_at(&mut bytes, journal.known).is_err() {
            return;
        }
        // A line that is not there as a whole is read once it is.
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        journal.known += whole as u64;
        let entries = Owners::parse(&bytes[..whole]);
        let domain = journal_domain(index);
        let mut held = lock(&self.held);
        held.extend(entries.all().map(|(file, owner)| (Name { domain, file }, owner)));
        self.count.store(held.len(), Ordering::Release);
    }

    /// The owner of a file that is another one than the kernel says; `open` opens it (O_PATH will do) where it has to be
    /// looked at.
    pub fn owner(&self, status: &Status, pid: i32, open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Option<Ownership> {
        let class = self.class(status, pid);
        let name = self.name(status, class);
        let (kind, can_carry) = kind_of(status);
        if let (Class::Own(Some(journal)), false) = (class, can_carry) {
            self.read_journal(journal);
        }
        if self.count.load(Ordering::Acquire) > 0
            && let Some(&owner) = lock(&self.held).get(&name)
        {
            return Some(owner);
        }
        match class {
            Class::Own(_) if can_carry => self.stamped(status, name, open),
            Class::Callers if self.user != Owner::default() && status.0.stx_uid == 0 => Some(Ownership {
                uid: self.user.uid,
                gid: self.user.gid,
                mode: u32::from(status.0.stx_mode) & 0o7777,
                kind,
            }),
            _ => None,
        }
    }

    fn stamped(&self, status: &Status, name: Name, open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Option<Ownership> {
        let changed = (status.0.stx_ctime.tv_sec, status.0.stx_ctime.tv_nsec);
        if let Some(known) = lock(self.shard(name)).get(&name)
            && known.changed == changed
        {
            return known.owner;
        }
        let file = open().ok()?;
        // What is looked at must be what is remembered.
        let status = Status::of_file(&file).ok()?;
        let owner = read_stamp(file.as_fd());
        self.remember(&status, self.name(&status, Class::Own(None)).with_domain(name.domain), owner);
        owner
    }

    fn remember(&self, status: &Status, name: Name, owner: Option<Ownership>) {
        let changed = (status.0.stx_ctime.tv_sec, status.0.stx_ctime.tv_nsec);
        if is_recent(changed) {
            return;
        }
        let mut known = lock(self.shard(name));
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(name, Known { changed, owner });
    }

    fn shard(&self, name: Name) -> &Mutex<HashMap<Name, Known>> {
        &self.known[name.file.inode as usize % SHARDS]
    }

    /// Gives the file an owner; its permissions are the kernel's.
    pub fn give(
        &self,
        file: BorrowedFd<'_>,
        status: &Status,
        pid: i32,
        Record { owner, kind, mode }: Record,
    ) -> Result<(), Errno> {
        let class = self.class(status, pid);
        let (own_kind, can_carry) = kind_of(status);
        let kind = kind.unwrap_or(own_kind);
        let ownership = Ownership { uid: owner.uid, gid: owner.gid, mode, kind };
        let is_plain = owner == Owner::default() && kind == own_kind;
        match class {
            Class::Own(journal) if can_carry => {
                match write_stamp(file, (!is_plain).then_some(ownership)) {
                    // No attributes of users there.
                    Err(Errno::EPERM | Errno::EOPNOTSUPP) => return self.hold(status, class, ownership, None),
                    other => other?,
                }
                let _ = journal;
                let status = Status::of_file(file)?;
                self.remember(&status, self.name(&status, class), (!is_plain).then_some(ownership));
                Ok(())
            }
            Class::Own(Some(journal)) => {
                // Only what is in the container's own layer is looked for there: the same owner once more takes it there.
                let same = (Some(Uid::from_raw(0)), Some(Gid::from_raw(0)));
                nix::unistd::fchownat(file, c"", same.0, same.1, AtFlags::AT_EMPTY_PATH)?;
                let status = Status::of_file(file)?;
                let path = nix::fcntl::readlink(path_of(file).as_c_str())?;
                use std::os::unix::ffi::OsStrExt;
                let path = LayerPath::new(path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes()));
                self.hold(&status, class, ownership, Some((journal, path)))
            }
            _ => self.hold(status, class, ownership, None),
        }
    }

    fn hold(
        &self,
        status: &Status,
        class: Class,
        ownership: Ownership,
        journal: Option<(usize, LayerPath)>,
    ) -> Result<(), Errno> {
        let name = self.name(status, class);
        // Always in this order: whoever reads a journal holds it, too.
        let mut journal = journal.and_then(|(index, path)| Some((lock(self.journals.get(index)?), path)));
        let mut held = lock(&self.held);
        if held.get(&name) == Some(&ownership) {
            return Ok(());
        }
        if let Some((journal, path)) = &mut journal {
            let line = OwnerEntry { file: name.file, ownership, path: path.clone() }.line();
            if journal.file.metadata().map_or(0, |metadata| metadata.len()) > MOST_JOURNAL {
                return Err(Errno::ENOSPC);
            }
            // It is read again with what others write meanwhile, which does no harm.
            journal
                .file
                .write_all(line.as_bytes())
                .map_err(|cause| Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO)))?;
        }
        if held.len() >= MOST_HELD {
            return Err(Errno::ENOSPC);
        }
        held.insert(name, ownership);
        self.count.store(held.len(), Ordering::Release);
        Ok(())
    }

    /// Whether a file is the kernel's own.
    pub fn is_kernels(&self, status: &Status, pid: i32) -> bool {
        matches!(self.class(status, pid), Class::Kernels | Class::Processes)
    }

    /// What layers know of a program's capabilities, where it does not carry them.
    pub fn capabilities(&self, status: &Status, pid: i32) -> Option<FileCapabilities> {
        let class = self.class(status, pid);
        self.capabilities.get(&self.name(status, class)).copied()
    }

    /// Whether the files of a mount are processes.
    pub fn is_of_processes(&self, status: &Status, pid: i32) -> bool {
        self.class(status, pid) == Class::Processes
    }

    fn name(&self, status: &Status, class: Class) -> Name {
        let domain = match class {
            Class::Own(Some(journal)) => journal_domain(journal),
            _ => (status.0.stx_dev_major, status.0.stx_dev_minor),
        };
        let born = (status.0.stx_btime.tv_sec, status.0.stx_btime.tv_nsec);
        Name { domain, file: FileKey { inode: status.0.stx_ino, born } }
    }

    fn class(&self, status: &Status, pid: i32) -> Class {
        let id = status.0.stx_mnt_id;
        if let Some(&class) = self.mounts.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return class;
        }
        // Those of our namespace, which is the container's, then of the process's own, which may have made another.
        let mut mounts = self.learn_mounts();
        if !mounts.contains_key(&id) {
            self.learn_from(&mut mounts, &format!("{pid}/mountinfo"));
        }
        // One that its process does not see any more.
        *mounts.entry(id).or_insert(Class::Kernels)
    }

    /// Takes in the mounts of the container.
    pub fn learn_mounts(&self) -> RwLockWriteGuard<'_, HashMap<u64, Class>> {
        let mut mounts = self.mounts.write().unwrap_or_else(PoisonError::into_inner);
        self.learn_from(&mut mounts, "self/mountinfo");
        mounts
    }

    fn learn_from(&self, mounts: &mut HashMap<u64, Class>, table: &str) {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        for (id, class) in table.lines().filter_map(|line| self.classify(line)) {
            mounts.entry(id).or_insert(class);
        }
    }

    /// A line of proc_pid_mountinfo(5).
    fn classify(&self, line: &str) -> Option<(u64, Class)> {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (device, point) = (fields.nth(1)?, fields.nth(1)?);
        let (major, minor) = device.split_once(':')?;
        let device: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        let kind = line.split(" - ").nth(1)?.split(' ').next()?;
        let is_below = |rule: &&MountRule| {
            let at = escaped(rule.destination.trim_end_matches('/'));
            let at = at.as_str();
            point == at || point.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
        };
        let rule = self.rules.iter().filter(is_below).max_by_key(|rule| rule.destination.len());
        let class = match (kind, rule.map(|rule| rule.rule)) {
            ("proc", _) => Class::Processes,
            ("tmpfs", None) => Class::Own(None),
            (_, Some(Rule::Callers)) => Class::Callers,
            (_, Some(Rule::Own(journal))) => Class::Own(Some(journal)),
            (_, None) if device == self.root_device => Class::Own(Some(0)),
            _ => Class::Kernels,
        };
        Some((id, class))
    }
}

/// Whether a file was changed so shortly ago that another change, of somebody who copies into the container from outside, may get
/// the same time: before Linux 6.13 that is the time of the last tick of the clock.
fn is_recent((seconds, nanoseconds): (i64, u32)) -> bool {
    let changed = Duration::new(seconds.try_into().unwrap_or(0), nanoseconds);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(changed).is_none_or(|age| age < TICK)
}

/// As the table writes it.
fn escaped(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

impl Name {
    fn with_domain(self, domain: (u32, u32)) -> Self {
        Self { domain, ..self }
    }
}

/// Devices have no such major number.
fn journal_domain(index: usize) -> (u32, u32) {
    (u32::MAX, index as u32)
}

fn read_stamp(file: BorrowedFd<'_>) -> Option<Ownership> {
    let mut room = [0; 256];
    parse_stamp(xattr::get_at(&path_of(file), OVERRIDE_STAT, &mut room).ok()?)
}

fn write_stamp(file: BorrowedFd<'_>, ownership: Option<Ownership>) -> Result<(), Errno> {
    let path = path_of(file);
    let write = || write_stamp_at(&path, ownership);
    match write() {
        // It is ours, but does not let its owner write.
        Err(Errno::EACCES) => {
            use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
            let mode = Mode::from_bits_truncate(u32::from(Status::of_file(file)?.0.stx_mode) & 0o7777);
            let set = |mode| fchmodat(nix::fcntl::AT_FDCWD, path.as_c_str(), mode, FchmodatFlags::FollowSymlink);
            set(mode | Mode::S_IWUSR)?;
            let written = write();
            set(mode)?;
            written
        }
        other => other,
    }
}

fn write_stamp_at(path: &CStr, ownership: Option<Ownership>) -> Result<(), Errno> {
    match ownership {
        Some(ownership) => xattr::set_at(path, OVERRIDE_STAT, stamp(ownership).as_bytes()),
        // A file of a layer need not be copied for what is not there.
        None if xattr::get_at(path, OVERRIDE_STAT, &mut [0; 256]) == Err(Errno::ENODATA) => Ok(()),
        None => xattr::remove_at(path, OVERRIDE_STAT),
    }
}
