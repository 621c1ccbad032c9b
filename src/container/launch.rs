//! The life of a container: from its plan to its end, and over again if its policy says so.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::attach::{self, Attachment};
use super::connection::Connection;
use super::create::Owned;
use super::hooks::{self, Hook, Stage};
use super::monitor::frame::Frame;
use super::monitor::log::LogTarget;
use super::monitor::notify::{self, Relay};
use super::monitor::streams::{self, Caller, Streams};
use super::monitor::{self, Care, Channel, Clients, Cure, Hold, Monitor, Pause, health, listener};
use super::name_servers::NameServers;
use super::networks::{self, Held, Membership};
use super::request::{
    DirectoryWrites, LogDriver, OnFailure, Removal, Request, RestartPolicy, RootfsSource, Signal, Terminal,
};
use super::update::Changes;
use super::{driver, event, exec, group, joined, list, remove, stand_alone, stop, volumes};
use crate::cgroup::group::Group;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::host::boot::{boot_id, process_start};
use crate::host::processes;
use crate::identity::keeper::Keeper;
use crate::name::container::ContainerId;
use crate::name::port::Published;
use crate::name::process::notify_mode::NotifyMode;
use crate::runtime::init::Given;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::{Execution, LaunchPlan};
use crate::runtime::spawn::{self, Company, Connect, Running};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, ExitRecord, ProcessesRecord, Timestamp};
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{memory, pidfd, process};

/// How the command takes part in the container's life.
#[derive(Clone, Debug)]
pub enum Presence {
    /// It is the container's monitor: the container's streams are its own.
    Monitor,
    /// The monitor stands alone, and the command is attached to it.
    Attached(Attachment),
    /// The monitor stands alone.
    Detached,
    /// The monitor stands alone, and the container is made ready only: its program waits to be started.
    Ready,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The container has ended with this exit code.
    Exited(u8),
    /// The same, and there was no memory left for its processes.
    OutOfMemory {
        /// The exit code.
        code: u8,
        /// Bytes that they could have, where known.
        limit: Option<u64>,
    },
    /// The container runs, or is ready to, and the command leaves.
    Running(ContainerId),
}

/// The time before a container is started again: the first time, and at most. Doubled each time, and forgotten once it has
/// run for [`SETTLED`].
const RESTART_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// A container that has run for so long did not fail at its start.
const SETTLED: Duration = Duration::from_secs(10);

/// What is said of a container whose files are gone.
const SERVER_DIED: &str = "the process that serves the container's root file system has died: what needs files fails until it is started anew";

/// Exit code of a container that was killed: 128 and SIGKILL.
const KILLED: u8 = 137;

/// A container that is there, and ours to start.
pub struct Launch<'a> {
    layout: &'a Layout,
    request: &'a Request,
    id: ContainerId,
    record: ContainerRecord,
    plan: RefCell<LaunchPlan>,
    /// Why its root file system is made as it is, once another way was tried.
    detour: RefCell<Option<String>>,
    /// Tells the user about that.
    notice: &'a dyn Fn(&str),
    /// What of it does not work any more, although it runs.
    degraded: Cell<Option<&'static str>>,
    /// Until it has ended, or another process of ours has it.
    owned: RefCell<Option<Owned>>,
    was_executed: Cell<bool>,
    /// Whether the command stays with it.
    has_company: Cell<bool>,
    /// Whether its monitor is a process of its own.
    stands_alone: Cell<bool>,
    /// Whether it was there before: the marks of its past go with its start.
    has_past: bool,
    /// What is executed beside it.
    hooks: RefCell<Vec<Hook>>,
    /// When the program of its first life is executed.
    execution: Cell<Execution>,
    /// Descriptors that its first process gets.
    preserved: Cell<Vec<OwnedFd>>,
    /// The networks in which it has addresses.
    memberships: Vec<Membership>,
    /// Whether this process is in the user namespace to which they belong.
    is_on_ground: Cell<bool>,
    /// Who is told of it, if somebody is.
    manager: RefCell<Option<notify::Manager>>,
    /// Ports of the host that it has had since its first life.
    ports: RefCell<Option<Vec<Published>>>,
}

/// A container that runs, and what is relayed for it.
struct Life {
    running: Running,
    channels: Vec<Channel>,
    started: Timestamp,
    /// The same by a clock that nobody sets.
    born: Instant,
    /// What connects its network.
    connection: Option<Connection>,
}

impl<'a> Launch<'a> {
    /// Of a container that this process owns.
    pub fn new(
        layout: &'a Layout,
        request: &'a Request,
        record: ContainerRecord,
        plan: LaunchPlan,
        owned: Owned,
        notice: &'a dyn Fn(&str),
    ) -> Self {
        Self {
            layout,
            request,
            id: owned.id.clone(),
            record,
            plan: RefCell::new(plan),
            detour: RefCell::new(None),
            notice,
            degraded: Cell::new(None),
            owned: RefCell::new(Some(owned)),
            was_executed: Cell::new(false),
            has_company: Cell::new(false),
            stands_alone: Cell::new(false),
            has_past: false,
            hooks: RefCell::new(Vec::new()),
            execution: Cell::new(Execution::AtOnce),
            preserved: Cell::default(),
            memberships: Vec::new(),
            is_on_ground: Cell::new(false),
            manager: RefCell::new(None),
            ports: RefCell::new(None),
        }
    }

    /// Of a container that was made by an earlier command.
    pub fn again(
        layout: &'a Layout,
        request: &'a Request,
        record: ContainerRecord,
        plan: LaunchPlan,
        owned: Owned,
        notice: &'a dyn Fn(&str),
    ) -> Self {
        Self { has_past: true, ..Self::new(layout, request, record, plan, owned, notice) }
    }

    /// The same in networks.
    #[must_use]
    pub fn in_networks(self, memberships: Vec<Membership>) -> Self {
        Self { memberships, ..self }
    }

    /// Takes back its addresses.
    pub fn leave_networks(&self) {
        networks::give_back(self.layout, &self.id, &self.memberships);
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
        self.hooks.replace(hooks::of(self.request, &self.record)?);
        self.preserved.set(exec::preserved(&self.request.preserved)?);
        self.stands_alone.set(stands_alone);
        if self.request.process.notify != NotifyMode::Ignore {
            self.manager.replace(notify::Manager::of_caller());
        }
        self.has_company.set(!matches!(presence, Presence::Detached | Presence::Ready));
        if matches!(presence, Presence::Ready) {
            self.execution.set(Execution::WhenTold);
        }
        match presence {
            Presence::Monitor => self.as_monitor().map(|code| self.ended(code)),
            Presence::Detached | Presence::Ready => self.fork_monitor().map(|_| Report::Running(self.id.clone())),
            Presence::Attached(attachment) => {
                let end = attach::serve(&self.fork_monitor()?, attachment);
                let code = attach::finish(self.layout, &self.id, end)?;
                Ok(code.map_or_else(|| Report::Running(self.id.clone()), |code| self.ended(code)))
            }
        }
    }

    fn ended(&self, code: u8) -> Report {
        match self
            .plan
            .borrow()
            .group
            .as_ref()
            .filter(|_| code == KILLED)
            .and_then(|_| group::memory_lack(self.layout, &self.id))
        {
            Some(lack) => Report::OutOfMemory { code, limit: lack.limit },
            None => Report::Exited(code),
        }
    }

    fn as_monitor(&self) -> Result<u8, Failure> {
        let signals = signals()?;
        // What is removed when it ends needs no log that nobody asked for, and then the container can have our streams as
        // they are.
        let is_logged = match self.request.log.driver {
            LogDriver::Passthrough => false,
            LogDriver::None => self.request.removal == Removal::Never,
            _ => self.request.removal == Removal::Never || self.request.log.is_chosen,
        };
        let log = is_logged.then(|| self.open_log()).transpose()?;
        // Who joins a container whose ids are virtual asks its monitor for its own.
        let listener = match &log {
            Some(_) => self.listen(),
            None if self.plan.borrow().virtual_ids.is_some() => {
                listener::listen_at(&self.layout.ids_socket(&self.id)).ok()
            }
            None => None,
        };
        let mut monitor = Monitor::new(&signals, Clients::new(listener, None));
        let streams = || streams::attached(self.request.stdin, log.as_ref());
        let life = self.begin(&streams, log.as_ref(), 0)?;
        if self.request.removal == Removal::AtExit {
            // There is time now.
            remove::sweep(self.layout);
        }
        self.live(life, &mut monitor, &streams, log.as_ref())
    }

    /// Forks a monitor that stands alone; our connection with it.
    fn fork_monitor(&self) -> Result<OwnedFd, Failure> {
        let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
        let connection = stand_alone::fork(&proof, |command| self.stand_alone(command))?;
        // The lock is now the monitor's alone.
        self.owned.take();
        self.was_executed.set(true);
        Ok(connection)
    }

    /// The monitor's whole life; its exit code.
    fn stand_alone(&self, command: stand_alone::Command) -> u8 {
        process::set_name(c"coracle-monitor");
        let log = Cell::new(None);
        let passes_through = self.request.log.driver == LogDriver::Passthrough;
        let caller = passes_through.then(Caller::now).and_then(Result::ok);
        let streams = || match &caller {
            Some(caller) => caller.streams(),
            None => streams::detached(self.request.stdin, log_in(&log).as_ref()),
        };
        let result = signals().and_then(|signals| {
            stand_alone::leave_session()?;
            log.set(Some(self.open_log()?));
            let life = self.begin(&streams, log_in(&log).as_ref(), 0)?;
            // Whoever is told that it runs, or is ready, may at once want to be its client.
            let listener = self.listen();
            if life.running.is_waiting() && listener.is_none() {
                let doing = format!("making the socket {}", self.layout.attach_socket(&self.id).display());
                return Err(Failure::new("E_IO", doing).with_hint("without it the container could not be started"));
            }
            Ok((signals, life, listener))
        });
        match result {
            Ok((signals, life, listener)) => {
                let owner = Some(command.report_start()).filter(|_| self.has_company.get());
                memory::set_command_line(&format!("coracle-monitor {}", self.id.short()));
                let mut monitor = Monitor::new(&signals, Clients::new(listener, owner));
                let life = self.release(life, &mut monitor);
                let code = life.map(|life| {
                    self.live(life, &mut monitor, &streams, log_in(&log).as_ref()).unwrap_or(EXIT_OWN_FAILURE)
                });
                // Whoever is told of the end may at once do something else with the container.
                self.owned.take();
                match &code {
                    Ok(code) => monitor.part(Frame::Exited(*code)),
                    Err(failure) => monitor.part(Frame::NotStarted(&failure.to_report())),
                }
                code.unwrap_or(EXIT_OWN_FAILURE)
            }
            Err(failure) => command.report_failure(&failure),
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
        let wanted = if restarts == 0 { self.execution.get() } else { Execution::AtOnce };
        let has_hooks = hooks::has(&self.hooks.borrow(), Stage::BeforeStart);
        let execution = if has_hooks { Execution::WhenTold } else { wanted };
        let pid_files = &self.request.pid_files;
        for file in [&pid_files.container, &pid_files.monitor].into_iter().flatten() {
            write_pid(file, None)?;
        }
        let connection = RefCell::new(self.connection()?);
        let is_attached = !self.memberships.is_empty();
        let attach = || networks::hold(self.layout, &self.memberships, &self.is_on_ground);
        let attached = RefCell::new(is_attached.then(attach).transpose()?);
        let mut membership = joined::open(self.layout, &self.plan.borrow(), &self.record)?;
        let is_among_others = self.plan.borrow().is_among_others;
        // It becomes ready while the container does.
        let ids = self.plan.borrow().virtual_ids.clone();
        let ids = ids.map(|draft| Keeper::start(&proof, draft).map_err(emulating)).transpose()?;
        let draft = self.plan.borrow_mut().group.take();
        let group = draft.as_ref().map(|draft| group::make(self.layout, &self.id, draft)).transpose();
        self.plan.borrow_mut().group = draft;
        let group = group?;
        let launched = group.as_ref().map(Group::open_leaf).transpose().map_err(Failure::from).and_then(|leaf| {
            let group = leaf.flatten().map(OwnedFd::from);
            let shared_memory = membership.as_mut().and_then(|membership| membership.shared_memory.take());
            let preserved = self.preserved.take();
            let supervisor = ids.as_ref().map(Keeper::supervisor).transpose().map_err(emulating)?;
            let given =
                Given { streams: given, preserved, execution, group, shared_memory, supervisor, is_among_others };
            let (mut attached, mut connection) = (attached.borrow_mut(), connection.borrow_mut());
            let connect = match (attached.as_mut(), connection.as_mut()) {
                (Some(attached), _) => Some(attached as &mut dyn Connect),
                (None, connection) => connection.map(|connection| connection as &mut dyn Connect),
            };
            Ok(self.launch(&proof, &given, connect, membership.as_ref())?)
        });
        if launched.is_err() {
            group::remove_left(self.layout, &self.id);
        }
        if let Some(refusal) = attached.borrow_mut().as_mut().and_then(Held::refusal) {
            return Err(refusal);
        }
        networks::note(self.layout, &self.id, &self.memberships);
        let mut running = launched?;
        running.group = group;
        if has_hooks {
            self.run_hooks(Stage::BeforeStart, running.child.pid.as_raw())
                .and_then(|()| match wanted {
                    Execution::AtOnce => Ok(running.release(&self.plan.borrow())?),
                    Execution::WhenTold => Ok(()),
                })
                .inspect_err(|_| {
                    running.kill();
                    let _ = pidfd::wait(running.child.pidfd.as_fd());
                    group::remove_left(self.layout, &self.id);
                })?;
        }
        self.was_executed.set(true);
        running.ids = ids.map(|mut ids| {
            ids.keep(running.handles.take());
            RefCell::new(ids)
        });
        for (file, pid) in
            [(&pid_files.container, running.child.pid.as_raw()), (&pid_files.monitor, std::process::id().cast_signed())]
        {
            // It could be written to just now.
            let _ = file.as_ref().map(|file| write_pid(file, Some(pid)));
        }
        if let Some(master) = &running.terminal {
            channels = streams::terminal(master, self.request.stdin, log).map_err(prepare)?;
        }
        let life = Life {
            running,
            channels,
            started: Timestamp::now(),
            born: Instant::now(),
            connection: connection.into_inner(),
        };
        self.write_processes(Some(&life.running), life.started, restarts);
        if life.running.is_waiting() {
            event::note(self.layout, ContainerEvent::Init, &self.record);
            return Ok(life);
        }
        let happened = [ContainerEvent::Init, ContainerEvent::Start, ContainerEvent::Attach];
        let is_joined = self.has_company.get() && restarts == 0;
        event::note_all(self.layout, &happened[..2 + usize::from(is_joined)], &self.record);
        self.forget_past();
        self.announce();
        // The container runs, whatever comes of them.
        let _ = self.run_hooks(Stage::AfterStart, life.running.child.pid.as_raw());
        Ok(life)
    }

    /// What is to connect the network of the next life, which keeps the ports of the one before.
    fn connection(&self) -> Result<Option<Connection>, Failure> {
        let plan = self.plan.borrow();
        let Some(plan) = plan.network.user() else { return Ok(None) };
        let connection = Connection::new(self.layout, &self.record, plan, self.ports.take())?;
        self.ports.replace(Some(connection.ports().to_vec()));
        Ok(Some(connection))
    }

    /// Launches it: with its root file system made as planned, or in the next way that can be had.
    fn launch(
        &self,
        proof: &SingleThreaded,
        given: &Given,
        mut connect: Option<&mut dyn Connect>,
        membership: Option<&spawn::Membership>,
    ) -> Result<Running, LaunchError> {
        loop {
            let mut plan = self.plan.borrow_mut();
            let connect = connect.as_mut().map(|connect| &mut **connect as &mut dyn Connect);
            let company = Company { interrupt: None, connect, membership };
            let error = match spawn::launch(proof, &plan, given, company) {
                Ok(running) => {
                    if self.detour.borrow().is_none()
                        && let Some(driver) = plan.driver()
                    {
                        let known = driver::recorded(self.layout, &self.id).map(|record| record.driver);
                        if known.unwrap_or_default() != driver {
                            let why = driver::why_first(self.layout, self.request, driver);
                            driver::note(self.layout, &self.id, driver, why.into());
                        }
                    }
                    if let (Some(driver), Some(reason)) = (plan.driver(), self.detour.take()) {
                        driver::note(self.layout, &self.id, driver, reason.clone());
                        (self.notice)(&format!("the root file system is made by {driver}: {reason}"));
                    }
                    return Ok(running);
                }
                Err(error) => error,
            };
            match driver::next(&mut plan, &error) {
                Some(reason) => {
                    let before = self.detour.take().map(|before| format!("{before}; ")).unwrap_or_default();
                    self.detour.replace(Some(before + &reason))
                }
                None => {
                    if let Some(reason) = self.detour.take() {
                        (self.notice)(&format!("tried before: {reason}"));
                    }
                    return Err(error);
                }
            };
        }
    }

    /// Waits with a container that was made ready until somebody wants it started, and starts it.
    fn release(&self, mut life: Life, monitor: &mut Monitor<'_>) -> Result<Life, Failure> {
        if life.running.is_waiting() {
            let held = monitor.hold(&life.running).map_err(|errno| internal("watching the container", errno));
            let released = held.and_then(|held| match held {
                Hold::Wanted => Ok(life.running.release(&self.plan.borrow())?),
                Hold::Ended => {
                    let message = format!("starting container {}: it was ended before", self.id.short());
                    Err(Failure::new("E_STATE", message))
                }
            });
            if released.is_err() {
                // It is what it was before it was made ready.
                group::remove_left(self.layout, &self.id);
                remove::tidy_work(self.layout, &self.id);
                self.forget_processes();
            }
            released?;
            (life.started, life.born) = (Timestamp::now(), Instant::now());
            self.write_processes(Some(&life.running), life.started, 0);
            event::note(self.layout, ContainerEvent::Start, &self.record);
            self.forget_past();
            self.announce();
            let _ = self.run_hooks(Stage::AfterStart, life.running.child.pid.as_raw());
            monitor.tell_start();
        }
        Ok(life)
    }

    /// Executes the hooks of a stage; `pid` is the container's process, or 0.
    fn run_hooks(&self, stage: Stage, pid: i32) -> Result<(), Failure> {
        hooks::run(&self.hooks.borrow(), stage, &hooks::State { layout: self.layout, record: &self.record, pid })
    }

    /// Tells the service manager whom to look after: us.
    fn announce(&self) {
        let Some(manager) = &*self.manager.borrow() else { return };
        let ready = if self.request.process.notify == NotifyMode::Monitor { "\nREADY=1" } else { "" };
        manager.tell(&format!("MAINPID={}{ready}", std::process::id()));
    }

    /// With its start the container is none any more that was only made, or has ended.
    fn forget_past(&self) {
        if self.has_past {
            let _ = fs::remove_file(self.layout.created_marker(&self.id));
            let _ = fs::remove_file(self.layout.exit_record(&self.id));
        }
    }

    /// Says who serves the container, which waits for its next start where nothing is `running`. Only what others see of it
    /// depends on this record: a runtime directory that is gone does not end it.
    fn write_processes(&self, running: Option<&Running>, started: Timestamp, restarts: u32) {
        let init = running.map_or(0, |running| running.child.pid.as_raw());
        let processes = ProcessesRecord {
            boot_id: boot_id().unwrap_or_default(),
            monitor: std::process::id() as i32,
            init,
            init_start: process_start(init).unwrap_or(0),
            started,
            restarts,
            initialized: running.is_some_and(Running::is_waiting),
            degraded: self.degraded.get().map(Into::into),
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
            let Life { mut running, channels, started, born, connection } = life;
            let names = running.name_servers.take();
            let manager = self.manager.borrow().clone();
            let notes = running.notes.take().zip(manager.clone()).map(|(socket, manager)| Relay::new(manager, socket));
            let is_well = || {
                if let Some(manager) = manager.as_ref().filter(|_| self.request.process.notify == NotifyMode::Healthy) {
                    manager.tell("READY=1");
                }
            };
            let must_restart = Cell::new(false);
            let is_ill = |verdict| self.cure(&running, verdict, &must_restart);
            let is_degraded = || {
                self.degraded.set(Some(SERVER_DIED));
                self.write_processes(Some(&running), started, restarts);
                (self.notice)(SERVER_DIED);
            };
            let care = Care {
                is_degraded: &is_degraded,
                limit: self.request.time_limit.map(|seconds| Duration::from_secs(seconds.into())),
                health: self.record.health.clone().map(|check| health::Watch::new(self.layout, &self.record, check)),
                is_ill: &is_ill,
                is_well: &is_well,
                notes,
                stop_signal: self.stands_alone.get().then(|| self.stop_signal().number()),
                patience: Duration::from_secs(self.request.stop_timeout.into()),
                connection,
                ends_with: None,
                name_servers: names.map(|file| {
                    let (layout, record) = (self.layout.clone(), self.record.clone());
                    let resolver = move || networks::resolver(&layout, &record);
                    NameServers::new(file, &self.plan.borrow().network, &self.request.resolution, resolver)
                }),
            };
            let mut code = monitor.serve(&running, channels, care).map_err(watching)?;
            // Before the group, which cannot be removed while anybody is in it.
            if let Some(mounts) = &running.mounts {
                processes::end_all_in(mounts.as_fd());
            }
            let ids_needed = running.ids.take().map(|keeper| keeper.borrow().was_needed());
            if let Some(connection) = monitor.take_connection() {
                connection.close(self.restart_policy() != RestartPolicy::No);
            }
            let lack = running.group.as_ref().and_then(group::lack_of_memory);
            if let Some(group) = &running.group {
                // What cannot be removed now is removed by the next command that looks.
                let _ = group::remove(self.layout, &self.id, group);
            }
            drop(running);
            let _ = self.run_hooks(Stage::AfterEnd, 0);
            let mut more = vec![(event::EXIT_CODE, code.to_string())];
            if let Some(lack) = &lack {
                group::note(self.layout, &self.record, lack);
                more.push((event::OOM_KILLED, true.to_string()));
            }
            event::note_with(self.layout, ContainerEvent::Died, &self.record, &more);
            let oom_killed = lack.is_some();
            let mut error = self.degraded.take().map(str::to_owned);
            if born.elapsed() > SETTLED {
                delay = RESTART_DELAY.0;
            }
            // What cannot be started is tried again like what fails at once.
            life = loop {
                let is_restarted = must_restart.take() || self.restart_policy().restarts(code, restarts);
                if !is_restarted || self.was_stopped() || monitor.is_asked_to_end() {
                    self.finish(ExitRecord { error, oom_killed, ids_needed, ..self.exit(code, started, restarts) });
                    return Ok(code);
                }
                restarts += 1;
                self.write_processes(None, started, restarts);
                if monitor.pause(delay).map_err(watching)? == Pause::AskedToEnd {
                    self.finish(ExitRecord { error, oom_killed, ids_needed, ..self.exit(code, started, restarts) });
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
        let finished = Timestamp::now();
        ExitRecord {
            code,
            started,
            finished,
            restarts,
            stopped_by_user,
            oom_killed: false,
            ids_needed: None,
            error: None,
        }
    }

    /// What happens when it ends: it can be changed at any time.
    fn restart_policy(&self) -> RestartPolicy {
        match self.request.removal {
            Removal::AtExit => RestartPolicy::No,
            Removal::Never => Changes::of(self.layout, &self.id).restart.unwrap_or(self.request.restart),
        }
    }

    fn stop_signal(&self) -> Signal {
        self.record.process.stop_signal.parse().unwrap_or(Signal::TERM)
    }

    fn was_stopped(&self) -> bool {
        let may_restart = self.restart_policy() != RestartPolicy::No || self.record.health.is_some();
        may_restart && self.layout.stop_marker(&self.id).exists()
    }

    /// What one life leaves in the way of the next.
    fn tidy(&self) {
        tidy(self.layout, self.request, &self.id);
    }

    fn finish(&self, exit: ExitRecord) {
        self.leave_networks();
        volumes::let_go(self.layout, &self.record);
        remove::discard_overlays(self.layout, &self.id);
        if self.request.removal == Removal::AtExit {
            // What cannot be removed now is removed by the next command that looks.
            let renamed = list::new_name(&self.layout.container_new_name(&self.id));
            if remove::retire(self.layout, &self.record).is_ok() {
                let name = renamed.unwrap_or_else(|| self.record.name.clone());
                event::note(self.layout, ContainerEvent::Remove, &ContainerRecord { name, ..self.record.clone() });
            }
            return;
        }
        remove::tidy_work(self.layout, &self.id);
        // The code is told all the same: without a record, what is shown later is that the end was not seen.
        let _ = record::write_volatile(&self.layout.exit_record(&self.id), &exit);
        self.forget_processes();
    }

    fn forget_processes(&self) {
        for path in [
            self.layout.process_record(&self.id),
            self.layout.attach_socket(&self.id),
            self.layout.ids_socket(&self.id),
            self.layout.stop_marker(&self.id),
            self.layout.health_record(&self.id),
            self.layout.connection_record(&self.id),
        ] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what an earlier life of the container leaves in the way of another one: the overlay's work, and what is
/// thrown away with each life.
pub fn tidy(layout: &Layout, request: &Request, id: &ContainerId) {
    remove::tidy_work(layout, id);
    remove::discard_overlays(layout, id);
    if let RootfsSource::Directory { writes: DirectoryWrites::Discarded, .. } = request.rootfs {
        let upper = layout.container(id).join("upper");
        for entry in fs::read_dir(&upper).into_iter().flatten().flatten() {
            let _ = crate::state::temporary::remove(&entry.path());
        }
    }
}

/// What is said when there is no supervisor of virtual ids.
fn emulating(errno: Errno) -> Failure {
    internal("starting the supervisor of the container's ids", errno)
}

/// Writes a process id, or nothing yet: whether it can be written is known before anything is started.
fn write_pid(file: &Path, pid: Option<i32>) -> Result<(), Failure> {
    let text = pid.map(|pid| pid.to_string()).unwrap_or_default();
    fs::write(file, text).map_err(|cause| {
        let message = format!("writing a process id to {}: {cause}", file.display());
        Failure::new(record::io_code(&cause), message)
            .with_hint("name a file in a directory that this user may write to")
    })
}

fn signals() -> Result<SignalQueue, Failure> {
    SignalQueue::new(monitor::is_forwarded).map_err(|errno| internal("blocking signals", errno))
}

/// The log in the cell, which is lent for a moment.
fn log_in(cell: &Cell<Option<LogTarget>>) -> Option<LogTarget> {
    let log = cell.take();
    cell.set(log.clone());
    log
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}
