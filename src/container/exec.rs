//! `exec`: another process in a container that runs.
//!
//! This process enters the container's user and pid namespaces, the latter for its child only: nothing of us is ever among the
//! container's processes but the child, which nobody in there may look into (SECURITY.md R8) until it executes the program.
//! Files are looked up, and everything is decided, before.

use std::ffi::OsString;
use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::environment::Environment;
use super::freeze::{self, FreezeError};
use super::launch::leave_session;
use super::live::{Live, NotLive};
use super::monitor::{self, Channel, streams};
use super::request::{CapabilityChanges, EnvSetting, SeccompChoice, Stdin, Terminal, UserSpec};
use super::translate::{self, c_string};
use super::user::ContainerUser;
use super::{event, hardening, translate::Refused};
use crate::failure::Failure;
use crate::host::{kernel, processes};
use crate::lsm::capability::{self, Sets};
use crate::name::capability::{Capability, CapabilitySet};
use crate::name::capability_change::CapabilityName;
use crate::name::container::ContainerId;
use crate::rootfs::view::View;
use crate::runtime::blueprint::{IdMaps, Process, WindowSize};
use crate::runtime::launch_error::LaunchError;
use crate::runtime::own_program;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::plan::join::Joined;
use crate::runtime::spawn::{self, Running};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{clone, memory, namespace, pidfd, process};

/// A process to be started in a container.
#[derive(Clone, Debug)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Whether the command stays with the process.
    pub attach: Attach,
    /// Whether the process reads our standard input.
    pub stdin: Stdin,
    /// Whether the process gets a terminal of its own.
    pub terminal: Terminal,
    /// What its environment has beside the container's.
    pub env: Vec<EnvSetting>,
    /// Working directory; the container's where absent.
    pub workdir: Option<String>,
    /// User; the container's where absent.
    pub user: Option<UserSpec>,
    /// What it may do.
    pub privileges: Privileges,
}

/// Whether the command stays with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Until it has ended.
    Foreground,
    /// Only until it has been started.
    Detached,
}

/// What a process may do in its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// What the container's own process may.
    Containers,
    /// All that can be done in the container's namespaces (`--privileged`).
    All,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The process has ended with this exit code.
    Exited(u8),
    /// The process runs, detached.
    Detached,
}

/// Starts a process in the container of this identifier. May start this program over, so nothing may have been done before that
/// is not to be done twice.
pub fn execute(layout: &Layout, id: &ContainerId, request: &Request) -> Result<Report, Failure> {
    let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
    let live = Live::find(layout, id)?;
    if freeze::is_paused(layout, id, &live.processes) {
        return Err(FreezeError::Paused(id.clone()).into());
    }
    own_program::protect(&proof)?;
    let (number, member) = live.member()?;
    let ids = id_maps(number).ok_or_else(|| NotLive::Ended(id.clone()))?;
    let process = prepare(layout, &live, number, &ids, request)?;
    let namespaces = foreign_namespaces(number);
    // All that was read under a number is that process's if it still is there.
    live.check()?;
    let joining = Joining { layout, live, request };
    match request.attach {
        Attach::Foreground => {
            joining.foreground(&proof, Joined { member, namespaces, ids }, process).map(Report::Exited)
        }
        Attach::Detached => {
            joining.detached(&proof, Joined { member, namespaces, ids }, process).map(|()| Report::Detached)
        }
    }
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

fn prepare(layout: &Layout, live: &Live, number: i32, ids: &IdMaps, request: &Request) -> Result<Process, Failure> {
    let record = &live.record;
    let user = user(record, number, ids, request)?;
    let environment = environment(record, &user, request);
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
    Ok(Process {
        candidates,
        argv: request.command.iter().map(|word| c_string(word.as_bytes())).collect::<Result<_, _>>()?,
        envp: environment.entries().map(|entry| c_string(entry.into_vec())).collect::<Result<_, _>>()?,
        cwd: request.workdir.clone().unwrap_or_else(|| record.process.workdir.clone()),
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        capabilities,
        no_new_privileges: record.process.no_new_privileges,
        filter: translate::filter(&seccomp, has_32_bit_programs, kernel, bounding)?,
        limits: hardening::limits(kernel >= translate::PER_NAMESPACE_PROCESS_COUNT),
        umask: 0o022,
        terminal: (request.terminal == Terminal::New).then_some(window),
    })
}

/// The files that the container was made from, as they were looked at when it was.
fn made_from(layout: &Layout, record: &ContainerRecord) -> View {
    View::new(match &record.rootfs {
        Some(directory) => vec![directory.clone()],
        None => record.layers.iter().rev().map(|diff_id| layout.layer(diff_id).join("tree")).collect(),
    })
}

/// The user asked for, looked up in the files that the container shows now, mounts included.
fn user(record: &ContainerRecord, number: i32, ids: &IdMaps, request: &Request) -> Result<ContainerUser, Failure> {
    let recorded = (!record.process.user.is_empty()).then(|| record.process.user.parse()).transpose()?;
    let same = |user: &ContainerUser| (user.uid, user.gid) == record.process.ids;
    let plain = ContainerUser {
        asked: record.process.user.clone(),
        uid: record.process.ids.0,
        gid: record.process.ids.1,
        groups: Vec::new(),
        home: String::new(),
    };
    let spec = match (&request.user, &recorded, ids) {
        (Some(spec), ..) => spec,
        // Other groups than the one cannot be had, so there is nothing to look up.
        (None, _, IdMaps::Single { .. }) | (None, None, _) => return Ok(plain),
        (None, Some(spec), _) => spec,
    };
    let view = View::new(vec![format!("/proc/{number}/root").into()]);
    let found = ContainerUser::of_spec(spec, &view)?;
    match ids {
        IdMaps::Single { .. } if !same(&found) => {
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
fn environment(record: &ContainerRecord, user: &ContainerUser, request: &Request) -> Environment {
    let mut environment = Environment::default();
    environment.add_image(&record.process.env);
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

struct Joining<'a> {
    layout: &'a Layout,
    live: Live,
    request: &'a Request,
}

impl Joining<'_> {
    fn foreground(&self, proof: &SingleThreaded, container: Joined, process: Process) -> Result<u8, Failure> {
        let signals = self.signals()?;
        let (mut channels, mut given) = (Vec::new(), None);
        if self.request.terminal == Terminal::None {
            let streams = streams::attached(self.request.stdin, None)
                .map_err(|errno| internal("preparing the streams", errno))?;
            (given, channels) = (Some(streams.given), streams.channels);
        }
        let running = self.launch(proof, container, process, given)?;
        if let Some(master) = &running.terminal {
            channels = streams::terminal(master, self.request.stdin)
                .map_err(|errno| internal("preparing the terminal", errno))?;
        }
        self.serve(&running, &signals, channels)
    }

    fn serve(&self, running: &Running, signals: &SignalQueue, channels: Vec<Channel>) -> Result<u8, Failure> {
        event::note(self.layout, ContainerEvent::Exec, &self.live.record);
        let code = supervise(running, signals, channels);
        event::note(self.layout, ContainerEvent::ExecDied, &self.live.record);
        code
    }

    /// Forks a parent for the process that is nobody's child and outlives this command.
    fn detached(&self, proof: &SingleThreaded, container: Joined, process: Process) -> Result<(), Failure> {
        let (mut report, mut reporter) =
            std::io::pipe().map_err(|cause| Failure::new("E_IO", format!("making a pipe: {cause}")))?;
        let middle = clone::fork_into(proof, CloneFlags::empty(), || match clone::fork(proof) {
            Ok(None) => self.stay(proof, container, process, &mut reporter),
            Ok(Some(_)) => 0,
            Err(_) => crate::failure::EXIT_OWN_FAILURE,
        });
        let middle = middle.map_err(|errno| internal("starting a parent for the process", errno))?;
        drop(reporter);
        let _ = pidfd::wait(middle.pidfd.as_fd());
        let mut story = Vec::new();
        let read = report.read_to_end(&mut story);
        read.map_err(|cause| Failure::new("E_IO", format!("waiting for the process's parent: {cause}")))?;
        if story == STARTED {
            return Ok(());
        }
        Err(Failure::from_report(&story).unwrap_or_else(|| {
            Failure::new("E_HELPER_DIED", "the parent of the process ended before the process was started")
        }))
    }

    /// The parent of a detached process.
    fn stay(&self, proof: &SingleThreaded, container: Joined, process: Process, reporter: &mut PipeWriter) -> u8 {
        process::set_name(c"coracle-exec");
        let started = leave_session().and_then(|null| self.start_detached(proof, container, process, null));
        match started {
            Ok((running, signals, channels)) => {
                let _ = reporter.write_all(STARTED);
                // The command waits for the end of the report.
                process::close_inherited(reporter);
                self.serve(&running, &signals, channels).unwrap_or(crate::failure::EXIT_OWN_FAILURE)
            }
            Err(failure) => {
                let _ = reporter.write_all(&failure.to_report());
                crate::failure::EXIT_OWN_FAILURE
            }
        }
    }

    /// What a detached process writes is thrown away, as podman does it.
    fn start_detached(
        &self,
        proof: &SingleThreaded,
        container: Joined,
        process: Process,
        null: OwnedFd,
    ) -> Result<(Running, SignalQueue, Vec<Channel>), Failure> {
        let prepare = |errno| internal("preparing the streams", errno);
        let signals = self.signals()?;
        if self.request.terminal == Terminal::New {
            let running = self.launch(proof, container, process, None)?;
            let channels = running
                .terminal
                .as_ref()
                .map(|master| streams::detached_terminal(master, Stdin::Null, None))
                .transpose();
            return Ok((running, signals, channels.map_err(prepare)?.unwrap_or_default()));
        }
        let copy = || null.try_clone().map_err(|cause| Failure::new("E_IO", format!("preparing the streams: {cause}")));
        let given = [copy()?, copy()?, copy()?];
        Ok((self.launch(proof, container, process, Some(given))?, signals, Vec::new()))
    }

    fn signals(&self) -> Result<SignalQueue, Failure> {
        SignalQueue::new(monitor::is_forwarded).map_err(|errno| internal("blocking signals", errno))
    }

    fn launch(
        &self,
        proof: &SingleThreaded,
        container: Joined,
        process: Process,
        streams: Option<[OwnedFd; 3]>,
    ) -> Result<Running, Failure> {
        let short = self.live.record.id.short();
        // The child has our command line until it executes the program, and anybody in the container may read that.
        memory::set_command_line(&format!("coracle-exec {short}"));
        let hide = |()| process::hide_from_ptrace();
        let joined = hide(())
            .and_then(|()| {
                namespace::join(container.member.as_fd(), CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)
            })
            // To get new capabilities makes the kernel forget it (PR_SET_DUMPABLE(2const)).
            .and_then(hide);
        joined.map_err(|errno| match errno {
            // Its process is about to end, and has no namespaces any more.
            Errno::ESRCH => NotLive::Ended(self.live.record.id.clone()).into(),
            _ => self.explained(internal("entering the container's namespaces", errno)),
        })?;
        let plan = LaunchPlan::joining(container, process);
        spawn::launch(proof, &plan, streams).map_err(|error| self.explained(error.into()))
    }

    /// The end of a container is felt in many places.
    fn explained(&self, failure: Failure) -> Failure {
        if self.live.has_ended() { NotLive::Ended(self.live.record.id.clone()).into() } else { failure }
    }
}

fn supervise(running: &Running, signals: &SignalQueue, channels: Vec<Channel>) -> Result<u8, Failure> {
    monitor::supervise(running, signals, channels).map_err(|errno| internal("watching the process", errno))
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}

/// What the parent of a detached process reports when that runs; anything else is a failure.
const STARTED: &[u8] = b"started\n";

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
