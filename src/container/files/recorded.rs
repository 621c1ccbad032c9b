//! What is known of files that cannot say it themselves: owners of links and pipes, file capabilities. Layers have manifests,
//! containers and volumes journals.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::container::driver;
use crate::failure::Failure;
use crate::name::volume::VolumeName;
use crate::oci::digest::DiffId;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::state::schema::layer::{FileKind, LayerPath, Ownership};
use crate::state::schema::owners::{FileKey, Owners};
use crate::store::Store;
use crate::sys::status::{self, Status};

/// One record, and the file that it is about.
struct Of<T> {
    file: FileKey,
    value: T,
}

/// Records of several layers, by path, and of what a container has written on top of them.
#[derive(Default)]
pub struct Recorded {
    owners: BTreeMap<Box<[u8]>, Of<Ownership>>,
    capabilities: BTreeMap<Box<[u8]>, Of<Vec<u8>>>,
    journal: Owners,
    /// Whether anything in the layers belongs to somebody else than 0:0.
    pub has_others: bool,
}

/// What tells the file from all others.
pub fn key(status: &Status) -> FileKey {
    let born = &status.0.stx_btime;
    FileKey { inode: status.0.stx_ino, born: (born.tv_sec, born.tv_nsec) }
}

impl Recorded {
    /// What `layers`, lowest first, have recorded.
    pub fn of_layers(store: &Store, layers: &[DiffId]) -> Result<Self, Failure> {
        Self::of_layers_in(store, layers, None)
    }

    /// The same of layers that were copied into one tree.
    fn of_layers_in(store: &Store, layers: &[DiffId], copy: Option<&driver::Copy>) -> Result<Self, Failure> {
        let mut recorded = Self::default();
        for layer in layers {
            let manifest = store.layers().manifest(layer)?;
            let tree = store.layers().path(layer);
            let file = |path: &LayerPath| match copy {
                Some(copy) => copy.status(path).map(|status| key(&status)),
                None => file(&tree, path),
            };
            recorded.has_others |= manifest.foreign_owners;
            for owner in manifest.owners {
                if let Some(file) = file(&owner.path) {
                    recorded.owners.insert(owner.path.as_bytes().into(), Of { file, value: owner.ownership });
                }
            }
            for capability in manifest.capabilities {
                if let (Some(file), Some(value)) = (file(&capability.path), from_hex(&capability.value)) {
                    recorded.capabilities.insert(capability.path.as_bytes().into(), Of { file, value });
                }
            }
        }
        Ok(recorded)
    }

    /// The same of a container's layers, and what its journal and those of its volumes say.
    pub fn of_container(store: &Store, container: &ContainerRecord) -> Result<Self, Failure> {
        let layout = store.layout();
        let volumes = container.mounts.iter().filter_map(|mount| mount.volume.as_ref());
        let own = [layout.container_owners(&container.id)];
        let journal = read(own.into_iter().chain(volumes.map(|name| layout.volume_owners(name))))?;
        let copy = driver::Copy::of(layout, &container.id);
        Ok(Self { journal, ..Self::of_layers_in(store, &container.layers, copy.as_ref())? })
    }

    /// What the journal of a volume says.
    pub fn of_volume(layout: &Layout, volume: &VolumeName) -> Result<Self, Failure> {
        Ok(Self { journal: read([layout.volume_owners(volume)].into_iter())?, ..Self::default() })
    }

    /// The owner of the file at `path`, which `status` looks at if that matters. The kernel's overlay shows the inodes of its
    /// layers, but for those of directories: what the container has put in the place of a file is another one.
    pub fn owner(&self, path: &[u8], status: impl FnOnce() -> Result<Status, Errno>) -> Option<Ownership> {
        let of = self.owners.get(path);
        if of.is_none() && self.journal.is_empty() {
            return None;
        }
        let status = status().ok()?;
        let file = key(&status);
        let is_directory = u32::from(status.0.stx_mode) & libc::S_IFMT == libc::S_IFDIR;
        // Through FUSE no births are seen.
        let is_one = |of: &Of<Ownership>| of.file == file || (file.born == (0, 0) && of.file.inode == file.inode);
        let is_same = |of: &&Of<Ownership>| is_one(of) || (is_directory && of.value.kind == FileKind::Dir);
        self.journal.of_upper(file, path).or_else(|| of.filter(is_same).map(|of| of.value))
    }

    /// The file capabilities of the file of this inode at `path`.
    pub fn capability(&self, path: &[u8], stat: &nix::sys::stat::FileStat) -> Option<&[u8]> {
        self.capabilities.get(path).filter(|of| of.file.inode == stat.st_ino).map(|of| &of.value[..])
    }
}

/// What these journals say; one that is not there says nothing.
fn read(paths: impl Iterator<Item = PathBuf>) -> Result<Owners, Failure> {
    let mut lines = Vec::new();
    for path in paths {
        match std::fs::read(&path) {
            Ok(bytes) => lines.extend(bytes),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(record::failure(&format!("reading {}", path.display()), &cause)),
        }
        // The last line of a journal may be a part of one.
        lines.push(b'\n');
    }
    Ok(Owners::parse(&lines))
}

/// Appends lines to a journal, by one write: others append meanwhile.
pub fn append(path: &Path, lines: &str) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes()))
        .map_err(|cause| record::failure(&format!("writing {}", path.display()), &cause))
}

fn file(tree: &Path, path: &LayerPath) -> Option<FileKey> {
    let path = CString::new(tree.join(std::ffi::OsStr::from_bytes(path.as_bytes())).as_os_str().as_bytes()).ok()?;
    Status::of_path(&path, libc::AT_SYMLINK_NOFOLLOW, status::USUAL).ok().map(|status| key(&status))
}

/// The bytes that hexadecimal digits stand for.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8)).collect()
}
