//! The host's end of a network, for who may change the host's network: a device on the network's bridge, the router's addresses, and rules of
//! nftables. The device goes with the network's namespace, the rules with the socket by which they were made.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use ipnet::IpNet;
use nix::errno::Errno;

use super::error::HolderError;
use super::inside::{self, Inside};
use crate::name::network::NetworkName;
use crate::name::port::Protocol;
use crate::net::dns::serve::Sockets;
use crate::net::firewall::{self, Chain, Hook, Lifetime, Part};
use crate::net::ipam;
use crate::net::link;
use crate::net::netlink::Netlink;
use crate::state::schema::network::{LeaseRecord, NetworkRecord};

/// The host's end.
#[derive(Debug)]
pub struct Pair {
    network: NetworkName,
    /// The host's device.
    device: String,
    subnets: Vec<IpNet>,
    firewall: Netlink,
    /// The host's.
    namespace: OwnedFd,
}

impl Pair {
    /// Makes it. This process is in the host's network namespace.
    pub fn make(record: &NetworkRecord, inside: &Inside) -> Result<(Self, Sockets), HolderError> {
        let failed = |step, cause| HolderError::Make { network: record.name.clone(), step, cause };
        let of_errno = |step| move |cause| failed(step, cause);
        let of_io = |step| {
            move |cause: std::io::Error| failed(step, Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO)))
        };
        let namespace: OwnedFd =
            fs::File::open("/proc/self/ns/net").map_err(of_io("opening the host's network namespace"))?.into();
        let netlink = Netlink::open().map_err(of_errno("opening a socket on the host"))?;
        let gateways = inside::gateways(record);
        let device = record.device.to_string();
        let mac = ipam::mac(gateways.first().map_or(IpAddr::from([0; 4]), IpNet::addr));
        // Of one that was killed a moment ago: the kernel takes its time to remove it.
        link::remove_own(&netlink, &device, mac).map_err(of_errno("removing an earlier device on the host"))?;
        inside.attach_host(&device, namespace.as_fd(), mac).map_err(of_errno("a device on the host"))?;
        let link = link::find(&netlink, &device)
            .and_then(|found| found.ok_or(Errno::ENODEV))
            .map_err(of_errno("a device on the host"))?;
        let set =
            |setting: &str, value: &str| inside::set(setting, value).map_err(of_io("changing the host's settings"));
        set(&format!("ipv6/conf/{device}/accept_ra"), "0")?;
        set(&format!("ipv6/conf/{device}/disable_ipv6"), if inside.has_ipv6() { "0" } else { "1" })?;
        for gateway in &gateways {
            link::add_address(&netlink, link, *gateway).map_err(of_errno("giving the host its address"))?;
        }
        link::set_up(&netlink, link).map_err(of_errno("switching its device on the host on"))?;
        forward(inside.has_ipv6()).map_err(of_io("letting packets pass through the host"))?;
        let firewall = Netlink::open_firewall().map_err(of_errno("opening a socket for the host's firewall"))?;
        let pair = Self { network: record.name.clone(), device, subnets: inside.subnets(), firewall, namespace };
        pair.publish(std::iter::empty())?;
        let sockets = inside::listen(&gateways).map_err(of_io("opening the sockets of its resolver"))?;
        Ok((pair, sockets))
    }

    /// The host's network namespace.
    pub fn namespace(&self) -> &OwnedFd {
        &self.namespace
    }

    /// Publishes the ports of these members, and no others: clients of other machines are led to them directly, and are seen by
    /// them under their own addresses.
    pub fn publish<'l>(&self, members: impl Iterator<Item = &'l LeaseRecord>) -> Result<(), HolderError> {
        let ports = members.flat_map(|lease| rules(&self.device, lease)).collect();
        let to = || Part::To(self.device.clone());
        let masks = self
            .subnets
            .iter()
            .map(|&subnet| vec![Part::Source(subnet), Part::NotTo(self.device.clone()), Part::Masquerade]);
        let chains = [
            Chain { hook: Hook::Prerouting, rules: ports },
            Chain { hook: Hook::Postrouting, rules: masks.collect() },
            // Into the network comes what is an answer, and what was sent to a published port; nothing else, from nowhere.
            Chain {
                hook: Hook::Forward,
                rules: vec![
                    vec![to(), Part::Established, Part::Accept],
                    vec![to(), Part::Redirected, Part::Accept],
                    vec![to(), Part::Drop],
                ],
            },
        ];
        let table = format!("coracle-{}", self.network);
        firewall::replace(&self.firewall, &table, Lifetime::Socket, &chains).map_err(|cause| HolderError::Make {
            network: self.network.clone(),
            step: "rules of the host's firewall",
            cause,
        })
    }
}

/// The rules that lead to the published ports of a member. What comes from this machine, or from the network itself, finds somebody who
/// listens ([`crate::net::relay`]).
fn rules(device: &str, lease: &LeaseRecord) -> Vec<Vec<Part>> {
    let mut rules = Vec::new();
    for port in &lease.ports {
        let number = match port.protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
            Protocol::Sctp => libc::IPPROTO_SCTP,
        };
        for member in lease.addresses.iter().map(IpNet::addr) {
            let target = SocketAddr::new(member, port.container_port);
            let host = match port.host_ip {
                Some(ip) if ip.is_loopback() || ip.is_ipv4() != member.is_ipv4() => continue,
                Some(ip) if !ip.is_unspecified() => Part::Destination(IpNet::from(ip)),
                _ => Part::ToThisMachine,
            };
            let port = Part::Port(number as u8, port.host_port);
            rules.push(vec![Part::NotFrom(device.to_owned()), host, port, Part::Redirect(target)]);
        }
    }
    rules
}

/// Lets packets pass through the host. It stays so: others may have come to need it.
fn forward(has_ipv6: bool) -> std::io::Result<()> {
    let is_on =
        |setting: &str| fs::read_to_string(format!("/proc/sys/net/{setting}")).is_ok_and(|value| value.trim() == "1");
    if !is_on("ipv4/ip_forward") {
        inside::set("ipv4/ip_forward", "1")?;
    }
    if has_ipv6 && !is_on("ipv6/conf/all/forwarding") {
        // A host that forwards learns no routes from its router any more, unless it is told to (2).
        for device in fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
            let setting = format!("ipv6/conf/{}/accept_ra", device.file_name().to_string_lossy());
            if is_on(&setting) {
                inside::set(&setting, "2")?;
            }
        }
        inside::set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}
