//! The fork boundary: the only caller of clone3 for containers. It takes a proof that the process has one thread.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::init::{self, Streams};
use super::launch_error::LaunchError;
use super::plan::{ChildMemory, Execution, LaunchPlan};
use super::step::Step;
use super::sync::{FromInit, ID_MAPS_WRITTEN, MESSAGE_LEN, START, StepFailed};
use crate::sys::clone::{Child, fork_into, spawn_sharing_memory};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{pidfd, process, socket};

/// A container whose process runs.
#[derive(Debug)]
pub struct Running {
    /// Pid 1 of the container, as a child of ours.
    pub child: Child,
    /// The master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// Where an init that waits before the program is told to go on.
    waiting: Option<OwnedFd>,
}

impl Running {
    /// Whether the program waits for [`Self::release`].
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Lets a program that waits be executed, and returns once it has been or could not be. `plan` is the one it was launched by.
    pub fn release(&mut self, plan: &LaunchPlan) -> Result<(), LaunchError> {
        let Some(channel) = self.waiting.take() else { return Ok(()) };
        let told = socket::send(channel.as_fd(), &START, None).map_err(LaunchError::Channel);
        told.and_then(|()| hear(plan, &channel)).map(drop).inspect_err(|_| end(&self.child))
    }
}

/// Forks, lets the child execute `plan`, and returns once the container's process has been executed or could not be; or, where
/// it is executed when told, once it waits for that. Signals are expected to be blocked: the child resets them.
pub fn launch(
    proof: &SingleThreaded,
    plan: &LaunchPlan,
    streams: Streams,
    execution: Execution,
) -> Result<Running, LaunchError> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(LaunchError::Channel)?;
    let run_init = || {
        process::reset_signals();
        process::set_name(c"coracle-init");
        // The locks of the store and of the container are the monitor's.
        let stream = |number: usize| streams.as_ref().map_or(-1, |streams| streams[number].as_raw_fd());
        let joined = plan.joined().map_or(-1, |process| process.as_raw_fd());
        process::close_others([theirs.as_raw_fd(), joined, stream(0), stream(1), stream(2)]);
        init::run(&plan.steps, theirs.as_fd(), streams.as_ref(), execution)
    };
    let child = match (execution, plan.child_memory()) {
        (Execution::AtOnce, ChildMemory::Shared) => spawn_sharing_memory(proof, plan.namespaces, run_init),
        _ => fork_into(proof, plan.namespaces, run_init),
    };
    let child = child.map_err(LaunchError::Fork)?;
    drop((theirs, streams));
    let started = start(plan, &ours, &child);
    match started {
        Ok(Heard { terminal, waits }) => Ok(Running { child, terminal, waiting: waits.then_some(ours) }),
        Err(error) => {
            end(&child);
            Err(error)
        }
    }
}

/// Leaves nothing behind of a child that may be gone already.
fn end(child: &Child) {
    let _ = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = pidfd::wait(child.pidfd.as_fd());
}

/// Forks, lets the child execute the plan, which names no program, and then `work`, which gets the mounts that the plan made
/// and returns the exit status. Returns once the plan is done. The child has memory of its own, and of our descriptors the
/// standard ones and `kept`.
pub fn visit(
    proof: &SingleThreaded,
    plan: &LaunchPlan,
    kept: [RawFd; 2],
    work: impl FnOnce(Vec<Option<OwnedFd>>) -> u8,
) -> Result<Child, LaunchError> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(LaunchError::Channel)?;
    let child = fork_into(proof, plan.namespaces, || {
        process::reset_signals();
        process::set_name(c"coracle-visit");
        let joined = plan.steps.iter().find_map(|step| match step {
            Step::Join(process) => Some(process.as_raw_fd()),
            _ => None,
        });
        process::close_others([theirs.as_raw_fd(), kept[0], kept[1], joined.unwrap_or(-1)]);
        match init::prepare(&plan.steps, theirs.as_fd()) {
            Some(mounts) => {
                // The parent waits for this.
                process::close_inherited(&theirs);
                work(mounts)
            }
            None => crate::failure::EXIT_OWN_FAILURE,
        }
    });
    let child = child.map_err(LaunchError::Fork)?;
    drop(theirs);
    match start(plan, &ours, &child) {
        Ok(_) => Ok(child),
        Err(error) => {
            end(&child);
            Err(error)
        }
    }
}

/// What init has said.
struct Heard {
    terminal: Option<OwnedFd>,
    /// Whether it waits before the program.
    waits: bool,
}

fn start(plan: &LaunchPlan, channel: &OwnedFd, child: &Child) -> Result<Heard, LaunchError> {
    if let Some((uid_map, gid_map)) = &plan.id_maps {
        write_id_maps(child.pid, uid_map, gid_map).map_err(LaunchError::IdMaps)?;
        socket::send(channel.as_fd(), &ID_MAPS_WRITTEN, None).map_err(LaunchError::Channel)?;
    }
    hear(plan, channel)
}

/// Listens to init until there is nothing more to hear for now.
fn hear(plan: &LaunchPlan, channel: &OwnedFd) -> Result<Heard, LaunchError> {
    let mut terminal = None;
    loop {
        let mut message = [0; MESSAGE_LEN];
        let (len, fd) = match socket::receive(channel.as_fd(), &mut message) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(LaunchError::Channel)?,
        };
        match FromInit::decode(&message[..len]) {
            Some(FromInit::Terminal) => terminal = fd,
            Some(FromInit::Failed(StepFailed { step, detail, errno })) => {
                return Err(LaunchError::step(&plan.steps, usize::from(step), detail, errno));
            }
            Some(FromInit::Ready) => return Ok(Heard { terminal, waits: true }),
            // The channel is closed by execve, and by nothing else that succeeds.
            None if len == 0 => return Ok(Heard { terminal, waits: false }),
            None => return Err(LaunchError::Channel(Errno::EPROTO)),
        }
    }
}

fn write_id_maps(pid: Pid, uid_map: &str, gid_map: &str) -> Result<(), std::io::Error> {
    use std::io::Write;
    // The child is ours and not yet reaped: its number cannot have been given to another process.
    for (name, content) in [("uid_map", uid_map), ("gid_map", gid_map)] {
        let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/{name}"))?;
        file.write_all(content.as_bytes())?;
    }
    Ok(())
}
