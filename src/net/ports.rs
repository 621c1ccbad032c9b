//! Which ports of the host lead to which of a container: what was left open is settled by trying.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::holder::error::HolderError;
use crate::failure::{Explain, Failure};
use crate::name::port::{HostPorts, PortMapping};
use crate::state::schema::network::{LeasedPort, LeasedProtocol};

/// Why ports cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A protocol that nobody here passes on.
    #[error("publishing {0}: only ports of tcp and udp can be published")]
    Protocol(PortMapping),
    /// None is free.
    #[error("publishing {mapping}: no port of the host is free for it")]
    NoneFree {
        /// What was asked for.
        mapping: PortMapping,
        /// The last cause.
        #[source]
        cause: io::Error,
    },
}

impl Explain for PortError {
    fn code(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "E_UNSUPPORTED",
            Self::NoneFree { .. } => "E_PORT_IN_USE",
        }
    }
}

/// The ports that are published by `mappings`. Fails if one cannot be had now.
pub fn settle(mappings: &[PortMapping]) -> Result<Vec<LeasedPort>, Failure> {
    let mut all = Vec::new();
    for mapping in mappings {
        let protocol = LeasedProtocol::of(mapping.container.protocol).ok_or(PortError::Protocol(*mapping))?;
        for (index, container_port) in mapping.container.ports.ports().enumerate() {
            let host_port = match mapping.host {
                HostPorts::Range(range) => Some(range.first.saturating_add(index as u16)),
                HostPorts::Free => None,
                HostPorts::FirstFree(range) => {
                    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
                    let found = range.ports().find(|port| {
                        let tried = try_all(mapping.host_ip, *port, protocol);
                        tried.map_err(|cause| failure = cause).is_ok()
                    });
                    Some(found.ok_or(PortError::NoneFree { mapping: *mapping, cause: failure })?)
                }
            };
            let host_port = match host_port {
                Some(port) => port,
                None => free(mapping.host_ip, protocol).map_err(|cause| PortError::NoneFree { mapping: *mapping, cause })?,
            };
            for host_ip in addresses(mapping.host_ip) {
                all.push(LeasedPort { protocol, host_ip, host_port, container_port });
            }
        }
    }
    for port in &all {
        try_one(port.host_ip, port.host_port, port.protocol).map_err(|cause| HolderError::Port {
            address: port.host_ip,
            port: port.host_port,
            protocol: port.protocol.as_str(),
            cause,
        })?;
    }
    Ok(all)
}

/// Where a mapping without an address is published: with both families, where the host has both.
fn addresses(host_ip: Option<IpAddr>) -> Vec<IpAddr> {
    let both = || {
        let has_ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let ipv6 = has_ipv6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        std::iter::once(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).chain(ipv6).collect()
    };
    host_ip.map_or_else(both, |address| vec![address])
}

fn try_all(host_ip: Option<IpAddr>, port: u16, protocol: LeasedProtocol) -> io::Result<()> {
    addresses(host_ip).into_iter().try_for_each(|address| try_one(address, port, protocol).map(drop))
}

/// Binds the port for a moment; the port that it was.
fn try_one(address: IpAddr, port: u16, protocol: LeasedProtocol) -> io::Result<u16> {
    match protocol {
        LeasedProtocol::Tcp => super::holder::serve::bind_tcp(SocketAddr::new(address, port))?.local_addr(),
        LeasedProtocol::Udp => UdpSocket::bind((address, port))?.local_addr(),
    }
    .map(|address| address.port())
}

fn free(host_ip: Option<IpAddr>, protocol: LeasedProtocol) -> io::Result<u16> {
    let first = host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..16 {
        let port = try_one(first, 0, protocol)?;
        match try_all(host_ip, port, protocol) {
            Ok(()) => return Ok(port),
            Err(cause) => failure = cause,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_left_open_is_settled() {
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        let settled = |text: String| settle(&[text.parse().unwrap()]);
        let free = settled("127.0.0.1::80".into()).unwrap();
        assert_eq!((free.len(), free[0].container_port), (1, 80));
        assert!(free[0].host_port > 0 && free[0].host_port != port);
        let taken = settled(format!("127.0.0.1:{port}:80")).unwrap_err();
        assert_eq!(taken.code(), "E_PORT_IN_USE");
        let next = settled(format!("127.0.0.1:{port}-{}:80", port.saturating_add(20))).unwrap();
        assert!(next[0].host_port > port);
    }
}
