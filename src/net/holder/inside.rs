//! The namespace of a network: its bridge, its firewall, the sockets of its resolver, and its members' devices.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use ipnet::IpNet;
use nix::errno::Errno;

use super::Way;
use super::error::HolderError;
use crate::name::mac_address::MacAddress;
use crate::name::network::NetworkName;
use crate::net::dns::serve::Sockets;
use crate::net::firewall::{self, Chain, Hook, Lifetime, Part};
use crate::net::link::{self, LinkIndex, Peer, Route, Sharing};
use crate::net::netlink::Netlink;
use crate::state::schema::network::{LeaseRecord, NetworkRecord, SubnetRecord};
use crate::sys::namespace;

/// The device of the program that connects the network with the outside.
pub const OUTSIDE: &str = "tap0";

/// The largest that slirp4netns and pasta take: the fewer packets, the faster.
pub const MTU: u32 = 65_520;

/// What a wire takes of which nothing is known.
const ETHERNET: u32 = 1500;

const TABLE: &str = "coracle";

/// The mark of packets that are for us under the address of somebody else.
const MARK: u32 = 1;

/// The port of name servers.
const DNS: u16 = 53;

/// The namespace, and what works in it.
#[derive(Debug)]
pub struct Inside {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Speaks of it.
    netlink: Netlink,
    kind: Kind,
    network: NetworkName,
    mtu: u32,
    subnets: Vec<SubnetRecord>,
    options: Options,
    /// How many pairs of devices were made: each has a name of its own.
    pairs: u32,
    /// Whether somebody here may have the address of somebody else, and still gets the answers.
    lends_addresses: bool,
}

/// What members are attached to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A bridge in the namespace.
    Bridge(LinkIndex),
    /// A device of the host, and how it is shared.
    Shared(LinkIndex, Sharing),
}

/// The device of a member, as it is taken away from it.
#[derive(Debug)]
pub enum Attached {
    /// Our end of a pair.
    Pair(LinkIndex),
    /// A device that is in the member's namespace only: that, and its name.
    Whole(OwnedFd, String),
}

/// What else is wanted of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    is_internal: bool,
    has_ipv6: bool,
}

/// A step that failed.
struct Failed(&'static str, Errno);

fn step<T>(what: &'static str, result: Result<T, Errno>) -> Result<T, Failed> {
    result.map_err(|errno| Failed(what, errno))
}

fn io_step<T>(what: &'static str, result: std::io::Result<T>) -> Result<T, Failed> {
    step(what, result.map_err(|cause| Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO))))
}

impl Inside {
    /// Makes it, in a thread that is then gone: sockets and descriptors stay.
    pub fn make(record: &NetworkRecord, way: Way) -> Result<(Self, Sockets), HolderError> {
        let network = record.name.clone();
        let make = || if way == Way::Shared { share(record) } else { make(record, way) };
        let made = thread::scope(|scope| scope.spawn(make).join());
        made.unwrap_or(Err(Failed("starting a thread", Errno::EAGAIN)))
            .map_err(|Failed(step, cause)| HolderError::Make { network, step, cause })
    }

    /// Attaches a container, whose network namespace is `namespace`: its device, and the name of that.
    pub fn attach(
        &mut self,
        lease: &LeaseRecord,
        record: &NetworkRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<(Attached, String), HolderError> {
        self.pairs += 1;
        let name = format!("veth{}", self.pairs);
        let attached =
            thread::scope(|scope| scope.spawn(|| self.enter_and_attach(&name, lease, record, namespace)).join());
        attached
            .unwrap_or(Err(Failed("starting a thread", Errno::EAGAIN)))
            .map_err(|Failed(step, cause)| HolderError::Attach { network: self.network.clone(), step, cause })
    }

    fn enter_and_attach(
        &self,
        name: &str,
        lease: &LeaseRecord,
        record: &NetworkRecord,
        theirs: BorrowedFd<'_>,
    ) -> Result<(Attached, String), Failed> {
        step("entering its network namespace", namespace::enter_network(theirs))?;
        let netlink = step("opening a socket in it", Netlink::open())?;
        let names = step("listing its devices", link::names(&netlink))?;
        let device = lease.device.as_ref().map_or_else(|| free_name(&names), ToString::to_string);
        let has_ipv6 = lease.addresses.iter().any(|address| matches!(address, IpNet::V6(_)));
        // What is to be so when the device appears.
        io_step("switching router advertisements off", set("ipv6/conf/default/accept_ra", "0"))?;
        io_step("switching IPv6 on or off", set("ipv6/conf/default/disable_ipv6", if has_ipv6 { "0" } else { "1" }))?;
        let peer = Peer { name: &device, namespace: theirs, mac: lease.mac };
        let attached = match self.kind {
            Kind::Bridge(bridge) => {
                // The kernel takes its time to remove what belonged to a holder that was killed.
                step("removing an earlier device", link::remove_own(&netlink, &device, lease.mac))?;
                let made = link::make_pair(&self.netlink, name, bridge, self.mtu, peer);
                Attached::Pair(step("making a pair of devices", made)?)
            }
            Kind::Shared(parent, sharing) => {
                // It outlives who has made it.
                if !names.contains(&device) {
                    let made = link::make_sharing(&self.netlink, parent, sharing, self.mtu, peer);
                    step("making a device that shares one of the host", made)?;
                }
                let theirs = io_step("keeping its network namespace", theirs.try_clone_to_owned())?;
                Attached::Whole(theirs, device.clone())
            }
        };
        let configured = self.configure(&netlink, &device, lease, record);
        if configured.is_err() {
            let _ = self.remove(&attached);
        }
        configured.map(|()| (attached, device))
    }

    fn configure(
        &self,
        netlink: &Netlink,
        device: &str,
        lease: &LeaseRecord,
        record: &NetworkRecord,
    ) -> Result<(), Failed> {
        let index =
            step("finding its device", link::find(netlink, device).and_then(|found| found.ok_or(Errno::ENODEV)))?;
        for address in &lease.addresses {
            step("giving it an address", link::add_address(netlink, index, *address))?;
        }
        step("switching its device on", link::set_up(netlink, index))?;
        let has_default = !self.options.is_internal && !is_set(record, "no_default_route");
        // Where the host routes for its members, they have no router on their own network.
        let is_routed = matches!(self.kind, Kind::Shared(_, sharing) if sharing.has_no_gateway());
        let has_address = |gateway: &IpAddr| lease.addresses.iter().any(|address| address.contains(gateway));
        let gateways: Vec<IpAddr> = record.subnets.iter().filter_map(|subnet| subnet.gateway).collect();
        let ways: Vec<(IpNet, Option<IpAddr>)> = match is_routed {
            true => lease.addresses.iter().map(|address| (default_route(address.addr()), None)).collect(),
            false => gateways
                .into_iter()
                .filter(has_address)
                .map(|gateway| (default_route(gateway), Some(gateway)))
                .collect(),
        };
        for (destination, gateway) in ways.into_iter().filter(|_| has_default) {
            let route = Route { destination, gateway, metric: Some(lease.metric) };
            step("adding a default route", link::add_route(netlink, index, route))?;
        }
        for route in &record.routes {
            let metric = route.metric.or(Some(lease.metric));
            let route = Route { destination: route.destination, gateway: Some(route.gateway), metric };
            step("adding a route", link::add_route(netlink, index, route))?;
        }
        Ok(())
    }

    /// Removes a container's device.
    pub fn detach(&self, attached: &Attached) -> Result<(), HolderError> {
        self.remove(attached).map_err(|cause| HolderError::Attach {
            network: self.network.clone(),
            step: "removing its device",
            cause,
        })
    }

    fn remove(&self, attached: &Attached) -> Result<(), Errno> {
        let (theirs, device) = match attached {
            Attached::Pair(link) => return link::remove(&self.netlink, *link),
            Attached::Whole(theirs, device) => (theirs, device),
        };
        let remove = || {
            namespace::enter_network(theirs.as_fd())?;
            let netlink = Netlink::open()?;
            link::find(&netlink, device)?.map_or(Ok(()), |link| link::remove(&netlink, link))
        };
        thread::scope(|scope| scope.spawn(remove).join()).unwrap_or(Err(Errno::EAGAIN))
    }

    /// Attaches a namespace that is no member's to the bridge, by a device of this name.
    pub fn attach_host(&self, name: &str, host: BorrowedFd<'_>, mac: MacAddress) -> Result<(), Errno> {
        let Kind::Bridge(bridge) = self.kind else { return Err(Errno::EOPNOTSUPP) };
        let peer = Peer { name, namespace: host, mac };
        link::make_pair(&self.netlink, "host", bridge, self.mtu, peer).map(drop)
    }

    /// Whether somebody here may have the address of somebody else, and still gets the answers.
    pub fn lends_addresses(&self) -> bool {
        self.lends_addresses
    }

    /// The addresses of the network.
    pub fn subnets(&self) -> Vec<IpNet> {
        self.subnets.iter().map(|subnet| subnet.subnet).collect()
    }
}

/// Whether a switch among a network's options is on.
pub fn is_set(record: &NetworkRecord, option: &str) -> bool {
    record.options.get(option).is_some_and(|value| matches!(value.as_str(), "true" | "1" | "strict"))
}

fn default_route(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

/// The first of `eth0`, `eth1`, ... that is not there.
fn free_name(names: &[String]) -> String {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut candidates = (0..).map(|number| format!("eth{number}"));
    candidates.find(|name| !names.contains(name.as_str())).unwrap_or_default()
}

/// Changes a setting of the network namespace of this thread: what `/proc/sys/net` shows depends on who looks.
pub fn set(setting: &str, value: &str) -> std::io::Result<()> {
    match fs::write(format!("/proc/sys/net/{setting}"), value) {
        // A kernel without IPv6 has nothing to switch off.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && setting.starts_with("ipv6/") => Ok(()),
        other => other,
    }
}

/// The bytes of a packet: with a wire at the end, as many as that takes.
fn mtu(record: &NetworkRecord, way: Way) -> Result<u32, Failed> {
    if let Some(mtu) = record.options.get("mtu").and_then(|mtu| mtu.parse().ok()) {
        return Ok(mtu);
    }
    if way != Way::Pair {
        return Ok(MTU);
    }
    let of_host = || {
        let netlink = Netlink::open()?;
        let device = link::default_route(&netlink)?;
        device.map(|device| link::describe(&netlink, device)).transpose()
    };
    let device = step("looking for the device by which the host reaches others", of_host())?;
    Ok(device.and_then(|device| device.mtu).unwrap_or(ETHERNET))
}

fn has_ipv6(record: &NetworkRecord) -> bool {
    record.subnets.iter().any(|subnet| matches!(subnet.subnet, IpNet::V6(_)))
}

/// The routers of a network, with the lengths of its prefixes.
pub fn gateways(record: &NetworkRecord) -> Vec<IpNet> {
    let of = |subnet: &SubnetRecord| IpNet::new(subnet.gateway?, subnet.subnet.prefix_len()).ok();
    record.subnets.iter().filter_map(of).collect()
}

fn make(record: &NetworkRecord, way: Way) -> Result<(Inside, Sockets), Failed> {
    let mtu = mtu(record, way)?;
    step("a network namespace", namespace::new_network())?;
    let namespace = io_step("opening it", fs::File::open("/proc/thread-self/ns/net"))?.into();
    let netlink = step("opening a socket in it", Netlink::open())?;
    let loopback = step("finding its loopback device", link::find(&netlink, "lo"))?;
    if let Some(loopback) = loopback {
        step("switching its loopback device on", link::set_up(&netlink, loopback))?;
    }
    let has_ipv6 = has_ipv6(record);
    let routes = way == Way::Program;
    // Where the router is the host, this is a cable: nobody has an address here.
    let is_router = way != Way::Pair;
    for (setting, value) in [
        ("ipv4/ip_forward", routes),
        ("ipv6/conf/all/accept_ra", false),
        ("ipv6/conf/default/accept_ra", false),
        ("ipv6/conf/all/disable_ipv6", !(has_ipv6 && is_router)),
        ("ipv6/conf/default/disable_ipv6", !(has_ipv6 && is_router)),
        ("ipv6/conf/all/forwarding", has_ipv6 && routes),
    ] {
        io_step("changing its settings", set(setting, if value { "1" } else { "0" }))?;
    }
    let bridge = step("a bridge", link::make_bridge(&netlink, record.device.as_str(), mtu))?;
    let gateways = if is_router { gateways(record) } else { Vec::new() };
    for gateway in &gateways {
        step("giving the bridge an address", link::add_address(&netlink, bridge, *gateway))?;
    }
    step("switching the bridge on", link::set_up(&netlink, bridge))?;
    let mut lends_addresses = false;
    if is_router {
        let firewall = step("opening a socket for its firewall", Netlink::open_firewall())?;
        step("its firewall", firewall::replace(&firewall, TABLE, Lifetime::Namespace, &chains(record)))?;
        // Some kernels cannot do this; all else works without.
        lends_addresses = routes && loopback.is_some_and(|loopback| lend(&netlink, &firewall, loopback).is_ok());
    }
    let sockets = io_step("opening the sockets of its resolver", listen(&gateways))?;
    let options = Options { is_internal: record.internal, has_ipv6 };
    let (network, subnets, kind) = (record.name.clone(), record.subnets.clone(), Kind::Bridge(bridge));
    Ok((Inside { namespace, netlink, kind, network, mtu, subnets, options, pairs: 0, lends_addresses }, sockets))
}

/// Lets sockets here have addresses of others: what comes for them is theirs, and goes nowhere else.
fn lend(netlink: &Netlink, firewall: &Netlink, loopback: LinkIndex) -> Result<(), Errno> {
    let rule = vec![Part::Transparent, Part::Mark(MARK)];
    let chain = Chain { hook: Hook::Arrival, rules: vec![rule] };
    firewall::replace(firewall, &format!("{TABLE}-clients"), Lifetime::Namespace, &[chain])?;
    link::keep_marked(netlink, loopback, MARK)
}

/// A network without a namespace of its own: its members are in that of a device of the host.
fn share(record: &NetworkRecord) -> Result<(Inside, Sockets), Failed> {
    let namespace = io_step("opening the host's network namespace", fs::File::open("/proc/thread-self/ns/net"))?.into();
    let netlink = step("opening a socket in it", Netlink::open())?;
    let parent = step("finding the device that is shared", link::find(&netlink, record.device.as_str()))?;
    let parent = step("finding the device that is shared", parent.ok_or(Errno::ENODEV))?;
    let device = step("asking for the device that is shared", link::describe(&netlink, parent))?;
    let mode = record.options.get("mode").map_or("", String::as_str);
    let sharing = step("sharing a device", Sharing::of(record.driver, mode).ok_or(Errno::EINVAL))?;
    let mtu = record.options.get("mtu").and_then(|mtu| mtu.parse().ok()).or(device.mtu).unwrap_or(ETHERNET);
    let options = Options { is_internal: record.internal, has_ipv6: has_ipv6(record) };
    let (network, subnets, kind) = (record.name.clone(), record.subnets.clone(), Kind::Shared(parent, sharing));
    let inside = Inside { namespace, netlink, kind, network, mtu, subnets, options, pairs: 0, lends_addresses: false };
    Ok((inside, Sockets::default()))
}

/// What leaves gets the address of the device through which it leaves. What comes from there is let in only as an answer.
fn chains(record: &NetworkRecord) -> Vec<Chain> {
    if record.internal {
        return vec![Chain {
            hook: Hook::Forward,
            rules: vec![vec![Part::NotTo(record.device.to_string()), Part::Drop]],
        }];
    }
    let outside = || OUTSIDE.to_owned();
    vec![
        Chain { hook: Hook::Postrouting, rules: vec![vec![Part::To(outside()), Part::Masquerade]] },
        Chain {
            hook: Hook::Forward,
            rules: vec![
                vec![Part::From(outside()), Part::Established, Part::Accept],
                vec![Part::From(outside()), Part::Drop],
            ],
        },
    ]
}

/// Listens for questions to the resolver, in the network namespace of this thread.
pub fn listen(gateways: &[IpNet]) -> std::io::Result<Sockets> {
    let mut sockets = Sockets::default();
    for gateway in gateways {
        let udp = UdpSocket::bind((gateway.addr(), DNS))?;
        udp.set_nonblocking(true)?;
        sockets.udp.push(udp);
        let tcp = TcpListener::bind((gateway.addr(), DNS))?;
        tcp.set_nonblocking(true)?;
        sockets.tcp.push(tcp);
    }
    Ok(sockets)
}

impl Inside {
    /// Whether it has addresses of IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.options.has_ipv6
    }

    /// The namespace.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}
