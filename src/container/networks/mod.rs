//! The networks of containers: which ones a container is in, and how it gets in.
//!
//! A container's user namespace is a child of the ground ([`crate::net::holder`]): its monitor enters that before it forks. The ground
//! of who may change the host's network is the user namespace that he is in.

pub mod change;
pub mod filter;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ipnet::IpNet;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::list;
use super::live::Live;
use super::request::{NetworkMode, Request};
use super::status::{self, Status};
use super::{network_files, stand_alone};
use crate::failure::Failure;
use crate::host::boot::{boot_id, process_start};
use crate::host::config::containers::ContainersConf;
use crate::host::processes;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::name_resolution::DnsServers;
use crate::name::network::{Attachment, DeviceName, NetworkName};
use crate::net::error::NetworkError;
use crate::net::holder::protocol::{Connection, Reply, Request as Asked};
use crate::net::holder::serve::Holder;
use crate::net::lease::{self, Wish};
use crate::net::named::{self, NamedError};
use crate::net::plan::NetworkPlan;
use crate::net::ports;
use crate::net::privilege;
use crate::runtime::blueprint::Blueprint;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::spawn::Connect;
use crate::state::layout::Layout;
use crate::state::lock;
use crate::state::record;
use crate::state::schema::container::{ConnectionRecord, ContainerRecord, ProcessesRecord};
use crate::state::schema::network::{ContainerNetworks, HolderRecord, LeaseRecord, NetworkDriver, NetworkRecord};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{credentials, namespace, pidfd, process};

/// How good the default route through a container's first network is; that through the next is less good.
pub const METRIC: u32 = 100;

/// A container in a network.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The network.
    pub network: NetworkRecord,
    /// Its addresses there.
    pub lease: LeaseRecord,
}

/// The networks that a request names, as they are now.
pub fn asked(request: &Request) -> &[Attachment] {
    match &request.network {
        NetworkMode::Networks(all) => all,
        _ => &[],
    }
}

/// Fails if there is a network that a container is to be in and that is not there.
pub fn check(layout: &Layout, request: &Request) -> Result<(), Failure> {
    for attachment in asked(request) {
        find(layout, &attachment.network)?;
    }
    Ok(())
}

fn find(layout: &Layout, name: &NetworkName) -> Result<NetworkRecord, Failure> {
    let missing = || NamedError::Missing(name.to_string());
    Ok(named::get(layout, name)?.ok_or_else(missing)?)
}

/// Gives a container its addresses in all its networks. It is there already, and ours.
pub fn take(
    layout: &Layout,
    request: &Request,
    id: &ContainerId,
    name: &ContainerName,
    plan: &NetworkPlan,
) -> Result<Vec<Membership>, Failure> {
    let NetworkPlan::Named(plan) = plan else { return Ok(Vec::new()) };
    if let Some(first) = asked(request).first().filter(|_| !plan.ports.is_empty()) {
        let network = find(layout, &first.network)?;
        if network.driver != NetworkDriver::Bridge {
            return Err(NetworkError::NotPublished { network: network.name, driver: network.driver.as_str() }.into());
        }
    }
    // Who holds the network listens there, who may be another process.
    let ports: Vec<_> = ports::settle(&plan.ports, true, &|port| super::connection::owner(layout, port))?
        .into_iter()
        .map(|(port, _)| port)
        .collect();
    let servers = match &request.resolution.servers {
        DnsServers::These(servers) => servers.clone(),
        DnsServers::Host | DnsServers::Image => Vec::new(),
    };
    let mut memberships = Vec::new();
    for (index, attachment) in asked(request).iter().enumerate() {
        let network = find(layout, &attachment.network)?;
        // Several processes attach it at the same time: each device has its name before.
        let attachment = &with_device(attachment, index, asked(request), &network);
        let metric = METRIC + index as u32;
        // Ports lead to the first one.
        let ports = if index == 0 { &ports[..] } else { &[] };
        let wish = Wish { id, name, attachment, name_servers: &servers, metric, ports };
        match take_one(layout, &network, &wish) {
            Ok(lease) => memberships.push(Membership { network, lease }),
            Err(failure) => {
                give_back(layout, id, &memberships);
                return Err(failure);
            }
        }
    }
    Ok(memberships)
}

/// The attachment of this number, with a name for its device that no other has: that of the network's device, where
/// containers.conf says so and it is a bridge, since a device of the host may be that of several networks.
fn with_device(attachment: &Attachment, index: usize, all: &[Attachment], network: &NetworkRecord) -> Attachment {
    let is_free = |name: &DeviceName| all.iter().all(|other| other.device.as_ref() != Some(name));
    let is_bridge = network.driver == NetworkDriver::Bridge;
    if attachment.device.is_none()
        && is_bridge
        && ContainersConf::here().text("interface_name").as_deref() == Some("device")
        && is_free(&network.device)
    {
        return Attachment { device: Some(network.device.clone()), ..attachment.clone() };
    }
    // As many are taken before it as there are attachments without a name.
    let before = all.iter().take(index).filter(|other| other.device.is_none()).count();
    let names = (0..).filter_map(|number| format!("eth{number}").parse().ok());
    let device = attachment.device.clone().or_else(|| names.filter(is_free).nth(before));
    Attachment { device, ..attachment.clone() }
}

/// Its networks as they were changed since it was made.
pub fn kept(layout: &Layout, id: &ContainerId) -> Option<Vec<Attachment>> {
    let kept: Option<ContainerNetworks> = record::read(&layout.container_networks(id)).ok().flatten();
    kept.map(|kept| kept.networks)
}

fn take_one(layout: &Layout, network: &NetworkRecord, wish: &Wish<'_>) -> Result<LeaseRecord, Failure> {
    let guard = lock::network_exclusive(layout, &network.name, &mut |_| {})?;
    Ok(lease::take(layout, network, wish, &|id| is_alive(layout, id), &guard)?)
}

/// Takes its addresses back, also those that it got since it was started.
pub fn give_back(layout: &Layout, id: &ContainerId, memberships: &[Membership]) {
    if memberships.is_empty() {
        return;
    }
    let networks = std::fs::read_dir(layout.network_states()).into_iter().flatten().flatten();
    for name in networks.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        lease::give_back(layout, &name, id);
    }
}

fn give_back_one(layout: &Layout, id: &ContainerId, network: &NetworkName) {
    lease::give_back(layout, network, id);
}

/// A network, and who is in it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What it is.
    pub record: NetworkRecord,
    /// Names of the containers that are in it, whether they run or not.
    pub users: Vec<String>,
    /// The leases of those that run.
    pub members: Vec<LeaseRecord>,
}

impl Summary {
    /// Whether it is the one that is there without having been made.
    pub fn is_default(&self) -> bool {
        self.record.name == named::default_name()
    }
}

/// All networks, and failures to read some.
pub fn summaries(layout: &Layout) -> Result<(Vec<Summary>, Vec<Failure>), Failure> {
    let (records, failures) = named::list(layout);
    let summaries = records.into_iter().map(|record| summary(layout, record)).collect::<Result<_, _>>()?;
    Ok((summaries, failures))
}

/// The same of one.
pub fn summary(layout: &Layout, record: NetworkRecord) -> Result<Summary, Failure> {
    let users = users(layout, &record.name)?.into_iter().map(|(_, name)| name).collect();
    let mut members = lease::all(layout, &record.name);
    members.retain(|lease| is_alive(layout, &lease.id));
    members.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    Ok(Summary { record, users, members })
}

/// Whether a container has a use for its addresses: whoever starts or serves it holds its lock.
fn is_alive(layout: &Layout, id: &ContainerId) -> bool {
    !matches!(status::of(layout, id), Ok(Status::Created | Status::Stopped(_)) | Err(_))
        && layout.container_record(id).exists()
}

/// Connections with the processes that hold a container's networks: as long as one lasts, the process stays.
pub struct Held {
    all: Vec<(Membership, Connection)>,
    refusal: Option<Failure>,
}

/// Sees to it that somebody holds each of the networks, and enters the ground with this process, which must have one thread.
pub fn hold(layout: &Layout, memberships: &[Membership], ground: &Cell<bool>) -> Result<Held, Failure> {
    let mut held = Vec::new();
    // Who may change the host's network needs no ground: it is its own.
    ground.set(ground.get() || (!memberships.is_empty() && privilege::is_privileged()));
    for membership in memberships {
        let connection = connect(layout, &membership.network, ground)?;
        if !ground.get() {
            enter_ground_of(layout, &membership.network.name)?;
            ground.set(true);
        }
        held.push((membership.clone(), connection));
    }
    Ok(Held { all: held, refusal: None })
}

impl Connect for Held {
    fn begin(&mut self, namespace: OwnedFd) -> Result<(), NetworkError> {
        let begun = pidfd::open(Pid::this())
            .map_err(|errno| Failure::new("E_IO", format!("opening our own process: {errno}")))
            .and_then(|ours| {
                self.all.iter().try_for_each(|(membership, connection)| {
                    let asked = Asked::Join(Box::new(membership.lease.clone()));
                    connection.begin(&asked, &[namespace.as_fd(), ours.as_fd()])
                })
            });
        self.keep(begun)
    }

    fn finish(&mut self) -> Result<(), NetworkError> {
        let finished = self.all.iter().try_for_each(|(_, connection)| connection.answer().map(drop));
        self.keep(finished)
    }
}

impl Held {
    fn keep(&mut self, result: Result<(), Failure>) -> Result<(), NetworkError> {
        result.map_err(|failure| {
            self.refusal = Some(failure);
            NetworkError::Named
        })
    }

    /// Why the container could not be attached, if that is so.
    pub fn refusal(&mut self) -> Option<Failure> {
        self.refusal.take()
    }
}

/// A connection with the process that holds a network. If there is none, one is started, and members that are there already are
/// attached anew.
pub fn connect(layout: &Layout, network: &NetworkRecord, ground: &Cell<bool>) -> Result<Connection, Failure> {
    let _guard = lock::network_exclusive(layout, &network.name, &mut |_| {})?;
    let path = layout.holder_socket(&network.name);
    if let Some(connection) = Connection::open(&path, &network.name) {
        return Ok(connection);
    }
    start(layout, network, ground)?;
    let missing = || Failure::new("E_HELPER_DIED", format!("the process that holds {} has ended", network.name));
    let connection = Connection::open(&path, &network.name).ok_or_else(missing)?;
    for lease in lease::all(layout, &network.name) {
        // What has no process is attached by whoever starts it.
        if let Ok(live) = Live::find(layout, &lease.id) {
            attach(&connection, &lease, &live)?;
        }
    }
    Ok(connection)
}

fn attach(connection: &Connection, lease: &LeaseRecord, live: &Live) -> Result<(), Failure> {
    let (number, member) = live.member()?;
    let namespace = std::fs::File::open(format!("/proc/{number}/ns/net"));
    let namespace = namespace.map_err(|cause| {
        Failure::new("E_NETWORK", format!("opening the network namespace of container {}: {cause}", lease.name))
    })?;
    live.check()?;
    connection.ask(&Asked::Join(Box::new(lease.clone())), &[namespace.as_fd(), member.as_fd()]).map(drop)
}

/// Starts the process that holds a network, whose lock we have.
fn start(layout: &Layout, network: &NetworkRecord, ground: &Cell<bool>) -> Result<(), Failure> {
    // Two that are started at once must not make two grounds.
    let _guard = lock::network_states_exclusive(layout, &mut |_| {})?;
    let ground = match ground.get() || privilege::is_privileged() {
        true => Ground::Ours,
        false => find_ground(layout).map_or(Ground::New, Ground::Of),
    };
    let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
    stand_alone::fork(&proof, |command| {
        process::set_name(c"coracle-netns");
        process::reset_signals();
        let kept = [Some(command.as_fd()), ground.process()];
        let mut kept: Vec<i32> = kept.iter().flatten().map(AsRawFd::as_raw_fd).collect();
        kept.sort_unstable();
        process::close_others(&kept);
        let made =
            stand_alone::leave_session().and_then(|_| ground.enter()).and_then(|()| Ok(Holder::make(layout, network)?));
        let holder = match made {
            Ok(holder) => holder,
            // Nothing that was inherited is dropped: its descriptors are closed.
            Err(failure) => process::exit_now(command.report_failure(&failure)),
        };
        drop(command.report_start());
        crate::sys::memory::set_command_line(&format!("coracle-netns {}", network.name));
        holder.serve();
        process::exit_now(0)
    })
    .map(drop)
}

/// The user namespace to which networks belong.
enum Ground {
    /// We are in it.
    Ours,
    /// This process is.
    Of(OwnedFd),
    /// There is none.
    New,
}

impl Ground {
    fn process(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Of(process) => Some(process.as_fd()),
            Self::Ours | Self::New => None,
        }
    }

    fn enter(&self) -> Result<(), Failure> {
        match self {
            Self::Ours => Ok(()),
            Self::Of(process) => enter_ground(process.as_fd()),
            Self::New => namespace::become_own_master().map_err(|cause| {
                let failure =
                    Failure::new("E_USERNS_DISABLED", format!("making a user namespace for networks: {cause}"));
                let errno = nix::errno::Errno::from_raw(cause.raw_os_error().unwrap_or_default());
                failure.with_hint(crate::host::userns::cure(errno))
            }),
        }?;
        // Programs that we start find our namespaces by it, as does whoever shows us.
        let _ = process::show_to_ptrace();
        Ok(())
    }
}

fn enter_ground(process: BorrowedFd<'_>) -> Result<(), Failure> {
    namespace::join(process, CloneFlags::CLONE_NEWUSER)
        .map_err(|errno| Failure::new("E_NETWORK", format!("entering the user namespace of networks: {errno}")))?;
    let _ = process::show_to_ptrace();
    Ok(())
}

/// Enters the user namespace of the process that holds a network.
fn enter_ground_of(layout: &Layout, network: &NetworkName) -> Result<(), Failure> {
    let gone = || Failure::new("E_HELPER_DIED", format!("the process that holds the network {network} has ended"));
    let holder = holder(layout, network).ok_or_else(gone)?;
    SingleThreaded::prove().map_err(LaunchError::from)?;
    enter_ground(holder.as_fd())
}

/// The process that holds a network, if it lives.
pub fn holder(layout: &Layout, network: &NetworkName) -> Option<OwnedFd> {
    let record: HolderRecord = record::read(&layout.holder_record(network)).ok().flatten()?;
    if Some(&record.boot_id) != boot_id().as_ref() {
        return None;
    }
    let process = pidfd::open(Pid::from_raw(record.pid)).ok()?;
    (process_start(record.pid) == Some(record.start)).then_some(process)
}

/// A process that is in the ground: one that holds a network, or the monitor of a container in one.
fn find_ground(layout: &Layout) -> Option<OwnedFd> {
    let networks = std::fs::read_dir(layout.network_states()).into_iter().flatten().flatten();
    let names: Vec<NetworkName> = networks.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let holders = names.iter().filter_map(|name| holder(layout, name));
    let leases = names.iter().flat_map(|name| lease::all(layout, name));
    holders.chain(leases.filter_map(|lease| monitor(layout, &lease.id))).next()
}

/// The monitor of a container that runs.
fn monitor(layout: &Layout, id: &ContainerId) -> Option<OwnedFd> {
    let Ok(Status::Running(ProcessesRecord { monitor, init, init_start, .. })) = status::of(layout, id) else {
        return None;
    };
    let process = pidfd::open(Pid::from_raw(monitor)).ok()?;
    let is_its = process_start(init) == Some(init_start) && processes::parent(init) == Some(monitor);
    is_its.then_some(process)
}

/// Who is in a network, whether it runs or not: names of containers.
pub fn users(layout: &Layout, network: &NetworkName) -> Result<Vec<(ContainerId, String)>, Failure> {
    let (listed, failures) = list::execute(layout);
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let is_user = |record: &ContainerRecord| of(layout, record).iter().any(|name| named::canonical(name) == *network);
    let users = listed.into_iter().filter(|container| is_user(&container.record));
    Ok(users.map(|container| (container.record.id.clone(), container.record.name.to_string())).collect())
}

/// The networks that a container is to be in.
pub fn of(layout: &Layout, record: &ContainerRecord) -> Vec<NetworkName> {
    if let Some(kept) = kept(layout, &record.id) {
        return kept.into_iter().map(|attachment| attachment.network).collect();
    }
    match NetworkMode::parse_all(std::slice::from_ref(&record.network)) {
        Ok(NetworkMode::Networks(all)) => all.into_iter().map(|attachment| attachment.network).collect(),
        _ => Vec::new(),
    }
}

/// The networks that a container is in, in their order, and what it has there, if it runs.
pub fn endpoints(layout: &Layout, record: &ContainerRecord) -> Vec<(NetworkRecord, Option<LeaseRecord>)> {
    let networks = of(layout, record).into_iter().filter_map(|name| named::get(layout, &name).ok()?);
    networks
        .map(|network| {
            let lease = lease::get(layout, &network.name, &record.id);
            (network, lease)
        })
        .collect()
}

/// The resolver of the first of a container's networks that has one, as they are now.
pub fn resolver(layout: &Layout, record: &ContainerRecord) -> Option<IpAddr> {
    let endpoints = endpoints(layout, record).into_iter();
    let members = endpoints.filter(|(network, lease)| network.driver == NetworkDriver::Bridge && lease.is_some());
    members.flat_map(|(network, _)| network.subnets).find_map(|subnet| subnet.gateway)
}

/// Tells a container of its networks: its own addresses in `/etc/hosts`, the first one's resolver in `/etc/resolv.conf`, which finds
/// the names of the others, too.
pub fn tell(blueprint: &mut Blueprint, request: &Request, name: &ContainerName, memberships: &[Membership]) {
    let NetworkPlan::Named(plan) = &mut blueprint.network else { return };
    // In networks of devices of the host, the router is somebody else.
    let mut bridges = memberships.iter().map(|membership| &membership.network);
    let mut resolvers = bridges.clone().filter(|network| network.driver == NetworkDriver::Bridge);
    plan.resolver = resolvers.find_map(|network| network.subnets.iter().find_map(|subnet| subnet.gateway));
    plan.has_names = plan.resolver.is_some() && bridges.any(|network| network.dns);
    let names = match blueprint.hostname == name.as_str() {
        true => name.to_string(),
        false => format!("{} {name}", blueprint.hostname),
    };
    for file in &mut blueprint.files {
        match file.destination {
            "/etc/hosts" => {
                for address in memberships.iter().flat_map(|membership| &membership.lease.addresses) {
                    file.content.push(format!("{}\t{names}\n", address.addr()));
                }
            }
            network_files::RESOLV_CONF => {
                file.content = network_files::name_servers(&blueprint.network, &request.resolution).into();
            }
            _ => {}
        }
    }
}

/// Writes down what `port`, `ps` and `inspect` show of a container's network.
pub fn note(layout: &Layout, id: &ContainerId, memberships: &[Membership]) {
    let Some(Membership { network, lease }) = memberships.first() else { return };
    let unspecified = Ipv4Addr::UNSPECIFIED;
    let (address, prefix_length) = lease
        .addresses
        .iter()
        .find_map(|address| match address {
            IpNet::V4(address) => Some((address.addr(), address.prefix_len())),
            IpNet::V6(_) => None,
        })
        .unwrap_or((unspecified, 0));
    let gateway = network.subnets.iter().find_map(|subnet| match subnet.gateway {
        Some(IpAddr::V4(gateway)) if subnet.subnet.contains(&IpAddr::V4(address)) => Some(gateway),
        _ => None,
    });
    let connection = ConnectionRecord {
        helper: network.name.to_string(),
        pid: 0,
        device: lease.device.as_ref().map_or_else(|| "eth0".to_owned(), ToString::to_string),
        address,
        prefix_length,
        gateway: gateway.unwrap_or(unspecified),
        ports: lease.ports.clone(),
        publishes_both: true,
        deaths: 0,
        error: None,
    };
    let _ = record::write_volatile(&layout.connection_record(id), &connection);
}

/// Enters the namespace of a network, with all that may be done with it, also by what this process executes. The network stays as
/// long as that lives.
pub fn enter(layout: &Layout, network: &NetworkRecord) -> Result<(), Failure> {
    let connection = connect(layout, network, &Cell::new(false))?;
    let namespace = namespace_of(&connection)?;
    if !privilege::is_privileged() {
        enter_ground_of(layout, &network.name)?;
    }
    let failed = |what: &str| {
        let message = format!("{what} the network {}", network.name);
        move |errno: nix::errno::Errno| Failure::new("E_NETWORK", format!("{message}: {errno}"))
    };
    namespace::enter_network(namespace.as_fd()).map_err(failed("entering"))?;
    credentials::keep_all_capabilities().map_err(failed("keeping what may be done with"))?;
    connection.outlive_us().map_err(failed("holding"))
}

/// Asks the process that holds a network for its namespace.
pub fn namespace_of(connection: &Connection) -> Result<OwnedFd, Failure> {
    match connection.ask(&Asked::Namespace, &[])? {
        (Reply::Done, Some(namespace)) => Ok(namespace),
        _ => Err(Failure::new("E_NETWORK", "the process that holds the network gives no namespace")),
    }
}
