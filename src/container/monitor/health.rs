//! Health checks, made by the monitor when their time has come.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::channel;
use crate::container::event::{self, HEALTH_LOG, HEALTH_STATUS};
use crate::name::health::{HealthCheck, HealthLogDestination, OnFailure};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, HealthRecord, HealthResult, Timestamp};
use crate::sys::pidfd;

/// How many bytes of a check's output are kept where no limit is wanted: a monitor is small.
const LONGEST_OUTPUT: usize = 1 << 20;

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
    /// How the container's first check gets on, until it is over.
    startup: Option<Startup>,
}

/// Answers to the check that is made first.
#[derive(Default)]
struct Startup {
    /// In a row.
    successes: u32,
    failures: u32,
}

/// The command line of a check: this program, told to make the check of the container.
struct Probe(Vec<std::ffi::OsString>);

/// A check that is being made.
struct Current {
    child: Child,
    process: OwnedFd,
    /// Where it writes to, until it has no writer any more.
    output: Option<ChildStdout>,
    /// The beginning of what it wrote.
    written: Vec<u8>,
    started: Timestamp,
    deadline: Instant,
}

impl Current {
    /// Takes what there is of the output, and keeps as much of it as `limit` allows. Whoever writes never waits for us, nor
    /// we for them: a check may leave processes behind that have its output.
    fn take_output(&mut self, limit: usize) {
        let mut piece = [0; 4096];
        while let Some(output) = &mut self.output {
            match output.read(&mut piece) {
                Ok(count) if count > 0 => {
                    let room = limit.saturating_sub(self.written.len()).min(count);
                    self.written.extend(&piece[..room]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => self.output = None,
            }
        }
    }
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
            due: None,
            startup: check.startup.as_ref().map(|_| Startup::default()),
            check,
            command: Probe(command),
            layout: layout.clone(),
            container: container.clone(),
            record: HealthRecord { status: HealthRecord::STARTING.into(), failing_streak: 0, log: Vec::new() },
            born: Instant::now(),
            current: None,
        };
        watch.due = watch.next();
        watch.write();
        watch
    }

    /// When the check after one that is made now is due: never by itself without an interval.
    fn next(&self) -> Option<Instant> {
        let interval = match (&self.startup, &self.check.startup) {
            (Some(_), Some(check)) => check.interval,
            _ => self.check.interval,
        };
        (!interval.is_zero()).then(|| Instant::now() + interval)
    }

    /// How long a check may take.
    fn timeout(&self) -> Duration {
        match (&self.startup, &self.check.startup) {
            (Some(_), Some(check)) => check.timeout,
            _ => self.check.timeout,
        }
    }

    /// Whether the last answer was good.
    pub fn is_well(&self) -> bool {
        self.record.status == HealthRecord::HEALTHY
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.deadline).or(self.due)
    }

    /// The check that is being made.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.current.as_ref().map(|current| current.process.as_fd())
    }

    /// Its output, while it may write more.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        Some(self.current.as_ref()?.output.as_ref()?.as_fd())
    }

    /// Begins and ends checks whose time has come; what is to be done about the container.
    pub fn turn(&mut self) -> OnFailure {
        let now = Instant::now();
        let limit = if self.check.log.size == 0 { LONGEST_OUTPUT } else { self.check.log.size as usize };
        if let Some(current) = &mut self.current {
            let ended = current.child.try_wait().ok().flatten();
            current.take_output(limit);
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
        command.args(&self.command.0);
        if self.startup.is_some() {
            command.arg("--startup");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        self.due = self.next();
        let Ok(mut child) = command.spawn() else { return };
        let Ok(process) = pidfd::open(nix::unistd::Pid::from_raw(child.id().cast_signed())) else {
            let _ = child.kill();
            let _ = child.wait();
            return;
        };
        let deadline = Instant::now() + self.timeout().max(Duration::from_millis(1));
        let output = child.stdout.take().filter(|output| channel::set_nonblocking(output).is_ok());
        self.current =
            Some(Current { child, process, output, written: Vec::new(), started: Timestamp::now(), deadline });
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
                output = format!("the check took longer than {:?}", self.timeout());
                -1
            }
        };
        if ended.is_some() {
            output = String::from_utf8_lossy(&current.written).into_owned();
        }
        let verdict =
            self.note(HealthResult { start: current.started, end: Timestamp::now(), exit_code: code, output });
        // The first check may have been the last of its kind.
        self.due = self.next();
        verdict
    }

    fn note(&mut self, result: HealthResult) -> OnFailure {
        let is_well = result.exit_code == 0;
        let told = self.keep(&result);
        self.record.log.push(result);
        let kept = if self.check.log.count == 0 { usize::MAX } else { self.check.log.count as usize };
        let surplus = self.record.log.len().saturating_sub(kept);
        self.record.log.drain(..surplus);
        if let Some(verdict) = self.note_startup(is_well) {
            self.write();
            return verdict;
        }
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
        if event::tells_of_health() {
            let mut more = vec![(HEALTH_STATUS, self.record.status.clone())];
            more.extend(told.map(|text| (HEALTH_LOG, text)));
            event::note_with(&self.layout, ContainerEvent::HealthStatus, &self.container, &more);
        }
        if is_ill { self.check.on_failure } else { OnFailure::None }
    }

    /// Notes an answer to the check that is made first, if that still is; what is to be done about the container.
    fn note_startup(&mut self, is_well: bool) -> Option<OnFailure> {
        let (startup, check) = (self.startup.as_mut()?, self.check.startup.as_ref()?);
        if !is_well {
            startup.successes = 0;
            startup.failures += 1;
            let too_many = check.retries > 0 && startup.failures >= check.retries;
            return Some(if too_many { OnFailure::Restart } else { OnFailure::None });
        }
        startup.successes += 1;
        if startup.successes < check.successes {
            return Some(OnFailure::None);
        }
        self.startup = None;
        Some(OnFailure::None)
    }

    /// Keeps a result where it was asked for beside the record; what the event has to tell of it. A directory that is gone
    /// keeps nothing.
    fn keep(&self, result: &HealthResult) -> Option<String> {
        match &self.check.log.destination {
            HealthLogDestination::Local => None,
            HealthLogDestination::Events => Some(result.output.clone()),
            HealthLogDestination::Directory(directory) => {
                let path = directory.join(format!("{}-healthcheck.log", self.container.id));
                if let Ok(mut line) = serde_json::to_vec(result) {
                    line.push(b'\n');
                    let file = File::options().append(true).create(true).mode(0o600).open(path);
                    let _ = file.and_then(|mut file| file.write_all(&line));
                }
                None
            }
        }
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
