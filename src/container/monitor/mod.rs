//! The monitor: parent of a container's pid 1. One thread, one poll loop: streams, signals, the end.

mod channel;
mod client;
pub mod detach_keys;
pub mod frame;
pub mod health;
pub use crate::sys::unix_socket as listener;
pub mod log;
pub mod notify;
pub mod raw_mode;
pub mod streams;

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::Winsize;
use nix::sys::wait::WaitStatus;

pub use channel::Channel;
use channel::{Input, OUTPUT_LIMIT};
pub use client::Clients;
use client::Said;
use frame::{Frame, STREAM_LIMIT};
use log::Stream;

use crate::container::connection::Connection;
use crate::container::name_servers::NameServers;
use crate::identity::table;
use crate::name::health::OnFailure;
use crate::runtime::spawn::Running;
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{memory, pidfd, tty};

/// Signals that the monitor takes for the container: all that a user or a program would send, and window changes. Those
/// that stop and continue us are left to the kernel: they are about the command, not about the container.
pub fn is_forwarded(signal: i32) -> bool {
    !matches!(
        signal,
        libc::SIGKILL
            | libc::SIGSTOP
            | libc::SIGCHLD
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGCONT
            | libc::SIGPIPE
            | libc::SIGURG
            | libc::SIGSEGV
            | libc::SIGBUS
            | libc::SIGILL
            | libc::SIGFPE
            | libc::SIGABRT
            | libc::SIGTRAP
            | libc::SIGSYS
    )
}

/// Signals that ask a program to end.
pub const END: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// After this time without anything to do the monitor gives its memory back.
const QUIET: Duration = Duration::from_millis(300);

/// How often, and within what time, a user must ask a container that does not react to end before it is killed.
const IMPATIENCE: (usize, Duration) = (3, Duration::from_secs(3));

/// How long those who are attached may take, once the container has ended, to read what is left.
const PARTING: Duration = Duration::from_secs(2);

/// The size of our terminal's window, if one of the standard descriptors is a terminal.
pub fn window_of_caller() -> Option<Winsize> {
    [0, 1, 2].into_iter().find_map(|number| tty::size(streams::standard(number)).ok())
}

/// Serves one run of a container after the other.
pub struct Monitor<'a> {
    signals: &'a SignalQueue,
    clients: Clients,
    channels: Vec<Channel>,
    /// For output on its way; empty while there is none.
    buffer: Vec<u8>,
    requests_to_end: Vec<Instant>,
    health: Option<health::Watch>,
    connection: Option<Connection>,
    notes: Option<notify::Relay>,
    name_servers: Option<NameServers>,
    ends_with: Option<OwnedFd>,
    stop_signal: Option<i32>,
    is_asked_to_end: bool,
    /// Whether what serves the root file system has died.
    is_degraded: bool,
    /// Whether the container was made ready and is not started yet.
    holds: bool,
}

/// What a descriptor that is ready means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Process,
    Master,
    Supervisor,
    Server(usize),
    Signals,
    HealthCheck,
    Network,
    Notes,
    Listener,
    Client(usize),
    Output(usize),
    StandardInput(usize),
    Input(usize),
}

/// How a container is looked after while it runs.
pub struct Care<'a> {
    /// Time after which it is killed.
    pub limit: Option<Duration>,
    /// Its health checks.
    pub health: Option<health::Watch>,
    /// Called once when the process that serves its root file system has died: it runs on, but for what needs files.
    pub is_degraded: &'a dyn Fn(),
    /// Called once when they have failed: what else is to be done about it now.
    pub is_ill: &'a dyn Fn(OnFailure) -> Cure,
    /// How long one that is asked to end, for its ill health or by us, may take.
    pub patience: Duration,
    /// Called once when it is healthy.
    pub is_well: &'a dyn Fn(),
    /// What passes on what it tells of itself.
    pub notes: Option<notify::Relay>,
    /// What connects its network.
    pub connection: Option<Connection>,
    /// Its file that follows the host's.
    pub name_servers: Option<NameServers>,
    /// A process at whose end it is killed.
    pub ends_with: Option<OwnedFd>,
    /// With it the container is asked to end when SIGTERM asks a monitor to end that stands alone: the user logs out, or the
    /// machine goes down.
    pub stop_signal: Option<i32>,
}

impl Default for Care<'_> {
    fn default() -> Self {
        Self {
            limit: None,
            health: None,
            is_degraded: &|| {},
            is_ill: &|_| Cure::Kill,
            is_well: &|| {},
            notes: None,
            patience: Duration::ZERO,
            connection: None,
            name_servers: None,
            ends_with: None,
            stop_signal: None,
        }
    }
}

/// What the monitor does about ill health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// It kills the container.
    Kill,
    /// It waits: the container was asked to end.
    Wait,
}

/// What ended a time of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is over.
    Over,
    /// Somebody asked for an end of everything.
    AskedToEnd,
}

/// What ended the time in which a container is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is to be started.
    Wanted,
    /// It has ended.
    Ended,
}

/// Starts another supervisor in the place of one that has ended, if one is needed; where that cannot be done, a container that
/// is half alive is worse than none.
fn revive(running: Option<&Running>) {
    let Some(Running { ids: Some(keeper), .. }) = running else { return };
    let revived = SingleThreaded::prove().is_ok_and(|proof| keeper.borrow_mut().revive(&proof).is_ok());
    if let Some(running) = running.filter(|_| !revived) {
        running.kill();
    }
}

/// The limit that gives a process of the container these credentials.
fn limit_of(running: &Running, credentials: &[u8]) -> Option<u64> {
    let credentials = table::decode(credentials)?;
    running.ids.as_ref()?.borrow().limit_of(credentials).ok()
}

impl<'a> Monitor<'a> {
    /// One that takes `signals`, and has these clients.
    pub fn new(signals: &'a SignalQueue, clients: Clients) -> Self {
        Self {
            signals,
            clients,
            channels: Vec::new(),
            buffer: Vec::new(),
            requests_to_end: Vec::new(),
            health: None,
            connection: None,
            notes: None,
            name_servers: None,
            ends_with: None,
            stop_signal: None,
            is_asked_to_end: false,
            is_degraded: false,
            holds: false,
        }
    }

    /// Whether SIGTERM has asked it to end, and its container with it.
    pub fn is_asked_to_end(&self) -> bool {
        self.is_asked_to_end
    }

    /// Waits with a container that was made ready until somebody wants it started: whether that is so, or it has ended.
    pub fn hold(&mut self, running: &Running) -> Result<Hold, Errno> {
        self.holds = true;
        // There is no program yet that could be asked.
        self.stop_signal = Some(libc::SIGKILL);
        while !self.clients.ask_for_start() {
            if self.turn(Some(running), None)? {
                return pidfd::wait(running.child.pidfd.as_fd()).map(|_| Hold::Ended);
            }
        }
        Ok(Hold::Wanted)
    }

    /// Tells those who wanted a container started that it runs.
    pub fn tell_start(&mut self) {
        self.holds = false;
        self.clients.tell_start();
    }

    /// Serves the container until it has ended, and gives its exit code: its own, or 128 and the number of the signal that
    /// killed it.
    pub fn serve(&mut self, running: &Running, channels: Vec<Channel>, care: Care<'_>) -> Result<u8, Errno> {
        self.channels = channels;
        self.health = care.health;
        self.connection = care.connection;
        self.notes = care.notes;
        let mut was_well = false;
        self.name_servers = care.name_servers;
        self.ends_with = care.ends_with;
        self.stop_signal = care.stop_signal;
        let mut deadline = care.limit.map(|limit| Instant::now() + limit);
        let mut is_waiting = false;
        loop {
            let next = [
                deadline,
                self.health.as_ref().and_then(health::Watch::deadline),
                self.connection.as_ref().and_then(Connection::deadline),
                self.name_servers.as_ref().map(NameServers::deadline),
            ];
            if self.turn(Some(running), next.into_iter().flatten().min())? {
                break;
            }
            if let Some(connection) = &mut self.connection {
                connection.turn();
            }
            if let Some(name_servers) = &mut self.name_servers {
                name_servers.turn();
            }
            if std::mem::take(&mut self.is_degraded) {
                (care.is_degraded)();
            }
            if self.is_asked_to_end && !is_waiting {
                is_waiting = true;
                let end = Instant::now() + care.patience;
                deadline = Some(deadline.map_or(end, |deadline| deadline.min(end)));
            }
            let mut kill = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let verdict = self.health.as_mut().map_or(OnFailure::None, health::Watch::turn);
            if !was_well && self.health.as_ref().is_some_and(health::Watch::is_well) {
                was_well = true;
                (care.is_well)();
            }
            if verdict != OnFailure::None {
                self.health = None;
                kill |= (care.is_ill)(verdict) == Cure::Kill;
                deadline = Some(Instant::now() + care.patience);
            }
            if kill {
                deadline = None;
                running.kill();
            }
        }
        self.health = None;
        self.name_servers = None;
        // What it has said last.
        if let Some(notes) = &mut self.notes {
            notes.turn();
        }
        self.notes = None;
        // It holds what they serve.
        if let Some(keeper) = &running.ids {
            keeper.borrow_mut().end();
        }
        running.servers.finish();
        let code = match pidfd::wait(running.child.pidfd.as_fd())? {
            WaitStatus::Exited(_, code) => code as u8,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
            _ => crate::failure::EXIT_OWN_FAILURE,
        };
        self.drain();
        Ok(code)
    }

    /// What has connected the network of the container that has ended.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// Waits while no container runs.
    pub fn pause(&mut self, length: Duration) -> Result<Pause, Errno> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            if self.turn(None, Some(end))? {
                return Ok(Pause::AskedToEnd);
            }
        }
        Ok(Pause::Over)
    }

    /// Says the last word to those who are attached.
    pub fn part(&mut self, last: Frame<'_>) {
        self.clients.broadcast(last);
        let end = Instant::now() + PARTING;
        while self.clients.have_queued() && Instant::now() < end && self.turn(None, Some(end)).is_ok() {}
    }

    /// Waits for something to happen and deals with it; true once the process has ended, or, without one, once we are asked
    /// to end.
    fn turn(&mut self, running: Option<&Running>, deadline: Option<Instant>) -> Result<bool, Errno> {
        let mut ended = false;
        for (source, events) in self.wait(running, deadline)? {
            match source {
                Source::Process => ended = true,
                Source::Master => {
                    self.ends_with = None;
                    if let Some(running) = running {
                        running.kill();
                    }
                }
                Source::Supervisor => revive(running),
                Source::Server(index) => {
                    let is_over = running.is_none_or(|running| running.servers.take_ended(index));
                    self.is_degraded |= !is_over;
                }
                Source::Signals => {
                    while let Some(signal) = self.signals.next() {
                        ended |= self.obey(running, signal);
                    }
                }
                // Looked at in any case.
                Source::HealthCheck => {}
                Source::Network => {
                    if let Some(connection) = &mut self.connection {
                        connection.died();
                    }
                }
                Source::Notes => {
                    if let Some(notes) = &mut self.notes {
                        notes.turn();
                    }
                }
                Source::Listener => self.clients.accept(),
                Source::Client(index) => {
                    if events.contains(PollFlags::POLLOUT) {
                        self.clients.flush(index);
                    }
                    if events.intersects(!PollFlags::POLLOUT)
                        && let Some(said) = self.clients.receive(index)
                    {
                        self.hear(running, said);
                    }
                }
                Source::Output(index) => {
                    self.take(index);
                }
                Source::StandardInput(index) => self.feed(index),
                Source::Input(_) => {
                    if let Some(input) = self.input() {
                        input.flush();
                    }
                }
            }
        }
        self.clients.tidy();
        self.channels.retain(|channel| !channel.is_closed());
        Ok(ended)
    }

    /// Waits until something happens, or until `deadline`. Memory is given back once nothing has happened for a while: it may be
    /// long before something does.
    fn wait(
        &mut self,
        running: Option<&Running>,
        deadline: Option<Instant>,
    ) -> Result<Vec<(Source, PollFlags)>, Errno> {
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let soon = left().map_or(QUIET, |left| left.min(QUIET));
        // Rounded up: a deadline that is nearly there must not be asked for again and again.
        let soon = PollTimeout::try_from(soon.as_millis() as i32 + 1).unwrap_or(PollTimeout::ZERO);
        let happened = self.poll(running, |fds| poll(fds, soon).map(drop))?;
        if !happened.is_empty() || left().is_some_and(|left| left <= QUIET) {
            return Ok(happened);
        }
        self.rest();
        self.poll(running, |fds| memory::wait_lightly(fds, left(), Path::new("/proc")))
    }

    fn rest(&mut self) {
        self.buffer = Vec::new();
        for channel in &mut self.channels {
            if let Channel::Output(output) = channel {
                output.rest();
            }
        }
    }

    /// What has happened to the descriptors of interest, after `wait` has waited for it.
    fn poll(
        &self,
        running: Option<&Running>,
        wait: impl FnOnce(&mut [PollFd<'_>]) -> Result<(), Errno>,
    ) -> Result<Vec<(Source, PollFlags)>, Errno> {
        let servers = running.map(|running| running.servers.alive());
        let mut wanted: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::new();
        let read = PollFlags::POLLIN;
        wanted.extend(running.map(|running| (Source::Process, running.child.pidfd.as_fd(), read)));
        wanted.extend(self.ends_with.as_ref().map(|process| (Source::Master, process.as_fd(), read)));
        let keeper = running.and_then(|running| running.ids.as_ref()).map(RefCell::borrow);
        let supervisor = keeper.as_ref().and_then(|keeper| keeper.process());
        wanted.extend(supervisor.map(|process| (Source::Supervisor, process, read)));
        // The last first, for who takes some away.
        let servers = servers.as_deref().unwrap_or_default();
        for (index, server) in servers.iter().enumerate().rev() {
            wanted.push((Source::Server(index), server.pidfd.as_fd(), read));
        }
        wanted.push((Source::Signals, self.signals.as_fd(), read));
        let check = self.health.as_ref().and_then(health::Watch::process);
        wanted.extend(check.map(|process| (Source::HealthCheck, process, read)));
        let helpers = self.connection.iter().flat_map(Connection::processes);
        wanted.extend(helpers.map(|process| (Source::Network, process, read)));
        let check = self.health.as_ref().and_then(health::Watch::output);
        wanted.extend(check.map(|output| (Source::HealthCheck, output, read)));
        wanted.extend(self.notes.as_ref().map(|notes| (Source::Notes, notes.socket(), read)));
        wanted.extend(self.clients.listener().map(|listener| (Source::Listener, listener, read)));
        let has_room =
            self.channels.iter().all(|channel| !matches!(channel, Channel::Input(input) if !input.has_room()));
        for (index, (socket, has_queued)) in self.clients.sockets().enumerate() {
            let mut flags = if has_room { read } else { PollFlags::empty() };
            flags.set(PollFlags::POLLOUT, has_queued);
            wanted.push((Source::Client(index), socket, flags));
        }
        for (index, channel) in self.channels.iter().enumerate() {
            match channel {
                Channel::Output(output) if self.clients.keep_up() => {
                    wanted.push((Source::Output(index), output.source(), read));
                }
                Channel::Output(_) => {}
                Channel::Input(input) => {
                    wanted.extend(input.blocked().map(|fd| (Source::Input(index), fd, PollFlags::POLLOUT)));
                    if input.reads_standard_input && input.has_room() {
                        wanted.push((Source::StandardInput(index), streams::standard(0), read));
                    }
                }
            }
        }
        let mut fds: Vec<PollFd<'_>> = wanted.iter().map(|&(_, fd, flags)| PollFd::new(fd, flags)).collect();
        match wait(&mut fds) {
            Ok(()) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let happened = |(fd, (source, ..)): (&PollFd<'_>, &(Source, BorrowedFd<'_>, PollFlags))| {
            let events = fd.revents().unwrap_or(PollFlags::empty());
            (!events.is_empty()).then_some((*source, events))
        };
        Ok(fds.iter().zip(&wanted).filter_map(happened).collect())
    }

    fn input(&mut self) -> Option<&mut Input> {
        self.channels.iter_mut().find_map(|channel| match channel {
            Channel::Input(input) => Some(input),
            Channel::Output(_) => None,
        })
    }

    fn hear(&mut self, running: Option<&Running>, said: Said) {
        match (said, running) {
            (Said::Input(bytes), _) => {
                if let Some(input) = self.input() {
                    input.push(&bytes);
                }
            }
            (Said::EndOfInput, _) => {
                if let Some(input) = self.input() {
                    input.end();
                }
            }
            (Said::Resize(rows, columns), Some(Running { terminal: Some(master), .. })) => {
                let _ = tty::set_size(master.as_fd(), &tty::window(rows, columns));
            }
            (Said::Resize(..), _) => {}
            (Said::Signal(signal), _) => {
                self.forward(running, signal);
            }
            (Said::Lost, Some(running)) => running.kill(),
            (Said::Lost, None) => {}
            (Said::Credentials(client, bytes), running) => {
                let limit = running.and_then(|running| limit_of(running, &bytes)).unwrap_or(0);
                self.clients.answer(client, Frame::Limit(limit));
            }
            (Said::Listener(listener), Some(Running { ids: Some(keeper), .. })) => {
                if !keeper.borrow_mut().listen(listener) {
                    revive(running);
                }
            }
            (Said::Listener(_), _) => {}
            (Said::Start, _) if !self.holds => self.clients.tell_start(),
            (Said::Start, _) => {}
        }
    }

    /// Takes some of the container's output, for everybody: how much there was.
    fn take(&mut self, index: usize) -> usize {
        let Some(Channel::Output(output)) = self.channels.get_mut(index) else { return 0 };
        if self.buffer.is_empty() {
            self.buffer = vec![0; OUTPUT_LIMIT];
        }
        let count = output.take(&mut self.buffer);
        for bytes in self.buffer[..count].chunks(STREAM_LIMIT) {
            self.clients.broadcast(match output.stream {
                Stream::Output => Frame::Output(bytes),
                Stream::Error => Frame::Error(bytes),
            });
        }
        count
    }

    fn feed(&mut self, index: usize) {
        if let Some(Channel::Input(input)) = self.channels.get_mut(index) {
            input.take_standard(&mut vec![0; STREAM_LIMIT]);
        }
    }

    /// Deals with a signal that was sent to us; true as in [`Self::forward`].
    fn obey(&mut self, running: Option<&Running>, signal: i32) -> bool {
        match self.stop_signal {
            Some(stop) if signal == libc::SIGTERM && running.is_some() => {
                self.is_asked_to_end = true;
                self.forward(running, stop)
            }
            _ => self.forward(running, signal),
        }
    }

    /// Passes a signal on to the container; whether, without one, it means that we are to end.
    fn forward(&mut self, running: Option<&Running>, signal: i32) -> bool {
        let Some(running) = running else { return END.contains(&signal) };
        // It is about our terminal, which a container never has.
        if signal == libc::SIGWINCH {
            return false;
        }
        let signal = if self.is_impatient(signal) { libc::SIGKILL } else { signal };
        // It may have ended meanwhile.
        let _ = pidfd::send_signal(running.child.pidfd.as_fd(), signal);
        false
    }

    /// A pid 1 without a handler is deaf to SIGINT and SIGTERM. Who asks again and again is not left helpless.
    fn is_impatient(&mut self, signal: i32) -> bool {
        if !matches!(signal, libc::SIGINT | libc::SIGTERM) {
            return false;
        }
        let (times, within) = IMPATIENCE;
        self.requests_to_end.retain(|request| request.elapsed() < within);
        self.requests_to_end.push(Instant::now());
        self.requests_to_end.len() >= times
    }

    /// What the container wrote before it ended.
    fn drain(&mut self) {
        for index in 0..self.channels.len() {
            while self.take(index) > 0 {}
        }
        self.channels.clear();
    }
}
