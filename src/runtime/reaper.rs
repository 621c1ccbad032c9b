//! Pid 1 of a container with `--init`: forwards signals, reaps orphans, ends with the container's process.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, setpgid, tcsetpgrp};

use crate::host::processes;
use crate::sys::clone;
use crate::sys::single_threaded::SingleThreaded;

/// Forks: `Some` in the reaper, `None` in the child, which goes on to become the container's process, in a process group of
/// its own, in the foreground of `terminal`. All signals are blocked in the reaper before the fork, so none is lost.
pub fn fork(proof: &SingleThreaded, terminal: Option<BorrowedFd<'_>>) -> Result<Option<Pid>, Errno> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    if let Some(child) = clone::fork(proof)? {
        return Ok(Some(child));
    }
    crate::sys::process::die_with_parent()?;
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    if let Some(terminal) = terminal {
        // SIGTTOU, which a background process gets for this, is blocked.
        tcsetpgrp(terminal, getpid())?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(None)
}

/// Serves until `payload` has ended, and gives its exit status: its code, or 128 and the signal's number.
pub fn reap(payload: Pid) -> u8 {
    // The container's streams stay open in its own processes only, so that readers see their end; so does the monitor's channel,
    // whose end is what it waits for: first of all, for where system calls are answered they are not until then.
    crate::sys::process::close_all_from(0);
    crate::sys::process::set_name(c"coracle-init");
    crate::sys::memory::set_command_line("coracle-init");
    let signals = SigSet::all();
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = reap_all(payload) {
                    // A pid namespace does that with us.
                    if getpid().as_raw() != 1 {
                        processes::end_children();
                    }
                    return status;
                }
            }
            // A stop of the terminal concerns its foreground group, which is not ours.
            Ok(Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU) => {}
            Ok(signal) => drop(kill(payload, signal)),
            Err(_) => {}
        }
    }
}

fn reap_all(payload: Pid) -> Option<u8> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == payload => return Some(code as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == payload => return Some(128 + signal as u8),
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
