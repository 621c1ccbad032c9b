//! `wait`: until a container does something.
//!
//! What it does is told by the kernel: the end of its monitor by a pidfd, everything else by changes of its directory and of
//! the directory of process records. Only a container that is being started can die without a trace in either, so that it is
//! looked at again from time to time.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::Pid;

use super::event::EXIT_CODE;
use super::filter;
use super::list::{self, Listed};
use super::status::{self, Status};
use super::summary;
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::state::journal;
use crate::state::layout::Layout;
use crate::sys::pidfd;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has ended.
    Exited,
    /// It does what [`summary::Status::as_str`] calls so.
    Status(&'static str),
    /// Its health check says so.
    Health(&'static str),
}

impl Condition {
    /// podman's words for conditions, and what they mean here.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("created", Self::Status("created")),
        ("initialized", Self::Status("initialized")),
        ("running", Self::Status("running")),
        ("paused", Self::Status("paused")),
        ("restarting", Self::Status("restarting")),
        ("exited", Self::Exited),
        ("stopped", Self::Exited),
        ("removing", Self::Status("removing")),
        ("healthy", Self::Health("healthy")),
        ("unhealthy", Self::Health("unhealthy")),
    ];
}

/// What is printed where there is no exit code, as podman does.
pub const NO_CODE: i32 = -1;

/// Waits until one of the containers meets one of the conditions. Its exit code if it has ended, else [`NO_CODE`]. `interval`
/// is how often a container is looked at of which the kernel tells nothing.
pub fn execute(
    layout: &Layout,
    ids: &[ContainerId],
    conditions: &[Condition],
    interval: Duration,
) -> Result<i32, Failure> {
    let changes = watch(layout, ids)?;
    loop {
        let (mut monitors, mut limit, mut still) = (Vec::new(), None, true);
        for id in ids {
            let Some(container) = list::load(layout, id)? else { return Ok(gone(layout, id, conditions)) };
            if let Some(condition) = conditions.iter().find(|condition| is_met(**condition, &container)) {
                return Ok(match (condition, &container.status) {
                    (Condition::Exited, Status::Stopped(stopped)) => i32::from(stopped.code),
                    _ => NO_CODE,
                });
            }
            refuse_unhealthy_wait(&container, conditions)?;
            match monitor_of(&container) {
                Some(monitor) => monitors.push(monitor),
                None if is_alive(&container) => limit = Some(interval),
                None => {}
            }
            // A monitor that lives now is the one whose number was looked up.
            still &= status::of(layout, id).is_ok_and(|now| alike(&now, &container.status));
        }
        if still {
            sleep(&changes, &monitors, limit);
        }
    }
}

/// How long a container may take to be started.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How often one that is being started, or removed, is looked at: whoever does that may die without a trace.
const GLANCE: Duration = Duration::from_millis(20);

/// The container, once it is not just being started, or has been for too long; nothing if it is gone. Its process may run
/// already: who serves it is written down right after that.
pub fn settled(layout: &Layout, id: &ContainerId) -> Result<Option<Listed>, Failure> {
    let is_settled = |container: &Option<Listed>| {
        container.as_ref().is_none_or(|container| !matches!(container.status, Status::Creating))
    };
    let container = list::load(layout, id)?;
    if is_settled(&container) {
        return Ok(container);
    }
    let (changes, deadline) = (watch(layout, std::slice::from_ref(id))?, Instant::now() + START_PATIENCE);
    loop {
        let container = list::load(layout, id)?;
        if is_settled(&container) || Instant::now() > deadline {
            return Ok(container);
        }
        sleep(&changes, &[], Some(GLANCE));
    }
}

/// What tells of changes from now on.
fn watch(layout: &Layout, ids: &[ContainerId]) -> Result<Inotify, Failure> {
    watch_directories(layout, ids).map_err(|errno| {
        let names: Vec<&str> = ids.iter().map(ContainerId::short).collect();
        Failure::new("E_IO", format!("watching container {}: {errno}", names.join(", ")))
            .with_hint("the limits are in /proc/sys/fs/inotify")
    })
}

fn watch_directories(layout: &Layout, ids: &[ContainerId]) -> Result<Inotify, Errno> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let kinds = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MODIFY
        // Whoever holds a container lets go of it so.
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DELETE_SELF;
    let _ = std::fs::create_dir_all(layout.process_records());
    changes.add_watch(&layout.process_records(), kinds)?;
    for id in ids {
        match changes.add_watch(&layout.container(id), kinds) {
            // Gone meanwhile: that is seen at the first look.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(changes)
}

fn is_met(condition: Condition, container: &Listed) -> bool {
    match condition {
        Condition::Exited => matches!(container.status, Status::Stopped(_)),
        Condition::Status(word) => summary::Status::of(container).as_str() == word,
        Condition::Health(word) => filter::health(container) == word,
    }
}

/// A container without a health check will never be healthy.
fn refuse_unhealthy_wait(container: &Listed, conditions: &[Condition]) -> Result<(), Failure> {
    let is_about_health = conditions.iter().all(|condition| matches!(condition, Condition::Health(_)));
    if is_about_health && filter::health(container) == "none" {
        let name = &container.record.name;
        return Err(Failure::new("E_CONFIG", format!("waiting for {name}: it has no health check"))
            .with_hint("wait for another condition, for example --condition exited"));
    }
    Ok(())
}

fn is_alive(container: &Listed) -> bool {
    !matches!(container.status, Status::Stopped(_))
}

fn alike(one: &Status, other: &Status) -> bool {
    match (one, other) {
        (Status::Running(one), Status::Running(other)) => (one.monitor, one.init) == (other.monitor, other.init),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn monitor_of(container: &Listed) -> Option<OwnedFd> {
    match &container.status {
        Status::Running(processes) | Status::Initialized(processes) => {
            pidfd::open(Pid::from_raw(processes.monitor)).ok()
        }
        _ => None,
    }
}

/// Waits until something changes, a monitor ends, or `limit` has passed.
fn sleep(changes: &Inotify, monitors: &[OwnedFd], limit: Option<Duration>) {
    let mut fds = vec![PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
    fds.extend(monitors.iter().map(|monitor| PollFd::new(monitor.as_fd(), PollFlags::POLLIN)));
    let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    let _ = poll(&mut fds, limit);
    while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
}

/// The exit code of a container that was removed while it was waited for, as far as the journal knows it.
fn gone(layout: &Layout, id: &ContainerId, conditions: &[Condition]) -> i32 {
    if !conditions.contains(&Condition::Exited) {
        return NO_CODE;
    }
    let events = journal::read_all(layout);
    let died = events.iter().rev().find(|event| event.id == id.as_str() && event.status == "died");
    died.and_then(|event| event.attributes.get(EXIT_CODE)?.parse().ok()).unwrap_or(NO_CODE)
}
