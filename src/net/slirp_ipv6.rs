//! IPv6 in a network by slirp4netns: that tells of itself by router advertisements, which come late; what they would say is known before.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use nix::errno::Errno;

use super::link::{self, Route};
use super::netlink::Netlink;

/// An address in its network, fd00::/64, of which slirp4netns has the first ones.
const ADDRESS: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100), 64));

/// Its router.
const ROUTER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));

/// Gives its device, in the network namespace of this thread, an address and the way to all others.
pub fn configure(device: &str) -> Result<(), Errno> {
    let netlink = Netlink::open()?;
    let device = link::find(&netlink, device)?.ok_or(Errno::ENODEV)?;
    link::add_address(&netlink, device, ADDRESS)?;
    let anywhere = IpNet::V6(Ipv6Net::default());
    link::add_route(&netlink, device, Route { destination: anywhere, gateway: Some(ROUTER), metric: None })
}
