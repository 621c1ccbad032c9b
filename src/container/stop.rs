//! `stop` and `kill`: signals to containers that run.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::group;
use super::list::Listed;
use super::status::Status;
use crate::failure::Failure;
use crate::host::boot::process_start;
use crate::name::container::ContainerId;
use crate::name::signal::Signal;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ProcessesRecord;
use crate::sys::{ownership, pidfd};

/// How long a container whose process was killed may take to be gone: the kernel frees its memory and mounts.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What came of stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// It has ended.
    Ended,
    /// It did not run.
    DidNotRun,
}

/// Asks the container to end with its own signal, kills it after `patience` (its own where absent), and returns once its end
/// is recorded. Without any patience it is killed at once. Nobody restarts it.
pub fn stop(layout: &Layout, container: &Listed, patience: Option<Duration>) -> Result<Stopping, Failure> {
    let record = &container.record;
    let id = &record.id;
    let (processes, patience) = match &container.status {
        Status::Running(processes) => {
            (processes, patience.unwrap_or_else(|| Duration::from_secs(record.stop_timeout.into())))
        }
        // There is no program yet that could be asked.
        Status::Initialized(processes) => (processes, Duration::ZERO),
        Status::Restarting(processes) => {
            mark(layout, id);
            end_monitor(processes);
            await_release(layout, id, processes)?;
            return Ok(Stopping::Ended);
        }
        Status::Created | Status::Creating | Status::Stopped(_) => return Ok(Stopping::DidNotRun),
    };
    mark(layout, id);
    if let Some(process) = open(processes) {
        if !patience.is_zero() {
            send(&process, record.process.stop_signal.parse().unwrap_or(Signal::TERM));
        }
        if !ends_within(&process, patience)? {
            kill_first(layout, id, &process);
            if !ends_within(&process, KILL_PATIENCE)? {
                return Err(unkillable(id));
            }
        }
    }
    await_release(layout, id, processes)?;
    Ok(Stopping::Ended)
}

/// Sends a signal to the container's first process. One that ends it also keeps it from being restarted. One that was made ready
/// can be ended, and nothing else.
pub fn kill(layout: &Layout, container: &Listed, signal: Signal) -> Result<(), Failure> {
    let id = &container.record.id;
    let stop_signal = container.record.process.stop_signal.parse().unwrap_or(Signal::TERM);
    let ends = [Signal::KILL, Signal::TERM, stop_signal].contains(&signal);
    if ends {
        mark(layout, id);
    }
    match &container.status {
        Status::Running(processes) => match open(processes) {
            Some(process) if signal == Signal::KILL => kill_first(layout, id, &process),
            Some(process) => send(&process, signal),
            None => return Err(not_running(id)),
        },
        // The first process of a pid namespace hears of no other signal before it has a handler.
        Status::Initialized(processes) if ends => match open(processes) {
            Some(process) => send(&process, Signal::KILL),
            None => return Err(not_running(id)),
        },
        Status::Restarting(processes) => end_monitor(processes),
        _ => {
            let _ = fs::remove_file(layout.stop_marker(id));
            return Err(not_running(id));
        }
    }
    Ok(())
}

/// Kills the container's first process, even one that stands still.
fn kill_first(layout: &Layout, id: &ContainerId, process: &OwnedFd) {
    send(process, Signal::KILL);
    if let Some(group) = group::of(layout, id) {
        group.let_die();
    }
}

fn not_running(id: &ContainerId) -> Failure {
    Failure::new("E_STATE", format!("sending a signal to container {}: it is not running", id.short()))
}

fn unkillable(id: &ContainerId) -> Failure {
    let failure = Failure::new("E_BUSY", format!("stopping container {}: its process did not end", id.short()));
    failure.with_hint("a process in it hangs in the kernel (a dead network file system?)")
}

/// Tells the monitor that the end is wanted. Without a runtime directory it is not told, and may restart the container once.
pub fn mark(layout: &Layout, id: &ContainerId) {
    let marker = layout.stop_marker(id);
    let _ = File::create(&marker);
    // Whoever removed it meanwhile may have been here before.
    if !layout.container(id).exists() {
        let _ = fs::remove_file(marker);
    }
}

/// The container's first process, if the number still means it.
pub fn open(processes: &ProcessesRecord) -> Option<OwnedFd> {
    let process = pidfd::open(nix::unistd::Pid::from_raw(processes.init)).ok()?;
    // Looked at after the descriptor was opened: a number that was given anew has another start.
    (process_start(processes.init) == Some(processes.init_start)).then_some(process)
}

/// Ends a monitor that waits to start its container again.
pub fn end_monitor(processes: &ProcessesRecord) {
    if let Ok(monitor) = pidfd::open(nix::unistd::Pid::from_raw(processes.monitor)) {
        let _ = pidfd::send_signal(monitor.as_fd(), libc::SIGTERM);
    }
}

fn send(process: &OwnedFd, signal: Signal) {
    // It may have ended meanwhile.
    let _ = pidfd::send_signal(process.as_fd(), signal.number());
}

/// Whether the process ends in time.
fn ends_within(process: &OwnedFd, patience: Duration) -> Result<bool, Failure> {
    let end = Instant::now().checked_add(patience);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(PollTimeout::MAX, |left| {
            PollTimeout::try_from(left.as_millis().min(i32::MAX as u128 - 1) as i32 + i32::from(!left.is_zero()))
                .unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Failure::new("E_IO", format!("waiting for the container's process: {errno}"))),
        }
    }
}

/// How often a monitor that has let go of its container and lives on, to serve a slow client, is looked at, in milliseconds.
const GLANCE: u8 = 20;

/// Waits until the monitor of this life has recorded the end and let go of the container. Somebody else may have started
/// another life by then.
fn await_release(layout: &Layout, id: &ContainerId, processes: &ProcessesRecord) -> Result<(), Failure> {
    let monitor = pidfd::open(nix::unistd::Pid::from_raw(processes.monitor)).ok();
    loop {
        let is_same_life = || {
            let now = record::read::<ProcessesRecord>(&layout.process_record(id)).ok().flatten();
            now.is_none_or(|now| (now.monitor, now.started) == (processes.monitor, processes.started))
        };
        let lock = OpenOptions::new().read(true).open(layout.container_record(id));
        // Without a record it was removed at its end.
        let is_taken = lock.is_ok_and(|lock| ownership::is_taken(lock.as_fd()).unwrap_or(false));
        let Some(monitor) = monitor.as_ref().filter(|_| is_taken && is_same_life()) else { return Ok(()) };
        match poll(&mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)], GLANCE) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => {
                return Err(Failure::new("E_IO", format!("stopping container {}: waiting: {errno}", id.short())));
            }
        }
    }
}
