//! The files of an archive, by name: those of a directory, or of a tar. All of it is hostile.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::error::ArchiveError;
use super::tar_index::TarIndex;
use crate::oci::digest::{Algorithm, Digest};
use crate::sys::in_root::{Resolve, open_below};

/// How much is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// Where files are.
#[derive(Debug)]
pub(super) enum Files {
    /// Below a directory. No link leads out of it.
    Directory(OwnedFd),
    /// In a tar that is not compressed.
    Tar(File, TarIndex),
}

/// A file's bytes. Read by position, so that several threads can.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    name: String,
    start: u64,
    size: u64,
}

impl Files {
    /// Those below the directory `path`.
    pub(super) fn of_directory(path: &Path) -> Result<Self, ArchiveError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty());
        opened.map(Self::Directory).map_err(|errno| ArchiveError::io("opening", path, errno))
    }

    /// Those of a tar, which is at its beginning.
    pub(super) fn of_tar(file: File) -> Result<Self, ArchiveError> {
        let index = TarIndex::scan(&file)?;
        Ok(Self::Tar(file, index))
    }

    /// The file of this name; nothing if there is none.
    pub(super) fn find(&self, name: &str) -> Result<Option<Content>, ArchiveError> {
        let failed = |error: io::Error| ArchiveError::io("opening", name, error);
        let (file, start, size) = match self {
            Self::Directory(directory) => match open_file(directory, name)? {
                None => return Ok(None),
                Some(file) => {
                    let size = file.metadata().map_err(failed)?.len();
                    (file, 0, size)
                }
            },
            Self::Tar(file, index) => match index.find(name)? {
                None => return Ok(None),
                Some(extent) => (file.try_clone().map_err(failed)?, extent.start, extent.size),
            },
        };
        Ok(Some(Content { file, name: name.into(), start, size }))
    }

    /// The file of this name, which must be there.
    pub(super) fn get(&self, name: &str) -> Result<Content, ArchiveError> {
        self.find(name)?.ok_or_else(|| ArchiveError::Missing(name.into()))
    }
}

fn open_file(directory: &OwnedFd, name: &str) -> Result<Option<File>, ArchiveError> {
    let refused = || ArchiveError::Link(name.into());
    let path = CString::new(name).map_err(|_| refused())?;
    // Nothing is waited for: what is there may be a named pipe.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open_below(directory.as_fd(), &path, flags, Resolve::InRoot) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(Errno::ELOOP | Errno::EXDEV) => return Err(refused()),
        Err(Errno::ENXIO | Errno::ENODEV) => return Err(ArchiveError::NotAFile(name.into())),
        Err(errno) => return Err(ArchiveError::io("opening", name, errno)),
    };
    let metadata = file.metadata().map_err(|error| ArchiveError::io("looking at", name, error))?;
    if metadata.is_file() { Ok(Some(file)) } else { Err(ArchiveError::NotAFile(name.into())) }
}

impl Content {
    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// All of it, at most `limit` bytes.
    pub(super) fn read(&self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.size > limit {
            return Err(ArchiveError::TooLarge { name: self.name.clone(), limit });
        }
        let mut bytes = Vec::new();
        self.pass_on(0, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, ArchiveError>(())
        })?;
        Ok(bytes)
    }

    /// Its first bytes, at most `most`.
    pub(super) fn first(&self, most: u64) -> Result<Vec<u8>, ArchiveError> {
        let size = self.size.min(most);
        Self {
            file: self.file.try_clone().map_err(|error| self.failed(error))?,
            name: self.name.clone(),
            size,
            ..*self
        }
        .read(most)
    }

    /// Its digest.
    pub(super) fn digest(&self) -> Result<Digest, ArchiveError> {
        let mut hasher = Algorithm::Sha256.hasher();
        self.pass_on(0, |piece| {
            hasher.update(piece);
            Ok::<_, ArchiveError>(())
        })?;
        Ok(hasher.finish())
    }

    /// Passes on what begins at its byte `from`: exactly as many bytes as are left from there.
    pub(super) fn pass_on<E: From<ArchiveError>>(
        &self,
        from: u64,
        mut receive: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.size).unwrap_or(PIECE))];
        let mut at = from;
        while at < self.size {
            let wanted = usize::try_from(self.size - at).unwrap_or(PIECE).min(piece.len());
            let Some(room) = piece.get_mut(..wanted) else { break };
            match self.file.read_at(room, self.start + at) {
                Ok(0) => {
                    let (name, expected) = (self.name.clone(), self.size);
                    return Err(ArchiveError::Size { name, expected, found: at }.into());
                }
                Ok(count) => {
                    at += count as u64;
                    receive(room.get(..count).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error).into()),
            }
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ArchiveError {
        ArchiveError::io("reading", &self.name, error)
    }
}
