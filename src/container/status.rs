//! What a container is doing: the kernel's answer, never a cached one.

use std::fs::File;
use std::os::fd::AsFd;

use crate::host::boot::boot_id;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;
use crate::state::record::{self, RecordError};
use crate::state::schema::container::{ExitRecord, ProcessesRecord, Timestamp};
use crate::sys::ownership;

/// A container's status.
#[derive(Clone, Debug)]
pub enum Status {
    /// It was made, and never started.
    Created,
    /// Made by a command that is just starting it.
    Creating,
    /// It was made ready: everything is there, and its process waits before the program.
    Initialized(ProcessesRecord),
    /// Its process runs.
    Running(ProcessesRecord),
    /// It has ended and will be started again: there is no process but the monitor.
    Restarting(ProcessesRecord),
    /// It has ended.
    Stopped(Stopped),
}

/// How a container ended.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Exit code.
    pub code: u8,
    /// When it was started, if that is known.
    pub started: Option<Timestamp>,
    /// When it ended, if that is known.
    pub finished: Option<Timestamp>,
    /// Why the code is not its own, if it is not.
    pub reason: Option<String>,
    /// How many times it had been restarted by its policy.
    pub restarts: u32,
    /// Whether a user asked it to end.
    pub by_user: bool,
    /// Whether processes of it were killed for lack of memory.
    pub oom_killed: bool,
    /// Whether it needed other ids than its own, where these were emulated.
    pub ids_needed: Option<bool>,
}

/// Exit code of a container whose end nobody saw: it was killed with its monitor.
const CODE_LOST: u8 = 137;

/// The status of the container. Takes no lock.
pub fn of(layout: &Layout, id: &ContainerId) -> Result<Status, RecordError> {
    of_open(layout, id, File::open(layout.container_record(id)).ok().as_ref())
}

/// The status of the container whose `record` is open.
pub fn of_open(layout: &Layout, id: &ContainerId, record: Option<&File>) -> Result<Status, RecordError> {
    let alive = record.is_some_and(|record| ownership::is_taken(record.as_fd()).unwrap_or(false));
    let processes = || record::read::<ProcessesRecord>(&layout.process_record(id)).ok().flatten();
    if alive {
        match processes().filter(|processes| Some(&processes.boot_id) == boot_id().as_ref()) {
            Some(processes) if processes.init == 0 => return Ok(Status::Restarting(processes)),
            Some(processes) if processes.initialized => return Ok(Status::Initialized(processes)),
            Some(processes) => return Ok(Status::Running(processes)),
            None => {}
        }
    }
    // Somebody may have it who starts it, or copies into it: until it runs it is what it was.
    if layout.created_marker(id).exists() {
        return Ok(Status::Created);
    }
    let exit = record::read::<ExitRecord>(&layout.exit_record(id))?;
    if alive && exit.is_none() {
        return Ok(Status::Creating);
    }
    Ok(Status::Stopped(match exit {
        Some(exit) => {
            let (restarts, by_user, oom_killed) = (exit.restarts, exit.stopped_by_user, exit.oom_killed);
            let (started, finished) = (Some(exit.started), Some(exit.finished));
            let (code, reason, ids_needed) = (exit.code, exit.error, exit.ids_needed);
            Stopped { code, started, finished, reason, restarts, by_user, oom_killed, ids_needed }
        }
        None => {
            let processes = processes();
            let restarts = processes.as_ref().map_or(0, |processes| processes.restarts);
            let started = processes.map(|processes| processes.started);
            Stopped {
                code: CODE_LOST,
                started,
                finished: None,
                reason: Some("its monitor was killed, or the host restarted".into()),
                restarts,
                by_user: false,
                oom_killed: false,
                ids_needed: None,
            }
        }
    }))
}
