//! `getattr`: what is known of a file, as the kernel takes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::node::Node;
use super::overlay::Overlay;

impl Overlay {
    /// Attributes of the inode `number`.
    pub(super) fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        let node = self.nodes.get(number)?;
        let stat = self.stat(&node)?;
        Ok(self.shown(&node, &stat))
    }

    /// What is shown of the inode whose file has these attributes.
    pub(super) fn shown(&self, node: &Node, stat: &FileStat) -> FileAttr {
        // As the kernel's overlay: a directory that is merged has links that nobody counts.
        let is_merged = node.is_directory() && node.state.lock().layers.len() > 1;
        let shared = node.shared_number.filter(|_| stat.st_nlink > 1 && !self.is_in_upper(node));
        FileAttr {
            ino: INodeNo(shared.unwrap_or(node.number)),
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            crtime: UNIX_EPOCH,
            kind: file_type(stat.st_mode),
            perm: (stat.st_mode & 0o7777) as u16,
            nlink: if is_merged { 1 } else { stat.st_nlink as u32 },
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as u32,
            blksize: stat.st_blksize as u32,
            flags: 0,
        }
    }

    /// Whether what is shown of the inode has a number that is not its own: an entry cannot say so, attributes can.
    pub(super) fn has_shared_number(&self, node: &Node, stat: &FileStat) -> bool {
        node.shared_number.is_some() && stat.st_nlink > 1 && !self.is_in_upper(node)
    }
}

/// A time; one that cannot be said is the epoch.
fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let nanoseconds = Duration::from_nanos(nanoseconds as u64);
    let whole = match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        Err(_) => UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    };
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(UNIX_EPOCH)
}

/// The type of a file of this mode.
pub fn file_type(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_and_far_away() {
        assert_eq!(time(-1, 250_000_000), UNIX_EPOCH - Duration::from_millis(750));
        assert_eq!(time(2, 5), UNIX_EPOCH + Duration::new(2, 5));
        let _ = (time(i64::MIN, 0), time(i64::MAX, 999_999_999));
    }
}
