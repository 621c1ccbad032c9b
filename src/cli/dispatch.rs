//! From the door to the verbs: the only file of `cli` that knows where they are.

use super::error;
use super::render::output;
use super::run::{Asked, PlanUse};
use crate::container::base::{Base, BaseImage};
use crate::container::list::NotFound;
use crate::container::logs::{Audience, Selection, Source};
use crate::container::remove::IfRunning;
use crate::container::request::{EnvSetting, RootfsSource};
use crate::container::run::Report;
use crate::container::summary::Summary;
use crate::container::{remove, translate};
use crate::failure::Failure;
use crate::host::env;
use crate::host::report::{Choice, Slots};
use crate::image::find::{self, Wanted};
use crate::image::remove::{IfUsed, Removed};
use crate::image::request::{Progress, PullRequest, RegistryAccess};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::registry::{Access, Credential, TlsVerify};
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

/// All containers, in any order. One whose record is damaged is reported and left out.
pub fn list_containers(layout: &Layout) -> Result<Vec<Summary>, Failure> {
    remove::collect_leftovers(layout);
    let (listed, failures) = container::list::execute(layout);
    failures.iter().for_each(error::report);
    Ok(listed.iter().map(Summary::of).collect())
}

/// The identifier of the container that was made last.
pub fn latest_container(layout: &Layout) -> Result<String, Failure> {
    let (listed, _) = container::list::execute(layout);
    let latest = listed.first().map(|container| container.record.id.to_string());
    latest.ok_or_else(|| Failure::new("E_NOTFOUND", "there is no container"))
}

/// The logs of the containers that `names` stand for, and why others have none.
pub fn open_logs(layout: &Layout, names: &[String], selection: &Selection) -> (Vec<Source>, Vec<Failure>) {
    let (mut sources, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match Source::open(layout, name, selection) {
            Ok(source) => sources.push(source),
            Err(failure) => failures.push(failure),
        }
    }
    (sources, failures)
}

/// Shows what the selection has of the logs, and with `follow` what comes.
pub fn show_logs(
    layout: &Layout,
    sources: &mut [Source],
    selection: &Selection,
    audience: &mut dyn Audience,
) -> Result<(), Failure> {
    container::logs::execute(layout, sources, selection, audience)
}

/// All images, in any order.
pub fn list_images(layout: &Layout) -> Result<Vec<image::list::Summary>, Failure> {
    let store = Store::open(layout.clone())?;
    for damaged in store.images().damaged()? {
        error::report(&damaged.into());
    }
    Ok(image::list::execute(&store)?)
}

/// Removes a container: `E_NOTFOUND` if there is none, `E_BUSY` if it runs and is not to be killed.
pub fn remove_container(layout: &Layout, name: &str, if_running: IfRunning) -> Result<(), Failure> {
    remove::collect_leftovers(layout);
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
