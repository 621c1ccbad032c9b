//! The directory of a container in which nothing was written, kept for the next one: making directories and removing them is a
//! good part of what a short run costs on a disk. There is at most one; it is nobody's, and what finds it may remove it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::{getegid, geteuid};

use crate::state::layout::Layout;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::sys::xattr;

/// The directories in it, and their permissions. The upper one becomes the container's root: its permissions are those of `/`.
pub const DIRECTORIES: [(&str, u32); 2] = [("upper", 0o755), ("work", 0o700)];

/// What the kernel's overlay leaves on an upper directory (Documentation/filesystems/overlayfs.rst, "Persistent overlay identity").
const IDENTITY: &[u8] = b"user.overlay.uuid";

/// Keeps what is at `path`, which has nothing but the [`DIRECTORIES`], if there is none yet; whether that is so.
pub fn keep(layout: &Layout, path: &Path) -> bool {
    fs::rename(path, layout.spare()).is_ok()
}

/// The spare directory, under a name of its own; none if there is none, or if it is not as if it had just been made.
pub fn take(layout: &Layout) -> Option<TemporaryDirectory> {
    let spare = TemporaryDirectory::take(&layout.spare(), &layout.tmp(), Kind::Container).ok()?;
    // What is not taken is removed.
    is_as_new(spare.path()).ok()?.then_some(spare)
}

fn is_as_new(path: &Path) -> io::Result<bool> {
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let mut is_as_new = fs::read_dir(path)?.count() == DIRECTORIES.len();
    for (name, mode) in DIRECTORIES {
        let path = path.join(name);
        let directory = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(&path)?;
        let metadata = directory.metadata()?;
        is_as_new &= (metadata.uid(), metadata.gid()) == owner
            && metadata.mode() & 0o7777 == mode
            && xattr::list(std::os::fd::AsFd::as_fd(&directory))?.iter().all(|name| name.as_bytes() == IDENTITY)
            && fs::read_dir(&path)?.next().is_none();
        let now = SystemTime::now();
        directory.set_times(fs::FileTimes::new().set_accessed(now).set_modified(now))?;
    }
    Ok(is_as_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    fn with_spare() -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::discover(Some(root.path().join("data")), Some(root.path().join("run"))).unwrap();
        fs::create_dir_all(layout.tmp()).unwrap();
        for (name, mode) in DIRECTORIES {
            let path = layout.tmp().join("left").join(name);
            fs::DirBuilder::new().recursive(true).mode(mode).create(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert!(keep(&layout, &layout.tmp().join("left")));
        (root, layout)
    }

    #[test]
    fn one_is_kept_and_taken_once() {
        let (_root, layout) = with_spare();
        fs::create_dir_all(layout.tmp().join("more/upper")).unwrap();
        assert!(!keep(&layout, &layout.tmp().join("more")));
        let taken = take(&layout).unwrap();
        assert!(taken.path().join("upper").is_dir());
        assert!(take(&layout).is_none());
    }

    #[test]
    fn one_that_was_changed_is_removed() {
        let changes: [fn(&Path); 5] = [
            |path| fs::write(path.join("upper/file"), "").unwrap(),
            |path| fs::write(path.join("file"), "").unwrap(),
            |path| fs::set_permissions(path.join("upper"), fs::Permissions::from_mode(0o777)).unwrap(),
            |path| {
                let upper = File::open(path.join("upper")).unwrap();
                xattr::set(std::os::fd::AsFd::as_fd(&upper), c"user.x", b"y").unwrap();
            },
            |path| {
                fs::remove_dir(path.join("upper")).unwrap();
                std::os::unix::fs::symlink("/", path.join("upper")).unwrap();
            },
        ];
        for change in changes {
            let (_root, layout) = with_spare();
            change(&layout.spare());
            assert!(take(&layout).is_none());
            assert_eq!(fs::read_dir(layout.tmp()).unwrap().count(), 0);
        }
    }
}
