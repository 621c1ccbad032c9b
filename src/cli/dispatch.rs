//! From the door to the verbs: the only file of `cli` that knows where they are.

mod archives;
mod images;
pub mod manifest;
mod mounts;
pub mod networks;
pub mod push;
pub mod registry;
mod secrets;
mod store;
mod volumes;

pub use archives::*;
pub use images::*;
pub use mounts::*;
pub use secrets::*;
pub use store::*;
pub use volumes::*;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::configuration::tell_unused;
use super::cp::Written;
use super::error;
use super::render::progress::{PullProgress, Quiet};
use super::render::{output, size};
use super::run::{Asked, PlanUse};
use crate::container::attach::Attachment;
use crate::container::base::{Base, BaseImage};
use crate::container::commit;
use crate::container::copy::{End, Options};
use crate::container::diff::Subject;
use crate::container::export::Archive;
use crate::container::files::changes::Change;
use crate::container::filter::{ContainerFilter, health};
use crate::container::freeze::Means;
use crate::container::launch::{Presence, Report};
use crate::container::list::{Listed, NotFound};
use crate::container::logs::{Audience, Selection, Source};
use crate::container::monitor::detach_keys::DetachKeys;
use crate::container::published::{self, Binding};
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::container::request::{EnvSetting, Request, RootfsSource, Stdin, Terminal};
use crate::container::size::Size;
use crate::container::start::{Found, Startable};
use crate::container::stop::Stopping;
use crate::container::summary::Summary;
use crate::container::update::{Changes, Felt};
use crate::container::wait::Condition;
use crate::container::{event, freeze, remove, translate};
use crate::failure::Failure;
use crate::host::report::{Choice, Slots};
use crate::host::{env, kernel};
use crate::image::find::{self, Wanted};
use crate::image::import::ImportRequest;
use crate::image::remove::IfUsed;
use crate::image::request::{Progress, RegistryAccess};
use crate::name::container::{ContainerId, ContainerName};
use crate::name::filter::Filters;
use crate::name::image_selector::ImageSelector;
use crate::name::pull_policy::PullPolicy;
use crate::name::reference::Reference;
use crate::name::signal::Signal;
use crate::name::storage_driver::Driver;
use crate::oci::digest::ImageId;
use crate::registry::web::WebFile;
use crate::registry::{Access, Credential, Growth, RetryPolicy, TlsVerify};
use crate::state::disk_usage;
use crate::state::journal::{self, ContainerEvent, Event, Follower};
use crate::state::layout::Layout;
use crate::state::lock::Waiting;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::store::Store;
use crate::store::images::ResolvedImage;
use crate::{container, identity, image};

/// Runs a container; its exit code.
pub fn run(layout: &Layout, asked: Asked) -> Result<u8, Failure> {
    let started = now();
    let store = Store::open(layout.clone())?;
    tell_unused(layout);
    let Asked { mut request, access, progress, plan, presence, replaces, removes_image } = asked;
    // Until the container's record names the image, nobody removes it.
    let guard = store.lock_shared(&mut say_waiting)?;
    limit_size(layout, &mut request);
    let base = base(&store, &mut request, access, progress, started)?;
    if plan == PlanUse::Print {
        let plan = container::run::plan(layout, &request, &base)?;
        return output::write(&format!("{plan:#?}\n")).map(|()| 0);
    }
    warn_of(&request)?;
    if container::run::lacks_terminal(&presence) {
        error::warn("the input device is no terminal: what is typed into it is passed on as it is");
    }
    if replaces {
        make_way(layout, &request)?;
    }
    let report = container::run::execute(layout, &request, &base, &presence, &notice(layout), move || drop(guard))?;
    if removes_image && let Base::Image(image) = &base {
        let selector = ImageSelector::Id(image.id.hex().to_owned());
        // Others may use it: it stays then.
        if let Err(failure) = remove_image(layout, &selector, IfUsed::Refuse) {
            error::warn(&failure.to_string());
        }
    }
    match report {
        Report::Exited(code) => Ok(code),
        Report::OutOfMemory { code, limit } => Ok(say_out_of_memory(code, limit)),
        Report::Running(id) if matches!(presence, Presence::Detached) => output::write(&format!("{id}\n")).map(|()| 0),
        Report::Running(_) => Ok(0),
    }
}

/// Tells how root file systems are made here, if not as they should be: once, until something else is to be told.
fn notice(layout: &Layout) -> impl Fn(&str) {
    let told = layout.storage_notice();
    move |text: &str| error::warn_once(&told, text)
}

fn say_out_of_memory(code: u8, limit: Option<u64>) -> u8 {
    let limit = limit.map(|bytes| format!(", limit {}", size::binary(bytes))).unwrap_or_default();
    error::tell(&format!("killed: out of memory{limit}"));
    code
}

fn warn_of(request: &Request) -> Result<(), Failure> {
    container::run::warnings(request).map(|warnings| warnings.iter().for_each(|warning| error::warn(warning)))
}

/// What is configured counts for containers of images, where nothing is said.
fn limit_size(layout: &Layout, request: &mut Request) {
    if !matches!(request.rootfs, RootfsSource::Directory { .. }) {
        request.size_limit = request.size_limit.or(layout.size_limit());
    }
}

/// Makes a container, and prints its id.
pub fn create(layout: &Layout, asked: Asked) -> Result<u8, Failure> {
    let started = now();
    let store = Store::open(layout.clone())?;
    tell_unused(layout);
    let Asked { mut request, access, progress, replaces, .. } = asked;
    let guard = store.lock_shared(&mut say_waiting)?;
    limit_size(layout, &mut request);
    let base = base(&store, &mut request, access, progress, started)?;
    warn_of(&request)?;
    if replaces {
        make_way(layout, &request)?;
    }
    let id = container::run::create(layout, &request, &base, move || drop(guard))?;
    output::write(&format!("{id}\n")).map(|()| 0)
}

/// Removes the container whose name is wanted.
fn make_way(layout: &Layout, request: &Request) -> Result<(), Failure> {
    let Some(name) = &request.name else { return Ok(()) };
    match remove_container(layout, name.as_str(), IfRunning::KILL, OwnVolumes::Keep) {
        Err(failure) if failure.code() != "E_NOTFOUND" => Err(failure),
        _ => Ok(()),
    }
}

/// What the container is made from, pulled if it has to be.
fn base(
    store: &Store,
    request: &mut Request,
    access: RegistryAccess,
    progress: Progress,
    started: u64,
) -> Result<Base, Failure> {
    Ok(match &request.rootfs {
        RootfsSource::Archive { location, platform } => {
            let found = archives::load_one(store, location, platform.as_ref(), progress)?;
            let selector = ImageSelector::Id(found.record.id.hex().to_owned());
            request.rootfs = RootfsSource::Image { selector, pull: PullPolicy::Never, platform: None };
            Base::Image(base_image(store, found)?)
        }
        RootfsSource::Directory { path, .. } => Base::Directory(translate::rootfs_directory(path)?),
        RootfsSource::Image { selector, pull, platform } => {
            let access = registry_access(access);
            let wanted = Wanted { selector, policy: *pull, platform: platform.as_ref(), access: &access };
            let found = find::execute(store, &wanted, &*reporter(progress))?;
            if image::hello::is_hello(&found.record) {
                let value = started.to_string().into();
                request.env.push(EnvSetting::Set { name: env::STARTED.name.into(), value });
            }
            Base::Image(base_image(store, found)?)
        }
    })
}

/// Starts a container that does not run, in the background.
pub fn start(layout: &Layout, name: &str) -> Result<(), Failure> {
    match container::start::find(layout, name)? {
        Found::Running(_) => Ok(()),
        Found::Initialized(container) => container::attach::start(layout, &container.record, None).map(drop),
        Found::Startable(container) => start_as(layout, *container, &Presence::Detached).map(drop),
    }
}

/// Makes a container ready to be started.
pub fn init(layout: &Layout, name: &str) -> Result<(), Failure> {
    let is_already = match container::start::find(layout, name)? {
        Found::Startable(container) => return start_as(layout, *container, &Presence::Ready).map(drop),
        Found::Initialized(_) => "is ready",
        Found::Running(_) => "runs",
    };
    Err(Failure::new("E_STATE", format!("initializing container {name}: it {is_already} already")))
}

/// Starts a container and stays with it; its exit code. One that runs is joined.
pub fn start_attached(
    layout: &Layout,
    name: &str,
    input: bool,
    signals: bool,
    keys: DetachKeys,
) -> Result<u8, Failure> {
    match container::start::find(layout, name)? {
        Found::Running(id) => attach(layout, id.as_str(), input, signals, keys),
        Found::Initialized(container) => {
            let attachment = Attachment::to(&container.record.process, input, signals, keys);
            Ok(container::attach::start(layout, &container.record, Some(&attachment))?.unwrap_or(0))
        }
        Found::Startable(startable) => {
            let attachment = Attachment::to(&startable.container.record.process, input, signals, keys);
            match start_as(layout, *startable, &Presence::Attached(attachment))? {
                Report::Exited(code) => Ok(code),
                Report::OutOfMemory { code, limit } => Ok(say_out_of_memory(code, limit)),
                Report::Running(_) => Ok(0),
            }
        }
    }
}

fn start_as(layout: &Layout, container: Startable, presence: &Presence) -> Result<Report, Failure> {
    let base = match (container.directory(), container.image()) {
        (Some(directory), _) => directory,
        (None, Some(image)) => {
            let store = Store::open(layout.clone())?;
            let selector = ImageSelector::Id(image.hex().to_owned());
            let Some(found) = store.images().resolve(&selector)? else {
                let failure = Failure::new("E_NOTFOUND", format!("the container's image {} is gone", image.hex()));
                return Err(failure.with_hint("pull it again"));
            };
            let name = container.image_name().unwrap_or_default().to_owned();
            Base::Image(BaseImage { name, ..base_image(&store, found)? })
        }
        (None, None) => {
            return Err(Failure::new("E_STATE", "the container's record names nothing that it is made from"));
        }
    };
    container.execute(layout, &base, presence, &notice(layout))
}

/// Stops a container that runs.
pub fn stop(layout: &Layout, name: &str, patience: Option<Duration>) -> Result<(), Failure> {
    let container = loaded(layout, name)?;
    if container::stop::stop(layout, &container, patience)? == Stopping::Ended {
        event::note(layout, ContainerEvent::Stop, &container.record);
    }
    Ok(())
}

/// Stops a container, if it runs, and starts it.
pub fn restart(layout: &Layout, name: &str, patience: Option<Duration>) -> Result<(), Failure> {
    let container = loaded(layout, name)?;
    container::stop::stop(layout, &container, patience)?;
    start(layout, container.record.id.as_str())?;
    event::note(layout, ContainerEvent::Restart, &container.record);
    Ok(())
}

/// Sends a signal to a container that runs.
pub fn kill(layout: &Layout, name: &str, signal: Signal) -> Result<(), Failure> {
    let container = loaded(layout, name)?;
    container::stop::kill(layout, &container, signal)?;
    event::note(layout, ContainerEvent::Kill, &container.record);
    Ok(())
}

/// Joins a container that runs; its exit code, or 0 if the user left it.
pub fn attach(layout: &Layout, name: &str, input: bool, signals: bool, keys: DetachKeys) -> Result<u8, Failure> {
    let container = loaded(layout, name)?;
    Ok(container::attach::execute(layout, &container, input, signals, keys)?.unwrap_or(0))
}

/// Tells the journal; a container that is gone by now has had its say.
fn note(layout: &Layout, happened: ContainerEvent, id: &ContainerId) {
    if let Ok(Some(container)) = container::list::load(layout, id) {
        event::note(layout, happened, &container.record);
    }
}

/// A container and what it is doing, once it is not just being started; `E_NOTFOUND`, and exit code 125, if there is none.
fn loaded(layout: &Layout, name: &str) -> Result<Listed, Failure> {
    let id = find_container(layout, name)?;
    let gone = || NotFound::Unknown(name.into()).into();
    container::wait::settled(layout, &id)?.ok_or_else(gone)
}

/// Runs a command in a container; its exit code.
pub fn exec(layout: &Layout, container: &ContainerId, request: &container::exec::Request) -> Result<u8, Failure> {
    match container::exec::execute(layout, container, request)? {
        container::exec::Report::Exited(code) => Ok(code),
        container::exec::Report::Running => Ok(0),
    }
}

/// Makes the health check of a container, or the one that is made first; its exit code.
pub fn check_health(layout: &Layout, name: &str, is_startup: bool) -> Result<u8, Failure> {
    let container = loaded(layout, name)?;
    let Some(check) = &container.record.health else {
        let failure = Failure::new("E_CONFIG", format!("checking the health of {name}: it has no health check"));
        return Err(failure.with_hint("make it with --health-cmd"));
    };
    let command = match &check.startup {
        Some(startup) if is_startup => &startup.command,
        _ => &check.command,
    };
    let request = container::exec::Request {
        command: command.iter().map(Into::into).collect(),
        attach: container::exec::Attach::Foreground,
        stdin: Stdin::Null,
        terminal: Terminal::None,
        env: Vec::new(),
        workdir: None,
        user: None,
        privileges: container::exec::Privileges::Containers,
        keys: DetachKeys::default(),
        preserved: BTreeSet::new(),
        purpose: container::exec::Purpose::HealthCheck,
    };
    exec(layout, &container.record.id, &request)
}

/// Notes what is known of a container's health, after a check.
pub fn note_health(layout: &Layout, name: &str) {
    if event::tells_of_health()
        && let Ok(container) = loaded(layout, name)
    {
        let more = [(event::HEALTH_STATUS, health(&container).to_owned())];
        event::note_with(layout, ContainerEvent::HealthStatus, &container.record, &more);
    }
}

/// Stops all processes of a container.
pub fn pause(layout: &Layout, id: &ContainerId) -> Result<Means, Failure> {
    let means = freeze::pause(layout, id)?;
    note(layout, ContainerEvent::Pause, id);
    Ok(means)
}

/// Lets all processes of a container go on.
pub fn unpause(layout: &Layout, id: &ContainerId) -> Result<(), Failure> {
    freeze::unpause(layout, id)?;
    note(layout, ContainerEvent::Unpause, id);
    Ok(())
}

/// A table of a container's processes, titles first.
pub fn top(layout: &Layout, id: &ContainerId, columns: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    container::top::execute(layout, id, columns)
}

/// What a container uses now. `E_STATE` if it does not run.
pub fn stats(layout: &Layout, id: &ContainerId) -> Result<container::stats::Sample, Failure> {
    container::stats::sample(layout, id)
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

fn base_image(store: &Store, found: ResolvedImage) -> Result<BaseImage, Failure> {
    let owners = image::owners::of(store, &found.record)?;
    let name = found.reference.as_ref().map_or_else(|| found.record.id.hex().to_owned(), Reference::to_string);
    let layers = found.record.visible_layers().iter().map(|layer| layer.diff_id.clone()).collect();
    Ok(BaseImage { id: found.record.id, name, layers, defaults: found.record.config, owners })
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
        cert_dir: access.cert_dir,
        signature_policy: access.signature_policy,
        retry: retry_policy(access.retry, access.retry_delay),
    }
}

fn retry_policy(retries: Option<u32>, delay: Option<Duration>) -> RetryPolicy {
    let usual = RetryPolicy::default();
    RetryPolicy {
        tries: retries.map_or(usual.tries, |retries| retries.saturating_add(1)),
        first_delay: delay.unwrap_or(usual.first_delay),
        growth: if delay.is_some() { Growth::None } else { usual.growth },
        ..usual
    }
}

fn reporter(progress: Progress) -> Box<dyn image::progress::Progress> {
    match progress {
        Progress::Shown => Box::new(PullProgress::stderr()),
        Progress::Quiet => Box::new(Quiet),
    }
}

/// For so many images at once.
fn reporters(progress: Progress, count: usize) -> Vec<Box<dyn image::progress::Progress>> {
    let first = PullProgress::stderr();
    (0..count)
        .map(|_| match progress {
            Progress::Shown => Box::new(first.beside()) as Box<dyn image::progress::Progress>,
            Progress::Quiet => reporter(progress),
        })
        .collect()
}

fn say_waiting(waiting: &Waiting<'_>) {
    let holder = waiting.holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
    error::warn(&format!("waiting for {holder}, which uses {}", waiting.path.display()));
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
        container.size = Some(measured(&store, container)?);
    }
    Ok(())
}

fn measured(store: &Store, container: &Summary) -> Result<Size, Failure> {
    let image = container.image_id.as_ref().map(|id| store.images().get(id)).transpose()?.flatten();
    let base = match image {
        Some(image) => image.size,
        // Without an image it was made from a directory.
        None if container.image_id.is_none() => disk_usage::below(Path::new(&container.image)),
        None => 0,
    };
    let layout = store.layout();
    let copied = if layout.container_copy(&container.id).exists() {
        container::list::load(layout, &container.id)?
    } else {
        None
    };
    let written = match copied {
        Some(copied) => container::diff::written(store, &copied.record)?,
        None => disk_usage::below(&layout.container(&container.id).join("upper")),
    };
    Ok(Size { written, base })
}

/// The container of this name, identifier or beginning of one; `E_NOTFOUND`, and exit code 125, if there is none.
pub fn find_container(layout: &Layout, name: &str) -> Result<ContainerId, Failure> {
    Ok(container::list::find(layout, name)?)
}

/// What the containers that `name` stands for publish, all where it is absent, with their identifiers.
pub fn published(layout: &Layout, name: Option<&str>) -> Result<Vec<(ContainerId, Vec<Binding>)>, Failure> {
    let (listed, _) = remove::collect_leftovers(layout);
    let of = |container: &Listed| (container.record.id.clone(), published::bindings(container.connection.as_ref()));
    let Some(name) = name else { return Ok(listed.iter().map(of).collect()) };
    let id = container::list::find(layout, name)?;
    Ok(container::list::load(layout, &id)?.iter().map(of).collect())
}

/// Changes what a container may use, and what happens when it ends.
pub fn update(layout: &Layout, name: &str, changes: &Changes) -> Result<Felt, Failure> {
    remove::collect_leftovers(layout);
    let id = container::list::find(layout, name)?;
    container::update::execute(layout, &id, changes)
}

/// Gives a container another name.
pub fn rename_container(layout: &Layout, name: &str, new: &ContainerName) -> Result<(), Failure> {
    remove::collect_leftovers(layout);
    let id = container::list::find(layout, name)?;
    container::rename::execute(layout, &id, new)
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
pub fn wait_for_containers(
    layout: &Layout,
    ids: &[ContainerId],
    conditions: &[Condition],
    interval: Duration,
) -> Result<i32, Failure> {
    container::wait::execute(layout, ids, conditions, interval)
}

/// The container that was made last.
pub fn latest_container(layout: &Layout) -> Result<ContainerId, Failure> {
    let (listed, _) = remove::collect_leftovers(layout);
    let latest = listed.into_iter().next().map(|container| container.record.id);
    latest.ok_or_else(|| Failure::new("E_NOTFOUND", "--latest: there are no containers"))
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

/// Removes a container: `E_NOTFOUND` if there is none, `E_BUSY` if it runs and is not to be killed.
pub fn remove_container(
    layout: &Layout,
    name: &str,
    if_running: IfRunning,
    volumes: OwnVolumes,
) -> Result<(), Failure> {
    let id = container::list::find(layout, name)?;
    container::remove::execute(layout, &id, if_running, volumes)
}

/// Everything about a container; nothing if there is none.
pub fn inspect_container(
    layout: &Layout,
    name: &str,
    sizes: Sizes,
) -> Result<Option<container::inspect::Report>, Failure> {
    let id = match container::list::find(layout, name) {
        Ok(id) => id,
        Err(NotFound::Unknown(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(listed) = container::list::load(layout, &id)? else { return Ok(None) };
    let mut size = None;
    let mut digest = None;
    if listed.record.image.is_some() || sizes == Sizes::Measured {
        let store = Store::open(layout.clone())?;
        let image = listed.record.image.as_ref().map(|image| store.images().get(&image.id));
        // Of an image whose record cannot be read the rest is known all the same.
        digest = image.and_then(|image| Some(image.ok()??.manifest.digest.to_string()));
        if sizes == Sizes::Measured {
            size = Some(measured(&store, &Summary::of(&listed))?);
        }
    }
    let mut report = container::inspect::Report::of(layout, &listed, size);
    report.image_digest = digest.unwrap_or_default();
    Ok(Some(report))
}

/// Whether it is found out how much room a container takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// It is.
    Measured,
    /// It is not: that takes a walk through all that it has written.
    Unknown,
}

/// Everything about an image; nothing if there is none.
pub fn inspect_image(layout: &Layout, selector: &ImageSelector) -> Result<Option<image::inspect::Report>, Failure> {
    let store = Store::open(layout.clone())?;
    let Some(found) = store.images().resolve(selector)? else { return Ok(None) };
    image::inspect::execute(&store, &found.record.id).map(Some)
}

/// What a container or an image has changed, or how it differs from another.
pub fn diff(layout: &Layout, subject: &str, other: Option<&str>) -> Result<Vec<Change>, Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    let subject = Subject::find(&store, subject)?;
    match other {
        None => container::diff::own(&store, &subject),
        Some(other) => container::diff::between(&store, &subject, &Subject::find(&store, other)?),
    }
}

/// Begins to pack all files of a container.
pub fn export(layout: &Layout, name: &str) -> Result<Archive, Failure> {
    let store = Store::open(layout.clone())?;
    let container = loaded(layout, name)?;
    let archive = container::export::execute(&store, &container)?;
    event::note(layout, ContainerEvent::Export, &container.record);
    Ok(archive)
}

/// Copies into, out of or between containers; what was left out.
pub fn copy(
    layout: &Layout,
    (from, to): (Written, Written),
    options: Options,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<Vec<String>, Failure> {
    let store = Store::open(layout.clone())?;
    let end = |written| match written {
        Written::Stream => Ok(End::Stream),
        Written::Host(path) => Ok(End::Host(path)),
        Written::Container(name, path) => Ok::<_, Failure>(End::Container(loaded(layout, &name)?, path.into_bytes())),
    };
    let ends = (end(from)?, end(to)?);
    let mut read_stdin = |out: &mut dyn Write| {
        let taken = |cause: std::io::Error| image::import::Taking(cause);
        let passed = image::decompress::decompress_any(&mut *stdin, |piece| out.write_all(piece).map_err(taken));
        passed.map_err(Failure::from)
    };
    container::copy::execute(&store, ends, options, (&mut read_stdin, stdout))
}

/// Makes an image of a container; its id, and what was left out.
pub fn commit(layout: &Layout, name: &str, request: commit::Request) -> Result<(ImageId, Vec<String>), Failure> {
    let store = Store::open(layout.clone())?;
    // Until the image's record names its layers, nobody removes them.
    let _stays = store.lock_shared(&mut say_waiting)?;
    commit::execute(&store, &loaded(layout, name)?, request)
}

/// What is at an address on the web.
pub fn download(address: &str) -> Result<WebFile, Failure> {
    let opened = crate::registry::web::open(address, &|line| error::warn(line)).map_err(Failure::from);
    // What helps with registries does not help here.
    opened.map_err(|failure| match failure.code() {
        "E_NOTFOUND" => Failure::new("E_NOTFOUND", failure.to_string()).with_hint("check the address"),
        _ => failure,
    })
}

/// Makes an image of a tar; its id.
pub fn import(layout: &Layout, request: ImportRequest, tar: &mut dyn BufRead) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    image::import::execute(&store, request, tar)
}

/// What `info` shows of higher floors.
pub fn slots(layout: &Layout) -> Slots {
    let has_ranges = container::files::visit::caller().is_ok_and(|caller| caller.ranges.is_some());
    let ids = identity::choice::usual(kernel::version(), has_ranges);
    Slots {
        graph_driver: Some(graph_driver(layout)),
        ids: Choice { name: ids.ids.mode().to_string(), reason: ids.reason() },
        landlock_abi: Some(crate::sys::landlock::abi()),
    }
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
    choose(layout, directory.path())
}

fn choose(layout: &Layout, directory: &Path) -> Choice {
    let chosen = |driver: Driver, reason: String| Choice { name: driver.name().into(), reason };
    let mut found_out = Vec::new();
    let mut next = Some(layout.first_driver());
    if next != Some(Driver::default()) && layout.storage_driver().is_none() {
        found_out.push("storage.conf or a storage option asks for it".to_owned());
    }
    while let Some(driver) = next {
        let place = directory.join(driver.name());
        if let Err(error) = std::fs::create_dir(&place) {
            return Choice { name: "none".into(), reason: format!("nothing can be written to the store: {error}") };
        }
        match crate::runtime::probe::overlay(driver, &place) {
            Ok(()) => {
                let what = match driver {
                    Driver::Overlay => "the kernel's overlay was mounted on the store's file system",
                    Driver::Fuse => "our own overlay was mounted and served through /dev/fuse",
                    Driver::Copy => "each container has a copy of its layers",
                };
                found_out.push(what.to_owned());
                return chosen(driver, found_out.join("; "));
            }
            Err(error) => {
                let failure = Failure::from(error);
                let cure = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                found_out.push(format!("{failure}{cure}"));
            }
        }
        next = driver.next().filter(|_| layout.storage_driver().is_none());
    }
    Choice { name: "none".into(), reason: found_out.join("; ") }
}
