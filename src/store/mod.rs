//! Content: blobs under their digests, layers unpacked once, images and the references that point to them.
//!
//! Everything is published by renaming something complete into place; what nothing points to is garbage. Bytes that come
//! from elsewhere are turned into files only by the parser in [`unpack`], which is a process of its own that sees nothing
//! but the directory it fills.

pub mod blobs;
pub mod collect;
pub mod error;
pub mod finding;
pub mod images;
pub mod layers;
pub mod lists;
pub mod partial;
pub mod plain;
pub mod unpack;
pub mod usage;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Once;

pub use error::StoreError;

use crate::state::layout::Layout;
use crate::state::lock::{self, OnWait};
use crate::state::temporary;

/// One user's images.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    program: PathBuf,
    tidied: Once,
}

impl Store {
    /// The store under the roots of `layout`, made if there is none.
    ///
    /// Fails if the data root belongs to somebody else or lets others in. Looks at nothing but directories, so that it
    /// costs a run a few microseconds.
    pub fn open(layout: Layout) -> Result<Self, StoreError> {
        let root = layout.data();
        match std::fs::metadata(root) {
            Ok(metadata) => check_root(root, &metadata)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_directory(root)?,
            Err(error) => return Err(StoreError::io("looking at the store's directory", root, error)),
        }
        // The last directory that is made: if it is there, all are, and a run looks once.
        if !layout.container_names().is_dir() {
            for directory in [layout.tmp(), layout.images(), layout.references(), layout.layers(), layout.containers()]
            {
                make_directory(&directory)?;
            }
            make_mount_targets(&layout.mount_targets())?;
            make_directory(&layout.container_names())?;
        }
        if !layout.process_records().is_dir() {
            make_directory(&layout.process_records())?;
        }
        Ok(Self { layout, program: "/proc/self/exe".into(), tidied: Once::new() })
    }

    /// The same store, but with `program` started for unpacking layers instead of this program's own file.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The map of the disk.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The blobs.
    pub fn blobs(&self) -> blobs::Blobs<'_> {
        blobs::Blobs::new(self)
    }

    /// The unpacked layers.
    pub fn layers(&self) -> layers::Layers<'_> {
        layers::Layers::new(self)
    }

    /// The images.
    pub fn images(&self) -> images::Images<'_> {
        images::Images::new(self)
    }

    /// Objects stay where they are while the guard lives (see [`lock`] for the order of locks).
    pub fn lock_shared(&self, on_wait: OnWait<'_>) -> Result<lock::Shared, StoreError> {
        Ok(lock::store_shared(&self.layout, on_wait)?)
    }

    /// Nobody else uses the store while the guard lives; what removes objects asks for it.
    pub fn lock_exclusive(&self, on_wait: OnWait<'_>) -> Result<lock::Exclusive, StoreError> {
        Ok(lock::store_exclusive(&self.layout, on_wait)?)
    }

    /// The directory for what is being written. The first time it is asked for, what dead processes have left there is
    /// removed.
    fn tmp(&self) -> PathBuf {
        let tmp = self.layout.tmp();
        self.tidied.call_once(|| {
            // A leftover that cannot be removed is no reason not to write.
            let _ = temporary::collect_abandoned(&tmp);
            let _ = partial::collect(self, partial::Which::Old);
        });
        tmp
    }

    /// An empty file without a name, for what is too large for memory: gone when it is closed.
    pub fn unnamed_file(&self) -> Result<std::fs::File, StoreError> {
        let tmp = self.tmp();
        let file = temporary::TemporaryFile::create(&tmp, temporary::Kind::Blob);
        let file = file.and_then(temporary::TemporaryFile::into_unnamed);
        file.map_err(|error| StoreError::io("creating a temporary file in", &tmp, error))
    }

    /// Makes `path` disappear at once and as a whole, then frees its space: it is moved into a temporary directory, which
    /// is removed, now or by the next command.
    fn discard(&self, path: &Path) -> std::io::Result<()> {
        let trash = temporary::TemporaryDirectory::create(&self.tmp(), temporary::Kind::Trash)?;
        match std::fs::rename(path, trash.path().join("discarded")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn check_root(root: &Path, metadata: &std::fs::Metadata) -> Result<(), StoreError> {
    let owner = nix::unistd::geteuid().as_raw();
    if !metadata.is_dir() || metadata.uid() != owner {
        return Err(StoreError::ForeignRoot { root: root.into(), found: metadata.uid(), wanted: owner });
    }
    match metadata.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(StoreError::OpenRoot { root: root.into(), mode: metadata.mode() & 0o7777 }),
    }
}

/// Directories of the layer of mount targets.
const TARGET_DIRECTORIES: &[&str] = &["etc", "proc", "sys", "dev"];
/// Files of the layer of mount targets, relative to its root.
pub const TARGET_FILES: &[&std::ffi::CStr] = &[c"etc/hosts", c"etc/hostname", c"etc/resolv.conf"];

/// Makes the layer of mount targets: ordinary modes, since containers see it.
fn make_mount_targets(root: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::io("making", &path, error)
    };
    let directory = |path: &Path| {
        make_directory(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(failed(path))
    };
    directory(root)?;
    for name in TARGET_DIRECTORIES {
        directory(&root.join(name))?;
    }
    for name in TARGET_FILES {
        let path = root.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let file = std::fs::File::options().write(true).create(true).truncate(false).mode(0o644).open(&path);
        let file = file.map_err(failed(&path))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed(&path))?;
    }
    Ok(())
}

/// Makes `path` and what is missing above it, all for the user alone.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StoreError::io("making the directory", path, error))
}
