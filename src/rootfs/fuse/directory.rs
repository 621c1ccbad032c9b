//! What is in a directory: the listings of all layers that have it, merged once, and then kept up to date by whatever changes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode};

use super::node::Node;
use super::overlay::{OPAQUE, Overlay, UPPER};
use crate::sys::fs::is_whiteout;
use crate::sys::xattr;

/// Offsets of the entries `.` and `..`.
pub const DOTS: u64 = 2;

/// What a name stands for.
#[derive(Debug)]
pub struct Entry {
    /// The offset after it, by which a reader of the directory goes on. It does not change as long as there is the entry.
    pub cookie: u64,
    /// Layers that have it, topmost first: of a directory all that are merged, unless one is opaque; of a file one.
    pub layers: Vec<u16>,
    /// Whether lower layers have something by that name: a whiteout is needed when it goes.
    pub below: bool,
    /// Type (S_IFMT).
    pub kind: u32,
    /// The number of its inode, once known.
    pub number: Option<u64>,
    /// Its inode, if there is one.
    pub node: Weak<Node>,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub struct Directory {
    entries: HashMap<Arc<[u8]>, Entry>,
    order: BTreeMap<u64, Arc<[u8]>>,
    /// Names of whiteouts in the upper layer.
    whiteouts: HashSet<Arc<[u8]>>,
    next: u64,
}

impl Directory {
    /// The entry of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// Whether there is a whiteout of this name in the upper layer.
    pub fn has_whiteout(&self, name: &[u8]) -> bool {
        self.whiteouts.contains(name)
    }

    /// The names of all whiteouts in the upper layer.
    pub fn whiteouts(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.whiteouts.iter()
    }

    /// Whether there is nothing to be seen in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All names, as they were found.
    pub fn names(&self) -> Vec<Arc<[u8]>> {
        self.order.values().cloned().collect()
    }

    /// The first entry behind an offset.
    pub fn after(&self, offset: u64) -> Option<(&Arc<[u8]>, &Entry)> {
        let (_, name) = self.order.range(offset + 1..).next()?;
        self.entries.get(name).map(|entry| (name, entry))
    }

    /// Adds an entry of the upper layer, in place of a whiteout or of another entry; `below` is whether lower layers have
    /// something of that name.
    pub fn insert_upper(&mut self, name: Arc<[u8]>, below: bool, node: &Arc<Node>) {
        self.whiteouts.remove(&name);
        self.remove(&name);
        self.insert(
            name,
            Entry {
                cookie: 0,
                layers: vec![UPPER],
                below,
                kind: node.kind,
                number: Some(node.number),
                node: Arc::downgrade(node),
            },
        );
    }

    fn insert(&mut self, name: Arc<[u8]>, mut entry: Entry) {
        self.next = self.next.max(DOTS) + 1;
        entry.cookie = self.next;
        self.order.insert(entry.cookie, name.clone());
        self.entries.insert(name, entry);
    }

    /// Removes an entry.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.cookie);
        Some(entry)
    }

    /// Notes that there is a whiteout in the upper layer now.
    pub fn note_whiteout(&mut self, name: Arc<[u8]>) {
        self.whiteouts.insert(name);
    }

    /// Notes that all whiteouts are gone.
    pub fn forget_whiteouts(&mut self) {
        self.whiteouts.clear();
    }
}

impl Overlay {
    /// Lists the directory, unless that was done: `use_it` gets the listing.
    pub(super) fn with_listing<T>(
        &self,
        node: &Arc<Node>,
        use_it: impl FnOnce(&mut Directory) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let mut listing = node.listing.lock();
        match &mut *listing {
            Some(directory) => use_it(directory),
            None => {
                let directory = self.list(node)?;
                use_it(listing.insert(directory))
            }
        }
    }

    fn list(&self, node: &Arc<Node>) -> Result<Directory, Errno> {
        let layers = node.state.lock().layers.clone();
        let mut directory = Directory::default();
        // Names that are decided: those of a whiteout, or of anything but a directory.
        let mut decided: HashSet<Arc<[u8]>> = HashSet::new();
        for layer in layers {
            let open = self.directory(node, layer)?;
            let listing = open_listing(open.as_fd())?;
            let has_marked_whiteouts = xattr::get(listing.as_fd(), OPAQUE).is_ok_and(|value| value == b"x");
            // Names that this layer decides: lower ones are not asked for them.
            let mut last_words = Vec::new();
            for entry in nix::dir::Dir::from_fd(listing)?.iter() {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let look = match entry.file_type() {
                    Some(Type::CharacterDevice) | None => stat_in(open.as_fd(), name.to_bytes())?,
                    Some(kind) => Look::Kind(type_bits(kind)),
                };
                let name: Arc<[u8]> = name.to_bytes().into();
                let kind = match look {
                    Look::Gone => continue,
                    Look::Kind(libc::S_IFREG) if has_marked_whiteouts && is_marked_whiteout(open.as_fd(), &name) => {
                        None
                    }
                    Look::Whiteout => None,
                    Look::Kind(kind) => Some(kind),
                };
                match kind {
                    Some(kind) => merge(&mut directory, &decided, (&name, kind), layer, self.is_upper(layer)),
                    None if self.is_upper(layer) => drop(directory.whiteouts.insert(name.clone())),
                    None => {}
                }
                if kind != Some(libc::S_IFDIR) {
                    last_words.push(name);
                }
            }
            decided.extend(last_words);
        }
        self.note_below(node, &mut directory)?;
        Ok(directory)
    }

    /// Finds out of which upper entries there is something below: merging stops at the first that is not a directory, but what
    /// it hides must stay hidden when it goes.
    fn note_below(&self, node: &Arc<Node>, directory: &mut Directory) -> Result<(), Errno> {
        if !self.is_writable() {
            return Ok(());
        }
        let layers = node.state.lock().layers.clone();
        let lower: Vec<u16> = layers.iter().copied().filter(|&layer| !self.is_upper(layer)).collect();
        if lower.len() == layers.len() {
            for entry in directory.entries.values_mut() {
                entry.below = true;
            }
            return Ok(());
        }
        if lower.is_empty() {
            return Ok(());
        }
        for (name, entry) in &mut directory.entries {
            entry.below = entry.layers.iter().any(|&layer| !self.is_upper(layer)) || self.is_in(node, &lower, name)?;
        }
        Ok(())
    }

    /// Whether one of these layers shows something by that name.
    pub(super) fn is_in(&self, node: &Arc<Node>, layers: &[u16], name: &[u8]) -> Result<bool, Errno> {
        for &layer in layers {
            let open = self.directory(node, layer)?;
            match stat_in(open.as_fd(), name)? {
                Look::Gone => {}
                Look::Whiteout => return Ok(false),
                Look::Kind(libc::S_IFREG) if is_marked_whiteout(open.as_fd(), name) => return Ok(false),
                Look::Kind(_) => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// Adds what one layer has to what those above it have.
fn merge(
    directory: &mut Directory,
    decided: &HashSet<Arc<[u8]>>,
    (name, kind): (&Arc<[u8]>, u32),
    layer: u16,
    is_upper: bool,
) {
    if decided.contains(name) {
        return;
    }
    match directory.entries.get_mut(name) {
        // A directory above something else hides it.
        Some(entry) if kind == libc::S_IFDIR => entry.layers.push(layer),
        Some(_) => {}
        None => {
            let entry =
                Entry { cookie: 0, layers: vec![layer], below: !is_upper, kind, number: None, node: Weak::new() };
            directory.insert(name.clone(), entry);
        }
    }
}

enum Look {
    Gone,
    Whiteout,
    Kind(u32),
}

/// What is there.
fn stat_in(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Look, Errno> {
    match nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) if is_whiteout(&stat) => Ok(Look::Whiteout),
        Ok(stat) => Ok(Look::Kind(kind_of(&stat))),
        Err(Errno::ENOENT) => Ok(Look::Gone),
        Err(errno) => Err(errno),
    }
}

/// Whether it is an empty file that stands for nothing (overlayfs.rst, "whiteouts and opaque directories", Linux 6.8).
fn is_marked_whiteout(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    nix::fcntl::openat(directory, name, flags, Mode::empty())
        .is_ok_and(|file| crate::sys::fs::is_marked_whiteout(file.as_fd()))
}

/// The type of a file (S_IFMT).
pub fn kind_of(stat: &FileStat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

fn type_bits(kind: Type) -> u32 {
    match kind {
        Type::Fifo => libc::S_IFIFO,
        Type::CharacterDevice => libc::S_IFCHR,
        Type::Directory => libc::S_IFDIR,
        Type::BlockDevice => libc::S_IFBLK,
        Type::File => libc::S_IFREG,
        Type::Symlink => libc::S_IFLNK,
        Type::Socket => libc::S_IFSOCK,
    }
}

/// A descriptor by which the directory can be read.
pub fn open_listing(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(directory, c".", flags, Mode::empty())
}

/// A name as the kernel takes it.
pub fn c_name(name: &[u8]) -> Result<CString, Errno> {
    CString::new(name).map_err(|_| Errno::EINVAL)
}
