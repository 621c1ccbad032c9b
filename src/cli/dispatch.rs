//! From the door to the verbs: the only file of `cli` that knows where they are.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::error;
use super::render::output;
use super::run::{Asked, PlanUse};
use crate::container::base::{Base, BaseImage};
use crate::container::filter::ContainerFilter;
use crate::container::list::NotFound;
use crate::container::remove::IfRunning;
use crate::container::request::{EnvSetting, RootfsSource};
use crate::container::run::Report;
use crate::container::size::{self, Size};
use crate::container::summary::Summary;
use crate::container::wait::Condition;
use crate::container::{remove, translate};
use crate::failure::Failure;
use crate::host::env;
use crate::host::report::{Choice, Slots};
use crate::image::filter::ImageFilter;
use crate::image::find::{self, Wanted};
use crate::image::remove::{IfUsed, Removed};
use crate::image::request::{Progress, PullRequest, RegistryAccess};
use crate::name::container::{ContainerId, ContainerName};
use crate::name::filter::Filters;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::registry::{Access, Credential, TlsVerify};
use crate::state::journal::{self, Event, Follower};
use crate::state::layout::Layout;
use crate::state::lock::Waiting;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::store::Store;
use crate::store::images::ResolvedImage;
use crate::{container, image};

/// Runs a container; its exit code.
pub fn run(layout: &Layout, asked: Asked) -> Result<u8, Failure> {
    let Asked { mut request, access, progress, plan } = asked;
    let started = now();
    let store = Store::open(layout.clone())?;
    // Until the container's record names the image, nobody removes it.
    let guard = store.lock_shared(&mut say_waiting)?;
    let base = match &request.rootfs {
        RootfsSource::Directory { path, .. } => Base::Directory(translate::rootfs_directory(path)?),
        RootfsSource::Image { selector, pull, platform } => {
            let access = registry_access(access);
            let wanted = Wanted { selector, policy: *pull, platform: platform.as_ref(), access: &access };
            let found = find::execute(&store, &wanted, &*reporter(progress))?;
            if image::hello::is_hello(&found.record) {
                let value = started.to_string().into();
                request.env.push(EnvSetting::Set { name: env::STARTED.name.into(), value });
            }
            Base::Image(base_image(found))
        }
    };
    if plan == PlanUse::Print {
        let plan = container::run::plan(layout, &request, &base)?;
        return output::write(&format!("{plan:#?}\n")).map(|()| 0);
    }
    if container::run::lacks_terminal(&request) {
        error::warn("the input device is no terminal: what is typed into it is passed on as it is");
    }
    match container::run::execute(layout, &request, &base, move || drop(guard))? {
        Report::Exited(code) => Ok(code),
        Report::Detached(id) => output::write(&format!("{id}\n")).map(|()| 0),
    }
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

fn base_image(found: ResolvedImage) -> BaseImage {
    let name = found.reference.as_ref().map_or_else(|| found.record.id.hex().to_owned(), Reference::to_string);
    let layers = found.record.visible_layers().iter().map(|layer| layer.diff_id.clone()).collect();
    BaseImage { id: found.record.id, name, layers, defaults: found.record.config }
}

fn registry_access(access: RegistryAccess) -> Access {
    Access {
        tls: match access.tls_verify {
            None => TlsVerify::AsConfigured,
            Some(true) => TlsVerify::Required,
            Some(false) => TlsVerify::Off,
        },
        credential: access.credentials.map(|given| Credential::password(given.user, given.password)),
        authfile: access.authfile,
        ..Access::default()
    }
}

fn reporter(progress: Progress) -> Box<dyn image::pull::Progress> {
    match progress {
        Progress::Shown => Box::new(super::render::progress::PullProgress::stderr()),
        Progress::Quiet => Box::new(image::pull::Silent),
    }
}

fn say_waiting(waiting: &Waiting<'_>) {
    let holder = waiting.holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
    error::warn(&format!("waiting for {holder}, which uses {}", waiting.path.display()));
}

/// Fetches one of the request's images; its id.
pub fn pull(layout: &Layout, request: &PullRequest, reference: &Reference) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    let wanted = image::pull::Request {
        reference: reference.clone(),
        platform: request.platform.clone(),
        policy: request.policy,
        access: registry_access(request.access.clone()),
    };
    let report = image::pull::execute(&store, &wanted, &*reporter(request.progress))?;
    Ok(report.image)
}

/// The containers that `filters` mean, in any order. One whose record is damaged is reported and left out.
pub fn list_containers(layout: &Layout, filters: &Filters) -> Result<Vec<Summary>, Failure> {
    let filter = ContainerFilter::new(filters, layout, Timestamp::now())?;
    let (listed, failures) = remove::collect_leftovers(layout);
    failures.iter().for_each(error::report);
    Ok(listed.iter().filter(|container| filter.matches(container)).map(Summary::of).collect())
}

/// Removes what dead commands left behind.
pub fn collect_leftovers(layout: &Layout) {
    remove::collect_leftovers(layout);
}

/// Finds out how much room containers take.
pub fn measure_containers(layout: &Layout, containers: &mut [Summary]) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    for container in containers {
        let image = container.image_id.as_ref().map(|id| store.images().get(id)).transpose()?.flatten();
        let base = match image {
            Some(image) => image.size,
            // Without an image it was made from a directory.
            None if container.image_id.is_none() => size::on_disk(Path::new(&container.image)),
            None => 0,
        };
        let written = size::on_disk(&layout.container(&container.id).join("upper"));
        container.size = Some(Size { written, base });
    }
    Ok(())
}

/// Bytes that the container's directory takes; nothing if there is none.
pub fn room_of_container(layout: &Layout, id: &ContainerId) -> u64 {
    size::on_disk(&layout.container(id))
}

/// The container of this name, identifier or beginning of one.
pub fn find_container(layout: &Layout, name: &str) -> Result<ContainerId, Failure> {
    Ok(container::list::find(layout, name)?)
}

/// Gives a container another name.
pub fn rename_container(layout: &Layout, name: &str, new: &ContainerName) -> Result<(), Failure> {
    remove::collect_leftovers(layout);
    let id = container::list::find(layout, name)?;
    container::rename::execute(layout, &id, new)
}

/// Notes that containers were removed, and how many bytes that freed.
pub fn note_prune(layout: &Layout, freed: u64) {
    journal::note_prune(layout, freed);
}

/// All events that are kept, oldest first.
pub fn kept_events(layout: &Layout) -> Vec<Event> {
    journal::read_all(layout)
}

/// Begins to follow the events.
pub fn follow_events(layout: &Layout, from: journal::Begin) -> Result<Follower<'_>, Failure> {
    Follower::new(layout, from).map_err(|cause| {
        let doing = format!("watching {}: {cause}", layout.runtime().display());
        Failure::new("E_IO", doing).with_hint("the limits are in /proc/sys/fs/inotify")
    })
}

/// Waits for a container; its exit code, or -1.
pub fn wait_for_container(
    layout: &Layout,
    id: &ContainerId,
    conditions: &[Condition],
    interval: Duration,
) -> Result<i32, Failure> {
    container::wait::execute(layout, id, conditions, interval)
}

/// The images that `filters` mean, in any order.
pub fn list_images(layout: &Layout, filters: &Filters) -> Result<Vec<image::list::Summary>, Failure> {
    let store = Store::open(layout.clone())?;
    for damaged in store.images().damaged()? {
        error::report(&damaged.into());
    }
    let images = image::list::execute(&store)?;
    let filter = ImageFilter::new(filters, &images, Timestamp::now())?;
    Ok(images.into_iter().filter(|image| filter.matches(image)).collect())
}

/// Removes a container: `E_NOTFOUND` if there is none, `E_BUSY` if it runs and is not to be killed.
pub fn remove_container(layout: &Layout, name: &str, if_running: IfRunning) -> Result<(), Failure> {
    let id = container::list::find(layout, name)?;
    container::remove::execute(layout, &id, if_running)
}

/// Removes a name of an image, and the image with its last name; by its id, an image with all its names. `E_NOTFOUND` if
/// there is none, `E_BUSY` if containers use it and are not to be removed.
pub fn remove_image(layout: &Layout, selector: &ImageSelector, if_used: IfUsed) -> Result<Vec<Removed>, Failure> {
    let store = Store::open(layout.clone())?;
    remove::collect_leftovers(layout);
    let mut remove_container = |id: &str| remove::execute(layout, &id.parse()?, IfRunning::Kill);
    image::remove::execute(&store, selector, if_used, &mut remove_container, &mut say_waiting)
}

/// Everything about a container; nothing if there is none.
pub fn inspect_container(layout: &Layout, name: &str) -> Result<Option<container::inspect::Report>, Failure> {
    let id = match container::list::find(layout, name) {
        Ok(id) => id,
        Err(NotFound::Unknown(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let listed = container::list::load(layout, &id)?;
    Ok(listed.as_ref().map(container::inspect::Report::of))
}

/// Everything about an image; nothing if there is none.
pub fn inspect_image(layout: &Layout, selector: &ImageSelector) -> Result<Option<image::inspect::Report>, Failure> {
    let store = Store::open(layout.clone())?;
    let Some(found) = store.images().resolve(selector)? else { return Ok(None) };
    image::inspect::execute(&store, &found.record.id).map(Some)
}

/// What `info` shows of higher floors.
pub fn slots(layout: &Layout) -> Slots {
    Slots { graph_driver: Some(graph_driver(layout)), landlock_abi: Some(crate::sys::landlock::abi()) }
}

/// How root file systems are made, tried on the file system of the store.
fn graph_driver(layout: &Layout) -> Choice {
    let refused = |reason: String| Choice { name: "none".into(), reason };
    if let Err(error) = Store::open(layout.clone()) {
        return refused(Failure::from(error).to_string());
    }
    let directory = match TemporaryDirectory::create(&layout.tmp(), Kind::Trash) {
        Ok(directory) => directory,
        Err(error) => return refused(format!("nothing can be written to the store: {error}")),
    };
    match crate::runtime::probe::overlay(directory.path()) {
        Ok(()) => Choice {
            name: "overlay".into(),
            reason: "the kernel's overlay was mounted on the store's file system".into(),
        },
        Err(error) => {
            let failure = Failure::from(error);
            let cure = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            refused(format!("{failure}{cure}"))
        }
    }
}
