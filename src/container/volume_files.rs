//! `volume export`, `import`, `mount`, `unmount` and `reload`.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::export::{self, Archive};
use super::files::recorded::{self, Recorded};
use super::files::trees::{Access, Held, plan_of_directory};
use super::files::unpack::{self, Destination, Owners, Settings, Unpacked};
use super::files::visit::{self, Ids};
use super::volumes;
use crate::failure::Failure;
use crate::name::volume::VolumeName;
use crate::state::layout::Layout;
use crate::state::lock::Exclusive;
use crate::state::schema::container::Timestamp;
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::Published;
use crate::store::unpack::header::Entries;
use crate::store::unpack::limits::Limits;
use crate::sys::in_root::Resolve;
use crate::volume::driver::Driver;
use crate::volume::{self, VolumeError};

/// Whoever has a volume mounted by `volume mount`, for its driver.
const USER: &str = "coracle";

/// Begins to pack the volume's files.
pub fn export(layout: &Layout, record: &VolumeRecord) -> Result<Archive, Failure> {
    let mounted = Mounted::of(layout, record, "exporting")?;
    let plan = plan_of_directory(layout, &mounted.path, Access::ReadOnly)?;
    // The visitor holds the files by its mount; a driver's may be unmounted.
    let known = (Ids::of_volume()?, Recorded::of_volume(layout, &record.name)?);
    export::archive(plan, known, export::View::AsItIs(Held::Nothing))
}

/// Unpacks what `read` writes, a tar, on top of the volume's files; what was left out. Links in the volume are not left by it:
/// it is unpacked where there is nothing else.
pub fn import(
    layout: &Layout,
    record: &VolumeRecord,
    read: &mut dyn FnMut(&mut dyn Write) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    let mounted = Mounted::of(layout, record, "importing into")?;
    let mut plan = plan_of_directory(layout, &mounted.path, Access::ReadWrite)?;
    let (reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let reader = OwnedFd::from(reader);
    let owners = Owners::Inside { all: None, unrecorded: Ids::of_volume()?.unrecorded() };
    let visitor = visit::start(&mut plan, reader.as_fd(), |inside, data| {
        let mut entries = Entries::new(BufReader::new(data), &Limits { bytes: u64::MAX, entries: u64::MAX });
        let settings = Settings { owners, overwrite: true, xattrs: true };
        let (root, shown) = (inside.root.as_fd(), Vec::new());
        let to = Destination { root, prefix: Vec::new(), resolve: Resolve::NoSymlinks, shown };
        let unpacked = unpack::unpack(to, &mut entries, (0, b""), settings)?;
        serde_json::to_vec(&unpacked).map_err(|cause| visit::internal("telling of the archive", cause))
    })?;
    drop(reader);
    let mut writer = io::BufWriter::with_capacity(64 << 10, writer);
    let passed = read(&mut writer).and_then(|()| {
        writer.flush().map_err(|cause| Failure::new("E_PIPE", format!("passing the archive on: {cause}")))
    });
    drop(writer);
    if let Err(failure) = passed {
        return Err(visitor.explain(failure));
    }
    let report = visitor.finish()?;
    let unpacked: Unpacked =
        serde_json::from_slice(&report).map_err(|cause| visit::internal("hearing of the archive", cause))?;
    let lines: String = unpacked.owners.into_iter().map(|(_, line)| line).collect();
    recorded::append(&layout.volume_owners(&record.name), &lines)?;
    Ok(unpacked.warnings)
}

/// A volume whose files are there.
struct Mounted {
    path: PathBuf,
    driver: Option<(Driver, VolumeName)>,
}

impl Mounted {
    fn of(layout: &Layout, record: &VolumeRecord, doing: &'static str) -> Result<Self, Failure> {
        let name = record.name.clone();
        if !record.is_local() {
            let driver = Driver::find(layout, &record.driver).map_err(VolumeError::from)?;
            let path = driver.mount(name.as_str(), USER).map_err(VolumeError::from)?;
            return Ok(Self { path, driver: Some((driver, name)) });
        }
        let why = "its files are in memory, in each container others";
        let path = volume::files(layout, record)?.ok_or(VolumeError::NoFiles { doing, name, why })?;
        if !path.is_dir() {
            let what = format!("{doing} the volume {}: there is no directory {}", record.name, path.display());
            return Err(Failure::new("E_NOTFOUND", what));
        }
        Ok(Self { path, driver: None })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some((driver, name)) = &self.driver {
            let _ = driver.unmount(name.as_str(), USER);
        }
    }
}

/// Has the volume mounted, if it is a driver's; where its files are.
pub fn mount(layout: &Layout, record: &VolumeRecord) -> Result<PathBuf, Failure> {
    let mut mounted = Mounted::of(layout, record, "mounting")?;
    mounted.driver = None;
    Ok(std::mem::take(&mut mounted.path))
}

/// The end of that. Files of the store stay where they are.
pub fn unmount(layout: &Layout, record: &VolumeRecord) -> Result<(), Failure> {
    if !record.is_local() {
        let driver = Driver::find(layout, &record.driver).map_err(VolumeError::from)?;
        driver.unmount(record.name.as_str(), USER).map_err(VolumeError::from)?;
    }
    Ok(())
}

/// What has come of asking the drivers.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// Volumes that were not known.
    pub added: Vec<VolumeName>,
    /// Volumes that their driver has no more.
    pub removed: Vec<VolumeName>,
    /// What went wrong, and what stays because a container has it.
    pub failures: Vec<Failure>,
}

/// Asks all drivers for their volumes: unknown ones become known, and those that are gone are forgotten.
pub fn reload(layout: &Layout, alone: &Exclusive) -> Result<Reloaded, Failure> {
    let mut reloaded = Reloaded::default();
    let (known, _) = volume::list(layout);
    let users = volumes::users(layout)?;
    for driver in Driver::all(layout) {
        let names = match driver.list() {
            Ok(names) => names,
            Err(error) => {
                reloaded.failures.push(VolumeError::from(error).into());
                continue;
            }
        };
        for record in known.iter().filter(|record| record.driver == driver.name) {
            if names.iter().any(|name| name == record.name.as_str()) {
                continue;
            }
            if users.contains_key(&record.name) {
                let what = format!("the volume {}: its driver has it no more, and a container does", record.name);
                reloaded.failures.push(Failure::new("E_BUSY", what));
            } else if let Some(bin) = volume::take_away(layout, &record.name, alone)? {
                volume::discard(bin)?;
                reloaded.removed.push(record.name.clone());
            }
        }
        for name in names {
            match name.parse::<VolumeName>() {
                Ok(name) if volume::get(layout, &name)?.is_some() => {}
                Ok(name) => {
                    let record = VolumeRecord {
                        name: name.clone(),
                        created: Timestamp::now(),
                        anonymous: false,
                        labels: BTreeMap::new(),
                        options: BTreeMap::new(),
                        driver: driver.name.clone(),
                        owner: (None, None),
                    };
                    if volume::create(layout, &record)? == Published::Now {
                        reloaded.added.push(name);
                    }
                }
                Err(error) => reloaded.failures.push(error.into()),
            }
        }
    }
    Ok(reloaded)
}
