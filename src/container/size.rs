//! How much room a container takes.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What was written in the container: its upper directory.
    pub written: u64,
    /// What it was made from.
    pub base: u64,
}

/// Bytes that the files below `directory` take on the disk, in whole blocks (stat(2), st_blocks); a file of several names
/// counts once. What cannot be read counts nothing.
pub fn on_disk(directory: &Path) -> u64 {
    let (mut total, mut seen) = (0, HashSet::new());
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            total += metadata.blocks() * 512;
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_once() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(on_disk(root.path()), 0);
        fs::create_dir(root.path().join("d")).unwrap();
        let empty = on_disk(root.path());
        fs::write(root.path().join("d/file"), vec![1; 100_000]).unwrap();
        let one = on_disk(root.path());
        assert!(one >= empty + 100_000, "{one}");
        fs::hard_link(root.path().join("d/file"), root.path().join("other")).unwrap();
        assert_eq!(on_disk(root.path()), one);
        fs::File::create(root.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        assert!(on_disk(root.path()) < 1 << 20, "holes take no room");
    }
}
