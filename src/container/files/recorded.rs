//! What layers say of files that cannot say it themselves: owners of links and pipes, file capabilities.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::failure::Failure;
use crate::oci::digest::DiffId;
use crate::state::schema::layer::{FileKind, LayerPath, Ownership};
use crate::store::Store;

/// One record, and the inode that it is about.
struct Of<T> {
    inode: u64,
    value: T,
}

/// Records of several layers, by path.
#[derive(Default)]
pub struct Recorded {
    owners: BTreeMap<Box<[u8]>, Of<Ownership>>,
    capabilities: BTreeMap<Box<[u8]>, Of<Vec<u8>>>,
}

impl Recorded {
    /// What `layers`, lowest first, have recorded.
    pub fn of_layers(store: &Store, layers: &[DiffId]) -> Result<Self, Failure> {
        let mut recorded = Self::default();
        for layer in layers {
            let manifest = store.layers().manifest(layer)?;
            let tree = store.layers().path(layer);
            for owner in manifest.owners {
                if let Some(inode) = inode(&tree, &owner.path) {
                    recorded.owners.insert(owner.path.as_bytes().into(), Of { inode, value: owner.ownership });
                }
            }
            for capability in manifest.capabilities {
                if let (Some(inode), Some(value)) = (inode(&tree, &capability.path), from_hex(&capability.value)) {
                    recorded.capabilities.insert(capability.path.as_bytes().into(), Of { inode, value });
                }
            }
        }
        Ok(recorded)
    }

    /// The owner of the file of this inode at `path`. The kernel's overlay shows the inodes of its layers, but for those of
    /// directories: what the container has put in the place of a file is another one.
    pub fn owner(&self, path: &[u8], stat: &nix::sys::stat::FileStat) -> Option<Ownership> {
        let of = self.owners.get(path)?;
        let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let same = of.inode == stat.st_ino || (is_directory && of.value.kind == FileKind::Dir);
        same.then_some(of.value)
    }

    /// The file capabilities of the file of this inode at `path`.
    pub fn capability(&self, path: &[u8], stat: &nix::sys::stat::FileStat) -> Option<&[u8]> {
        self.capabilities.get(path).filter(|of| of.inode == stat.st_ino).map(|of| &of.value[..])
    }
}

fn inode(tree: &Path, path: &LayerPath) -> Option<u64> {
    let path = tree.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8)).collect()
}
