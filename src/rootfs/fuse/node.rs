//! What the kernel knows of: inodes by number, each with the names by which it is reached.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use parking_lot::Mutex;

use super::directory::Directory;

/// The number of the root (FUSE_ROOT_ID).
pub const ROOT: u64 = 1;

/// Numbers from here up are nobody's on disk.
const INVENTED: u64 = 0x7f << 56;

/// An inode.
#[derive(Debug)]
pub struct Node {
    /// By which the kernel names it, and which is shown as `st_ino`, unless another one is.
    pub number: u64,
    /// Never given twice, as a number may be.
    pub serial: u64,
    /// Type (S_IFMT).
    pub kind: u32,
    /// What is shown as `st_ino` as long as the file is in a lower layer: names of one file are one file to those who compare.
    pub shared_number: Option<u64>,
    /// Where it is.
    pub state: Mutex<State>,
    /// What is in it, once it was looked at.
    pub listing: Mutex<Option<Directory>>,
    /// One copies it up at a time.
    pub copying: Mutex<()>,
}

/// Where an inode is.
#[derive(Debug)]
pub struct State {
    /// Its names: directory and name. Files may have several, and some that nobody has looked up yet. None: it was removed.
    pub names: Vec<(Arc<Node>, Arc<[u8]>)>,
    /// Layers that have it, topmost first, by index: of a file one.
    pub layers: Vec<u16>,
    /// What it is known by once it has no name.
    pub orphan: Option<Orphan>,
}

/// A removed file that somebody may still have open.
#[derive(Clone, Debug)]
pub enum Orphan {
    /// A regular file, and whether it can be written to.
    File(Arc<File>, bool),
    /// Anything else: a descriptor that names it only.
    Other(Arc<OwnedFd>),
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == libc::S_IFDIR
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == libc::S_IFREG
    }

    /// A name of it; ENOENT if it has none any more.
    pub fn name(&self) -> Result<(Arc<Node>, Arc<[u8]>), Errno> {
        self.state.lock().names.first().cloned().ok_or(Errno::ENOENT)
    }

    /// The topmost layer that has it.
    pub fn layer(&self) -> u16 {
        self.state.lock().layers.first().copied().unwrap_or(0)
    }
}

/// A new inode, but for its number.
#[derive(Debug)]
pub struct Found {
    /// Type (S_IFMT).
    pub kind: u32,
    /// Directory and name; none for the root.
    pub name: Option<(Arc<Node>, Arc<[u8]>)>,
    /// Layers that have it.
    pub layers: Vec<u16>,
    /// The number that it would like to have.
    pub wanted: Option<u64>,
    /// As [`Node::shared_number`].
    pub shared_number: Option<u64>,
}

/// All inodes that the kernel knows.
#[derive(Debug, Default)]
pub struct Nodes {
    known: Mutex<HashMap<u64, (Arc<Node>, u64)>>,
    invented: AtomicU64,
    serial: AtomicU64,
}

impl Nodes {
    /// The inode of this number.
    pub fn get(&self, number: u64) -> Result<Arc<Node>, Errno> {
        self.known.lock().get(&number).map(|(node, _)| node.clone()).ok_or(Errno::ESTALE)
    }

    /// Notes that the kernel was told of an inode.
    pub fn remember(&self, node: &Arc<Node>) {
        self.known.lock().entry(node.number).or_insert_with(|| (node.clone(), 0)).1 += 1;
    }

    /// Notes that the kernel has forgotten it so many times; the inode, if that was the last.
    pub fn forget(&self, number: u64, times: u64) -> Option<Arc<Node>> {
        let mut known = self.known.lock();
        let (_, lookups) = known.get_mut(&number)?;
        *lookups = lookups.saturating_sub(times);
        if *lookups > 0 || number == ROOT {
            return None;
        }
        known.remove(&number).map(|(node, _)| node)
    }

    /// Whether the kernel knows it.
    pub fn is_known(&self, node: &Node) -> bool {
        self.known.lock().get(&node.number).is_some_and(|(known, _)| known.serial == node.serial)
    }

    /// Makes an inode, which the kernel does not know yet. Its number is the one wanted, if that is free.
    pub fn make(&self, found: Found) -> Arc<Node> {
        let number = match found.wanted {
            Some(wanted) if wanted < INVENTED && (wanted == ROOT) == found.name.is_none() && wanted != 0 => {
                let is_taken = wanted != ROOT && self.known.lock().contains_key(&wanted);
                if is_taken { self.invent() } else { wanted }
            }
            _ => self.invent(),
        };
        Arc::new(Node {
            number,
            serial: self.serial.fetch_add(1, Ordering::Relaxed),
            kind: found.kind,
            shared_number: found.shared_number,
            state: Mutex::new(State { names: found.name.into_iter().collect(), layers: found.layers, orphan: None }),
            listing: Mutex::new(None),
            copying: Mutex::new(()),
        })
    }

    fn invent(&self) -> u64 {
        INVENTED + self.invented.fetch_add(1, Ordering::Relaxed)
    }
}
