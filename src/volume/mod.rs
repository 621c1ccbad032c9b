//! Volumes: directories of the store that containers share and that outlive them.
//!
//! A volume is published by one rename, complete, and leaves by one rename. Who uses it is said by the containers' records
//! alone, so that nothing has to be kept in step with them.

pub mod driver;
pub mod error;
pub mod filter;
pub mod summary;

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use self::driver::Driver;
pub use self::error::VolumeError;

use crate::failure::Failure;
use crate::name::volume::VolumeName;
use crate::name::volume_options::{Files, LocalVolume};
use crate::state::layout::Layout;
use crate::state::lock::Exclusive;
use crate::state::record;
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::{Kind, Published, TemporaryDirectory};

/// Which volumes that no container has are not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Those that were made for one.
    Anonymous,
    /// All.
    All,
}

/// Beside the files of a volume that nobody has filled or written to: what the first container covers with it is copied in.
pub const NEW: &str = "new";

/// The same while that is being done; if whoever does it dies, the next one begins anew.
pub const FILLING: &str = "filling";

/// Makes the volume; nothing is changed if there is one of this name. One that has a name is there after a power cut, too.
pub fn create(layout: &Layout, wanted: &VolumeRecord) -> Result<Published, VolumeError> {
    let path = layout.volume(&wanted.name);
    if path.is_dir() {
        return Ok(Published::WasThere);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| VolumeError::Io { doing: "making", path, cause }
    };
    let building = TemporaryDirectory::create(&layout.tmp(), Kind::Volume).map_err(failed(&layout.tmp()))?;
    record::write_new(&building.path().join("record.json"), wanted)?;
    let data = building.path().join("data");
    if wanted.is_local() {
        let local = LocalVolume::of(&wanted.options)?;
        make_data(&data).map_err(failed(&data))?;
        let (uid, gid) = (wanted.owner.0.or(local.owner.0), wanted.owner.1.or(local.owner.1));
        // Whoever has one id has files of that id only, and containers see them as their own.
        if nix::unistd::geteuid().is_root() && (uid, gid) != (None, None) {
            std::os::unix::fs::chown(&data, uid, gid).map_err(failed(&data))?;
        }
        if local.files == Files::Store {
            File::create(building.path().join(NEW)).map_err(failed(building.path()))?;
        }
    }
    if !wanted.anonymous {
        return building.publish_durable(&path).map_err(failed(&path));
    }
    match building.publish_volatile(&path) {
        Err(cause) if matches!(cause.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(Published::WasThere)
        }
        result => result.map(|()| Published::Now).map_err(failed(&path)),
    }
}

/// The directory of its files, with the permissions that programs expect of one, whatever the umask.
fn make_data(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o755).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// The volume of exactly this name.
pub fn get(layout: &Layout, name: &VolumeName) -> Result<Option<VolumeRecord>, VolumeError> {
    Ok(record::read(&layout.volume_record(name))?)
}

/// The volume of this name, or the only one whose name begins so.
pub fn find(layout: &Layout, text: &str) -> Result<VolumeRecord, VolumeError> {
    let missing = || VolumeError::Missing(text.chars().take(160).collect());
    let name: VolumeName = text.parse().map_err(|_| missing())?;
    if let Some(record) = get(layout, &name)? {
        return Ok(record);
    }
    let mut begun = names(layout).into_iter().filter(|name| name.as_str().starts_with(text));
    match (begun.next(), begun.next()) {
        (Some(name), None) => get(layout, &name)?.ok_or_else(missing),
        (Some(_), Some(_)) => Err(VolumeError::Ambiguous(text.to_owned())),
        (None, _) => Err(missing()),
    }
}

/// The names of all volumes, in alphabetical order.
pub fn names(layout: &Layout) -> Vec<VolumeName> {
    let entries = std::fs::read_dir(layout.volumes()).into_iter().flatten().flatten();
    let mut names: Vec<VolumeName> =
        entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    names.sort();
    names
}

/// All volumes, in the order of their names. One whose record is damaged is left out and named in the second list.
pub fn list(layout: &Layout) -> (Vec<VolumeRecord>, Vec<Failure>) {
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    for name in names(layout) {
        match get(layout, &name) {
            Ok(record) => records.extend(record),
            Err(error) => failures.push(error.into()),
        }
    }
    (records, failures)
}

/// Takes a volume out of sight, at once and as a whole: what is returned holds its files, and removes them. Nothing if there is
/// none. Whoever holds the lock has seen that nobody uses it.
pub fn take_away(
    layout: &Layout,
    name: &VolumeName,
    _alone: &Exclusive,
) -> Result<Option<TemporaryDirectory>, VolumeError> {
    let path = layout.volume(name);
    match TemporaryDirectory::take(&path, &layout.tmp(), Kind::Trash) {
        Ok(bin) => Ok(Some(bin)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(VolumeError::Io { doing: "removing", path, cause }),
    }
}

/// Frees the room of a volume that was taken away.
pub fn discard(bin: TemporaryDirectory) -> Result<(), VolumeError> {
    let path: PathBuf = bin.path().to_owned();
    bin.remove().map_err(|cause| VolumeError::Io { doing: "removing", path, cause })
}

/// Where a volume's files are, if that is one place; nothing for one in memory, and one that its driver has not mounted.
pub fn files(layout: &Layout, volume: &VolumeRecord) -> Result<Option<PathBuf>, VolumeError> {
    if !volume.is_local() {
        return Ok(Driver::find(layout, &volume.driver)?.path(volume.name.as_str())?);
    }
    Ok(match LocalVolume::of(&volume.options)?.files {
        Files::Store => Some(layout.volume_data(&volume.name)),
        Files::Host { path, .. } => Some(path),
        Files::Memory { .. } => None,
    })
}

/// Whether the first container that mounts it has still to fill it with what it covers.
pub fn is_to_be_filled(layout: &Layout, name: &VolumeName) -> bool {
    let volume = layout.volume(name);
    volume.join(NEW).exists() || volume.join(FILLING).exists()
}
