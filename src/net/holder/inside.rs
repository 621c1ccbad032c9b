//! The namespace of a network: its bridge, its firewall, the sockets of its resolver, and its members' devices.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use ipnet::IpNet;
use nix::errno::Errno;

use super::error::HolderError;
use crate::name::network::NetworkName;
use crate::net::dns::serve::Sockets;
use crate::net::firewall::{self, Chain, Hook, Part};
use crate::net::link::{self, LinkIndex, Peer, Route};
use crate::net::netlink::Netlink;
use crate::state::schema::network::{LeaseRecord, NetworkRecord, SubnetRecord};
use crate::sys::namespace;

/// The device of the program that connects the network with the outside.
pub const OUTSIDE: &str = "tap0";

/// The largest that slirp4netns and pasta take: the fewer packets, the faster.
pub const MTU: u32 = 65_520;

const TABLE: &str = "coracle";

/// The port of name servers.
const DNS: u16 = 53;

/// The namespace, and what works in it.
#[derive(Debug)]
pub struct Inside {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Speaks of it.
    netlink: Netlink,
    bridge: LinkIndex,
    network: NetworkName,
    mtu: u32,
    subnets: Vec<SubnetRecord>,
    options: Options,
    /// How many pairs of devices were made: each has a name of its own.
    pairs: u32,
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
    pub fn make(record: &NetworkRecord) -> Result<(Self, Sockets), HolderError> {
        let network = record.name.clone();
        let made = thread::scope(|scope| scope.spawn(|| make(record)).join());
        made.unwrap_or(Err(Failed("starting a thread", Errno::EAGAIN)))
            .map_err(|Failed(step, cause)| HolderError::Make { network, step, cause })
    }

    /// Attaches a container, whose network namespace is `namespace`: our end of the pair, and the name of its device.
    pub fn attach(
        &mut self,
        lease: &LeaseRecord,
        record: &NetworkRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<(LinkIndex, String), HolderError> {
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
    ) -> Result<(LinkIndex, String), Failed> {
        step("entering its network namespace", namespace::enter_network(theirs))?;
        let netlink = step("opening a socket in it", Netlink::open())?;
        let device = match &lease.device {
            Some(device) => device.to_string(),
            None => free_name(&step("listing its devices", link::names(&netlink))?),
        };
        let has_ipv6 = lease.addresses.iter().any(|address| matches!(address, IpNet::V6(_)));
        // What is to be so when the device appears.
        io_step("switching router advertisements off", set("ipv6/conf/default/accept_ra", "0"))?;
        io_step("switching IPv6 on or off", set("ipv6/conf/default/disable_ipv6", if has_ipv6 { "0" } else { "1" }))?;
        let peer = Peer { name: &device, namespace: theirs, mac: lease.mac };
        let ours = step("making a pair of devices", link::make_pair(&self.netlink, name, self.bridge, self.mtu, peer))?;
        let configured = self.configure(&netlink, &device, lease, record);
        if configured.is_err() {
            let _ = link::remove(&self.netlink, ours);
        }
        configured.map(|()| (ours, device))
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
        for gateway in record.subnets.iter().filter_map(|subnet| subnet.gateway).filter(|_| has_default) {
            let is_reachable = lease.addresses.iter().any(|address| address.contains(&gateway));
            let destination = default_route(gateway);
            let route = Route { destination, gateway: Some(gateway), metric: Some(lease.metric) };
            if is_reachable {
                step("adding a default route", link::add_route(netlink, index, route))?;
            }
        }
        for route in &record.routes {
            let metric = route.metric.or(Some(lease.metric));
            let route = Route { destination: route.destination, gateway: Some(route.gateway), metric };
            step("adding a route", link::add_route(netlink, index, route))?;
        }
        Ok(())
    }

    /// Removes a container's device.
    pub fn detach(&self, link: LinkIndex) -> Result<(), HolderError> {
        link::remove(&self.netlink, link).map_err(|cause| HolderError::Attach {
            network: self.network.clone(),
            step: "removing its device",
            cause,
        })
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
fn set(setting: &str, value: &str) -> std::io::Result<()> {
    match fs::write(format!("/proc/sys/net/{setting}"), value) {
        // A kernel without IPv6 has nothing to switch off.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && setting.starts_with("ipv6/") => Ok(()),
        other => other,
    }
}

fn make(record: &NetworkRecord) -> Result<(Inside, Sockets), Failed> {
    step("a network namespace", namespace::new_network())?;
    let namespace = io_step("opening it", fs::File::open("/proc/thread-self/ns/net"))?.into();
    let netlink = step("opening a socket in it", Netlink::open())?;
    let loopback = step("finding its loopback device", link::find(&netlink, "lo"))?;
    if let Some(loopback) = loopback {
        step("switching its loopback device on", link::set_up(&netlink, loopback))?;
    }
    let has_ipv6 = record.subnets.iter().any(|subnet| matches!(subnet.subnet, IpNet::V6(_)));
    for (setting, value) in [
        ("ipv4/ip_forward", if record.internal { "0" } else { "1" }),
        ("ipv6/conf/all/accept_ra", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/all/disable_ipv6", if has_ipv6 { "0" } else { "1" }),
        ("ipv6/conf/default/disable_ipv6", if has_ipv6 { "0" } else { "1" }),
        ("ipv6/conf/all/forwarding", if has_ipv6 && !record.internal { "1" } else { "0" }),
    ] {
        io_step("changing its settings", set(setting, value))?;
    }
    let mtu = record.options.get("mtu").and_then(|mtu| mtu.parse().ok()).unwrap_or(MTU);
    let bridge = step("a bridge", link::make_bridge(&netlink, record.device.as_str(), mtu))?;
    let gateways: Vec<IpNet> = record
        .subnets
        .iter()
        .filter_map(|subnet| IpNet::new(subnet.gateway?, subnet.subnet.prefix_len()).ok())
        .collect();
    for gateway in &gateways {
        step("giving the bridge an address", link::add_address(&netlink, bridge, *gateway))?;
    }
    step("switching the bridge on", link::set_up(&netlink, bridge))?;
    let firewall = step("opening a socket for its firewall", Netlink::open_firewall())?;
    step("its firewall", firewall::replace(&firewall, TABLE, &chains(record)))?;
    let sockets = io_step("opening the sockets of its resolver", listen(&gateways))?;
    let options = Options { is_internal: record.internal, has_ipv6 };
    let (network, subnets) = (record.name.clone(), record.subnets.clone());
    Ok((Inside { namespace, netlink, bridge, network, mtu, subnets, options, pairs: 0 }, sockets))
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

fn listen(gateways: &[IpNet]) -> std::io::Result<Sockets> {
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
