//! Health checks, made by the monitor when their time has come.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::container::event::{self, HEALTH_STATUS};
use crate::name::health::{HealthCheck, OnFailure};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, HealthRecord, HealthResult, Timestamp};
use crate::sys::pidfd;

/// How many results are kept, as docker does.
const KEPT_RESULTS: usize = 5;

/// How many bytes of a check's output are kept, as docker does.
const KEPT_OUTPUT: u64 = 4096;

/// Looks after the health of one life of a container.
pub struct Watch {
    check: HealthCheck,
    command: Probe,
    layout: Layout,
    container: ContainerRecord,
    record: HealthRecord,
    born: Instant,
    /// When the next check is due.
    due: Option<Instant>,
    current: Option<Current>,
}

/// The command line of a check: this program, told to make the check of the container.
struct Probe(Vec<std::ffi::OsString>);

/// A check that is being made.
struct Current {
    child: Child,
    process: OwnedFd,
    output: Option<ChildStdout>,
    started: Timestamp,
    deadline: Instant,
}

impl Watch {
    /// Of a container that has just been started.
    pub fn new(layout: &Layout, container: &ContainerRecord, check: HealthCheck) -> Self {
        let words: [&std::ffi::OsStr; 8] = [
            "--root".as_ref(),
            layout.data().as_os_str(),
            "--runroot".as_ref(),
            layout.runtime().as_os_str(),
            "healthcheck".as_ref(),
            "run".as_ref(),
            "--for-monitor".as_ref(),
            container.id.as_str().as_ref(),
        ];
        let command = words.into_iter().map(Into::into).collect();
        let mut watch = Self {
            due: (!check.interval.is_zero()).then(|| Instant::now() + check.interval),
            check,
            command: Probe(command),
            layout: layout.clone(),
            container: container.clone(),
            record: HealthRecord { status: HealthRecord::STARTING.into(), failing_streak: 0, log: Vec::new() },
            born: Instant::now(),
            current: None,
        };
        watch.write();
        watch
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.deadline).or(self.due)
    }

    /// The check that is being made.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.current.as_ref().map(|current| current.process.as_fd())
    }

    /// Begins and ends checks whose time has come; what is to be done about the container.
    pub fn turn(&mut self) -> OnFailure {
        let now = Instant::now();
        if let Some(current) = &mut self.current {
            let ended = current.child.try_wait().ok().flatten();
            if ended.is_none() && now < current.deadline {
                return OnFailure::None;
            }
            return self.conclude(ended);
        }
        if self.due.is_some_and(|due| now >= due) {
            self.begin();
        }
        OnFailure::None
    }

    fn begin(&mut self) {
        // The program may have been replaced or removed since we were started: this is what we are.
        let mut command = Command::new("/proc/self/exe");
        command.args(&self.command.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        self.due = Some(Instant::now() + self.check.interval);
        let Ok(mut child) = command.spawn() else { return };
        let Ok(process) = pidfd::open(nix::unistd::Pid::from_raw(child.id().cast_signed())) else {
            let _ = child.kill();
            let _ = child.wait();
            return;
        };
        let deadline = Instant::now() + self.check.timeout.max(Duration::from_millis(1));
        let output = child.stdout.take();
        self.current = Some(Current { child, process, output, started: Timestamp::now(), deadline });
    }

    fn conclude(&mut self, ended: Option<std::process::ExitStatus>) -> OnFailure {
        let Some(mut current) = self.current.take() else { return OnFailure::None };
        let mut output = String::new();
        let code = match ended {
            Some(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            None => {
                // With it goes what it has started in the container.
                let _ = current.child.kill();
                let _ = current.child.wait();
                output = format!("the check took longer than {:?}", self.check.timeout);
                -1
            }
        };
        if ended.is_some()
            && let Some(pipe) = current.output.take()
        {
            let mut bytes = Vec::new();
            let _ = pipe.take(KEPT_OUTPUT).read_to_end(&mut bytes);
            output = String::from_utf8_lossy(&bytes).into_owned();
        }
        self.due = Some(Instant::now() + self.check.interval);
        self.note(HealthResult { start: current.started, end: Timestamp::now(), exit_code: code, output })
    }

    fn note(&mut self, result: HealthResult) -> OnFailure {
        let is_well = result.exit_code == 0;
        self.record.log.push(result);
        let surplus = self.record.log.len().saturating_sub(KEPT_RESULTS);
        self.record.log.drain(..surplus);
        let is_starting = self.record.status == HealthRecord::STARTING && self.born.elapsed() < self.check.start_period;
        if is_well {
            self.record.failing_streak = 0;
            self.record.status = HealthRecord::HEALTHY.into();
        } else if !is_starting {
            self.record.failing_streak += 1;
        }
        let is_ill = self.record.failing_streak >= self.check.retries;
        if is_ill {
            self.record.status = HealthRecord::UNHEALTHY.into();
        }
        self.write();
        let more = [(HEALTH_STATUS, self.record.status.clone())];
        event::note_with(&self.layout, ContainerEvent::HealthStatus, &self.container, &more);
        if is_ill { self.check.on_failure } else { OnFailure::None }
    }

    /// Only what others see depends on it.
    fn write(&mut self) {
        let _ = record::write_volatile(&self.layout.health_record(&self.container.id), &self.record);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut current) = self.current.take() {
            let _ = current.child.kill();
            let _ = current.child.wait();
        }
    }
}
