//! What connects a container's network in user mode: started beside the container, watched while it lives, started again when
//! it dies.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::event;
use super::list::{self, Listed};
use super::status::Status;
use crate::host::sockets;
use crate::name::container::ContainerId;
use crate::net::error::NetworkError;
use crate::net::helper::{self, Place, Us};
use crate::net::plan::UserPlan;
use crate::net::ports::{self, Published};
use crate::runtime::spawn::Connect;
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ConnectionRecord, ContainerRecord};

/// The time before a helper that died is started again: the first time, and at most. Doubled each time, and forgotten once it
/// has lived for [`SETTLED`].
const DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// A helper that has lived for so long did not die of its start.
const SETTLED: Duration = Duration::from_secs(10);

/// The connection of one life of a container.
pub struct Connection {
    layout: Layout,
    container: ContainerRecord,
    plan: UserPlan,
    us: Us,
    ports: Vec<Published>,
    /// Once it is there.
    namespace: Option<OwnedFd>,
    helper: Option<helper::Running>,
    started: Instant,
    deaths: u32,
    /// When one that died is started again.
    due: Option<Instant>,
    delay: Duration,
    error: Option<String>,
}

impl Connection {
    /// That of a container which is about to be started; `earlier` are the ports of an earlier life, which it keeps.
    pub fn new(
        layout: &Layout,
        container: &ContainerRecord,
        plan: &UserPlan,
        earlier: Option<Vec<Published>>,
    ) -> Result<Self, NetworkError> {
        let owner = |port: &Published| owner(layout, port);
        let ports = match earlier {
            Some(ports) => ports,
            None if plan.ports.is_empty() => Vec::new(),
            None => ports::settle(&plan.ports, plan.publishes_both(), &owner)?,
        };
        Ok(Self {
            layout: layout.clone(),
            container: container.clone(),
            plan: plan.clone(),
            us: if container.process.ids == (0, 0) { Us::Root } else { Us::User },
            ports,
            namespace: None,
            helper: None,
            started: Instant::now(),
            deaths: 0,
            due: None,
            delay: DELAY.0,
            error: None,
        })
    }

    /// The ports of the host.
    pub fn ports(&self) -> &[Published] {
        &self.ports
    }

    /// The helper, if it lives: readable when it has died.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.helper.as_ref().map(helper::Running::process)
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The helper has died.
    pub fn died(&mut self) {
        let Some(mut helper) = self.helper.take() else { return };
        let failure = helper.failure();
        if self.started.elapsed() > SETTLED {
            self.delay = DELAY.0;
        }
        self.lost(&failure);
    }

    fn lost(&mut self, failure: &NetworkError) {
        self.deaths += 1;
        self.error = Some(failure.to_string());
        self.due = Some(Instant::now() + self.delay);
        self.delay = (self.delay * 2).min(DELAY.1);
        self.write();
        self.note(ContainerEvent::NetworkLost, &failure.to_string());
    }

    /// Starts a helper again whose time has come.
    pub fn turn(&mut self) {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = None;
        match self.start().and_then(|()| self.finish()) {
            Ok(()) => self.note(ContainerEvent::NetworkRestored, ""),
            Err(failure) => {
                self.helper = None;
                self.lost(&failure);
            }
        }
    }

    fn note(&self, happened: ContainerEvent, error: &str) {
        let more = (!error.is_empty()).then(|| (event::ERROR, error.to_owned()));
        event::note_with(&self.layout, happened, &self.container, more.as_slice());
    }

    fn start(&mut self) -> Result<(), NetworkError> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let place = place(&self.layout, &self.container.id);
        self.started = Instant::now();
        let helper = helper::Running::start(&self.plan, &self.ports, (namespace.as_fd(), self.us), place)?;
        self.helper = Some(helper);
        Ok(())
    }

    /// Only what others see depends on it.
    fn write(&self) {
        let record = ConnectionRecord {
            helper: self.plan.helper.name().to_owned(),
            pid: self.helper.as_ref().map_or(0, helper::Running::pid),
            device: self.plan.device.clone(),
            address: self.plan.address.0,
            prefix_length: self.plan.address.1,
            gateway: self.plan.gateway,
            ports: self.ports.clone(),
            publishes_both: self.plan.publishes_both(),
            deaths: self.deaths,
            error: self.error.clone(),
        };
        let _ = record::write_volatile(&self.layout.connection_record(&self.container.id), &record);
    }

    /// Ends it with its container. What it has of the host is free at once where that matters: ports, or where another life
    /// follows.
    pub fn close(mut self, lives_again: bool) {
        let Some(helper) = self.helper.take() else { return };
        match lives_again || !self.ports.is_empty() {
            true => helper.end(),
            false => drop(helper),
        }
    }
}

impl Connect for Connection {
    fn begin(&mut self, namespace: OwnedFd) -> Result<(), NetworkError> {
        self.namespace = Some(namespace);
        // Of an attempt to launch the container that failed.
        if let Some(helper) = self.helper.take() {
            helper.end();
        }
        self.start()
    }

    fn finish(&mut self) -> Result<(), NetworkError> {
        if let Some(helper) = &mut self.helper {
            helper.await_ready(&self.plan, &self.ports)?;
            self.error = None;
        }
        self.write();
        Ok(())
    }
}

/// Who has a port of the host: a container, or a process.
pub(super) fn owner(layout: &Layout, port: &Published) -> Option<String> {
    let entries = fs::read_dir(layout.process_records()).ok()?.flatten();
    let ids = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".network.json")?.parse::<ContainerId>().ok());
    let container = ids.into_iter().find_map(|id| {
        let connection = of(layout, &id)?;
        connection.ports.iter().any(|other| other.collides_with(port)).then(|| list::load(layout, &id).ok()?)?
    });
    match container {
        Some(Listed { record, status: Status::Running(_) | Status::Initialized(_), .. }) => {
            Some(format!("container {} ({})", record.name, record.id.short()))
        }
        _ => sockets::port_owner(port.protocol, port.host_port).map(|owner| owner.to_string()),
    }
}

/// Where the helper's files are.
fn place(layout: &Layout, id: &ContainerId) -> Place {
    Place { directory: layout.process_records(), name: id.short().to_owned() }
}

/// Removes what the connection of a container that does not run any more has left.
pub fn forget_left(layout: &Layout, id: &ContainerId) {
    if fs::remove_file(layout.connection_record(id)).is_ok() {
        helper::forget_left(&place(layout, id));
    }
}

/// The connection of a container that runs, as others see it.
pub fn of(layout: &Layout, id: &ContainerId) -> Option<ConnectionRecord> {
    record::read(&layout.connection_record(id)).ok().flatten()
}
