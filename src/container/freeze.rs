//! `pause` and `unpause`.
//!
//! A container with a control group of its own is frozen by that. Another one is stopped by signals: SIGSTOP to all processes of its pid
//! namespace, again and again until there is none that has not got it. A process that is about to make another one handles
//! the signal first (copy_process in kernel/fork.c), so that comes to an end.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::group;
use super::live::Live;
use crate::cgroup::group::Group;
use crate::failure::{Explain, Failure};
use crate::host::boot::process_start;
use crate::host::processes;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ProcessesRecord;
use crate::sys::pidfd;

/// Why a container was not paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// It is paused.
    #[error("container {} is paused", .0.short())]
    Paused(ContainerId),
    /// It is not paused.
    #[error("resuming container {}: it is not paused", .0.short())]
    NotPaused(ContainerId),
}

impl Explain for FreezeError {
    fn code(&self) -> &'static str {
        "E_STATE"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Paused(id) => Some(format!("coracle unpause {} resumes it", id.short())),
            Self::NotPaused(_) => None,
        }
    }
}

/// How a container was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By its control group: its processes do not know.
    Group,
    /// By signals.
    Signals,
}

/// Stops all processes of a container.
pub fn pause(layout: &Layout, id: &ContainerId) -> Result<Means, Failure> {
    let live = Live::find(layout, id)?;
    let _alone = lock(layout, &live)?;
    mark(layout, &live)?;
    if let Some(group) = freezable(layout, id) {
        group.set_frozen(true)?;
        return Ok(live.check().map(|()| Means::Group)?);
    }
    let mut stopped = BTreeSet::new();
    loop {
        let mut found_more = false;
        for (pid, process) in members(&live) {
            // A number that was given anew means another process.
            if stopped.insert((pid, process_start(pid))) {
                found_more = true;
                // It may have ended meanwhile.
                let _ = pidfd::send_signal(process.as_fd(), libc::SIGSTOP);
            }
        }
        if !found_more {
            break;
        }
    }
    Ok(live.check().map(|()| Means::Signals)?)
}

/// Lets all processes of a paused container go on.
pub fn unpause(layout: &Layout, id: &ContainerId) -> Result<(), Failure> {
    let live = Live::find(layout, id)?;
    let _alone = lock(layout, &live)?;
    if !is_paused(layout, id, &live.processes) {
        return Err(FreezeError::NotPaused(id.clone()).into());
    }
    match freezable(layout, id) {
        Some(group) => group.set_frozen(false)?,
        None => {
            for (_, process) in members(&live) {
                let _ = pidfd::send_signal(process.as_fd(), libc::SIGCONT);
            }
        }
    }
    let marker = layout.paused_marker(id);
    fs::remove_file(&marker).or_else(|cause| match cause.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(record::failure(&format!("removing {}", marker.display()), &cause)),
    })
}

/// Whoever pauses or resumes this life of the container waits for others who do. The lock is on the record of its processes,
/// which is written once in each life.
fn lock(layout: &Layout, live: &Live) -> Result<Flock<File>, Failure> {
    let path = layout.process_record(&live.record.id);
    let locked = File::open(&path)
        .and_then(|file| Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| std::io::Error::from(errno)));
    // Without a record, or with another one, it has ended.
    live.check()?;
    locked.map_err(|cause| record::failure(&format!("locking {}", path.display()), &cause))
}

/// Stops a process that has just joined the container if that is paused by now: who paused it may have missed the process.
pub fn include(layout: &Layout, live: &Live, process: BorrowedFd<'_>) {
    // Where a control group freezes the container, the process is in it.
    if freezable(layout, &live.record.id).is_some() {
        return;
    }
    let mut is_stopped = false;
    // Until nobody has changed it meanwhile.
    while is_paused(layout, &live.record.id, &live.processes) != is_stopped {
        is_stopped = !is_stopped;
        let signal = if is_stopped { libc::SIGSTOP } else { libc::SIGCONT };
        let _ = pidfd::send_signal(process, signal);
    }
}

/// Whether a running container, served by `processes`, is paused.
pub fn is_paused(layout: &Layout, id: &ContainerId, processes: &ProcessesRecord) -> bool {
    fs::read_to_string(layout.paused_marker(id)).is_ok_and(|text| text == words(processes))
}

/// The control group by which the container is frozen, if there is one.
pub fn freezable(layout: &Layout, id: &ContainerId) -> Option<Group> {
    group::of(layout, id).filter(Group::can_freeze)
}

/// What the marker of a paused container says: which of its lives is meant.
fn words(processes: &ProcessesRecord) -> String {
    format!("{} {} {}\n", processes.boot_id, processes.init, processes.init_start)
}

/// Marks the container before anything is stopped, so that whatever happens then, it can be resumed.
fn mark(layout: &Layout, live: &Live) -> Result<(), Failure> {
    let id = &live.record.id;
    let marker = layout.paused_marker(id);
    let make = || fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker);
    let made = match make() {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            if is_paused(layout, id, &live.processes) {
                return Err(FreezeError::Paused(id.clone()).into());
            }
            // It is of an earlier life.
            fs::remove_file(&marker).and_then(|()| make())
        }
        other => other,
    };
    let written = made.and_then(|mut file| file.write_all(words(&live.processes).as_bytes()));
    written.map_err(|cause| Failure::new(record::io_code(&cause), format!("writing {}: {cause}", marker.display())))
}

/// The container's processes. Whether a number belongs to the container is asked again once its process is held.
fn members(live: &Live) -> Vec<(i32, OwnedFd)> {
    let list = || processes::of_container(live.processes.init);
    let held = list().into_iter().filter_map(|pid| Some((pid, pidfd::open(Pid::from_raw(pid)).ok()?)));
    let held: Vec<_> = held.collect();
    if live.check().is_err() {
        return Vec::new();
    }
    let still: BTreeSet<i32> = list().into_iter().collect();
    held.into_iter().filter(|(pid, process)| still.contains(pid) && is_alive(process)).collect()
}

fn is_alive(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(0)
}
