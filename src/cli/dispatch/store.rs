//! All of the store: what takes how much room, what nobody needs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{collect_leftovers, list_containers, remove_container, say_waiting};
use crate::cli::{error, selection};
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::container::summary::Summary;
use crate::failure::Failure;
use crate::image::check::{self, Depth, Repair};
use crate::image::prune::Unused;
use crate::image::request::Progress;
use crate::name::container::ContainerId;
use crate::name::filter::Filters;
use crate::name::volume::VolumeName;
use crate::oci::digest::{DiffId, ImageId};
use crate::runtime::unshare;
use crate::state::layout::Layout;
use crate::state::{disk_usage, journal, temporary};
use crate::store::finding::{Finding, Kind};
use crate::store::{Store, partial};
use crate::{container, image, volume};

/// What takes how much room on the disk.
pub struct DiskReport {
    /// Images, and what is left of others.
    pub images: image::usage::Report,
    /// Containers, with the bytes that each takes.
    pub containers: Vec<(Summary, u64)>,
    /// Volumes, with the bytes that each takes.
    pub volumes: Vec<(volume::summary::Summary, u64)>,
}

/// Measures everything.
pub fn measure_disk(layout: &Layout) -> Result<DiskReport, Failure> {
    unshare::see_own_files();
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    let containers = list_containers(layout, &Filters::default())?;
    let images = image::usage::execute(&store)?;
    images.damaged.iter().for_each(|damaged| error::warn(damaged));
    let measured = containers.into_iter().map(|container| {
        let bytes = disk_usage::of(&layout.container(&container.id));
        (container, bytes)
    });
    let volumes = super::list_volumes(layout, &Filters::default())?.into_iter().map(|volume| {
        let bytes = disk_usage::of(&layout.volume(&volume.record.name));
        (volume, bytes)
    });
    Ok(DiskReport { images, containers: measured.collect(), volumes: volumes.collect() })
}

/// What is to be removed where nobody uses it.
#[derive(Default)]
pub struct PruneRequest {
    /// Containers that do not run.
    pub containers: Option<Filters>,
    /// Images, and with them what nothing points to.
    pub images: Option<(Unused, Filters)>,
    /// Volumes.
    pub volumes: Option<(volume::Unused, Filters)>,
}

/// What was removed.
#[derive(Default)]
pub struct Pruned {
    /// Containers.
    pub containers: Vec<ContainerId>,
    /// Images.
    pub images: Vec<ImageId>,
    /// Volumes.
    pub volumes: Vec<VolumeName>,
    /// Bytes that are free now, what dead commands had left included.
    pub freed: u64,
    /// What could not be removed.
    pub failures: Vec<Failure>,
}

/// Removes what nobody uses.
pub fn prune(layout: &Layout, request: &PruneRequest) -> Result<Pruned, Failure> {
    unshare::see_own_files();
    let store = Store::open(layout.clone())?;
    let mut pruned = Pruned::default();
    // First, so that it is counted: every other command removes it, too, and does not say so.
    pruned.freed += temporary::collect_abandoned_measured(&layout.tmp()).unwrap_or_default();
    collect_leftovers(layout);
    if let Some(filters) = &request.containers {
        prune_containers(layout, filters, &mut pruned)?;
    }
    if let Some((which, filters)) = &request.volumes {
        let found = container::volumes::prune(layout, *which, filters)?;
        pruned.volumes = found.removed;
        pruned.freed += found.freed;
    }
    if let Some((which, filters)) = &request.images {
        let mut report = |failure| error::report(&failure);
        let images = image::prune::execute(&store, *which, filters, &mut report, &mut say_waiting)?;
        pruned.images = images.images;
        pruned.freed += images.freed + partial::collect(&store, partial::Which::All)?;
    }
    Ok(pruned)
}

fn prune_containers(layout: &Layout, filters: &Filters, pruned: &mut Pruned) -> Result<(), Failure> {
    let mut freed = 0;
    for container in list_containers(layout, filters)? {
        if selection::is_up(&container) {
            continue;
        }
        let room = disk_usage::of(&layout.container(&container.id));
        match remove_container(layout, container.id.as_str(), IfRunning::Refuse, OwnVolumes::Keep) {
            Ok(()) => {
                freed += room;
                pruned.containers.push(container.id);
            }
            // Somebody has started or removed it meanwhile.
            Err(failure) if matches!(failure.code(), "E_BUSY" | "E_NOTFOUND") => {}
            Err(failure) => pruned.failures.push(failure),
        }
    }
    journal::note_prune(layout, freed);
    pruned.freed += freed;
    Ok(())
}

/// What a check looks at, and does.
pub struct CheckRequest {
    /// Every byte, or what is there.
    pub depth: Depth,
    /// Whether what can be repaired is.
    pub repair: bool,
    /// Whether containers that cannot be repaired are removed.
    pub force: bool,
    /// How old unreferenced layers and blobs become before a repair removes them.
    pub max_age: Duration,
}

/// What a check has looked at, and what it has found.
pub struct CheckReport {
    /// What belongs to images; all findings.
    pub images: check::Report,
    /// Containers looked at.
    pub containers: usize,
}

/// Looks whether everything in the store is what it should be.
pub fn check_store(layout: &Layout, request: &CheckRequest) -> Result<CheckReport, Failure> {
    unshare::see_own_files();
    let store = Store::open(layout.clone())?;
    collect_leftovers(layout);
    let progress = &*super::reporter(Progress::Shown);
    if !request.repair {
        let _stays = store.lock_shared(&mut say_waiting)?;
        let request = check::Request { depth: request.depth, repair: Repair::No, running: running_layers(layout) };
        let images = check::execute(&store, &request, progress)?;
        return Ok(with_containers(&store, images, container::check::Repair::No));
    }
    let alone = store.lock_exclusive(&mut say_waiting)?;
    let repair = Repair::Yes { alone: &alone, max_age: request.max_age };
    let running = running_layers(layout);
    let images = check::execute(&store, &check::Request { depth: request.depth, repair, running }, progress)?;
    let mut report = with_containers(&store, images, container::check::Repair::Yes);
    if request.force {
        give_up_containers(layout, &mut report.images.findings);
    }
    Ok(report)
}

fn with_containers(store: &Store, mut images: check::Report, repair: container::check::Repair) -> CheckReport {
    let (containers, findings) = container::check::execute(store, repair);
    images.findings.extend(findings);
    CheckReport { images, containers }
}

/// The layers that containers which run have in use, with the names of these.
fn running_layers(layout: &Layout) -> BTreeMap<DiffId, String> {
    let (listed, _) = container::list::execute(layout);
    let mut running: BTreeMap<DiffId, String> = BTreeMap::new();
    for container in listed.iter().filter(|listed| selection::is_up(&Summary::of(listed))) {
        for layer in &container.record.layers {
            let names = running.entry(layer.clone()).or_default();
            let separator = if names.is_empty() { "" } else { ", " };
            names.push_str(&format!("{separator}{}", container.record.name));
        }
    }
    running
}

/// Removes containers that are not repaired and do not run.
fn give_up_containers(layout: &Layout, findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.kind == Kind::Container && !finding.repaired) {
        match remove_container(layout, &finding.subject, IfRunning::Refuse, OwnVolumes::Keep) {
            Err(failure) if failure.code() != "E_NOTFOUND" => finding.advice = failure.to_string(),
            _ => {
                finding.repaired = true;
                finding.advice = "removed".into();
            }
        }
    }
}
