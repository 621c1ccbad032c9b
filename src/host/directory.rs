//! Directories: what they are on, and whether they can be used.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{self, FsType};
use serde::Serialize;

/// What a directory is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// The type, as mount(8) has it, or its magic number.
    pub kind: String,
    /// All bytes.
    pub total: u64,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// The file system of `path`, or of the nearest directory above it that exists.
pub fn file_system(path: &Path) -> Option<FileSystem> {
    let found = path.ancestors().find_map(|path| statfs::statfs(path).ok())?;
    let unit = u64::try_from(found.block_size()).ok()?;
    Some(FileSystem {
        kind: kind(found.filesystem_type()),
        total: found.blocks().saturating_mul(unit),
        free: found.blocks_available().saturating_mul(unit),
    })
}

fn kind(of: FsType) -> String {
    let known = [
        (statfs::EXT4_SUPER_MAGIC, "ext4"),
        (statfs::BTRFS_SUPER_MAGIC, "btrfs"),
        (statfs::XFS_SUPER_MAGIC, "xfs"),
        (statfs::TMPFS_MAGIC, "tmpfs"),
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlay"),
        (statfs::NFS_SUPER_MAGIC, "nfs"),
        (statfs::FUSE_SUPER_MAGIC, "fuse"),
    ];
    let name = known.iter().find(|(magic, _)| *magic == of).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| match of.0 {
        0xf2f5_2010 => "f2fs".into(),
        0x2fc1_2fc1 => "zfs".into(),
        0x0bd0_0bd0 => "lustre".into(),
        0xca45_1a4e => "bcachefs".into(),
        magic => format!("{magic:#x}"),
    })
}

/// What is wrong with a directory that should be this user's own, or nothing. One that does not exist yet is fine.
pub fn complaint(path: &Path) -> Option<String> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(error.to_string()),
    };
    let owner = nix::unistd::geteuid().as_raw();
    match () {
        () if !metadata.is_dir() => Some("it is not a directory".into()),
        () if metadata.uid() != owner => Some(format!("it belongs to user {}, not to {owner}", metadata.uid())),
        () if metadata.mode() & 0o022 != 0 => {
            Some(format!("others may write to it: mode {:o}", metadata.mode() & 0o7777))
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn file_systems_of_paths() {
        let missing = Path::new("/proc/no/such/directory");
        assert!(file_system(missing).is_some());
        let here = file_system(Path::new("/")).unwrap();
        assert!(here.free <= here.total);
    }

    #[test]
    fn directories_of_our_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(complaint(path), None);
        assert_eq!(complaint(&path.join("missing")), None);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(complaint(path).unwrap().contains("770"));
        std::fs::write(path.join("file"), "").unwrap();
        assert!(complaint(&path.join("file")).unwrap().contains("not a directory"));
    }
}
