//! What connects a container's network in user mode: started beside the container, watched while it lives, started again when
//! it dies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{fs, io};

use ipnet::IpNet;

use super::event;
use super::list::{self, Listed};
use super::status::Status;
use crate::host::sockets;
use crate::name::container::ContainerId;
use crate::net::error::NetworkError;
use crate::net::forwarder::Forwarder;
use crate::net::helper::{self, Place, Us};
use crate::net::plan::UserPlan;
use crate::net::ports::{self, Published, Source};
use crate::runtime::spawn::Connect;
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ConnectionRecord, ContainerRecord};
use crate::sys::single_threaded::SingleThreaded;

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
    /// Who listens on them, where we pass on what comes there: it waits here while nobody does.
    sources: Vec<(Published, Source)>,
    /// Once it is there.
    namespace: Option<OwnedFd>,
    helper: Option<helper::Running>,
    forwarder: Option<Forwarder>,
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
        let both = plan.publishes_both();
        let (ports, sources) = match earlier {
            Some(ports) if !plan.forwards => (ports, Vec::new()),
            Some(ports) => (ports.clone(), ports::resume(ports, both, &owner)?),
            None => {
                let settled = ports::settle(&plan.ports, both, &owner)?;
                let ports = settled.iter().map(|(port, _)| *port).collect();
                // The helper listens itself.
                (ports, if plan.forwards { settled } else { Vec::new() })
            }
        };
        Ok(Self {
            layout: layout.clone(),
            container: container.clone(),
            plan: plan.clone(),
            us: if container.process.ids == (0, 0) { Us::Root } else { Us::User },
            ports,
            sources,
            namespace: None,
            helper: None,
            forwarder: None,
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

    /// What has been started and lives: readable when it has died.
    pub fn processes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let helper = self.helper.as_ref().map(helper::Running::process);
        helper.into_iter().chain(self.forwarder.as_ref().map(Forwarder::process))
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// One of them has died.
    pub fn died(&mut self) {
        let failure = if let Some(mut helper) = self.helper.take_if(|helper| helper.has_ended()) {
            helper.failure()
        } else if let Some(forwarder) = self.forwarder.take_if(|forwarder| forwarder.has_ended()) {
            NetworkError::Forward(forwarder.failure())
        } else {
            return;
        };
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
                (self.helper, self.forwarder) = (None, None);
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
        self.started = Instant::now();
        if self.helper.is_none() {
            let place = place(&self.layout, &self.container.id);
            let ports = if self.plan.forwards { &[] } else { &self.ports[..] };
            self.helper = Some(helper::Running::start(&self.plan, ports, (namespace.as_fd(), self.us), place)?);
        }
        if self.forwarder.is_none() && !self.sources.is_empty() {
            let (address, length) = self.plan.address;
            let address = IpNet::new_assert(address.into(), length);
            let start = SingleThreaded::prove().map_err(io::Error::other);
            let start = start.and_then(|proof| Forwarder::start(&proof, namespace.as_fd(), &self.sources, address));
            self.forwarder = Some(start.map_err(NetworkError::Forward)?);
        }
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
        drop(self.forwarder.take());
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
        self.forwarder = None;
        self.start()
    }

    fn finish(&mut self) -> Result<(), NetworkError> {
        if let Some(helper) = &mut self.helper {
            let ports = if self.plan.forwards { &[] } else { &self.ports[..] };
            helper.await_ready(&self.plan, ports)?;
            self.error = None;
        }
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.begin().map_err(NetworkError::Forward)?;
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
