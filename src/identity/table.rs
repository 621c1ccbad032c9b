//! The table of credentials: what a process's limit `RLIMIT_LOCKS` stands for.
//!
//! The kernel carries the limit from parent to child, over fork and exec, and has not used it for anything since Linux 2.4.25
//! (`kernel/fork.c`, getrlimit(2)). Its soft value is the number of an entry. Entries never change, are made once for equal
//! credentials, and are kept in a memory file, so that the supervisor that comes after one that was killed knows them all.
//! Two processes write: the monitor those of the processes that it starts, the supervisor those that processes get by
//! system calls. Each has a file of its own.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::credentials::{Credentials, Ids};

/// `RLIMIT_LOCKS` of asm-generic/resource.h.
pub const RESOURCE: u32 = 10;

/// The value of the first entry.
const FIRST: u64 = 0x1d00_0000;

/// That of the container's root, and of the user that its process begins as.
pub const ROOT: u64 = FIRST;
/// As above.
pub const USER: u64 = FIRST + 1;

/// Entries that the monitor may make; those of the supervisor follow.
const OF_MONITOR: u64 = 1 << 12;

/// Entries of one file, and bytes of them: whoever makes ever new groups is refused at some point.
const MOST_ENTRIES: usize = 1 << 16;
const MOST_BYTES: u64 = 16 << 20;

/// The least hard limit that lets every entry be set.
pub const LEAST_LIMIT: u64 = FIRST + OF_MONITOR + MOST_ENTRIES as u64;

/// Whether a limit stands for credentials.
pub fn is_carried(limit: u64) -> bool {
    (FIRST..LEAST_LIMIT).contains(&limit)
}

/// A new memory file for one writer's entries. Programs never see it.
pub fn new_file(name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC)
}

/// The entries of one writer.
#[derive(Debug)]
pub struct Entries {
    file: File,
    first: u64,
    known: RwLock<Known>,
    /// Held while an entry is made.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    list: Vec<Arc<Credentials>>,
    numbers: HashMap<Arc<Credentials>, usize>,
    /// Where the next one begins in the file.
    end: u64,
}

impl Known {
    fn add(&mut self, credentials: Arc<Credentials>) -> usize {
        let number = self.list.len();
        self.list.push(credentials.clone());
        self.numbers.insert(credentials, number);
        number
    }
}

impl Entries {
    /// Those that the monitor makes.
    pub fn of_monitor(file: OwnedFd) -> Self {
        Self::new(file, FIRST)
    }

    /// Those that the supervisor makes.
    pub fn of_supervisor(file: OwnedFd) -> Self {
        Self::new(file, FIRST + OF_MONITOR)
    }

    fn new(file: OwnedFd, first: u64) -> Self {
        let entries = Self { file: file.into(), first, known: RwLock::default(), making: Mutex::new(()) };
        entries.read_new();
        entries
    }

    /// Takes in what another process has written.
    fn read_new(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut length = [0; 4];
            if self.file.read_exact_at(&mut length, known.end).is_err() {
                return;
            }
            let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
            // An entry that is not there as a whole has no number yet.
            if bytes.is_empty() || self.file.read_exact_at(&mut bytes, known.end + 4).is_err() {
                return;
            }
            let Some(credentials) = decode(&bytes) else { return };
            known.end += 4 + bytes.len() as u64;
            known.add(Arc::new(credentials));
        }
    }

    fn at(&self, value: u64) -> Option<Arc<Credentials>> {
        let index = usize::try_from(value.checked_sub(self.first)?).ok()?;
        self.known.read().unwrap_or_else(PoisonError::into_inner).list.get(index).cloned()
    }

    /// The value that stands for `credentials`. EAGAIN: there are too many of them.
    pub fn value_of(&self, credentials: Credentials) -> Result<u64, Errno> {
        let find = |credentials: &Credentials| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.numbers.get(credentials).map(|&number| self.first + number as u64)
        };
        if let Some(value) = find(&credentials) {
            return Ok(value);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = find(&credentials) {
            return Ok(value);
        }
        let bytes = encode(&credentials);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let most = if self.first == FIRST { OF_MONITOR as usize } else { MOST_ENTRIES };
        if known.list.len() >= most || known.end + bytes.len() as u64 > MOST_BYTES {
            return Err(Errno::EAGAIN);
        }
        let line = [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat();
        self.file.write_all_at(&line, known.end).map_err(|_| Errno::EAGAIN)?;
        known.end += line.len() as u64;
        Ok(self.first + known.add(Arc::new(credentials)) as u64)
    }

    /// The file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Both writers' entries, as the supervisor has them.
#[derive(Debug)]
pub struct Table {
    of_monitor: Entries,
    own: Entries,
    root: Arc<Credentials>,
}

impl Table {
    /// The table in these files: the monitor's, whose first entry is the container's root, and the supervisor's.
    pub fn new(of_monitor: OwnedFd, own: OwnedFd) -> Option<Self> {
        let of_monitor = Entries::of_monitor(of_monitor);
        let root = of_monitor.at(FIRST)?;
        Some(Self { of_monitor, own: Entries::of_supervisor(own), root })
    }

    /// What a limit stands for; one that is no entry, as any limit of a process that never had another id, for the
    /// container's root.
    pub fn credentials(&self, limit: u64) -> Arc<Credentials> {
        if !is_carried(limit) {
            return self.root.clone();
        }
        if limit >= FIRST + OF_MONITOR {
            return self.own.at(limit).unwrap_or_else(|| self.root.clone());
        }
        let found = self.of_monitor.at(limit).or_else(|| {
            self.of_monitor.read_new();
            self.of_monitor.at(limit)
        });
        found.unwrap_or_else(|| self.root.clone())
    }

    /// The limit that stands for `credentials`.
    pub fn limit(&self, credentials: Credentials) -> Result<u64, Errno> {
        if credentials == *self.root { Ok(FIRST) } else { self.own.value_of(credentials) }
    }
}

/// The bytes that [`decode`] understands.
pub fn encode(credentials: &Credentials) -> Vec<u8> {
    let Credentials {
        users,
        groups,
        supplementary,
        permitted,
        effective,
        inheritable,
        ambient,
        bounding,
        securebits,
        has_own_root,
        is_confined,
    } = credentials;
    let mut bytes = Vec::with_capacity(96 + 4 * supplementary.len());
    for ids in [users, groups] {
        for id in [ids.real, ids.effective, ids.saved, ids.files] {
            bytes.extend(id.to_le_bytes());
        }
    }
    for set in [permitted, effective, inheritable, ambient, bounding] {
        bytes.extend(set.to_le_bytes());
    }
    bytes.extend(securebits.to_le_bytes());
    bytes.extend((u32::from(*has_own_root) | u32::from(*is_confined) << 1).to_le_bytes());
    bytes.extend(supplementary.iter().flat_map(|group| group.to_le_bytes()));
    bytes
}

/// The credentials in these bytes.
pub fn decode(bytes: &[u8]) -> Option<Credentials> {
    let mut rest = bytes;
    let mut word = || {
        let (first, others) = rest.split_first_chunk::<4>()?;
        rest = others;
        Some(u32::from_le_bytes(*first))
    };
    let mut ids = || Some(Ids { real: word()?, effective: word()?, saved: word()?, files: word()? });
    let (users, groups) = (ids()?, ids()?);
    let mut set = || Some(u64::from(word()?) | u64::from(word()?) << 32);
    let (permitted, effective, inheritable, ambient, bounding) = (set()?, set()?, set()?, set()?, set()?);
    let (securebits, flags) = (word()?, word()?);
    let supplementary = rest.chunks_exact(4).map(|chunk| u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    Some(Credentials {
        users,
        groups,
        supplementary: supplementary.collect(),
        permitted,
        effective,
        inheritable,
        ambient,
        bounding,
        securebits,
        has_own_root: flags & 1 != 0,
        is_confined: flags & 2 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Change;
    use super::*;
    use crate::name::capability::CapabilitySet;

    fn copy(entries: &Entries) -> OwnedFd {
        entries.file().try_clone_to_owned().unwrap()
    }

    #[test]
    fn a_table_outlives_who_made_it() {
        let root = Credentials::root(CapabilitySet::from_bits(0x1_0000_00ff));
        let monitor = Entries::of_monitor(new_file(c"monitor").unwrap());
        assert_eq!(monitor.value_of(root.clone()), Ok(FIRST));
        let (file, own) = (copy(&monitor), new_file(c"own").unwrap());
        let table = Table::new(file, own.try_clone().unwrap()).unwrap();
        assert_eq!(*table.credentials(u64::MAX), root);
        assert_eq!(*table.credentials(5), root);
        let groups = root.with_supplementary(vec![7, 5]).unwrap();
        let user = groups.with_users(Change::One(33)).unwrap();
        let limit = table.limit(user.clone()).unwrap();
        assert_eq!(limit, FIRST + OF_MONITOR);
        assert_eq!(table.limit(user.clone()), Ok(limit), "equal ones are one");
        assert_eq!(table.limit(root.clone()), Ok(FIRST));
        let later = monitor.value_of(user.clone()).unwrap();
        assert_eq!(*table.credentials(later), user, "the monitor's new ones are seen");
        let next = Table::new(copy(&monitor), own).unwrap();
        assert_eq!(*next.credentials(limit), user);
        assert_eq!(*next.credentials(limit + 1), root);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let entries = Entries::of_monitor(new_file(c"monitor").unwrap());
        let root = Credentials::root(CapabilitySet::EMPTY);
        let of = |bounding| entries.value_of(Credentials { bounding, ..root.clone() });
        assert!((0..OF_MONITOR).all(|number| of(number).is_ok()));
        assert_eq!(of(OF_MONITOR), Err(Errno::EAGAIN));
        assert_eq!(of(7), Ok(FIRST + 7));
    }
}
