//! What a process that is started in a container is to be: its record and its files are looked at, and everything is decided,
//! before anything is joined.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::sched::CloneFlags;

use super::ids::{self, Supervision};
use super::{Privileges, Request};
use crate::container::environment::Environment;
use crate::container::live::{Live, NotLive};
use crate::container::request::{CapabilityChanges, SeccompChoice, Terminal, UserName, UserSpec};
use crate::container::translate::resources;
use crate::container::translate::{self, Refused, c_string};
use crate::container::user::ContainerUser;
use crate::container::{driver, host_view, secrets};
use crate::container::{group, monitor};
use crate::failure::Failure;
use crate::host::{kernel, processes};
use crate::identity::choice::Ids;
use crate::lsm::capability::{self, Sets};
use crate::name::capability::{Capability, CapabilitySet};
use crate::name::capability_change::CapabilityName;
use crate::name::concealed::Concealed;
use crate::name::ids::IdsMode;
use crate::name::storage_driver::Driver;
use crate::rootfs::view::View;
use crate::runtime::blueprint::{IdMaps, Process, WindowSize};
use crate::runtime::plan::LaunchPlan;
use crate::runtime::plan::join::Joined;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;

/// The plan of the process, and the member of the container whose namespaces it joins.
pub fn plan(layout: &Layout, live: &Live, request: &Request) -> Result<(LaunchPlan, Option<Supervision>), Failure> {
    let (number, member) = live.member()?;
    let ids = id_maps(number).ok_or_else(|| NotLive::Ended(live.record.id.clone()))?;
    let (process, supervision) = process(layout, &live.record, number, &ids, request)?;
    let namespaces = foreign_namespaces(number);
    // All that was read under a number is that process's if it still is there.
    live.check()?;
    let group = group::of(layout, &live.record.id);
    Ok((LaunchPlan::joining(Joined { member, namespaces, ids, group }, process), supervision))
}

/// Namespaces of a process that are not ours: entering those needs privilege where they do not belong to the container.
fn foreign_namespaces(number: i32) -> CloneFlags {
    let kinds = [
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("net", CloneFlags::CLONE_NEWNET),
    ];
    let number = number.to_string();
    let foreign = kinds
        .into_iter()
        .filter(|(kind, _)| processes::namespace(&number, kind) != processes::namespace("self", kind))
        .map(|(_, flag)| flag);
    foreign.collect()
}

/// The maps of a process's user namespace.
fn id_maps(number: i32) -> Option<IdMaps> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{number}/{file}")).ok().filter(|map| !map.is_empty());
    let (uid_map, gid_map) = (read("uid_map")?, read("gid_map")?);
    match (single_id(&uid_map), single_id(&gid_map)) {
        (Some((uid, host_uid)), Some((gid, host_gid))) => Some(IdMaps::Single { uid, gid, host_uid, host_gid }),
        _ => Some(IdMaps::Ranges { uid_map, gid_map }),
    }
}

/// Id inside and id outside of a map of a single id.
fn single_id(map: &str) -> Option<(u32, u32)> {
    let mut fields = map.split_ascii_whitespace().map(str::parse);
    match (fields.next()?, fields.next()?, fields.next()?, fields.next()) {
        (Ok(inside), Ok(outside), Ok(1_u32), None) => Some((inside, outside)),
        _ => None,
    }
}

fn process(
    layout: &Layout,
    record: &ContainerRecord,
    number: i32,
    ids: &IdMaps,
    request: &Request,
) -> Result<(Process, Option<Supervision>), Failure> {
    let user = user(layout, record, number, ids, request)?;
    let secrets = secrets::reveal_variables(layout, record)?;
    let environment = environment(record, &user, &secrets, request);
    let program = request.command.first().filter(|program| !program.is_empty()).ok_or(Refused::NoCommand)?;
    let candidates = translate::candidates(program, environment.get("PATH"))?;
    let (capabilities, bounding) = capabilities(record, user.uid, request.privileges);
    let kernel = kernel::version();
    let seccomp = match record.process.seccomp.as_str() {
        "default" => SeccompChoice::Default,
        "unconfined" => SeccompChoice::Unconfined,
        file => SeccompChoice::File(file.into()),
    };
    let has_32_bit_programs = seccomp == SeccompChoice::Default && made_from(layout, record).has_32_bit_programs();
    let window = monitor::window_of_caller()
        .map_or_else(WindowSize::default, |window| WindowSize { rows: window.ws_row, columns: window.ws_col });
    let mode = mode(record);
    let supervision = (mode == Ids::Emulate)
        .then(|| {
            let credentials = translate::ids::credentials(
                &capabilities,
                user.uid,
                user.gid,
                user.groups.as_deref().unwrap_or_default(),
            );
            ids::ask(layout, &record.id, &credentials)
        })
        .transpose()?;
    let limit = supervision.as_ref().map_or(0, |supervision| supervision.limit);
    let process = Process {
        candidates,
        argv: request.command.iter().map(|word| c_string(word.as_bytes())).collect::<Result<_, _>>()?,
        envp: environment.entries().map(|entry| c_string(entry.into_vec())).collect::<Result<_, _>>()?,
        cwd: request.workdir.clone().unwrap_or_else(|| record.process.workdir.clone()),
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        capabilities,
        no_new_privileges: record.process.no_new_privileges,
        ids: translate::ids::of_process(mode, &seccomp, has_32_bit_programs, limit)?,
        filter: translate::filter(&seccomp, has_32_bit_programs, kernel, bounding)?,
        limits: resources::rlimits(&record.limits, kernel >= translate::PER_NAMESPACE_PROCESS_COUNT),
        // Its parent has it already: it hides from ptrace, and may not change its own any more.
        oom_score_adj: None,
        // Its parent has told the kernel already, for the same reason.
        apparmor: None,
        umask: record.asked.umask.0,
        personality: record.asked.personality.number(),
        new_keyring: !record.asked.shares_keyring,
        terminal: (request.terminal == Terminal::New).then_some(window),
    };
    Ok((process, supervision))
}

/// How the container's ids are made.
fn mode(record: &ContainerRecord) -> Ids {
    match record.ids.as_ref().map(|ids| ids.mode) {
        Some(IdsMode::Emulate) => Ids::Emulate,
        Some(IdsMode::Fake) => Ids::Fake,
        Some(IdsMode::Range) => Ids::Range,
        Some(IdsMode::Native | IdsMode::Auto) | None => Ids::Native,
    }
}

/// The files that the container was made from, as they were looked at when it was.
fn made_from(layout: &Layout, record: &ContainerRecord) -> View {
    View::new(match &record.rootfs {
        Some(directory) => vec![directory.clone()],
        None => record.layers.iter().rev().map(|diff_id| layout.layer(diff_id).join("tree")).collect(),
    })
}

/// The files that the container has now. An overlay of ours shows them to nobody outside of it (`fuse_allow_current_process`):
/// then they are looked for in its layers.
fn as_it_is(layout: &Layout, record: &ContainerRecord, number: i32) -> View {
    match driver::recorded(layout, &record.id) {
        Some(found) if found.driver == Driver::Fuse => {
            let upper = layout.container(&record.id).join("upper");
            View::new(match &record.rootfs {
                None => {
                    let layers = record.layers.iter().rev().map(|diff_id| layout.layer(diff_id).join("tree"));
                    std::iter::once(upper).chain(layers).collect()
                }
                // Where it is put together of several directories each has a layer of its own, and none is that of the root.
                Some(directory) if host_view::survey(directory, &[]).is_empty() => {
                    vec![upper.join("0/upper"), directory.clone()]
                }
                Some(directory) => vec![directory.clone()],
            })
        }
        _ => View::new(vec![format!("/proc/{number}/root").into()]),
    }
}

/// The user asked for, looked up in the files that the container shows now, mounts included.
fn user(
    layout: &Layout,
    record: &ContainerRecord,
    number: i32,
    ids: &IdMaps,
    request: &Request,
) -> Result<ContainerUser, Failure> {
    let recorded = (!record.process.user.is_empty()).then(|| record.process.user.parse()).transpose()?;
    // Whose ids are not the kernel's can be anybody.
    let is_one = matches!(ids, IdMaps::Single { .. }) && mode(record) != Ids::Emulate;
    let same = |user: &ContainerUser| (user.uid, user.gid) == record.process.ids;
    let plain = ContainerUser {
        asked: record.process.user.clone(),
        uid: record.process.ids.0,
        gid: record.process.ids.1,
        groups: Some(Vec::new()),
        home: String::new(),
        name: None,
        is_caller: false,
    };
    let spec = match (&request.user, &recorded) {
        (Some(spec), _) => spec,
        // Other groups than the one cannot be had, so there is nothing to look up.
        (None, Some(spec)) if !is_one => spec,
        (None, _) if is_one => return Ok(plain),
        (None, _) => &UserSpec { user: UserName::Id(plain.uid), group: Some(UserName::Id(plain.gid)) },
    };
    let view = as_it_is(layout, record, number);
    let mut found = ContainerUser::of_spec(spec, &view)?;
    if !is_one {
        found.add_groups(&record.asked.groups, &view, true)?;
    }
    match is_one {
        true if !same(&found) => {
            let (uid, gid) = record.process.ids;
            let message = format!(
                "starting a process as user {} and group {}: the container has one user, {uid}, and one group, {gid}",
                found.uid, found.gid
            );
            Err(Failure::new("E_USER_INVALID", message).with_hint("leave --user out, or run the container with it"))
        }
        _ => Ok(found),
    }
}

/// That of the container's process. A user asked for has its own home.
fn environment(
    record: &ContainerRecord,
    user: &ContainerUser,
    secrets: &[(String, Concealed)],
    request: &Request,
) -> Environment {
    let mut environment = Environment::default();
    environment.add_image(&record.process.env);
    for (variable, secret) in secrets {
        environment.set(variable, OsStr::from_bytes(secret.reveal()));
    }
    if request.terminal == Terminal::New {
        environment.set_default("TERM", "xterm");
    }
    if request.user.is_some() && !user.home.is_empty() {
        environment.set("HOME", user.home.as_str());
    }
    environment.add_settings(&request.env);
    environment
}

/// The sets of a process, and the bounding set among them. Which capabilities were added to the container is seen by what
/// others do not have.
fn capabilities(record: &ContainerRecord, uid: u32, privileges: Privileges) -> (Sets, CapabilitySet) {
    if privileges == Privileges::All {
        let add = vec![CapabilityName::All];
        return (
            Sets::for_user(CapabilitySet::all(), &CapabilityChanges { add, drop: Vec::new() }, uid),
            CapabilitySet::all(),
        );
    }
    let named: Vec<Capability> = record.process.bounding.iter().filter_map(|name| name.parse().ok()).collect();
    let bounding = CapabilitySet::of(&named);
    let is_added = |capability: &Capability| !capability::DEFAULT.contains(*capability);
    let add = match bounding == CapabilitySet::all() {
        true => vec![CapabilityName::All],
        false => bounding.iter().filter(is_added).map(CapabilityName::One).collect(),
    };
    (Sets::for_user(bounding, &CapabilityChanges { add, drop: Vec::new() }, uid), bounding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_one_id() {
        assert_eq!(single_id("         0       1000          1\n"), Some((0, 1000)));
        assert_eq!(single_id("0 0 4294967295\n"), None);
        assert_eq!(single_id("0 1000 1\n1 100000 65536\n"), None);
        assert_eq!(single_id(""), None);
    }
}
