//! The layers, and how what is in them is reached.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode};
use parking_lot::RwLock;

use super::descriptors::{Descriptors, Open};
use super::directory::{Directory, kind_of};
use super::node::{Found, Node, Nodes, Orphan, ROOT};
use super::quota::Quota;
use crate::sys::in_root::open_beneath;
use crate::sys::xattr;

/// The index of the upper layer, where there is one.
pub const UPPER: u16 = 0;

pub use crate::sys::fs::OPAQUE;

/// What an overlay is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where writes go, and an empty directory beside it on the same file system; without, nothing can be written.
    pub upper: Option<(OwnedFd, OwnedFd)>,
    /// Layers, topmost first.
    pub lower: Vec<OwnedFd>,
    /// Bytes that the upper layer may take; no limit where absent.
    pub limit: Option<u64>,
    /// Whether it is lost with the container: nothing is synced.
    pub volatile: bool,
}

/// The overlay.
#[derive(Debug)]
pub struct Overlay {
    /// The upper layer, if there is one, and the lower ones, topmost first.
    layers: Vec<Layer>,
    /// Where things are made before they get their names.
    pub(super) work: Option<OwnedFd>,
    pub(super) nodes: Nodes,
    pub(super) descriptors: Descriptors,
    pub(super) root: Arc<Node>,
    pub(super) quota: Option<Quota>,
    pub(super) volatile: bool,
    /// Whether the upper layer's file system has attributes of users.
    pub(super) has_xattrs: bool,
    /// Our own ids: files are made with these.
    pub(super) own: (u32, u32),
    /// Held to be read while a path is resolved, to be written while a directory gets another one.
    pub(super) moves: RwLock<()>,
    temporary: AtomicU64,
}

#[derive(Debug)]
struct Layer {
    root: Arc<OwnedFd>,
    /// `st_dev`.
    device: u64,
    /// Which of the devices of all layers that is: it goes into the numbers of inodes.
    device_index: u8,
}

impl Overlay {
    /// An overlay of these layers.
    pub fn new(parts: Parts, descriptor_limit: usize) -> Result<Self, Errno> {
        let Parts { upper, lower, limit, volatile } = parts;
        let (upper, work) = upper.map_or((None, None), |(upper, work)| (Some(upper), Some(work)));
        let mut layers: Vec<Layer> = Vec::new();
        for root in upper.into_iter().chain(lower) {
            let device = nix::sys::stat::fstat(&root)?.st_dev;
            let known = layers.iter().find(|layer| layer.device == device).map(|layer| layer.device_index);
            let next = layers.iter().map(|layer| layer.device_index + 1).max().unwrap_or(0);
            let device_index = known.unwrap_or(next.min(0x7d));
            layers.push(Layer { root: Arc::new(root), device, device_index });
        }
        if layers.is_empty() || layers.len() > usize::from(u16::MAX) {
            return Err(Errno::EINVAL);
        }
        let nodes = Nodes::default();
        let root = nodes.make(Found {
            kind: libc::S_IFDIR,
            name: None,
            layers: (0..layers.len() as u16).collect(),
            wanted: Some(ROOT),
            shared_number: None,
        });
        nodes.remember(&root);
        let mut overlay = Self {
            layers,
            work,
            nodes,
            descriptors: Descriptors::new(descriptor_limit),
            root,
            quota: None,
            volatile,
            has_xattrs: false,
            own: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
            moves: RwLock::new(()),
            temporary: AtomicU64::new(0),
        };
        overlay.prepare_work(limit)?;
        Ok(overlay)
    }

    /// Finds out what the upper layer's file system can, and empties the work directory.
    fn prepare_work(&mut self, limit: Option<u64>) -> Result<(), Errno> {
        let Some(work) = &self.work else { return Ok(()) };
        let listing = super::directory::open_listing(work.as_fd())?;
        self.has_xattrs = xattr::set(listing.as_fd(), OPAQUE, b"y").is_ok();
        let _ = xattr::remove(listing.as_fd(), OPAQUE);
        let names: Vec<_> = nix::dir::Dir::from_fd(listing)?
            .iter()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
            .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
            .collect();
        for name in names {
            crate::sys::fs::remove_tree(work.as_fd(), &name)?;
        }
        self.quota = limit.map(|limit| Quota::new(self.layers[0].root.as_fd(), limit)).transpose()?;
        Ok(())
    }

    /// Whether anything can be written.
    pub(super) fn is_writable(&self) -> bool {
        self.work.is_some()
    }

    /// Whether this is the layer that is written to.
    pub(super) fn is_upper(&self, layer: u16) -> bool {
        layer == UPPER && self.is_writable()
    }

    /// Whether the inode is in the layer that is written to.
    pub(super) fn is_in_upper(&self, node: &Node) -> bool {
        self.is_upper(node.layer())
    }

    /// The work directory; EROFS where nothing can be written.
    pub(super) fn work(&self) -> Result<&OwnedFd, Errno> {
        self.work.as_ref().ok_or(Errno::EROFS)
    }

    /// An unused name in the work directory.
    pub(super) fn temporary_name(&self) -> String {
        format!("#{}", self.temporary.fetch_add(1, Ordering::Relaxed))
    }

    /// What the upper layer's directory of `node` is; EROFS where nothing can be written. It must be there.
    pub(super) fn upper_directory(&self, node: &Node) -> Result<Arc<OwnedFd>, Errno> {
        if !self.is_writable() {
            return Err(Errno::EROFS);
        }
        self.directory(node, UPPER)
    }

    /// The directory of `node` in a layer that has it.
    pub(super) fn directory(&self, node: &Node, layer: u16) -> Result<Arc<OwnedFd>, Errno> {
        let root = &self.layers.get(usize::from(layer)).ok_or(Errno::EIO)?.root;
        if node.serial == self.root.serial {
            return Ok(root.clone());
        }
        if let Some(open) = self.descriptors.directory(node.serial, layer) {
            return Ok(open);
        }
        let still = self.moves.read();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let open = Arc::new(open_beneath(root.as_fd(), &path(node)?, flags)?);
        drop(still);
        self.descriptors.keep_directory(node.serial, layer, open.clone());
        Ok(open)
    }

    /// Where the inode's file is: the directory, in the layer that has it, and its name there.
    pub(super) fn place(&self, node: &Node) -> Result<(Arc<OwnedFd>, Arc<[u8]>), Errno> {
        let (parent, name) = node.name()?;
        Ok((self.directory(&parent, node.layer())?, name))
    }

    /// What is known of the inode.
    pub(super) fn stat(&self, node: &Node) -> Result<FileStat, Errno> {
        if node.serial == self.root.serial {
            return nix::sys::stat::fstat(&*self.layers[usize::from(node.layer())].root);
        }
        let orphan = node.state.lock().orphan.clone();
        match orphan {
            Some(Orphan::File(file, _)) => return nix::sys::stat::fstat(&*file),
            Some(Orphan::Other(fd)) => return nix::sys::stat::fstat(&*fd),
            None => {}
        }
        let (directory, name) = self.place(node)?;
        nix::sys::stat::fstatat(&*directory, &*name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// The inode's file, open for reading, and for writing too if that is wanted: then it must be in the upper layer.
    pub(super) fn file(&self, node: &Node, writable: bool) -> Result<Arc<File>, Errno> {
        let suits = |(file, can_write): Open| (can_write || !writable).then_some(file);
        if let Some(file) = self.descriptors.file(node.serial).and_then(suits) {
            return Ok(file);
        }
        if !node.is_file() {
            return Err(if node.is_directory() { Errno::EISDIR } else { Errno::EINVAL });
        }
        let orphan = node.state.lock().orphan.clone();
        if let Some(Orphan::File(file, can_write)) = orphan {
            return suits((file, can_write)).ok_or(Errno::EROFS);
        }
        let open = self.open_file(node)?;
        let file = suits(open.clone()).ok_or(Errno::EROFS)?;
        self.descriptors.keep_file(node.serial, open);
        Ok(file)
    }

    /// Opens the inode's file, for writing where it is in the upper layer.
    pub(super) fn open_file(&self, node: &Node) -> Result<Open, Errno> {
        let is_upper = self.is_in_upper(node);
        let access = if is_upper { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        let (directory, name) = self.place(node)?;
        // A FIFO that somebody has put into its place must not keep us waiting.
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&*directory, &*name, flags, Mode::empty())?;
        if kind_of(&nix::sys::stat::fstat(&file)?) != libc::S_IFREG {
            return Err(Errno::ESTALE);
        }
        Ok((Arc::new(File::from(file)), is_upper))
    }

    /// The number that the file of `stat` would be known by, and whether it is one of several names in a lower layer.
    pub(super) fn number(&self, stat: &FileStat, layer: u16) -> u64 {
        let index = self.layers.get(usize::from(layer)).map_or(0, |layer| layer.device_index);
        if stat.st_ino >= 1 << 56 { 0 } else { stat.st_ino | u64::from(index) << 56 }
    }

    /// The inode of the entry `name` in `parent`, made if there is none. ENOENT if there is no entry.
    pub(super) fn child(
        &self,
        parent: &Arc<Node>,
        directory: &mut Directory,
        name: &[u8],
    ) -> Result<(Arc<Node>, FileStat), Errno> {
        let entry = directory.get(name).ok_or(Errno::ENOENT)?;
        if let Some(node) = entry.node.upgrade() {
            let stat = self.stat(&node)?;
            return Ok((node, stat));
        }
        let layer = *entry.layers.first().ok_or(Errno::EIO)?;
        let open = self.directory(parent, layer)?;
        let stat = nix::sys::stat::fstatat(&*open, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = kind_of(&stat);
        let mut layers = entry.layers.clone();
        if kind == libc::S_IFDIR && layers.len() > 1 {
            self.end_at_opaque(parent, name, &mut layers)?;
        } else {
            layers.truncate(1);
        }
        // A directory keeps the number that it has without the upper layer, and a file that of what it hides.
        let numbered = match layers.iter().find(|&&layer| !self.is_upper(layer)) {
            Some(&lower) if lower != layer => {
                let open = self.directory(parent, lower)?;
                let stat = nix::sys::stat::fstatat(&*open, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                self.number(&stat, lower)
            }
            _ => self.number(&stat, layer),
        };
        let is_linked = kind != libc::S_IFDIR && stat.st_nlink > 1;
        let shared = is_linked && !self.is_upper(layer);
        let name: Arc<[u8]> = name.into();
        if is_linked
            && !shared
            && let Ok(known) = self.nodes.get(numbered)
            && self.is_same(&known, &stat)
        {
            // Another name of a file that is known.
            known.state.lock().names.push((parent.clone(), name.clone()));
            if let Some(entry) = directory.get_mut(&name) {
                (entry.number, entry.node) = (Some(known.number), Arc::downgrade(&known));
            }
            return Ok((known, stat));
        }
        let node = self.nodes.make(Found {
            kind,
            name: Some((parent.clone(), name.clone())),
            layers,
            wanted: if shared { None } else { entry.number.or(Some(numbered)) },
            shared_number: shared.then_some(numbered),
        });
        if let Some(entry) = directory.get_mut(&name) {
            (entry.number, entry.node) = (Some(node.number).filter(|_| !shared), Arc::downgrade(&node));
        }
        Ok((node, stat))
    }

    /// Whether an inode is the file of `stat` in the upper layer.
    fn is_same(&self, node: &Node, stat: &FileStat) -> bool {
        self.is_in_upper(node)
            && node.state.lock().orphan.is_none()
            && self.stat(node).is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino))
    }

    /// Cuts the layers of the directory `name` of `parent` off behind the first in which it is opaque.
    fn end_at_opaque(&self, parent: &Arc<Node>, name: &[u8], layers: &mut Vec<u16>) -> Result<(), Errno> {
        for index in 0..layers.len() {
            let open = self.directory(parent, layers[index])?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let directory = nix::fcntl::openat(&*open, name, flags, Mode::empty())?;
            if xattr::get(directory.as_fd(), OPAQUE).is_ok_and(|value| value == b"y") {
                layers.truncate(index + 1);
                break;
            }
        }
        Ok(())
    }

    /// Forgets what is kept open for an inode that the kernel has forgotten.
    pub(super) fn release(&self, node: &Arc<Node>) {
        drop(self.descriptors.take_file(node.serial));
        if node.is_directory() {
            let layers = node.state.lock().layers.clone();
            self.descriptors.drop_directories(node.serial, &layers);
        }
    }
}

/// The path of a directory below the roots of the layers.
fn path(node: &Node) -> Result<Vec<u8>, Errno> {
    let mut names = Vec::new();
    let mut next = node.name()?;
    loop {
        names.push(next.1);
        match next.0.number {
            ROOT => break,
            _ => next = next.0.name()?,
        }
    }
    names.reverse();
    Ok(names.join(&b'/'))
}
