//! A container that runs: its processes as the kernel knows them now.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::status::{self, Status};
use super::update::Changes;
use crate::failure::{Explain, Failure};
use crate::host::boot::process_start;
use crate::host::processes;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, ProcessesRecord};
use crate::sys::pidfd;

/// Why nothing can be done with the processes of a container.
#[derive(Debug, thiserror::Error)]
pub enum NotLive {
    /// It is being started, or has ended.
    #[error("container {} is not running", .0.short())]
    NotRunning(ContainerId),
    /// It ended while something was done with it.
    #[error("container {} has ended meanwhile", .0.short())]
    Ended(ContainerId),
    /// It was removed.
    #[error("container {} is gone", .0.short())]
    Gone(ContainerId),
}

impl Explain for NotLive {
    fn code(&self) -> &'static str {
        "E_STATE"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning(id) | Self::Ended(id) => Some(format!("coracle start {} starts it again", id.short())),
            Self::Gone(_) => None,
        }
    }
}

/// A container that was running when it was looked at.
#[derive(Debug)]
pub struct Live {
    /// What it is, as it was changed.
    pub record: ContainerRecord,
    /// Which processes serve it.
    pub processes: ProcessesRecord,
    init: OwnedFd,
}

impl Live {
    /// The container of this identifier. `E_STATE` if it does not run.
    pub fn find(layout: &Layout, id: &ContainerId) -> Result<Self, Failure> {
        let record = record::read::<ContainerRecord>(&layout.container_record(id))?;
        let mut record = record.ok_or_else(|| NotLive::Gone(id.clone()))?;
        Changes::of(layout, id).apply(&mut record);
        let Status::Running(processes) = status::of(layout, id)? else {
            return Err(NotLive::NotRunning(id.clone()).into());
        };
        let init = pidfd::open(Pid::from_raw(processes.init)).map_err(|_| NotLive::Ended(id.clone()))?;
        let live = Self { record, processes, init };
        live.check()?;
        Ok(live)
    }

    /// Fails if the container has ended, and with it what was read under the number of its first process meanwhile.
    pub fn check(&self) -> Result<(), NotLive> {
        // A number that was given anew has another start.
        let same = process_start(self.processes.init) == Some(self.processes.init_start);
        if same && !self.has_ended() { Ok(()) } else { Err(NotLive::Ended(self.record.id.clone())) }
    }

    /// Whether its first process has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.init.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Its first process.
    pub fn init(&self) -> BorrowedFd<'_> {
        self.init.as_fd()
    }

    /// A process whose namespaces are the container's, and may be asked for: its first one, or with a reaper, which hides from
    /// everybody, the oldest child of that.
    pub fn member(&self) -> Result<(i32, OwnedFd), Failure> {
        let ended = || NotLive::Ended(self.record.id.clone());
        let number = match self.record.init {
            false => self.processes.init,
            true => processes::oldest_child(self.processes.init).ok_or_else(ended)?,
        };
        let member = pidfd::open(Pid::from_raw(number)).map_err(|_| ended())?;
        let is_child = || processes::parent(number) == Some(self.processes.init);
        if self.record.init && !is_child() {
            return Err(ended().into());
        }
        self.check()?;
        Ok((number, member))
    }
}
