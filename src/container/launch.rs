//! The life of a container: from its plan to its end, and over again if its policy says so.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::attach::{self, Attachment};
use super::create::Owned;
use super::monitor::log::LogTarget;
use super::monitor::streams::{self, Caller, Streams};
use super::monitor::{self, Care, Channel, Clients, Cure, Monitor, Pause, health, listener};
use super::request::{
    DirectoryWrites, LogDriver, OnFailure, Removal, Request, RestartPolicy, RootfsSource, Signal, Terminal,
};
use super::{event, list, remove, stop};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::host::boot::{boot_id, process_start};
use crate::name::container::ContainerId;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::spawn::{self, Running};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, ExitRecord, ProcessesRecord, Timestamp};
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{clone, memory, pidfd, process};

/// How the command takes part in the container's life.
#[derive(Clone, Debug)]
pub enum Presence {
    /// It is the container's monitor: the container's streams are its own.
    Monitor,
    /// The monitor stands alone, and the command is attached to it.
    Attached(Attachment),
    /// The monitor stands alone.
    Detached,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The container has ended with this exit code.
    Exited(u8),
    /// The container runs, and the command leaves.
    Running(ContainerId),
}

/// The time before a container is started again: the first time, and at most. Doubled each time, and forgotten once it has
/// run for [`SETTLED`].
const RESTART_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// A container that has run for so long did not fail at its start.
const SETTLED: Duration = Duration::from_secs(10);

/// A container that is there, and ours to start.
pub struct Launch<'a> {
    layout: &'a Layout,
    request: &'a Request,
    id: ContainerId,
    record: ContainerRecord,
    plan: LaunchPlan,
    /// Until it has ended, or another process of ours has it.
    owned: RefCell<Option<Owned>>,
    was_executed: Cell<bool>,
    /// Whether the command stays with it.
    has_company: Cell<bool>,
    /// Whether its monitor is a process of its own.
    stands_alone: Cell<bool>,
}

/// A container that runs, and what is relayed for it.
struct Life {
    running: Running,
    channels: Vec<Channel>,
    started: Timestamp,
    /// The same by a clock that nobody sets.
    born: Instant,
}

impl<'a> Launch<'a> {
    /// Of a container that this process owns.
    pub fn new(
        layout: &'a Layout,
        request: &'a Request,
        record: ContainerRecord,
        plan: LaunchPlan,
        owned: Owned,
    ) -> Self {
        Self {
            layout,
            request,
            id: owned.id.clone(),
            record,
            plan,
            owned: RefCell::new(Some(owned)),
            was_executed: Cell::new(false),
            has_company: Cell::new(false),
            stands_alone: Cell::new(false),
        }
    }

    /// Whether the container's process was executed.
    pub fn was_executed(&self) -> bool {
        self.was_executed.get()
    }

    /// Starts it, and stays as long as `presence` says.
    pub fn execute(&self, presence: &Presence) -> Result<Report, Failure> {
        let stands_alone = !matches!(presence, Presence::Monitor);
        if stands_alone && self.request.log.driver == LogDriver::Passthrough && streams::shows_on_terminal() {
            let message = "--log-driver passthrough: a container whose monitor stands alone is not given the terminal";
            return Err(Failure::new("E_CONFIG", message).with_hint("redirect standard output and error"));
        }
        self.stands_alone.set(stands_alone);
        self.has_company.set(!matches!(presence, Presence::Detached));
        match presence {
            Presence::Monitor => self.as_monitor().map(Report::Exited),
            Presence::Detached => self.fork_monitor(None).map(|_| Report::Running(self.id.clone())),
            Presence::Attached(attachment) => {
                let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
                let (ours, theirs) = pair.map_err(|errno| internal("making a socket", errno))?;
                let ours = self
                    .fork_monitor(Some((ours, theirs)))?
                    .ok_or_else(|| internal("making a socket", Errno::EBADF))?;
                let end = attach::serve(&ours, attachment);
                let code = attach::finish(self.layout, &self.id, end)?;
                Ok(code.map_or_else(|| Report::Running(self.id.clone()), Report::Exited))
            }
        }
    }

    fn as_monitor(&self) -> Result<u8, Failure> {
        let signals = signals()?;
        // What is removed when it ends needs no log, and then the container can have our streams as they are.
        let is_kept = self.request.removal == Removal::Never && self.request.log.driver != LogDriver::Passthrough;
        let log = is_kept.then(|| self.open_log()).transpose()?;
        let listener = log.as_ref().and_then(|_| self.listen());
        let mut monitor = Monitor::new(&signals, Clients::new(listener, None));
        let streams = || streams::attached(self.request.stdin, log.as_ref());
        let life = self.begin(&streams, log.as_ref(), 0)?;
        if self.request.removal == Removal::AtExit {
            // There is time now.
            remove::sweep(self.layout);
        }
        self.live(life, &mut monitor, &streams, log.as_ref())
    }

    /// Forks a monitor that is nobody's child and outlives this command.
    /// Of a pair of connected sockets, the second is the monitor's, and the first is given back.
    fn fork_monitor(&self, pair: Option<(OwnedFd, OwnedFd)>) -> Result<Option<OwnedFd>, Failure> {
        let (ours, theirs) = pair.unzip();
        let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
        let (mut report, reporter) =
            std::io::pipe().map_err(|cause| Failure::new("E_IO", format!("making a pipe: {cause}")))?;
        let middle = clone::fork_or_child(&proof, CloneFlags::empty()).map_err(|errno| internal("forking", errno))?;
        let Some(middle) = middle else {
            let monitor = SingleThreaded::prove().ok().and_then(|proof| clone::fork(&proof).ok());
            process::exit_now(match monitor {
                Some(None) => {
                    // Who keeps the other ends does not see when they are closed.
                    drop((report, ours));
                    self.stand_alone(reporter, theirs)
                }
                Some(Some(_)) => 0,
                None => EXIT_OWN_FAILURE,
            })
        };
        drop((reporter, theirs));
        let _ = pidfd::wait(middle.pidfd.as_fd());
        let mut story = Vec::new();
        report
            .read_to_end(&mut story)
            .map_err(|cause| Failure::new("E_IO", format!("waiting for the monitor: {cause}")))?;
        if story == STARTED {
            // The lock is now the monitor's alone.
            self.owned.take();
            self.was_executed.set(true);
            return Ok(ours);
        }
        Err(Failure::from_report(&story).unwrap_or_else(|| {
            Failure::new("E_HELPER_DIED", "the container's monitor ended before the container was started")
        }))
    }

    /// The monitor's whole life; its exit code.
    fn stand_alone(&self, mut reporter: PipeWriter, owner: Option<OwnedFd>) -> u8 {
        process::set_name(c"coracle-monitor");
        let log = Cell::new(None);
        let passes_through = self.request.log.driver == LogDriver::Passthrough;
        let caller = passes_through.then(Caller::now).and_then(Result::ok);
        let streams = || match &caller {
            Some(caller) => caller.streams(),
            None => streams::detached(self.request.stdin, log_in(&log).as_ref()),
        };
        let result = signals().and_then(|signals| {
            leave_session()?;
            log.set(Some(self.open_log()?));
            Ok((signals, self.begin(&streams, log_in(&log).as_ref(), 0)?))
        });
        match result {
            Ok((signals, life)) => {
                let _ = reporter.write_all(STARTED);
                // The command waits for the end of the report.
                drop(reporter);
                memory::set_command_line(&format!("coracle-monitor {}", self.id.short()));
                let mut monitor = Monitor::new(&signals, Clients::new(self.listen(), owner));
                let code = self.live(life, &mut monitor, &streams, log_in(&log).as_ref()).unwrap_or(EXIT_OWN_FAILURE);
                // Whoever is told of the end may at once do something else with the container.
                self.owned.take();
                monitor.part(code);
                code
            }
            Err(failure) => {
                let _ = reporter.write_all(&failure.to_report());
                EXIT_OWN_FAILURE
            }
        }
    }

    /// A socket for clients; without one the container runs all the same.
    fn listen(&self) -> Option<OwnedFd> {
        listener::listen_at(&self.layout.attach_socket(&self.id)).ok()
    }

    fn open_log(&self) -> Result<LogTarget, Failure> {
        LogTarget::open(self.layout, &self.record)
    }

    /// Starts the container's process, after so many restarts.
    fn begin(
        &self,
        streams: &dyn Fn() -> Result<Streams, Errno>,
        log: Option<&LogTarget>,
        restarts: u32,
    ) -> Result<Life, Failure> {
        let prepare = |errno| internal("preparing the streams", errno);
        let terminal = self.request.terminal == Terminal::New;
        let (given, mut channels) = match terminal {
            true => (None, Vec::new()),
            false => {
                let streams = streams().map_err(prepare)?;
                (Some(streams.given), streams.channels)
            }
        };
        let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
        let running = spawn::launch(&proof, &self.plan, given)?;
        self.was_executed.set(true);
        if let Some(master) = &running.terminal {
            channels = streams::detached_terminal(master, self.request.stdin, log).map_err(prepare)?;
        }
        let started = Timestamp::now();
        let init = running.child.pid.as_raw();
        self.write_processes(init, started, restarts);
        let happened = [ContainerEvent::Init, ContainerEvent::Start, ContainerEvent::Attach];
        let is_joined = self.has_company.get() && restarts == 0;
        event::note_all(self.layout, &happened[..2 + usize::from(is_joined)], &self.record);
        if self.request.removal == Removal::Never {
            let _ = fs::remove_file(self.layout.exit_record(&self.id));
        }
        Ok(Life { running, channels, started, born: Instant::now() })
    }

    /// Only what others see of the container depends on this record: a runtime directory that is gone does not end it.
    fn write_processes(&self, init: i32, started: Timestamp, restarts: u32) {
        let processes = ProcessesRecord {
            boot_id: boot_id().unwrap_or_default(),
            monitor: std::process::id() as i32,
            init,
            init_start: process_start(init).unwrap_or(0),
            started,
            restarts,
        };
        let _ = record::write_volatile(&self.layout.process_record(&self.id), &processes);
    }

    /// Serves the container to its end, and records that; its exit code.
    fn live(
        &self,
        mut life: Life,
        monitor: &mut Monitor<'_>,
        streams: &dyn Fn() -> Result<Streams, Errno>,
        log: Option<&LogTarget>,
    ) -> Result<u8, Failure> {
        let watching = |errno| internal("watching the container", errno);
        let (mut delay, longest) = RESTART_DELAY;
        let mut restarts = 0;
        loop {
            let Life { running, channels, started, born } = life;
            let must_restart = Cell::new(false);
            let is_ill = |verdict| self.cure(&running, verdict, &must_restart);
            let care = Care {
                limit: self.request.time_limit.map(|seconds| Duration::from_secs(seconds.into())),
                health: self.record.health.clone().map(|check| health::Watch::new(self.layout, &self.id, check)),
                is_ill: &is_ill,
                stop_signal: self.stands_alone.get().then(|| self.stop_signal().number()),
                patience: Duration::from_secs(self.request.stop_timeout.into()),
            };
            let mut code = monitor.serve(&running, channels, care).map_err(watching)?;
            drop(running);
            let more = [(event::EXIT_CODE, code.to_string())];
            event::note_with(self.layout, ContainerEvent::Died, &self.record, &more);
            let mut error = None;
            if born.elapsed() > SETTLED {
                delay = RESTART_DELAY.0;
            }
            // What cannot be started is tried again like what fails at once.
            life = loop {
                let is_restarted = must_restart.take() || self.request.restart.restarts(code, restarts);
                if !is_restarted || self.was_stopped() || monitor.is_asked_to_end() {
                    self.finish(ExitRecord { error, ..self.exit(code, started, restarts) });
                    return Ok(code);
                }
                restarts += 1;
                self.write_processes(0, started, restarts);
                if monitor.pause(delay).map_err(watching)? == Pause::AskedToEnd {
                    self.finish(ExitRecord { error, ..self.exit(code, started, restarts) });
                    return Ok(code);
                }
                delay = (delay * 2).min(longest);
                self.tidy();
                match self.begin(streams, log, restarts) {
                    Ok(life) => break life,
                    Err(failure) => {
                        code = failure.exit_code();
                        error = Some(failure.to_string());
                    }
                }
            };
        }
    }

    /// What is done about ill health.
    fn cure(&self, running: &Running, verdict: OnFailure, must_restart: &Cell<bool>) -> Cure {
        match verdict {
            OnFailure::None => Cure::Wait,
            OnFailure::Kill => Cure::Kill,
            OnFailure::Restart => {
                must_restart.set(true);
                Cure::Kill
            }
            OnFailure::Stop => {
                stop::mark(self.layout, &self.id);
                let _ = pidfd::send_signal(running.child.pidfd.as_fd(), self.stop_signal().number());
                Cure::Wait
            }
        }
    }

    fn exit(&self, code: u8, started: Timestamp, restarts: u32) -> ExitRecord {
        let stopped_by_user = self.layout.stop_marker(&self.id).exists();
        ExitRecord { code, started, finished: Timestamp::now(), restarts, stopped_by_user, error: None }
    }

    fn stop_signal(&self) -> Signal {
        self.record.process.stop_signal.parse().unwrap_or(Signal::TERM)
    }

    fn was_stopped(&self) -> bool {
        let may_restart = self.request.restart != RestartPolicy::No || self.record.health.is_some();
        may_restart && self.layout.stop_marker(&self.id).exists()
    }

    /// What one life leaves in the way of the next.
    fn tidy(&self) {
        tidy(self.layout, self.request, &self.id);
    }

    fn finish(&self, exit: ExitRecord) {
        if self.request.removal == Removal::AtExit {
            // What cannot be removed now is removed by the next command that looks.
            let renamed = list::new_name(&self.layout.container_new_name(&self.id));
            if remove::retire(self.layout, &self.id, &self.record.name).is_ok() {
                let name = renamed.unwrap_or_else(|| self.record.name.clone());
                event::note(self.layout, ContainerEvent::Remove, &ContainerRecord { name, ..self.record.clone() });
            }
            return;
        }
        remove::tidy_work(self.layout, &self.id);
        // The code is told all the same: without a record, what is shown later is that the end was not seen.
        let _ = record::write_volatile(&self.layout.exit_record(&self.id), &exit);
        for path in [
            self.layout.process_record(&self.id),
            self.layout.attach_socket(&self.id),
            self.layout.stop_marker(&self.id),
            self.layout.health_record(&self.id),
        ] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what an earlier life of the container leaves in the way of another one: the overlay's work, and what is
/// thrown away with each life.
pub fn tidy(layout: &Layout, request: &Request, id: &ContainerId) {
    remove::tidy_work(layout, id);
    if let RootfsSource::Directory { writes: DirectoryWrites::Discarded, .. } = request.rootfs {
        let upper = layout.container(id).join("upper");
        for entry in fs::read_dir(&upper).into_iter().flatten().flatten() {
            let _ = crate::state::temporary::remove(&entry.path());
        }
    }
}

/// What a monitor reports when its container runs; anything else is a failure.
const STARTED: &[u8] = b"started\n";

fn signals() -> Result<SignalQueue, Failure> {
    SignalQueue::new(monitor::is_forwarded).map_err(|errno| internal("blocking signals", errno))
}

/// The log in the cell, which is lent for a moment.
fn log_in(cell: &Cell<Option<LogTarget>>) -> Option<LogTarget> {
    let log = cell.take();
    cell.set(log.clone());
    log
}

/// Leaves the caller's session, directory and streams; what stands for these now.
pub(super) fn leave_session() -> Result<OwnedFd, Failure> {
    let left = nix::unistd::setsid().and_then(|_| nix::unistd::chdir("/"));
    left.map_err(|errno| internal("leaving the session", errno))?;
    let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
    let null = null.map_err(|errno| internal("opening /dev/null", errno))?;
    for number in 0..3 {
        process::duplicate_onto(null.as_fd(), number).map_err(|errno| internal("closing the streams", errno))?;
    }
    Ok(null)
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}
