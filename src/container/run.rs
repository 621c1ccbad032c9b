//! `run` and `create`: make a container, and launch it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

use super::accounts::Accounts;
use super::base::Base;
use super::create::{self, CreateError, Owned};
use super::launch::{Launch, Presence, Report};
use super::monitor::{self, streams};
use super::networks::{self, Membership};
use super::remove::OwnVolumes;
use super::request::{IdsMode, NetworkMode, ProcessRequest, Removal, Request};
use super::translate::resources;
use super::translate::{PER_NAMESPACE_PROCESS_COUNT, Surroundings, translate};
use super::user::ContainerUser;
use super::{driver, environment, event, joined, random_name, remove, secrets, volumes};
use crate::failure::Failure;
use crate::host::{kernel, program};
use crate::identity::map::Caller;
use crate::name::capability::CapabilitySet;
use crate::name::container::{ContainerId, ContainerName};
use crate::rootfs::view::View;
use crate::runtime::blueprint::{Blueprint, WindowSize};
use crate::runtime::plan::LaunchPlan;
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::sys::{credentials, random};

/// Attempts at finding a name that is not in use.
const NAME_ATTEMPTS: u8 = 20;

/// Makes and runs the container. `release` is called once its record says what it is made from.
pub fn execute(
    layout: &Layout,
    request: &Request,
    base: &Base,
    presence: &Presence,
    notice: &dyn Fn(&str),
    release: impl FnOnce(),
) -> Result<Report, Failure> {
    let surroundings = surroundings(layout, request, base, None)?;
    let keeps = if request.removal == Removal::AtExit { Keeps::Nothing } else { Keeps::Request };
    networks::check(layout, request)?;
    let (owned, record, mut blueprint) = make(request, &surroundings, keeps)?;
    release();
    event::note(layout, ContainerEvent::Create, &record);
    let id = owned.id.clone();
    let memberships = match complete(layout, request, &record, &mut blueprint)
        .and_then(|()| networks::take(layout, request, &id, &record.name, &blueprint.network))
    {
        Ok(memberships) => memberships,
        Err(failure) => {
            let _ = remove::delete(layout, &id, OwnVolumes::Remove);
            return Err(failure);
        }
    };
    networks::tell(&mut blueprint, request, &record.name, &memberships);
    if blueprint.systemd && blueprint.group.is_none() {
        notice(
            "there is no control group for systemd to manage: it takes version 2, and a user manager of systemd or a delegated group",
        );
    }
    let plan = LaunchPlan::new(blueprint);
    let launch = Launch::new(layout, request, record, plan, owned, notice).in_networks(memberships);
    let result = write_cidfile(request, &id).and_then(|()| launch.execute(presence));
    if result.is_err() && !launch.was_executed() {
        launch.leave_networks();
        // Nothing of a container that never ran is left behind; what one wrote is not thrown away with an error.
        let _ = remove::delete(layout, &id, OwnVolumes::Remove);
    }
    result
}

/// Adds what is fetched for each life of a container.
fn complete(
    layout: &Layout,
    request: &Request,
    record: &ContainerRecord,
    blueprint: &mut Blueprint,
) -> Result<(), Failure> {
    secrets::give(layout, request, blueprint)?;
    volumes::mount_by_drivers(layout, record, blueprint).inspect_err(|_| volumes::let_go(layout, record))
}

/// Makes the container and leaves it to be started. `release` as above.
pub fn create(layout: &Layout, request: &Request, base: &Base, release: impl FnOnce()) -> Result<ContainerId, Failure> {
    let surroundings = surroundings(layout, request, base, None)?;
    networks::check(layout, request)?;
    let (owned, record, blueprint) = make(request, &surroundings, Keeps::Request)?;
    let filled = match request.fill_at_once {
        true => volumes::fill(layout, &record, &blueprint),
        false => Ok(()),
    };
    release();
    let marked = File::create(layout.created_marker(&owned.id));
    let made = filled.and_then(|()| marked.map_err(|cause| record::failure("marking the new container", &cause)));
    let result = made.and_then(|_| write_cidfile(request, &owned.id));
    if result.is_err() {
        let _ = remove::delete(layout, &owned.id, OwnVolumes::Remove);
    }
    result.map(|()| {
        event::note(layout, ContainerEvent::Create, &record);
        owned.id
    })
}

/// Whether the request stays with the container, to be repeated when it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Request,
    Nothing,
}

/// The plan of a container that is there.
pub fn plan_again(
    layout: &Layout,
    request: &Request,
    base: &Base,
    id: &ContainerId,
    name: &ContainerName,
) -> Result<(LaunchPlan, Vec<Membership>), Failure> {
    let _held = volumes::hold(layout, request)?;
    let (mut blueprint, record) = translate(request, &surroundings(layout, request, base, Some(id))?, id, name)?;
    volumes::make(layout, request)?;
    complete(layout, request, &record, &mut blueprint)?;
    let memberships = networks::take(layout, request, id, name, &blueprint.network)?;
    networks::tell(&mut blueprint, request, name, &memberships);
    Ok((LaunchPlan::new(blueprint), memberships))
}

/// What a container would get otherwise than it was asked for.
pub fn warnings(request: &Request) -> Result<Vec<String>, Failure> {
    let mut warnings = network_warnings(request);
    if !request.limits.is_default() {
        let id = ContainerId::from_random([0; 32]);
        let per_namespace = kernel::version() >= PER_NAMESPACE_PROCESS_COUNT;
        warnings.extend(resources::share(&request.limits, &id, per_namespace)?.warnings);
    }
    Ok(warnings)
}

fn network_warnings(request: &Request) -> Vec<String> {
    let publishes = request.ports.all || !request.ports.published.is_empty();
    let lacks_helper = || program::find("slirp4netns").or_else(|| program::find("pasta")).is_none();
    match request.network {
        NetworkMode::Host if publishes => {
            vec!["with --network host nothing is published: the container's ports are the host's".into()]
        }
        NetworkMode::Default if !publishes && lacks_helper() => vec![
            "the container has no network: install slirp4netns (or passt) for one; --network none is quiet about it"
                .into(),
        ],
        _ => Vec::new(),
    }
}

/// The plan of a container that is not made.
pub fn plan(layout: &Layout, request: &Request, base: &Base) -> Result<LaunchPlan, Failure> {
    let id = ContainerId::from_random([0; 32]);
    let request = &*joined::settled(layout, volumes::settled(layout, request, base)?)?;
    let (blueprint, _) = translate(request, &surroundings(layout, request, base, None)?, &id, &name_from(&id))?;
    Ok(LaunchPlan::new(blueprint))
}

/// What is known beside the request for a new container, or for `id`, which is there.
fn surroundings<'a>(
    layout: &'a Layout,
    request: &Request,
    base: &'a Base,
    id: Option<&ContainerId>,
) -> Result<Surroundings<'a>, Failure> {
    let capabilities = credentials::capabilities().map_err(|errno| internal("reading our capabilities", errno))?;
    let caller = Caller::current(CapabilitySet::from_bits(capabilities.effective));
    let view = View::new(match base {
        Base::Image(image) => image.layers.iter().rev().map(|diff_id| layout.layer(diff_id).join("tree")).collect(),
        Base::Directory(path) => vec![path.clone()],
    });
    let user = ContainerUser::look_up(request, base, &view, &caller)?;
    let accounts = Accounts::of(request, &user, &caller, &view)?;
    Ok(Surroundings {
        layout,
        driver: driver::of(layout, request, id),
        caller,
        base,
        user,
        cgroup2: kernel::has_cgroup2(),
        kernel: kernel::version(),
        window: monitor::window_of_caller()
            .map_or_else(WindowSize::default, |window| WindowSize { rows: window.ws_row, columns: window.ws_col }),
        lacks_mount_targets: crate::store::TARGET_FILES.iter().any(|file| !view.contains(file)),
        has_32_bit_programs: view.has_32_bit_programs(),
        accounts,
        view,
    })
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}

/// Makes the container under the name asked for, or under the first of some random ones that is free.
fn make(
    request: &Request,
    surroundings: &Surroundings<'_>,
    keeps: Keeps,
) -> Result<(Owned, ContainerRecord, Blueprint), Failure> {
    let random = || random::bytes().map_err(|errno| internal("getting random bytes", errno));
    let id = ContainerId::from_random(random()?);
    let request = volumes::settled(surroundings.layout, request, surroundings.base)?;
    let request = &*joined::settled(surroundings.layout, request)?;
    let layout = surroundings.layout;
    secrets::check(layout, request)?;
    let held = volumes::hold(layout, request)?;
    let mut attempt = 0;
    loop {
        let name = match &request.name {
            Some(name) => name.clone(),
            None => random_name::from_random(random()?, attempt).unwrap_or_else(|| name_from(&id)),
        };
        let (blueprint, mut record) = translate(request, surroundings, &id, &name)?;
        if keeps == Keeps::Request {
            let ids = record.ids.as_ref().map_or(request.ids, |ids| ids.mode);
            record.request = Some(kept(request, ids)?);
        }
        match create::create(layout, &id, &name, &record) {
            Ok(owned) => {
                if let Err(error) = volumes::make(layout, request) {
                    drop(held);
                    let _ = remove::delete(layout, &id, OwnVolumes::Remove);
                    return Err(error.into());
                }
                return Ok((owned, record, blueprint));
            }
            Err(CreateError::NameInUse { .. }) if request.name.is_none() && attempt < NAME_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The request as it is kept: what it takes from our environment is taken now, and what was chosen stays chosen.
fn kept(request: &Request, ids: IdsMode) -> Result<Box<serde_json::value::RawValue>, Failure> {
    let base_env = environment::settled(&request.process.base_env);
    let process = ProcessRequest { base_env, ..request.process.clone() };
    let settled = Request { env: environment::settled(&request.env), ids, process, ..request.clone() };
    serde_json::value::to_raw_value(&settled)
        .map_err(|cause| Failure::new("E_STATE", format!("keeping what the container was asked for: {cause}")))
}

fn name_from(id: &ContainerId) -> ContainerName {
    // A hexadecimal identifier is a name.
    id.short().parse().unwrap_or_else(|_| unreachable!("twelve hexadecimal digits are a name"))
}

fn write_cidfile(request: &Request, id: &ContainerId) -> Result<(), Failure> {
    let Some(path) = &request.cidfile else { return Ok(()) };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    written.and_then(|mut file| file.write_all(id.as_str().as_bytes())).map_err(|cause| {
        let failure =
            Failure::new(record::io_code(&cause), format!("writing the container's id to {}: {cause}", path.display()));
        failure.with_hint("--cidfile names a file that does not exist yet")
    })
}

/// Whether the caller asked for a terminal without having one to offer.
pub fn lacks_terminal(presence: &Presence) -> bool {
    matches!(presence, Presence::Attached(attachment) if attachment.terminal && attachment.input)
        && !nix::unistd::isatty(streams::standard(0)).unwrap_or(false)
}

/// Refuses a `--cidfile` that exists before anything is made.
pub fn check_cidfile(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        let failure = Failure::new("E_EXISTS", format!("the file {} for the container's id exists", path.display()));
        return Err(failure.with_hint("remove it, or name another one"));
    }
    Ok(())
}
