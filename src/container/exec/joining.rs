//! The parent of a process in a container: how it gets there, and what it does until the process has ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::ids::Supervision;
use super::{Attach, Purpose, Report, Request};
use crate::container::attach::{self, Attachment, End};
use crate::container::live::{Live, NotLive};
use crate::container::monitor::frame::Frame;
use crate::container::monitor::streams::{self, Streams};
use crate::container::monitor::{self, Care, Channel, Clients, Monitor};
use crate::container::request::{Stdin, Terminal};
use crate::container::translate::resources;
use crate::container::{event, freeze, group, stand_alone};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::host::{limits, processes, security};
use crate::name::process::namespace_mode::NamespaceMode;
use crate::runtime::init::Given;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::spawn::{self, Company, Running};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{memory, namespace, process};

/// A process about to be started.
pub struct Joining<'a> {
    pub layout: &'a Layout,
    pub live: Live,
    pub request: &'a Request,
    pub plan: LaunchPlan,
    pub preserved: Vec<OwnedFd>,
    /// The container's monitor, where ids are virtual.
    pub supervision: Option<Supervision>,
}

/// One that runs, and what is relayed for it.
struct Life {
    running: Running,
    channels: Vec<Channel>,
    signals: SignalQueue,
}

impl Joining<'_> {
    /// Starts it, and stays as long as was asked for.
    pub fn execute(self, proof: &SingleThreaded) -> Result<Report, Failure> {
        match (self.request.attach, self.request.terminal) {
            (Attach::Foreground, Terminal::None) => self.be_parent(proof).map(Report::Exited),
            (Attach::Foreground, Terminal::New) => self.be_client(proof),
            (Attach::Detached, _) => self.fork_parent(proof).map(|_| Report::Running),
        }
    }

    fn be_parent(mut self, proof: &SingleThreaded) -> Result<u8, Failure> {
        let Streams { given, channels } =
            streams::attached(self.request.stdin, None).map_err(|errno| internal("preparing the streams", errno))?;
        let signals = signals()?;
        // The others stay where they are until there is a process to send them to.
        let requests_to_end = SignalQueue::new(|signal| monitor::END.contains(&signal));
        let requests_to_end = requests_to_end.map_err(|errno| internal("blocking signals", errno))?;
        match self.launch(proof, Some(given), requests_to_end.as_fd()) {
            Ok(running) => self.serve(Life { running, channels, signals }, Clients::default()),
            Err(failure) => requests_to_end.next().map(|signal| 128 + signal as u8).ok_or(failure),
        }
    }

    /// A user at a terminal may leave, and the process has to have another parent then: it has it from the beginning.
    fn be_client(self, proof: &SingleThreaded) -> Result<Report, Failure> {
        let attachment = Attachment {
            input: self.request.stdin == Stdin::Open,
            output: true,
            error: true,
            terminal: true,
            signals: true,
            keys: self.request.keys.clone(),
        };
        let short = self.live.record.id.short().to_owned();
        let connection = self.fork_parent(proof)?;
        match attach::serve(&connection, &attachment) {
            Ok(End::Exited(code)) => Ok(Report::Exited(code)),
            Ok(End::Detached) => Ok(Report::Running),
            Ok(End::Lost) => {
                let message =
                    format!("the parent of the process in container {short} was killed, and the process with it");
                Err(Failure::new("E_HELPER_DIED", message))
            }
            Err(errno) => Err(internal("relaying the process's terminal", errno)),
        }
    }

    /// Forks a parent for the process that stands alone; our connection with it.
    fn fork_parent(mut self, proof: &SingleThreaded) -> Result<OwnedFd, Failure> {
        stand_alone::fork(proof, |command| {
            process::set_name(c"coracle-exec");
            match self.start_alone(proof, command.as_fd()) {
                Ok(life) => {
                    let connection = command.report_start();
                    let clients = match self.request.attach {
                        Attach::Foreground => Clients::keeper(connection),
                        Attach::Detached => Clients::default(),
                    };
                    self.serve(life, clients).unwrap_or(EXIT_OWN_FAILURE)
                }
                Err(failure) => command.report_failure(&failure),
            }
        })
    }

    /// What a process writes that nobody sees is thrown away, as podman does it.
    fn start_alone(&mut self, proof: &SingleThreaded, command: BorrowedFd<'_>) -> Result<Life, Failure> {
        let null = stand_alone::leave_session()?;
        let signals = signals()?;
        let given = match self.request.terminal {
            Terminal::New => None,
            Terminal::None => {
                let copy = || null.try_clone().map_err(|cause| failed("preparing the streams", &cause));
                Some([copy()?, copy()?, copy()?])
            }
        };
        let running = self.launch(proof, given, command)?;
        let stdin = if self.request.attach == Attach::Detached { Stdin::Null } else { self.request.stdin };
        let channels = running.terminal.as_ref().map(|master| streams::terminal(master, stdin, None)).transpose();
        let channels = channels.map_err(|errno| internal("preparing the terminal", errno))?.unwrap_or_default();
        Ok(Life { running, channels, signals })
    }

    /// Until it has ended; its exit code.
    fn serve(&self, life: Life, clients: Clients) -> Result<u8, Failure> {
        let Life { running, channels, signals } = life;
        let mut monitor = Monitor::new(&signals, clients);
        self.note(ContainerEvent::Exec);
        let among_others = self.live.record.asked.pid != NamespaceMode::Private;
        // The container's monitor ends what is left of it; but that may have been killed.
        let ends_with = among_others.then(|| self.live.init().try_clone_to_owned()).transpose();
        let ends_with = ends_with.map_err(|cause| failed("watching the container", &cause))?;
        let code = monitor.serve(&running, channels, Care { ends_with, ..Care::default() });
        if among_others {
            processes::end_children();
        }
        self.note(ContainerEvent::ExecDied);
        let code = code.map_err(|errno| internal("watching the process", errno))?;
        monitor.part(Frame::Exited(code));
        Ok(code)
    }

    fn note(&self, happened: ContainerEvent) {
        if self.request.purpose == Purpose::Command {
            event::note(self.layout, happened, &self.live.record);
        }
    }

    fn launch(
        &mut self,
        proof: &SingleThreaded,
        streams: Option<[OwnedFd; 3]>,
        interrupt: BorrowedFd<'_>,
    ) -> Result<Running, Failure> {
        // The child has our command line until it executes the program, and anybody in the container may read that.
        memory::set_command_line(&format!("coracle-exec {}", self.live.record.id.short()));
        if let Some(score) = self.live.record.limits.oom_score_adj {
            let score = resources::oom_score_adj(score);
            limits::set_oom_score_adj(score).map_err(|cause| failed("setting the process's oom score", &cause))?;
        }
        if let Some(profile) = self.live.record.security.iter().find_map(|word| word.strip_prefix("apparmor=")) {
            security::set_exec_profile(profile)
                .map_err(|cause| failed("taking the container's AppArmor profile", &cause))?;
        }
        let group = group::of(self.layout, &self.live.record.id);
        let leaf = group
            .map(|group| group.admit_caller().and_then(|()| group.open_leaf_of(self.live.processes.init)))
            .transpose()?
            .flatten();
        self.enter().map_err(|errno| match errno {
            // Its process is about to end, and has no namespaces any more.
            Errno::ESRCH => NotLive::Ended(self.live.record.id.clone()).into(),
            _ => self.explained(internal("entering the container's namespaces", errno)),
        })?;
        // Ours are closed once the process has them.
        let preserved = std::mem::take(&mut self.preserved);
        let given = Given { streams, preserved, group: leaf.map(OwnedFd::from), ..Given::default() };
        let company = Company { interrupt: Some(interrupt), ..Company::default() };
        let running = spawn::launch(proof, &self.plan, &given, company);
        drop(given);
        let mut running = running.map_err(|error| self.explained(error.into()))?;
        if let (Some(supervision), Some(listener)) = (self.supervision.take(), running.handles.listener.take()) {
            let handed = supervision.hand_over(&listener);
            if handed.is_err() {
                running.kill();
            }
            handed.map_err(|failure| self.explained(failure))?;
        }
        freeze::include(self.layout, &self.live, running.child.pidfd.as_fd());
        Ok(running)
    }

    fn enter(&self) -> Result<(), Errno> {
        let member = self.plan.joined().ok_or(Errno::ESRCH)?;
        process::hide_from_ptrace()?;
        if self.live.record.asked.pid != NamespaceMode::Private {
            // Nothing but us ends what the process leaves behind.
            nix::sys::prctl::set_child_subreaper(true)?;
        }
        let mut namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID;
        // The host's is ours, and nobody's to enter.
        namespaces.set(CloneFlags::CLONE_NEWPID, self.live.record.asked.pid != NamespaceMode::Host);
        namespace::join(member, namespaces)?;
        // To get new capabilities makes the kernel forget it (PR_SET_DUMPABLE(2const)).
        process::hide_from_ptrace()
    }

    /// The end of a container is felt in many places.
    fn explained(&self, failure: Failure) -> Failure {
        if self.live.has_ended() { NotLive::Ended(self.live.record.id.clone()).into() } else { failure }
    }
}

fn signals() -> Result<SignalQueue, Failure> {
    SignalQueue::new(monitor::is_forwarded).map_err(|errno| internal("blocking signals", errno))
}

fn internal(doing: &str, errno: Errno) -> Failure {
    failed(doing, &errno)
}

fn failed(doing: &str, cause: &dyn std::fmt::Display) -> Failure {
    Failure::new("E_IO", format!("{doing}: {cause}"))
}
