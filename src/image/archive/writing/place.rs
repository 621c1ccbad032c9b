//! A file or a directory that gets its name when it is complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::failure::Failure;
use crate::state::record::failure;
use crate::state::temporary::{remove, sync_directory};

/// What is being written beside where it is to be. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Unfinished {
    /// A new file, to become `path`.
    pub(super) fn file(path: &Path) -> Result<(Self, File), Failure> {
        Self::create(path, |temporary| File::options().write(true).create_new(true).open(temporary))
    }

    /// A new directory, to become `path`.
    pub(super) fn directory(path: &Path) -> Result<(Self, PathBuf), Failure> {
        let make = |temporary: &Path| std::fs::DirBuilder::new().mode(0o777).create(temporary);
        Self::create(path, |temporary| make(temporary).map(|()| temporary.to_owned()))
    }

    fn create<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(Self, T), Failure> {
        let failed = |cause: &io::Error| failure(&format!("creating {}", path.display()), cause);
        // What a link leads to is replaced, and not the link.
        let path = match path.canonicalize() {
            Ok(existing) => existing,
            Err(_) => path.to_owned(),
        };
        let name = path.file_name().ok_or_else(|| failed(&Errno::EISDIR.into()))?.to_string_lossy().into_owned();
        loop {
            let random = crate::sys::random::bytes().map_err(|errno| failed(&errno.into()))?;
            let random: String = random.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            // The beginning of the name: with all of it, a long one would be too long.
            let beginning: String = name.chars().take(50).collect();
            let temporary = path.with_file_name(format!(".{beginning}.{random}"));
            match make(&temporary) {
                Ok(made) => return Ok((Self { temporary, path, published: false }, made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Gives it its name. A directory of this name is replaced, all of it.
    pub(super) fn publish(mut self) -> Result<(), Failure> {
        let renamed = match std::fs::rename(&self.temporary, &self.path) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOTEMPTY)) => self.exchange(),
            other => other,
        };
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        renamed
            .and_then(|()| {
                self.published = true;
                sync_directory(parent)
            })
            .map_err(|cause| failure(&format!("writing {}", self.path.display()), &cause))
    }

    fn exchange(&self) -> io::Result<()> {
        renameat2(AT_FDCWD, &self.temporary, AT_FDCWD, &self.path, RenameFlags::RENAME_EXCHANGE)?;
        remove(&self.temporary)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published {
            // There is nobody left to be told.
            let _ = remove(&self.temporary);
        }
    }
}
