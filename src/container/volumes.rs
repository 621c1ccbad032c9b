//! The volumes of containers: which ones a container gets, and who has one.
//!
//! A container is there before its volumes are made, and as long as any of its own is: so its record tells what a dead command
//! has left, and nothing is ever left that nobody knows of.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::base::Base;
use super::list;
use super::request::{Access, BindMount, ImageVolumes, Request, TmpfsMount, VolumeMount, VolumesFrom};
use super::translate::{Refused, is_reserved, normal};
use crate::failure::Failure;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::filter::Filters;
use crate::name::volume::VolumeName;
use crate::state::disk_usage;
use crate::state::journal::{self, VolumeEvent};
use crate::state::layout::Layout;
use crate::state::lock::{self, Shared};
use crate::state::schema::container::{ContainerRecord, Timestamp};
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::Published;
use crate::sys::random;
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
    if request.volumes.is_empty() && request.volumes_from.is_empty() && of_image.is_empty() {
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
    for mount in settled.volumes.iter_mut().filter(|mount| mount.name.is_none()) {
        let bytes = random::bytes()
            .map_err(|errno| Failure::new("E_IO", format!("getting random bytes for the name of a volume: {errno}")))?;
        mount.name = Some(VolumeName::from_random(bytes));
    }
    Ok(Cow::Owned(settled))
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
    for mount in container.record.mounts.into_iter().filter(|mount| mount.kind != "tmpfs") {
        if !taken.insert(normal(&mount.destination)) {
            continue;
        }
        let has = |word: &str| mount.options.iter().any(|option| option == word);
        let theirs = if mount.writable { Access::ReadWrite } else { Access::ReadOnly };
        let (access, exec) = (from.access.unwrap_or(theirs), !has("noexec"));
        match mount.volume {
            Some(name) => settled.volumes.push(VolumeMount {
                name: Some(name),
                anonymous: mount.anonymous,
                access,
                exec,
                subpath: mount.subpath,
                ..VolumeMount::anonymous(mount.destination)
            }),
            None => settled.mounts.push(BindMount {
                source: mount.source.into(),
                recursive: !has("bind"),
                destination: mount.destination,
                access,
                exec,
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
            options: BTreeMap::new(),
        };
        if volume::create(layout, &record)? == Published::Now {
            journal::note_volume(layout, VolumeEvent::Create, name.as_str());
        }
    }
    Ok(())
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
        if !is_others && let Some(bin) = volume::take_away(layout, name, &alone)? {
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
        mountpoint: layout.volume_data(&record.name),
        is_to_be_filled: volume::is_to_be_filled(layout, &record.name),
        record,
    };
    Ok((records.into_iter().map(summary).collect(), failures))
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
