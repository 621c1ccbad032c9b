//! The volumes of containers: which ones a container gets, and who has one.
//!
//! A container is there before its volumes are made, and as long as any of its own is: so its record tells what a dead command
//! has left, and nothing is ever left that nobody knows of.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::base::Base;
use super::files::trees::Trees;
use super::files::visit;
use super::list;
use super::request::{
    Access, BindMount, ImageMount, ImageVolumes, Propagation, Request, TmpfsMount, VolumeMount, VolumesFrom, Writes,
};
use super::translate::{Refused, is_reserved, normal, refuse_own_state};
use crate::failure::Failure;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::filter::Filters;
use crate::name::image_selector::ImageSelector;
use crate::name::volume::VolumeName;
use crate::runtime::blueprint::{Blueprint, MountSource};
use crate::state::disk_usage;
use crate::state::journal::{self, VolumeEvent};
use crate::state::layout::Layout;
use crate::state::lock::{self, Shared};
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, Timestamp};
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::Published;
use crate::store::Store;
use crate::sys::random;
use crate::volume::driver::Driver;
use crate::volume::filter::VolumeFilter;
use crate::volume::summary::Summary;
use crate::volume::{self, Unused, VolumeError};

/// The request with everything that it leaves open about volumes: those of other containers and of the image, and the names of
/// the anonymous ones.
pub fn settled<'r>(layout: &Layout, request: &'r Request, base: &Base) -> Result<Cow<'r, Request>, Failure> {
    let of_image: Vec<String> = match base {
        Base::Image(image) => image.defaults.volumes.iter().map(|destination| normal(destination)).collect(),
        Base::Directory(_) => Vec::new(),
    };
    let is_plain = request.volumes.is_empty() && request.volumes_from.is_empty() && request.images.is_empty();
    if is_plain && of_image.is_empty() {
        return Ok(Cow::Borrowed(request));
    }
    let mut settled = request.clone();
    let mut taken: HashSet<String> = request.destinations().map(normal).collect();
    for from in &request.volumes_from {
        add_from(layout, from, &mut settled, &mut taken)?;
    }
    for destination in of_image {
        if is_reserved(&destination) || destination.starts_with("/sys/") || destination.starts_with("/dev/") {
            return Err(Refused::Reserved(destination).into());
        }
        if !taken.insert(destination.clone()) {
            continue;
        }
        match request.image_volumes {
            ImageVolumes::Anonymous => settled.volumes.push(VolumeMount::anonymous(destination)),
            ImageVolumes::Tmpfs => settled.tmpfs.push(TmpfsMount { exec: true, ..TmpfsMount::new(destination) }),
            ImageVolumes::Ignore => {}
        }
    }
    settled
        .images
        .iter_mut()
        .filter(|mount| mount.layers.is_empty())
        .try_for_each(|mount| settle_image(layout, mount))?;
    for mount in settled.volumes.iter_mut().filter(|mount| mount.name.is_none()) {
        let bytes = random::bytes()
            .map_err(|errno| Failure::new("E_IO", format!("getting random bytes for the name of a volume: {errno}")))?;
        mount.name = Some(VolumeName::from_random(bytes));
    }
    Ok(Cow::Owned(settled))
}

/// Fills the new volumes of a container that has not run yet, as its first start would.
pub fn fill(layout: &Layout, record: &ContainerRecord, blueprint: &Blueprint) -> Result<(), Failure> {
    let new = blueprint.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { path, fill: Some(marks), .. } => {
            Some((path.as_c_str(), marks.as_c_str(), mount.destination.as_str()))
        }
        _ => None,
    });
    let new: Vec<_> = new.collect();
    if new.is_empty() {
        return Ok(());
    }
    let store = Store::open(layout.clone())?;
    let mut plan = Trees::of_container(&store, record)?.plan_to_fill(layout, &new)?;
    let nothing = File::open("/dev/null").map_err(|cause| visit::internal("opening /dev/null", cause))?;
    visit::start(&mut plan, nothing.as_fd(), |_, _| Ok(Vec::new()))?.finish().map(drop)
}

/// Finds the image, which must be in the store, and what it is made of.
fn settle_image(layout: &Layout, mount: &mut ImageMount) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let Some(found) = store.images().resolve(&mount.image)? else {
        let failure = Failure::new("E_NOTFOUND", format!("mounting the image {}: it is not in the store", mount.image));
        return Err(failure.with_hint(format!("coracle pull {}", mount.image)));
    };
    mount.image = ImageSelector::Id(found.record.id.hex().to_owned());
    mount.layers = found.record.visible_layers().iter().map(|layer| layer.diff_id.clone()).collect();
    Ok(())
}

/// Adds what another container has mounted, but where something is mounted already.
fn add_from(
    layout: &Layout,
    from: &VolumesFrom,
    settled: &mut Request,
    taken: &mut HashSet<String>,
) -> Result<(), Failure> {
    let id = list::find(layout, &from.container)?;
    let Some(container) = list::load(layout, &id)? else {
        return Err(list::NotFound::Unknown(from.container.clone()).into());
    };
    for mount in
        container.record.mounts.into_iter().filter(|mount| ["bind", "volume", "image"].contains(&mount.kind.as_str()))
    {
        if !taken.insert(normal(&mount.destination)) {
            continue;
        }
        let has = |word: &str| mount.options.iter().any(|option| option == word);
        let theirs = if mount.writable { Access::ReadWrite } else { Access::ReadOnly };
        let (access, exec) = (from.access.unwrap_or(theirs), !has("noexec"));
        let writes = if has("O") { Writes::Discarded } else { Writes::Through };
        if let Some(image) = mount.image {
            let (destination, subpath, layers) = (mount.destination, mount.subpath, mount.layers);
            settled.images.push(ImageMount { image, destination, access, subpath, layers });
            continue;
        }
        match mount.volume {
            Some(name) => settled.volumes.push(VolumeMount {
                name: Some(name),
                anonymous: mount.anonymous,
                access,
                exec,
                subpath: mount.subpath,
                writes,
                ..VolumeMount::anonymous(mount.destination)
            }),
            None => settled.mounts.push(BindMount {
                recursive: !has("bind"),
                access,
                exec,
                propagation: match () {
                    () if has("rslave") => Propagation::Slave,
                    () if has("runbindable") => Propagation::Unbindable,
                    () => Propagation::Private,
                },
                writes,
                ..BindMount::new(mount.source.into(), mount.destination)
            }),
        }
    }
    Ok(())
}

/// Volumes stay what they are while this lives; nothing for a container that has none.
pub fn hold(layout: &Layout, request: &Request) -> Result<Option<Shared>, VolumeError> {
    let is_needed = !request.volumes.is_empty();
    Ok(is_needed.then(|| lock::volumes_shared(layout, &mut |_| {})).transpose()?)
}

/// Makes those of a container's volumes that are not there.
pub fn make(layout: &Layout, request: &Request) -> Result<(), VolumeError> {
    for mount in &request.volumes {
        let Some(name) = &mount.name else { continue };
        let record = VolumeRecord {
            name: name.clone(),
            created: Timestamp::now(),
            anonymous: mount.anonymous,
            labels: mount.labels.clone(),
            options: mount.options.clone(),
            driver: mount.driver.clone().unwrap_or_else(VolumeRecord::local),
            owner: (None, None),
        };
        create(layout, &record)?;
    }
    Ok(())
}

/// Makes a volume, by its driver if it has one; whether there was none of this name.
pub fn create(layout: &Layout, wanted: &VolumeRecord) -> Result<Published, VolumeError> {
    if !wanted.is_local() && volume::get(layout, &wanted.name)?.is_none() {
        Driver::find(layout, &wanted.driver)?.create(wanted.name.as_str(), &wanted.options)?;
    }
    let published = volume::create(layout, wanted)?;
    if published == Published::Now {
        journal::note_volume(layout, VolumeEvent::Create, wanted.name.as_str());
    }
    Ok(published)
}

/// Removes what a driver keeps of a volume.
fn remove_from_driver(layout: &Layout, name: &VolumeName) -> Result<(), VolumeError> {
    match volume::get(layout, name)? {
        Some(record) if !record.is_local() => Ok(Driver::find(layout, &record.driver)?.remove(record.name.as_str())?),
        _ => Ok(()),
    }
}

/// Has drivers mount a container's volumes, and takes their places into the blueprint. Undone by [`let_go`].
pub fn mount_by_drivers(
    layout: &Layout,
    container: &ContainerRecord,
    blueprint: &mut Blueprint,
) -> Result<(), Failure> {
    let id = &container.id;
    for mount in &container.mounts {
        let Some(record) = mount.volume.as_ref().map(|name| volume::get(layout, name)).transpose()?.flatten() else {
            continue;
        };
        if record.is_local() {
            continue;
        }
        // Before it is mounted: whoever kills us then does not keep it mounted for good.
        std::fs::File::create(layout.driven_marker(id))
            .map_err(|cause| record::failure("marking the container", &cause))?;
        let path = Driver::find(layout, &record.driver)?.mount(record.name.as_str(), id.as_str())?;
        refuse_own_state(&path, layout)?;
        if !path.is_dir() {
            let what = format!(
                "mounting the volume {}: its driver says {}, which is no directory",
                record.name,
                path.display()
            );
            return Err(Failure::new("E_DRIVER", what));
        }
        let path = CString::new(path.into_os_string().into_vec()).unwrap_or_default();
        let made = blueprint.mounts.iter_mut().find(|made| made.destination == mount.destination);
        match made.map(|made| &mut made.source) {
            Some(MountSource::Volume { path: place, fill, .. }) => (*place, *fill) = (path, None),
            Some(MountSource::Overlay { lower, .. }) => *lower = vec![path],
            _ => {}
        }
    }
    Ok(())
}

/// Has drivers unmount what they have mounted for a container. What they say about it changes nothing.
pub fn let_go(layout: &Layout, record: &ContainerRecord) {
    let marker = layout.driven_marker(&record.id);
    if !marker.exists() {
        return;
    }
    for name in record.mounts.iter().filter_map(|mount| mount.volume.as_ref()) {
        if let Ok(Some(volume)) = volume::get(layout, name)
            && !volume.is_local()
            && let Ok(driver) = Driver::find(layout, &volume.driver)
        {
            let _ = driver.unmount(name.as_str(), record.id.as_str());
        }
    }
    let _ = std::fs::remove_file(marker);
}

/// The containers that have each volume. An error if a record is damaged, so that it is not known.
pub fn users(layout: &Layout) -> Result<BTreeMap<VolumeName, Vec<(ContainerId, ContainerName)>>, Failure> {
    let (listed, failures) = list::execute(layout);
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let mut users: BTreeMap<VolumeName, Vec<(ContainerId, ContainerName)>> = BTreeMap::new();
    for container in listed {
        for mount in container.record.mounts {
            let Some(name) = mount.volume else { continue };
            let users = users.entry(name).or_default();
            if !users.iter().any(|(id, _)| *id == container.record.id) {
                users.push((container.record.id.clone(), container.record.name.clone()));
            }
        }
    }
    Ok(users)
}

/// Removes the volumes that were made for this container and that no other has.
pub fn remove_own(layout: &Layout, record: &ContainerRecord) -> Result<(), Failure> {
    let own = record.mounts.iter().filter(|mount| mount.anonymous).filter_map(|mount| mount.volume.as_ref());
    let own: Vec<&VolumeName> = own.filter(|name| layout.volume(name).exists()).collect();
    if own.is_empty() {
        return Ok(());
    }
    let alone = lock::volumes_exclusive(layout, &mut |_| {})?;
    let users = users(layout)?;
    let mut bins = Vec::new();
    for name in own {
        let is_others = users.get(name).is_some_and(|users| users.iter().any(|(id, _)| *id != record.id));
        if is_others {
            continue;
        }
        remove_from_driver(layout, name)?;
        if let Some(bin) = volume::take_away(layout, name, &alone)? {
            journal::note_volume(layout, VolumeEvent::Remove, name.as_str());
            bins.push(bin);
        }
    }
    drop(alone);
    bins.into_iter().try_for_each(volume::discard).map_err(Failure::from)
}

/// Removes a volume. `E_BUSY` if a container has it.
pub fn remove(layout: &Layout, name: &VolumeName) -> Result<(), Failure> {
    let alone = lock::volumes_exclusive(layout, &mut |_| {})?;
    let users = users(layout)?.remove(name).unwrap_or_default();
    if !users.is_empty() {
        let users = users.into_iter().map(|(_, name)| name.to_string()).collect();
        return Err(VolumeError::InUse { name: name.clone(), users }.into());
    }
    remove_from_driver(layout, name)?;
    let Some(bin) = volume::take_away(layout, name, &alone)? else {
        return Err(VolumeError::Missing(name.to_string()).into());
    };
    drop(alone);
    journal::note_volume(layout, VolumeEvent::Remove, name.as_str());
    Ok(volume::discard(bin)?)
}

/// All volumes, in the order of their names. Those whose record is damaged are named in the second list.
pub fn list(layout: &Layout) -> Result<(Vec<Summary>, Vec<Failure>), Failure> {
    let mut users = users(layout)?;
    let (records, failures) = volume::list(layout);
    let summary = |record: VolumeRecord| Summary {
        users: users.remove(&record.name).unwrap_or_default().into_iter().map(|(_, name)| name.to_string()).collect(),
        mountpoint: mountpoint(layout, &record),
        is_to_be_filled: volume::is_to_be_filled(layout, &record.name),
        record,
    };
    Ok((records.into_iter().map(summary).collect(), failures))
}

/// Where the files of a volume of ours are; empty for one that is in memory or a driver's, who is not asked for that.
fn mountpoint(layout: &Layout, record: &VolumeRecord) -> PathBuf {
    if record.is_local() { volume::files(layout, record).ok().flatten() } else { None }.unwrap_or_default()
}

/// What a pruning has removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Volumes.
    pub removed: Vec<VolumeName>,
    /// Bytes that they took.
    pub freed: u64,
}

/// Removes the volumes that no container has.
pub fn prune(layout: &Layout, which: Unused, filters: &Filters) -> Result<Pruned, Failure> {
    let filter = VolumeFilter::new(filters, jiff::Timestamp::now())?;
    let mut pruned = Pruned::default();
    let mut bins = Vec::new();
    let alone = lock::volumes_exclusive(layout, &mut |_| {})?;
    for summary in list(layout)?.0 {
        let is_meant = which == Unused::All || summary.record.anonymous;
        if !is_meant || !summary.users.is_empty() || !filter.matches(&summary) {
            continue;
        }
        remove_from_driver(layout, &summary.record.name)?;
        bins.extend(volume::take_away(layout, &summary.record.name, &alone)?);
        journal::note_volume(layout, VolumeEvent::Remove, summary.record.name.as_str());
        pruned.removed.push(summary.record.name);
    }
    drop(alone);
    for bin in bins {
        pruned.freed += disk_usage::of(bin.path());
        volume::discard(bin)?;
    }
    Ok(pruned)
}
