//! Devices, their addresses and routes, of the network namespace of a [`Netlink`].

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    MacVlanMode,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::netlink::Netlink;
use crate::name::mac_address::MacAddress;
use crate::state::schema::network::NetworkDriver;

/// A device in the kernel's table, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkIndex(pub u32);

/// Makes a bridge.
pub fn make_bridge(netlink: &Netlink, name: &str, mtu: u32) -> Result<LinkIndex, Errno> {
    let mut message = LinkMessage::default();
    message.attributes.extend([
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ]);
    netlink.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
    find(netlink, name)?.ok_or(Errno::ENODEV)
}

/// The end of a pair of devices that is in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: BorrowedFd<'a>,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// Makes a pair of devices: one here, attached to `bridge`, and its peer.
pub fn make_pair(
    netlink: &Netlink,
    name: &str,
    bridge: LinkIndex,
    mtu: u32,
    peer: Peer<'_>,
) -> Result<LinkIndex, Errno> {
    let mut theirs = LinkMessage::default();
    theirs.attributes.extend([
        LinkAttribute::IfName(peer.name.to_owned()),
        LinkAttribute::NetNsFd(peer.namespace.as_raw_fd()),
        LinkAttribute::Address(peer.mac.0.to_vec()),
        LinkAttribute::Mtu(mtu),
    ]);
    let mut ours = LinkMessage::default();
    ours.header.flags = LinkFlags::Up;
    ours.header.change_mask = LinkFlags::Up;
    ours.attributes.extend([
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::Controller(bridge.0),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(theirs))),
        ]),
    ]);
    netlink.request(RouteNetlinkMessage::NewLink(ours), NLM_F_CREATE | NLM_F_EXCL)?;
    find(netlink, name)?.ok_or(Errno::ENODEV)
}

/// How a device shares another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// With a hardware address of its own.
    MacVlan(MacVlanMode),
    /// With the hardware address of the other one.
    IpVlan(IpVlanMode),
}

impl Sharing {
    /// That of a network with this driver and its option `mode`, which may be empty. Nothing if there is no such mode.
    pub fn of(driver: NetworkDriver, mode: &str) -> Option<Self> {
        Some(match (driver, mode) {
            (NetworkDriver::MacVlan, "" | "bridge") => Self::MacVlan(MacVlanMode::Bridge),
            (NetworkDriver::MacVlan, "private") => Self::MacVlan(MacVlanMode::Private),
            (NetworkDriver::MacVlan, "vepa") => Self::MacVlan(MacVlanMode::Vepa),
            (NetworkDriver::MacVlan, "passthru") => Self::MacVlan(MacVlanMode::Passthrough),
            (NetworkDriver::IpVlan, "" | "l2") => Self::IpVlan(IpVlanMode::L2),
            (NetworkDriver::IpVlan, "l3") => Self::IpVlan(IpVlanMode::L3),
            (NetworkDriver::IpVlan, "l3s") => Self::IpVlan(IpVlanMode::L3S),
            _ => return None,
        })
    }

    /// Whether the host routes for the members, so that they have no router on their own network.
    pub fn has_no_gateway(self) -> bool {
        matches!(self, Self::IpVlan(IpVlanMode::L3 | IpVlanMode::L3S))
    }
}

/// Makes a device that shares `parent`, in another namespace.
pub fn make_sharing(
    netlink: &Netlink,
    parent: LinkIndex,
    sharing: Sharing,
    mtu: u32,
    device: Peer<'_>,
) -> Result<(), Errno> {
    let info = match sharing {
        Sharing::MacVlan(mode) => {
            vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]))]
        }
        Sharing::IpVlan(mode) => {
            vec![LinkInfo::Kind(InfoKind::IpVlan), LinkInfo::Data(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]))]
        }
    };
    let mut message = LinkMessage::default();
    message.attributes.extend([
        LinkAttribute::IfName(device.name.to_owned()),
        LinkAttribute::Link(parent.0),
        LinkAttribute::NetNsFd(device.namespace.as_raw_fd()),
        LinkAttribute::Mtu(mtu),
    ]);
    if matches!(sharing, Sharing::MacVlan(_)) {
        message.attributes.push(LinkAttribute::Address(device.mac.0.to_vec()));
    }
    message.attributes.push(LinkAttribute::LinkInfo(info));
    netlink.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// The device of this name.
pub fn find(netlink: &Netlink, name: &str) -> Result<Option<LinkIndex>, Errno> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match netlink.get(RouteNetlinkMessage::GetLink(message)) {
        Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(LinkIndex(link.header.index))),
        Ok(_) | Err(Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What is known of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The bytes that a packet may have.
    pub mtu: Option<u32>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
}

/// What is known of a device.
pub fn describe(netlink: &Netlink, link: LinkIndex) -> Result<Description, Errno> {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    let mut description = Description::default();
    if let Some(RouteNetlinkMessage::NewLink(link)) = netlink.get(RouteNetlinkMessage::GetLink(message))? {
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => description.name = name,
                LinkAttribute::Mtu(mtu) => description.mtu = Some(mtu),
                LinkAttribute::Address(bytes) => description.mac = bytes.try_into().ok().map(MacAddress),
                _ => {}
            }
        }
    }
    Ok(description)
}

/// The names of all devices.
pub fn names(netlink: &Netlink) -> Result<Vec<String>, Errno> {
    let name = |message| match message {
        RouteNetlinkMessage::NewLink(link) => link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        }),
        _ => None,
    };
    let links = netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(links.into_iter().filter_map(name).collect())
}

/// Lets a device work.
pub fn set_up(netlink: &Netlink, link: LinkIndex) -> Result<(), Errno> {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    netlink.request(RouteNetlinkMessage::SetLink(message), 0)
}

/// Removes a device, and its peer with it. One that is gone is no failure.
pub fn remove(netlink: &Netlink, link: LinkIndex) -> Result<(), Errno> {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    match netlink.request(RouteNetlinkMessage::DelLink(message), 0) {
        Err(Errno::ENODEV) => Ok(()),
        other => other,
    }
}

/// Removes the device of this name if it has this hardware address, by which it is one of ours.
pub fn remove_own(netlink: &Netlink, name: &str, mac: MacAddress) -> Result<(), Errno> {
    let Some(link) = find(netlink, name)? else { return Ok(()) };
    match describe(netlink, link) {
        Ok(found) if found.mac == Some(mac) => remove(netlink, link),
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Gives a device an address, which can be used at once.
pub fn add_address(netlink: &Netlink, link: LinkIndex, address: IpNet) -> Result<(), Errno> {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.index = link.0;
    message.attributes.extend([AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())]);
    match address {
        IpNet::V4(address) => message.attributes.push(AddressAttribute::Broadcast(address.broadcast())),
        // Addresses are given by us alone: nobody else can have it.
        IpNet::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
    }
    netlink.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// To where.
    pub destination: IpNet,
    /// Over whom; directly where absent.
    pub gateway: Option<IpAddr>,
    /// The less, the better.
    pub metric: Option<u32>,
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

/// Adds a route through a device.
pub fn add_route(netlink: &Netlink, link: LinkIndex, route: Route) -> Result<(), Errno> {
    let destination = route.destination.trunc();
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination.addr());
    message.header.destination_prefix_length = destination.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    if destination.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(route_address(destination.addr())));
    }
    message.attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(route_address(gateway))));
    message.attributes.extend(route.metric.map(RouteAttribute::Priority));
    message.attributes.push(RouteAttribute::Oif(link.0));
    netlink.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// What this machine can reach without a router of others, and the networks that it has routes to: all but the default routes,
/// and those through `own` devices.
pub fn routed(netlink: &Netlink, own: &[LinkIndex]) -> Result<Vec<IpNet>, Errno> {
    let mut all = Vec::new();
    let is_own = |route: &RouteMessage| through(route).is_some_and(|link| own.contains(&link));
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let dumped = netlink.dump(RouteNetlinkMessage::GetRoute(message))?;
        all.extend(dumped.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) if !is_own(&route) => destination(&route),
            _ => None,
        }));
    }
    Ok(all)
}

/// The device of the default route of IPv4, if there is one.
pub fn default_route(netlink: &Netlink) -> Result<Option<LinkIndex>, Errno> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    let routes = netlink.dump(RouteNetlinkMessage::GetRoute(message))?;
    Ok(routes.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) if route.header.destination_prefix_length == 0 => through(route),
        _ => None,
    }))
}

fn through(route: &RouteMessage) -> Option<LinkIndex> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(LinkIndex(*index)),
        _ => None,
    })
}

/// Takes for this machine's own what has this mark (ip-rule(8)): a table of routes with one route, which leads here.
pub fn keep_marked(netlink: &Netlink, loopback: LinkIndex, mark: u32) -> Result<(), Errno> {
    const TABLE: u8 = 100;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut rule = RuleMessage::default();
        (rule.header.family, rule.header.action, rule.header.table) = (family, RuleAction::ToTable, TABLE);
        rule.attributes.push(RuleAttribute::FwMark(mark));
        let mut route = RouteMessage::default();
        (route.header.address_family, route.header.table) = (family, TABLE);
        (route.header.protocol, route.header.scope) = (RouteProtocol::Static, RouteScope::Host);
        route.header.kind = RouteType::Local;
        route.attributes.push(RouteAttribute::Oif(loopback.0));
        let made = netlink
            .request(RouteNetlinkMessage::NewRule(rule), NLM_F_CREATE)
            .and_then(|()| netlink.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE));
        // A kernel without IPv6 has no clients of it either.
        if family == AddressFamily::Inet {
            made?;
        }
    }
    Ok(())
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    if route.header.kind != RouteType::Unicast || route.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    let is_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    IpNet::new(address, route.header.destination_prefix_length).ok().filter(|net| net.prefix_len() > 0 && !is_local)
}
