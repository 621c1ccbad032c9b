//! The monitor: parent of a container's pid 1. One thread, one poll loop: streams, signals, the end.

mod channel;
pub mod log;
mod raw_mode;
pub mod streams;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::Winsize;
use nix::sys::wait::WaitStatus;

use crate::runtime::spawn::Running;
use crate::sys::signal::SignalQueue;
use crate::sys::{memory, pidfd, tty};
pub use channel::Channel;
use raw_mode::{Passes, RawMode};

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

/// After this time without anything to do the monitor gives its memory back, in milliseconds.
const QUIET: u16 = 300;

/// How often, and within what time, a user must ask a container that does not react to end before it is killed.
const IMPATIENCE: (usize, Duration) = (3, Duration::from_secs(3));

/// Serves the container until it has ended, and gives its exit code: its own, or 128 and the number of the signal that
/// killed it.
pub fn supervise(running: &Running, signals: &SignalQueue, channels: Vec<Channel>) -> Result<u8, Errno> {
    let mut monitor = Monitor { running, channels, raw_mode: None, requests_to_end: Vec::new() };
    monitor.prepare_terminal();
    monitor.serve(signals)?;
    let code = match pidfd::wait(running.child.pidfd.as_fd())? {
        WaitStatus::Exited(_, code) => code as u8,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
        _ => crate::failure::EXIT_OWN_FAILURE,
    };
    monitor.drain();
    Ok(code)
}

/// The size of our terminal's window, if one of the standard descriptors is a terminal.
pub fn window_of_caller() -> Option<Winsize> {
    [0, 1, 2].into_iter().find_map(|number| tty::size(streams::standard(number)).ok())
}

struct Monitor<'a> {
    running: &'a Running,
    channels: Vec<Channel>,
    /// Restores the user's terminal when dropped.
    raw_mode: Option<RawMode>,
    requests_to_end: Vec<Instant>,
}

impl Monitor<'_> {
    /// The user's terminal passes everything through, and the container's has its size.
    fn prepare_terminal(&mut self) {
        if self.running.terminal.is_none() {
            return;
        }
        // It may have changed since the plan was made.
        self.copy_size();
        let reads = self.channels.iter().any(Channel::reads_standard_input);
        self.raw_mode = RawMode::enter(if reads { Passes::Everything } else { Passes::Output });
    }

    fn copy_size(&self) {
        let Some(master) = &self.running.terminal else { return };
        if let Some(size) = window_of_caller() {
            let _ = tty::set_size(master.as_fd(), &size);
        }
    }

    fn serve(&mut self, signals: &SignalQueue) -> Result<(), Errno> {
        let pidfd = self.running.child.pidfd.as_fd();
        loop {
            let ready = self.wait(&[pidfd, signals.as_fd()])?;
            if ready[1] {
                while let Some(signal) = signals.next() {
                    self.forward(signal);
                }
            }
            self.channels.retain_mut(Channel::turn);
            if ready[0] {
                return Ok(());
            }
        }
    }

    /// Waits until something happens; whether it happened to each of `others`.
    fn wait(&self, others: &[BorrowedFd<'_>]) -> Result<Vec<bool>, Errno> {
        let mut fds: Vec<PollFd<'_>> = others.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        fds.extend(self.channels.iter().filter_map(Channel::interest));
        match poll(&mut fds, QUIET) {
            // Nothing has happened for a while, and it may be long before something does.
            Ok(0) => memory::wait_lightly(&mut fds)?,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(fds[..others.len()].iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect())
    }

    fn forward(&mut self, signal: i32) {
        let pidfd = self.running.child.pidfd.as_fd();
        if signal == libc::SIGWINCH {
            return self.copy_size();
        }
        let signal = if self.is_impatient(signal) { libc::SIGKILL } else { signal };
        // It may have ended meanwhile.
        let _ = pidfd::send_signal(pidfd, signal);
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
        self.channels.retain(|channel| !channel.reads_standard_input());
        for channel in &mut self.channels {
            channel.drain();
        }
    }
}
