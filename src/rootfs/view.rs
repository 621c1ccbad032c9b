//! Looking into a root file system before it is mounted: single files, by descriptors, nothing followed outside.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::sys::fs::is_marked_whiteout;
use crate::sys::in_root::{Resolve, open_below};

/// The trees that make up a root, topmost first: layers, or one directory of the host.
#[derive(Clone, Debug)]
pub struct View {
    trees: Vec<PathBuf>,
}

/// What a layer says of a path.
enum Said {
    Here(File),
    Nothing,
    Gone,
    /// A link on the way: its meaning depends on all layers.
    Link,
}

impl View {
    /// The view of these trees, topmost first.
    pub fn new(trees: Vec<PathBuf>) -> Self {
        Self { trees }
    }

    /// Opens the file at `path`, relative, for reading, as a process inside would find it; `None` if there is none. It may
    /// be anything but a symbolic link: the caller checks. It never blocks on a FIFO.
    pub fn open(&self, path: &CStr) -> io::Result<Option<File>> {
        for tree in &self.trees {
            let root = open_directory(tree)?;
            match look(root.as_fd(), path)? {
                Said::Here(file) => return Ok(Some(file)),
                Said::Nothing => {}
                Said::Gone => return Ok(None),
                Said::Link => return self.open_linked(path),
            }
        }
        Ok(None)
    }

    /// Follows links within each tree, topmost first: right as long as a link and its target are in one layer, or the
    /// target's path is the same in all.
    fn open_linked(&self, path: &CStr) -> io::Result<Option<File>> {
        for tree in &self.trees {
            let root = open_directory(tree)?;
            match open_below(root.as_fd(), path, read_flags(), Resolve::InRoot) {
                Ok(fd) => return Ok(Some(fd.into())),
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }

    /// Whether there are programs for the 32-bit interface of our processor: their loader is where their ABI wants it.
    pub fn has_32_bit_programs(&self) -> bool {
        self.contains(c"lib/ld-linux.so.2")
    }

    /// Whether there is something at `path`.
    pub fn contains(&self, path: &CStr) -> bool {
        self.trees.iter().any(|tree| {
            open_directory(tree)
                .is_ok_and(|root| open_below(root.as_fd(), path, OFlag::O_PATH, Resolve::InRoot).is_ok())
        })
    }
}

fn read_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

fn look(root: BorrowedFd<'_>, path: &CStr) -> io::Result<Said> {
    match open_below(root, path, read_flags() | OFlag::O_NOFOLLOW, Resolve::NoSymlinks) {
        Ok(fd) if is_marked_whiteout(fd.as_fd()) => Ok(Said::Gone),
        Ok(fd) => Ok(Said::Here(fd.into())),
        Err(Errno::ELOOP | Errno::EXDEV) => Ok(Said::Link),
        // A whiteout is a character device 0:0, which nothing serves; one of a parent is not a directory.
        Err(Errno::ENXIO | Errno::ENOTDIR) => Ok(Said::Gone),
        Err(Errno::ENOENT) if is_hidden_below(root, path) => Ok(Said::Gone),
        Err(Errno::ENOENT) => Ok(Said::Nothing),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the directory of `path` is opaque in this layer: lower layers do not show through it.
fn is_hidden_below(root: BorrowedFd<'_>, path: &CStr) -> bool {
    let bytes = path.to_bytes();
    let Some(slash) = bytes.iter().rposition(|&b| b == b'/') else { return false };
    let Ok(parent) = std::ffi::CString::new(&bytes[..slash]) else { return false };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    open_below(root, &parent, flags, Resolve::NoSymlinks)
        .is_ok_and(|directory| crate::sys::xattr::get(directory.as_fd(), c"user.overlay.opaque").as_deref() == Ok(b"y"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn upper_trees_hide_lower_ones() {
        let directory = tempfile::tempdir().unwrap();
        let (upper, lower) = (directory.path().join("upper"), directory.path().join("lower"));
        for tree in [&upper, &lower] {
            fs::create_dir_all(tree.join("etc")).unwrap();
        }
        fs::write(lower.join("etc/passwd"), "lower").unwrap();
        fs::write(lower.join("etc/group"), "lower").unwrap();
        fs::write(upper.join("etc/group"), "upper").unwrap();
        std::os::unix::fs::symlink("/etc/group", upper.join("etc/linked")).unwrap();
        std::os::unix::fs::symlink("/../../../../etc/hostname", upper.join("etc/outside")).unwrap();
        let view = View::new(vec![upper, lower]);
        let read = |path: &CStr| view.open(path).unwrap().map(|file| io::read_to_string(file).unwrap());
        assert_eq!(read(c"etc/passwd").as_deref(), Some("lower"));
        assert_eq!(read(c"etc/group").as_deref(), Some("upper"));
        assert_eq!(read(c"etc/linked").as_deref(), Some("upper"));
        assert_eq!(read(c"etc/outside"), None, "links stay inside");
        assert_eq!(read(c"etc/nothing"), None);
    }
}
