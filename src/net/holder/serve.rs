//! The holder at work: one poll loop over its socket, those who speak with it, and the processes that it serves or needs.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Way;
use super::error::HolderError;
use super::inside::{Attached, Inside, is_set};
use super::outside::Outside;
use super::pair::Pair;
use super::protocol::{self, Reply, Request};
use crate::failure::Failure;
use crate::host::boot::{boot_id, process_start};
use crate::name::container::ContainerId;
use crate::name::port::Published;
use crate::net::dns::serve::Resolver;
use crate::net::dns::zone::{Member as Named, Zone};
use crate::net::ports::{self, Source};
use crate::net::relay::{self, Face, Relay};
use crate::state::layout::Layout;
use crate::state::lock::{self, Exclusive};
use crate::state::record;
use crate::state::schema::network::{HolderRecord, LeaseRecord, NetworkDriver, NetworkRecord};
use crate::sys::unix_socket;

/// Before a program that has died is started again: the first time, and at most.
const RESTART_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// A program that has worked for so long did not fail at its start.
const SETTLED: Duration = Duration::from_secs(10);

/// A network that is held.
pub struct Holder {
    layout: Layout,
    record: NetworkRecord,
    inside: Inside,
    outside: Option<Outside>,
    /// The host's end, where there is one.
    pair: Option<Pair>,
    /// When the program is to be started again, and how long to wait the next time.
    restart: Option<Instant>,
    delay: Duration,
    started: Instant,
    relay: Option<Relay>,
    zone: Arc<RwLock<Zone>>,
    members: BTreeMap<ContainerId, Member>,
    listener: OwnedFd,
    conversations: Vec<OwnedFd>,
    /// Somebody waits for the network's lock, to end us; he writes here when he has it.
    ending: Option<(OwnedFd, Receiver<Exclusive>)>,
}

struct Member {
    /// Its end is the member's.
    process: OwnedFd,
    device: Attached,
    lease: LeaseRecord,
}

/// What a descriptor that is ready means.
#[derive(Clone, Copy)]
enum Ready {
    Listener,
    Outside,
    Ending,
    Conversation(usize),
    Member(usize),
}

impl Holder {
    /// Makes the network. This process is in the ground already, and has one thread.
    pub fn make(layout: &Layout, record: &NetworkRecord) -> Result<Self, HolderError> {
        let failed = |step| move |cause| HolderError::Io { network: record.name.clone(), step, cause };
        let way = Way::of(record);
        let (inside, mut sockets) = Inside::make(record, way)?;
        let (mut outside, mut pair) = (None, None);
        match way {
            Way::Program => outside = Some(Outside::start(&record.name, inside.namespace(), inside.has_ipv6())?),
            Way::Pair => {
                let (made, of_host) = Pair::make(record, &inside)?;
                (pair, sockets) = (Some(made), of_host);
            }
            Way::Nowhere | Way::Shared => {}
        }
        let zone = Arc::new(RwLock::new(Zone::default()));
        let (network, others) = (record.name.clone(), layout.clone());
        let elsewhere = Box::new(move |id: &ContainerId| named_elsewhere(&others, &network, id));
        let resolver = Arc::new(Resolver { zone: Arc::clone(&zone), elsewhere });
        let thread = std::thread::Builder::new().name("resolver".into()).stack_size(256 << 10);
        thread.spawn(move || resolver.serve(&sockets)).map_err(failed("starting its resolver"))?;
        let listener = unix_socket::listen_at(&layout.holder_socket(&record.name))
            .map_err(|errno| failed("making its socket")(errno.into()))?;
        let pid = std::process::id() as i32;
        let holder =
            HolderRecord { boot_id: boot_id().unwrap_or_default(), pid, start: process_start(pid).unwrap_or(0) };
        record::write_volatile(&layout.holder_record(&record.name), &holder)
            .map_err(|error| failed("writing its record")(io::Error::other(error.to_string())))?;
        let mut holder = Self {
            layout: layout.clone(),
            record: record.clone(),
            inside,
            outside,
            pair,
            restart: None,
            delay: RESTART_DELAY.0,
            started: Instant::now(),
            relay: None,
            zone,
            members: BTreeMap::new(),
            listener,
            conversations: Vec::new(),
            ending: None,
        };
        holder.publish();
        Ok(holder)
    }

    /// Serves until the last member is gone.
    pub fn serve(mut self) {
        // Whoever has started us may die before he joins.
        self.begin_ending();
        loop {
            match self.wait() {
                Some(Ready::Listener) => self.accept(),
                Some(Ready::Conversation(index)) => self.converse(index),
                Some(Ready::Member(index)) => {
                    let gone = self.members.keys().nth(index).cloned();
                    gone.into_iter().for_each(|id| self.part(&id));
                }
                Some(Ready::Outside) => {
                    self.outside = None;
                    if self.started.elapsed() > SETTLED {
                        self.delay = RESTART_DELAY.0;
                    }
                    self.restart = Some(Instant::now() + self.delay);
                }
                Some(Ready::Ending) => {
                    let Some((_, lock)) = self.ending.take() else { continue };
                    let lock = lock.recv();
                    if self.members.is_empty() && self.conversations.is_empty() {
                        // Where there is no lock any more, whoever removed its directory has removed the way to us, too.
                        return self.end(lock.ok());
                    }
                }
                None => {}
            }
            if self.restart.is_some_and(|when| Instant::now() >= when) {
                self.start_outside();
            }
        }
    }

    /// Waits for something to happen: the first thing that has.
    fn wait(&self) -> Option<Ready> {
        let read = PollFlags::POLLIN;
        let mut all: Vec<(Ready, BorrowedFd<'_>)> = Vec::new();
        // Those who speak with us come first: who joins is to be heard before we end.
        all.extend(self.conversations.iter().enumerate().map(|(index, fd)| (Ready::Conversation(index), fd.as_fd())));
        all.push((Ready::Listener, self.listener.as_fd()));
        all.extend(
            self.members.values().enumerate().map(|(index, member)| (Ready::Member(index), member.process.as_fd())),
        );
        all.extend(self.outside.as_ref().map(|outside| (Ready::Outside, outside.process())));
        all.extend(self.ending.as_ref().map(|(fd, _)| (Ready::Ending, fd.as_fd())));
        let mut fds: Vec<PollFd<'_>> = all.iter().map(|(_, fd)| PollFd::new(*fd, read)).collect();
        let left = self.restart.map(|when| when.saturating_duration_since(Instant::now()));
        let limit = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_millis() as i32 + 1).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut fds, limit).ok()?;
        let ready = fds.iter().position(|fd| fd.any().unwrap_or(false))?;
        all.get(ready).map(|(ready, _)| *ready)
    }

    fn accept(&mut self) {
        if let Ok(conversation) = unix_socket::accept(&self.listener) {
            self.conversations.push(conversation);
        }
    }

    fn converse(&mut self, index: usize) {
        let conversation = self.conversations.swap_remove(index);
        let Some((request, fds)) = protocol::hear(conversation.as_fd()) else {
            return if self.members.is_empty() {
                self.begin_ending()
            };
        };
        let mut namespace = None;
        let done = match request {
            Request::Join(lease) => self.join(*lease, fds).map(Reply::Attached),
            Request::Leave(id) => {
                self.part(&id);
                Ok(Reply::Done)
            }
            Request::Reload(record) => {
                self.record = *record;
                self.publish();
                Ok(Reply::Done)
            }
            Request::Namespace if self.record.driver != NetworkDriver::Bridge => {
                let message = format!("the network {} is that of a device of the host", self.record.name);
                Err(Failure::new("E_UNSUPPORTED", message).with_hint("there is nothing to see but the host's network"))
            }
            Request::Namespace => {
                namespace = Some(self.inside.namespace());
                Ok(Reply::Done)
            }
        };
        let reply =
            done.unwrap_or_else(|failure| Reply::Failed(String::from_utf8_lossy(&failure.to_report()).into_owned()));
        protocol::answer(conversation.as_fd(), &reply, namespace);
        self.conversations.push(conversation);
    }

    fn join(&mut self, lease: LeaseRecord, fds: Vec<OwnedFd>) -> Result<String, Failure> {
        let mute = || HolderError::Mute(self.record.name.clone());
        let [namespace, process] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| mute())?;
        self.part(&lease.id);
        let sources =
            lease.ports.iter().map(|port| Ok((listen(port)?, *port))).collect::<Result<Vec<_>, HolderError>>()?;
        let (device, name) = self.inside.attach(&lease, &self.record, namespace.as_fd())?;
        if let Err(failure) = self.forward(&lease, sources) {
            let _ = self.inside.detach(&device);
            return Err(failure.into());
        }
        let (id, has_ports) = (lease.id.clone(), !lease.ports.is_empty());
        self.members.insert(id.clone(), Member { process, device, lease });
        if let Err(failure) = self.redirect(has_ports) {
            self.part(&id);
            return Err(failure.into());
        }
        self.publish();
        Ok(name)
    }

    /// Tells the host which ports lead to members, if that has changed.
    fn redirect(&self, has_changed: bool) -> Result<(), HolderError> {
        match self.pair.as_ref().filter(|_| has_changed) {
            Some(pair) => pair.publish(self.members.values().map(|member| &member.lease)),
            None => Ok(()),
        }
    }

    /// Passes on to a member what comes to its published ports.
    fn forward(&mut self, lease: &LeaseRecord, sources: Vec<(Source, Published)>) -> Result<(), HolderError> {
        if sources.is_empty() {
            return Ok(());
        }
        let started = match self.relay.take() {
            Some(relay) => Ok(relay),
            // Where the host is the router, it reaches members itself.
            None => Relay::start(self.pair.as_ref().map_or(self.inside.namespace(), |pair| pair.namespace().as_fd())),
        };
        let relay = started.map_err(|cause| HolderError::Io {
            network: self.record.name.clone(),
            step: "starting the thread of its ports",
            cause,
        })?;
        // Members answer whom they see: that must lead back here.
        let lends_addresses = self.inside.lends_addresses() && !is_set(&self.record, "no_default_route");
        let face = match lends_addresses {
            true => Face::Clients { but: self.inside.subnets(), mark: None },
            false => Face::Ours,
        };
        for (source, port) in sources {
            // Of the family by which it is asked for, if the member has one of that.
            let is_ipv4 = port.host_ip.is_none_or(|ip| ip.is_ipv4());
            let is_same = |address: &&IpNet| address.addr().is_ipv4() == is_ipv4;
            let address = lease.addresses.iter().find(is_same).or(lease.addresses.first());
            if let Some(address) = address {
                let target = SocketAddr::new(address.addr(), port.container_port);
                relay.add(&lease.id, relay::Way { source, target, face: face.clone() });
            }
        }
        self.relay = Some(relay);
        Ok(())
    }

    /// Lets a member go.
    fn part(&mut self, id: &ContainerId) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(relay) = self.relay.as_ref().filter(|_| !member.lease.ports.is_empty()) {
            relay.remove(id);
        }
        // What leads to nobody leads nowhere: that it stays until the next change is no failure of who goes.
        let _ = self.redirect(!member.lease.ports.is_empty());
        // With the member's namespace it goes by itself.
        let _ = self.inside.detach(&member.device);
        self.publish();
        if self.members.is_empty() {
            self.begin_ending();
        }
    }

    /// Tells the resolver who is there.
    fn publish(&mut self) {
        let zone = Zone {
            members: self.members.values().map(|member| Named::of(&member.lease)).collect(),
            has_names: self.record.dns,
            is_internal: self.record.internal,
            name_servers: self.record.name_servers.clone(),
            subnets: self.inside.subnets(),
        };
        if let Ok(mut known) = self.zone.write() {
            *known = zone;
        }
    }

    fn start_outside(&mut self) {
        self.restart = None;
        match Outside::start(&self.record.name, self.inside.namespace(), self.inside.has_ipv6()) {
            Ok(outside) => (self.outside, self.started) = (Some(outside), Instant::now()),
            Err(_) => self.restart = Some(Instant::now() + self.delay),
        }
        self.delay = (self.delay * 2).min(RESTART_DELAY.1);
    }

    /// Has somebody wait for the network's lock: whoever has it now may be about to join.
    fn begin_ending(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let (layout, network) = (self.layout.clone(), self.record.name.clone());
        let (sender, receiver) = channel();
        let pipe = nix::unistd::pipe2(OFlag::O_CLOEXEC);
        let Ok((ready, says_ready)) = pipe else { return };
        let wait = move || {
            if let Ok(lock) = lock::network_exclusive(&layout, &network, &mut |_| {}) {
                let _ = sender.send(lock);
            }
            // Closed, the pipe has something to say.
            drop(says_ready);
        };
        if std::thread::Builder::new().stack_size(64 << 10).spawn(wait).is_ok() {
            self.ending = Some((ready, receiver));
        }
    }

    /// Ends: with the lock held nobody can be joining.
    fn end(self, _lock: Option<Exclusive>) {
        let _ = std::fs::remove_file(self.layout.holder_socket(&self.record.name));
        let _ = std::fs::remove_file(self.layout.holder_record(&self.record.name));
        drop(self.outside);
    }
}

/// The members of the other networks in which a container is, as their leases say.
fn named_elsewhere(layout: &Layout, here: &crate::name::network::NetworkName, id: &ContainerId) -> Vec<Named> {
    let networks = std::fs::read_dir(layout.network_states()).into_iter().flatten().flatten();
    let names = networks.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let others = names.filter(|name| name != here && layout.lease(name, id).exists());
    others.flat_map(|name| crate::net::lease::all(layout, &name)).map(|lease| Named::of(&lease)).collect()
}

fn listen(port: &Published) -> Result<Source, HolderError> {
    let (address, protocol) = (port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port.protocol.as_str());
    ports::listen(port, true).map_err(|cause| HolderError::Port { address, port: port.host_port, protocol, cause })
}
