//! How much room files take.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes on the disk, in whole blocks (stat(2), st_blocks): holes take none, and a file of several names counts once,
/// however many directories were added.
#[derive(Debug, Default)]
pub struct DiskUsage {
    bytes: u64,
    seen: HashSet<(u64, u64)>,
}

impl DiskUsage {
    /// Adds `path` itself and everything below it. What cannot be read counts nothing.
    pub fn add(&mut self, path: &Path) {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            self.count(&metadata);
        }
        self.add_below(path);
    }

    /// Adds everything below `directory`, but not the directory itself.
    pub fn add_below(&mut self, directory: &Path) {
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                self.count(&metadata);
                if metadata.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
    }

    fn count(&mut self, metadata: &fs::Metadata) {
        if metadata.nlink() == 1 || metadata.is_dir() || self.seen.insert((metadata.dev(), metadata.ino())) {
            self.bytes += metadata.blocks() * 512;
        }
    }

    /// The sum.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Bytes that `path` and everything below it take.
pub fn of(path: &Path) -> u64 {
    let mut usage = DiskUsage::default();
    usage.add(path);
    usage.bytes()
}

/// Bytes that the files below `directory` take.
pub fn below(directory: &Path) -> u64 {
    let mut usage = DiskUsage::default();
    usage.add_below(directory);
    usage.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_once() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(below(root.path()), 0);
        fs::create_dir(root.path().join("d")).unwrap();
        let empty = below(root.path());
        fs::write(root.path().join("d/file"), vec![1; 100_000]).unwrap();
        let one = below(root.path());
        assert!(one >= empty + 100_000, "{one}");
        fs::hard_link(root.path().join("d/file"), root.path().join("other")).unwrap();
        assert_eq!(below(root.path()), one);
        fs::File::create(root.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        assert!(below(root.path()) < 1 << 20, "holes take no room");
    }
}
