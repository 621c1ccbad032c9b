//! Volumes.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::{collect_leftovers, remove_container};
use crate::cli::error;
use crate::container::export::Archive;
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::container::{volume_files, volumes};
use crate::failure::Failure;
use crate::image;
use crate::name::filter::Filters;
use crate::name::volume::VolumeName;
use crate::runtime::unshare;
use crate::state::layout::Layout;
use crate::state::lock;
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::Published;
use crate::store::Store;
use crate::volume::filter::VolumeFilter;
use crate::volume::summary::Summary;
use crate::volume::{self, VolumeError};

/// Makes a volume; whether there was none of this name.
pub fn create_volume(layout: &Layout, record: &VolumeRecord) -> Result<Published, Failure> {
    Store::open(layout.clone())?;
    let _alone = lock::volumes_exclusive(layout, &mut super::say_waiting)?;
    Ok(volumes::create(layout, record)?)
}

/// The volumes that `filters` mean, in the order of their names. One whose record is damaged is reported and left out.
pub fn list_volumes(layout: &Layout, filters: &Filters) -> Result<Vec<Summary>, Failure> {
    let filter = VolumeFilter::new(filters, Timestamp::now())?;
    collect_leftovers(layout);
    let (mut summaries, failures) = volumes::list(layout)?;
    failures.iter().for_each(error::report);
    summaries.retain(|volume| filter.matches(volume));
    Ok(summaries)
}

/// A volume by its name, or the beginning of it; nothing if there is none.
pub fn find_volume(layout: &Layout, text: &str) -> Result<Option<Summary>, Failure> {
    let record = match volume::find(layout, text) {
        Ok(record) => record,
        Err(VolumeError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (summaries, _) = volumes::list(layout)?;
    let mut found = summaries.into_iter().find(|summary| summary.record.name == record.name);
    if let Some(summary) = found.as_mut().filter(|summary| !summary.record.is_local()) {
        // A driver that does not answer has told nothing.
        summary.mountpoint = volume::files(layout, &record).ok().flatten().unwrap_or_default();
    }
    Ok(found)
}

/// Whether there is a volume of this name.
pub fn volume_exists(layout: &Layout, text: &str) -> Result<bool, Failure> {
    match volume::find(layout, text) {
        Ok(_) => Ok(true),
        Err(VolumeError::Missing(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is done about the containers that have a volume which is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// They keep it: an error.
    Spare,
    /// They are removed first, those that run after so much time to end.
    Remove(Duration),
}

/// Begins to pack a volume's files.
pub fn export_volume(layout: &Layout, text: &str) -> Result<Archive, Failure> {
    volume_files::export(layout, &volume::find(layout, text)?)
}

/// Unpacks an archive into a volume; what was left out.
pub fn import_volume(layout: &Layout, text: &str, tar: &mut dyn BufRead) -> Result<Vec<String>, Failure> {
    let record = volume::find(layout, text)?;
    let _held = lock::volumes_shared(layout, &mut super::say_waiting)?;
    let mut read = |out: &mut dyn Write| {
        let taken = |cause: std::io::Error| image::import::Taking(cause);
        let passed = image::decompress::decompress_any(&mut *tar, |piece| out.write_all(piece).map_err(taken));
        passed.map_err(Failure::from)
    };
    volume_files::import(layout, &record, &mut read)
}

/// Has a volume mounted, where it is not anyway; where.
pub fn mount_volume(layout: &Layout, text: &str) -> Result<PathBuf, Failure> {
    volume_files::mount(layout, &volume::find(layout, text)?)
}

/// The end of that.
pub fn unmount_volume(layout: &Layout, text: &str) -> Result<VolumeName, Failure> {
    let record = volume::find(layout, text)?;
    volume_files::unmount(layout, &record)?;
    Ok(record.name)
}

/// Asks all drivers for their volumes.
pub fn reload_volumes(layout: &Layout) -> Result<volume_files::Reloaded, Failure> {
    Store::open(layout.clone())?;
    let alone = lock::volumes_exclusive(layout, &mut super::say_waiting)?;
    volume_files::reload(layout, &alone)
}

/// Removes a volume.
pub fn remove_volume(layout: &Layout, text: &str, users: Users) -> Result<(), Failure> {
    unshare::see_own_files();
    let name = volume::find(layout, text)?.name;
    if let Users::Remove(patience) = users {
        for (id, _) in volumes::users(layout)?.remove(&name).unwrap_or_default() {
            match remove_container(layout, id.as_str(), IfRunning::End(patience), OwnVolumes::Keep) {
                Err(failure) if failure.code() != "E_NOTFOUND" => return Err(failure),
                _ => {}
            }
        }
    }
    volumes::remove(layout, &name)
}
