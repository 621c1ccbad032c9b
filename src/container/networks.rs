//! The networks of containers: which ones a container is in, and how it gets in.
//!
//! A container's user namespace is a child of the ground ([`crate::net::holder`]): its monitor enters that before it forks.

use std::cell::Cell;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::live::Live;
use super::request::{NetworkMode, Request};
use super::status::{self, Status};
use super::{list, stand_alone};
use crate::failure::Failure;
use crate::host::boot::{boot_id, process_start};
use crate::host::processes;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::name_resolution::DnsServers;
use crate::name::network::{Attachment, NetworkName};
use crate::net::holder::protocol::{Connection, Reply, Request as Asked};
use crate::net::holder::serve::Holder;
use crate::net::lease::{self, Wish};
use crate::net::named::{self, NamedError};
use crate::runtime::launch_error::LaunchError;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::lock;
use crate::state::schema::container::ProcessesRecord;
use crate::state::schema::network::{HolderRecord, LeaseRecord, LeasedPort, NetworkRecord};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{namespace, pidfd, process};

/// How good the default route through a container's first network is; that through the next is less good.
const METRIC: u32 = 100;

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
    ports: &[LeasedPort],
) -> Result<Vec<Membership>, Failure> {
    let servers = match &request.resolution.servers {
        DnsServers::These(servers) => servers.clone(),
        DnsServers::Host | DnsServers::Image => Vec::new(),
    };
    let mut memberships = Vec::new();
    for (index, attachment) in asked(request).iter().enumerate() {
        let network = find(layout, &attachment.network)?;
        // Ports lead to the first one.
        let ports = if index == 0 { ports } else { &[] };
        let wish = Wish { id, name, attachment, name_servers: &servers, ports };
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

fn take_one(layout: &Layout, network: &NetworkRecord, wish: &Wish<'_>) -> Result<LeaseRecord, Failure> {
    let guard = lock::network_exclusive(layout, &network.name, &mut |_| {})?;
    Ok(lease::take(layout, network, wish, &|id| is_alive(layout, id), &guard)?)
}

/// Takes its addresses back.
pub fn give_back(layout: &Layout, id: &ContainerId, memberships: &[Membership]) {
    for membership in memberships {
        lease::give_back(layout, &membership.network.name, id);
    }
}

/// Whether a container has a use for its addresses: whoever starts or serves it holds its lock.
fn is_alive(layout: &Layout, id: &ContainerId) -> bool {
    !matches!(status::of(layout, id), Ok(Status::Created | Status::Stopped(_)) | Err(_))
        && layout.container_record(id).exists()
}

/// Connections with the processes that hold a container's networks: as long as one lasts, the process stays.
#[derive(Debug)]
pub struct Held(Vec<(Membership, Connection)>);

/// Sees to it that somebody holds each of the networks, and enters the ground with this process, which must have one thread.
pub fn hold(layout: &Layout, memberships: &[Membership], ground: &Cell<bool>) -> Result<Held, Failure> {
    let mut held = Vec::new();
    for membership in memberships {
        let connection = connect(layout, &membership.network, ground)?;
        if !ground.get() {
            enter_ground_of(layout, &membership.network.name)?;
            ground.set(true);
        }
        held.push((membership.clone(), connection));
    }
    Ok(Held(held))
}

impl Held {
    /// Attaches the container, whose network namespace this is, and whose first process `process`.
    pub fn join(&self, namespace: BorrowedFd<'_>, process: BorrowedFd<'_>) -> Result<(), Failure> {
        for (metric, (membership, connection)) in (METRIC..).zip(&self.0) {
            join(connection, &membership.lease, metric, namespace, process)?;
        }
        Ok(())
    }
}

fn join(
    connection: &Connection,
    lease: &LeaseRecord,
    metric: u32,
    namespace: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let asked = Asked::Join { lease: Box::new(lease.clone()), metric };
    connection.ask(&asked, &[namespace, process]).map(drop)
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
    join(connection, lease, METRIC, namespace.as_fd(), member.as_fd())
}

/// Starts the process that holds a network, whose lock we have.
fn start(layout: &Layout, network: &NetworkRecord, ground: &Cell<bool>) -> Result<(), Failure> {
    // Two that are started at once must not make two grounds.
    let _guard = lock::network_states_exclusive(layout, &mut |_| {})?;
    let ground = match ground.get() {
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
        let made = stand_alone::leave_session()
            .and_then(|_| ground.enter())
            .and_then(|()| Ok(Holder::make(layout, network)?));
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
                let failure = Failure::new("E_USERNS_DISABLED", format!("making a user namespace for networks: {cause}"));
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
    let mut users = Vec::new();
    for id in list::ids(layout)? {
        let Some(container) = list::load(layout, &id)? else { continue };
        let is_user = container.record.networks.iter().any(|name| named::canonical(name) == *network);
        if is_user {
            users.push((id, container.record.name.to_string()));
        }
    }
    Ok(users)
}

/// The addresses at which a container asks for names: those of its networks' resolvers.
pub fn resolvers(memberships: &[Membership]) -> Vec<IpAddr> {
    memberships.iter().flat_map(|membership| membership.network.subnets.iter().filter_map(|subnet| subnet.gateway)).collect()
}

/// Asks the process that holds a network for its namespace.
pub fn namespace_of(connection: &Connection) -> Result<OwnedFd, Failure> {
    match connection.ask(&Asked::Namespace, &[])? {
        (Reply::Done, Some(namespace)) => Ok(namespace),
        _ => Err(Failure::new("E_NETWORK", "the process that holds the network gives no namespace")),
    }
}
