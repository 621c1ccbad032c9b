//! A directory of blobs. What is there may be somebody else's: no symbolic link in it is followed.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{FileStat, Mode};

use crate::failure::Failure;
use crate::oci::manifest::MAX_DOCUMENT;
use crate::state::record::failure;
use crate::sys::in_root::{Resolve, create_new, open_below};

/// The directory.
#[derive(Debug)]
pub(super) struct Tree {
    /// Locked where others may be adding to it.
    root: Root,
    next: AtomicU64,
}

#[derive(Debug)]
enum Root {
    Own(File),
    Shared(Flock<File>),
}

impl Tree {
    /// One that nobody else knows of.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        Ok(Self { root: Root::Own(open(path)?), next: AtomicU64::new(0) })
    }

    /// One that is added to: by one at a time.
    pub(super) fn existing(path: &Path) -> Result<Self, Failure> {
        let lock = Flock::lock(open(path)?, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, errno)| failure(&format!("locking {}", path.display()), &errno.into()))?;
        Ok(Self { root: Root::Shared(lock), next: AtomicU64::new(0) })
    }

    fn root(&self) -> &File {
        match &self.root {
            Root::Own(file) => file,
            Root::Shared(lock) => lock,
        }
    }

    /// Whether there is a file of this name and size.
    pub(super) fn has(&self, name: &str, size: u64) -> Result<bool, Failure> {
        let is_it =
            |stat: FileStat| stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_size.cast_unsigned() == size;
        match self.open(name, OFlag::O_PATH) {
            Ok(fd) => nix::sys::stat::fstat(fd).map(is_it).map_err(|errno| failed(name, errno)),
            Err(Errno::ENOENT | Errno::ELOOP) => Ok(false),
            Err(errno) => Err(failed(name, errno)),
        }
    }

    /// The small file of this name, if there is one.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let file = match self.open(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed(name, errno)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(|cause| failure(&format!("reading {name}"), &cause))?;
        Ok(Some(bytes))
    }

    fn open(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        open_below(self.root().as_fd(), &name, flags, Resolve::NoSymlinks)
    }

    /// Writes a small file.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let written = |cause: io::Error| failure(&format!("writing {name}"), &cause);
        self.put_with(name, |mut file| file.write_all(bytes).map_err(written))
    }

    /// Writes a file with `write`. It has its name when it is complete.
    pub(super) fn put_with(&self, name: &str, write: impl FnOnce(&File) -> Result<(), Failure>) -> Result<(), Failure> {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        let parent = self.directory(parent).map_err(|errno| failed(name, errno))?;
        let mode = Mode::from_bits_truncate(0o644);
        let (temporary, file) = loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let temporary = format!(".{}.{number}", std::process::id());
            match create_new(parent.as_fd(), temporary.as_bytes(), mode) {
                Ok(fd) => break (temporary, File::from(fd)),
                // Left by a dead process that had our id.
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed(name, errno)),
            }
        };
        let written = write(&file).and_then(|()| {
            let named = nix::fcntl::renameat(&parent, temporary.as_str(), &parent, last);
            named.map_err(|errno| failed(name, errno))
        });
        written.inspect_err(|_| {
            let _ = nix::unistd::unlinkat(&parent, temporary.as_str(), nix::unistd::UnlinkatFlags::NoRemoveDir);
        })
    }

    /// The directory of this name, made if there is none.
    fn directory(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let mut made = String::from(".");
        for component in name.split('/').filter(|component| !component.is_empty()) {
            let above = self.open(&made, flags)?;
            match nix::sys::stat::mkdirat(&above, component, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            made = format!("{made}/{component}");
        }
        self.open(&made, flags)
    }

    /// Makes all of it last.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        nix::unistd::syncfs(self.root()).map_err(|errno| failure("writing the image", &errno.into()))
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|cause| failure(&format!("opening {}", path.display()), &cause))
}

fn failed(name: &str, errno: Errno) -> Failure {
    failure(&format!("writing {name}"), &errno.into())
}
