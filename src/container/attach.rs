//! `attach`, and the user's side of every container whose monitor stands alone.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::{Pid, read, write};

use super::event;
use super::list::Listed;
use super::monitor::detach_keys::{DetachKeys, Watch};
use super::monitor::frame::{FRAME_LIMIT, Frame, STREAM_LIMIT};
use super::monitor::raw_mode::{Passes, RawMode};
use super::monitor::streams::standard;
use super::monitor::{is_forwarded, listener, window_of_caller};
use super::status::{self, Status, Stopped};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::schema::container::{ContainerRecord, ProcessRecord};
use crate::sys::pidfd;
use crate::sys::signal::SignalQueue;

/// How long a process that was killed may take to die, in milliseconds.
const DYING: u16 = 2000;

/// How a user takes part in a container.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Whether what is typed, or piped, goes to the container.
    pub input: bool,
    /// Whether its output is shown.
    pub output: bool,
    /// Whether its standard error is shown.
    pub error: bool,
    /// Whether the container has a terminal.
    pub terminal: bool,
    /// Whether signals to this command go to the container.
    pub signals: bool,
    /// What leaves the container running.
    pub keys: DetachKeys,
}

impl Attachment {
    /// The way to take part in `process`: with `input`, if that reads any.
    pub fn to(process: &ProcessRecord, input: bool, signals: bool, keys: DetachKeys) -> Self {
        let (input, terminal) = (input && process.stdin, process.terminal);
        Self { input, output: true, error: true, terminal, signals, keys }
    }
}

/// How it came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The container has ended with this exit code.
    Exited(u8),
    /// The user left, by the keys.
    Detached,
    /// The monitor is gone without a word: it was killed, and the container with it.
    Lost,
}

/// After this time without another key, the beginning of the keys that leave was meant for the container.
const KEY_PATIENCE: Duration = Duration::from_millis(500);

/// Attaches to a container that runs; the exit code, or nothing if the user left.
pub fn execute(
    layout: &Layout,
    container: &Listed,
    input: bool,
    signals: bool,
    keys: DetachKeys,
) -> Result<Option<u8>, Failure> {
    let record = &container.record;
    let (id, short) = (&record.id, record.id.short());
    if !matches!(container.status, Status::Running(_) | Status::Restarting(_)) {
        let failure = Failure::new("E_STATE", format!("attaching to container {short}: it is not running"));
        return Err(failure.with_hint(format!("coracle start --attach {} starts it", record.name)));
    }
    let connection = listener::connect_to(&layout.attach_socket(id)).map_err(|errno| {
        let failure = Failure::new("E_STATE", format!("attaching to container {short}: {errno}"));
        failure.with_hint(
            "the output of a container that was started in the foreground with --rm goes to that command only",
        )
    })?;
    event::note(layout, ContainerEvent::Attach, record);
    finish(layout, id, serve(&connection, &Attachment::to(&record.process, input, signals, keys)))
}

/// Starts a container that was made ready. With an attachment, stays with it: its exit code; nothing if the user left.
pub fn start(
    layout: &Layout,
    record: &ContainerRecord,
    attachment: Option<&Attachment>,
) -> Result<Option<u8>, Failure> {
    let id = &record.id;
    let failed = |errno: Errno| {
        let failure = Failure::new("E_STATE", format!("starting container {}: its monitor: {errno}", id.short()));
        failure.with_hint(format!("coracle stop {0} ends what was made ready; start {0} again then", id.short()))
    };
    let monitor = listener::connect_to(&layout.attach_socket(id)).map_err(failed)?;
    if attachment.is_some() {
        event::note(layout, ContainerEvent::Attach, record);
    }
    send(monitor.as_raw_fd(), &Frame::Start.encode(), MsgFlags::MSG_NOSIGNAL).map_err(failed)?;
    let mut answer = vec![0; FRAME_LIMIT];
    let len = loop {
        match recv(monitor.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(failed)?,
        }
    };
    match (Frame::decode(&answer[..len]), attachment) {
        (Some(Frame::Started), None) => Ok(None),
        (Some(Frame::Started), Some(attachment)) => finish(layout, id, serve(&monitor, attachment)),
        (Some(Frame::NotStarted(report)), _) => {
            Err(Failure::from_report(report).unwrap_or_else(|| failed(Errno::EPROTO)))
        }
        // It was killed.
        _ => Err(failed(Errno::ECONNRESET)),
    }
}

/// The exit code that an end stands for; nothing if the user left.
pub fn finish(layout: &Layout, id: &ContainerId, end: Result<End, Errno>) -> Result<Option<u8>, Failure> {
    match end {
        Ok(End::Exited(code)) => Ok(Some(code)),
        Ok(End::Detached) => Ok(None),
        Ok(End::Lost) => match status_after_loss(layout, id)? {
            Status::Stopped(Stopped { finished: None, reason: Some(reason), code, .. }) => {
                let failure = Failure::new("E_STATE", format!("container {} has ended: {reason}", id.short()));
                Err(failure.with_hint("if memory was short, the kernel's log says what it killed").with_exit_code(code))
            }
            // We fell behind, or the end was told while we could not listen.
            Status::Stopped(stopped) => Ok(Some(stopped.code)),
            _ => Err(Failure::new("E_STATE", format!("container {} has closed the connection", id.short()))),
        },
        Err(errno) => Err(Failure::new("E_IO", format!("relaying the streams of container {}: {errno}", id.short()))),
    }
}

/// The status once the monitor, whose connection is gone, has had the time to die: a process that is killed closes its
/// descriptors one by one, and its lock may be among the last. One that lives has parted with us.
fn status_after_loss(layout: &Layout, id: &ContainerId) -> Result<Status, Failure> {
    let status = status::of(layout, id)?;
    let (Status::Running(processes) | Status::Restarting(processes) | Status::Initialized(processes)) = &status else {
        return Ok(status);
    };
    // Nothing is done to the process: that the number may be another's by now only costs the time.
    let Ok(monitor) = pidfd::open(Pid::from_raw(processes.monitor)) else { return Ok(status::of(layout, id)?) };
    let _ = poll(&mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)], DYING);
    Ok(status::of(layout, id)?)
}

/// Stands between the user and a monitor until the container ends or the user leaves.
pub fn serve(monitor: &OwnedFd, attachment: &Attachment) -> Result<End, Errno> {
    let is_taken = |signal| match attachment.signals {
        true => is_forwarded(signal),
        false => signal == libc::SIGWINCH,
    };
    let signals = SignalQueue::new(is_taken)?;
    let mut visitor = Visitor {
        monitor,
        attachment,
        outgoing: Vec::new(),
        watch: attachment.terminal.then(|| Watch::new(attachment.keys.clone())),
        key_deadline: None,
        input_is_open: attachment.input,
    };
    visitor.say_size();
    // Restored when dropped.
    let _raw_mode =
        attachment.terminal.then(|| RawMode::enter(if attachment.input { Passes::Everything } else { Passes::Output }));
    loop {
        if let Some(end) = visitor.turn(&signals)? {
            return Ok(end);
        }
    }
}

struct Visitor<'a> {
    monitor: &'a OwnedFd,
    attachment: &'a Attachment,
    /// Messages that the monitor has no room for yet, first to last.
    outgoing: Vec<Vec<u8>>,
    /// Looks for the keys that leave; absent without a terminal.
    watch: Option<Watch>,
    key_deadline: Option<Instant>,
    input_is_open: bool,
}

impl Visitor<'_> {
    fn turn(&mut self, signals: &SignalQueue) -> Result<Option<End>, Errno> {
        let mut to_monitor = PollFlags::POLLIN;
        to_monitor.set(PollFlags::POLLOUT, !self.outgoing.is_empty());
        let mut fds =
            vec![PollFd::new(self.monitor.as_fd(), to_monitor), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if self.input_is_open && self.outgoing.is_empty() {
            fds.push(PollFd::new(standard(0), PollFlags::POLLIN));
        }
        let timeout = self.key_deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left.as_millis() as i32 + 1).unwrap_or(PollTimeout::ZERO)
        });
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => return Ok(None),
            other => other?,
        };
        let happened = |index: usize| fds.get(index).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        let (from_monitor, from_signals, from_input) = (happened(0), happened(1), happened(2));
        while let Some(signal) = from_signals.then(|| signals.next()).flatten() {
            self.tell_signal(signal);
        }
        if from_input && self.take_input()? {
            self.leave()?;
            return Ok(Some(End::Detached));
        }
        if self.key_deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.key_deadline = None;
            if let Some(held) = self.watch.as_mut().map(Watch::release) {
                self.say(Frame::Input(&held));
            }
        }
        self.flush();
        if from_monitor { self.hear() } else { Ok(None) }
    }

    fn tell_signal(&mut self, signal: i32) {
        if signal == libc::SIGWINCH {
            self.say_size();
        } else {
            self.say(Frame::Signal(signal));
        }
    }

    fn say_size(&mut self) {
        if let Some(size) = self.attachment.terminal.then(window_of_caller).flatten() {
            self.say(Frame::Resize { rows: size.ws_row, columns: size.ws_col });
        }
    }

    fn say(&mut self, frame: Frame<'_>) {
        self.outgoing.push(frame.encode());
        self.flush();
    }

    fn flush(&mut self) {
        let sent = self.outgoing.iter().take_while(|message| {
            // A monitor that is gone is noticed by its silence.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            !matches!(send(self.monitor.as_raw_fd(), message, flags), Err(Errno::EAGAIN | Errno::EINTR))
        });
        let count = sent.count();
        self.outgoing.drain(..count);
    }

    /// Says so, and sees to it that it is heard: who just vanishes may take the process along.
    fn leave(&mut self) -> Result<(), Errno> {
        self.say(Frame::Leave);
        while !self.outgoing.is_empty() {
            match poll(&mut [PollFd::new(self.monitor.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => self.flush(),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Takes what was typed or piped; whether the user leaves.
    fn take_input(&mut self) -> Result<bool, Errno> {
        let mut buffer = vec![0; STREAM_LIMIT];
        let count = match read(standard(0), &mut buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(_) => 0,
            Ok(count) => count,
        };
        if count == 0 {
            self.input_is_open = false;
            self.say(Frame::EndOfInput);
            return Ok(false);
        }
        let Some(watch) = &mut self.watch else {
            self.say(Frame::Input(&buffer[..count]));
            return Ok(false);
        };
        let typed = watch.take(&buffer[..count]);
        self.key_deadline = watch.holds().then(|| Instant::now() + KEY_PATIENCE);
        if !typed.bytes.is_empty() {
            self.say(Frame::Input(&typed.bytes));
        }
        Ok(typed.leaves)
    }

    fn hear(&mut self) -> Result<Option<End>, Errno> {
        let mut message = vec![0; FRAME_LIMIT];
        let len = match recv(self.monitor.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            // It has left something of ours unread; what it has said before is still to be heard.
            Err(Errno::ECONNRESET) => return Ok(None),
            other => other?,
        };
        match Frame::decode(&message[..len]) {
            Some(Frame::Output(bytes)) if self.attachment.output => show(1, bytes),
            Some(Frame::Error(bytes)) if self.attachment.error => show(2, bytes),
            Some(Frame::Output(_) | Frame::Error(_)) => {}
            Some(Frame::Exited(code)) => return Ok(Some(End::Exited(code))),
            _ if len == 0 => return Ok(Some(End::Lost)),
            _ => return Err(Errno::EPROTO),
        }
        Ok(None)
    }
}

/// A user who closed the output misses it; the container goes on.
fn show(number: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(standard(number), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let _ = poll(&mut [PollFd::new(standard(number), PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}
