//! Published ports: from what was asked for to ports of the host that are free.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::error::NetworkError;
use crate::host::sockets;
pub use crate::name::port::Published;
use crate::name::port::{ExposedPorts, HostPorts, PortRange, PortRequest, Protocol};

/// A port to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The address of the host; all where absent.
    pub host_ip: Option<IpAddr>,
    /// The port of the host.
    pub host: HostPort,
    /// The port of the container.
    pub container: u16,
    /// Of which protocol.
    pub protocol: Protocol,
}

/// Which port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// One that is free.
    Free,
    /// This one.
    At(u16),
    /// The first of these that is free.
    FirstOf(PortRange),
}

/// All ports that are to be published, one by one; `exposed` are those of the image.
pub fn wishes(request: &PortRequest, exposed: &[ExposedPorts]) -> Result<Vec<Wish>, NetworkError> {
    let mut wishes = Vec::new();
    for mapping in &request.published {
        let ExposedPorts { ports, protocol } = mapping.container;
        for (index, container) in ports.ports().enumerate() {
            let host = match mapping.host {
                HostPorts::Free => HostPort::Free,
                HostPorts::Range(range) => HostPort::At(range.first + index as u16),
                HostPorts::FirstFree(range) => HostPort::FirstOf(range),
            };
            wishes.push(Wish { host_ip: mapping.host_ip, host, container, protocol });
        }
    }
    let mut taken: Vec<Published> = Vec::new();
    for wish in &wishes {
        let HostPort::At(host_port) = wish.host else { continue };
        let Wish { host_ip, protocol, container: container_port, .. } = *wish;
        let port = Published { host_ip, host_port, container_port, protocol };
        if taken.iter().any(|other| other.collides_with(&port)) {
            return Err(NetworkError::PortTwice { port: host_port, protocol });
        }
        taken.push(port);
    }
    if request.all {
        for ExposedPorts { ports, protocol } in exposed.iter().chain(&request.exposed) {
            for container in ports.ports() {
                let is_there = |wish: &Wish| (wish.container, wish.protocol) == (container, *protocol);
                if !wishes.iter().any(is_there) {
                    wishes.push(Wish { host_ip: None, host: HostPort::Free, container, protocol: *protocol });
                }
            }
        }
    }
    Ok(wishes)
}

/// Where connections or datagrams come from.
#[derive(Debug)]
pub enum Source {
    /// A port of TCP.
    Tcp(TcpListener),
    /// A port of UDP.
    Udp(UdpSocket),
}

impl Source {
    /// The port.
    pub fn port(&self) -> io::Result<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
        .map(|address| address.port())
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

/// Ports of the host for all wishes, each with who listens there from now on. `both` says whether a port without an address is one
/// of both families. `owner` tells who has a port that is not free, in words.
pub fn settle(
    wishes: &[Wish],
    both: bool,
    owner: &dyn Fn(&Published) -> Option<String>,
) -> Result<Vec<(Published, Source)>, NetworkError> {
    let mut settled = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let candidates = match wish.host {
            HostPort::Free => PortRange { first: 0, last: 0 },
            HostPort::At(port) => PortRange { first: port, last: port },
            HostPort::FirstOf(range) => range,
        };
        let published = |host_port| Published {
            host_ip: wish.host_ip,
            host_port,
            container_port: wish.container,
            protocol: wish.protocol,
        };
        let mut refused = None;
        let found = candidates.ports().find_map(|port| match listen(&published(port), both) {
            Ok(found) => Some(found),
            Err(cause) => {
                refused.get_or_insert((port, cause));
                None
            }
        });
        match (found, refused) {
            (Some(source), _) => {
                let port = source.port().map_err(NetworkError::Ports)?;
                settled.push((published(port), source));
            }
            (None, Some((port, cause))) => return Err(refusal(&published(port), cause, owner)),
            (None, None) => return Err(NetworkError::Ports(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))),
        }
    }
    Ok(settled)
}

/// Listens again on ports that were settled before.
pub fn resume(
    ports: Vec<Published>,
    both: bool,
    owner: &dyn Fn(&Published) -> Option<String>,
) -> Result<Vec<(Published, Source)>, NetworkError> {
    let again = |port| match listen(&port, both) {
        Ok(source) => Ok((port, source)),
        Err(cause) => Err(refusal(&port, cause, owner)),
    };
    ports.into_iter().map(again).collect()
}

/// Listens on a port of the host, in the network namespace of this thread, without waiting for anything.
pub fn listen(port: &Published, both: bool) -> io::Result<Source> {
    let any4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let on = |ip: IpAddr| bind(port.protocol, ip, port.host_port);
    match (port.host_ip, both) {
        // A socket of IPv6 without an address is one of IPv4, too (ipv6(7)), where there is IPv6.
        (None, true) => match on(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
            Err(cause) if cause.raw_os_error() == Some(libc::EAFNOSUPPORT) => on(any4),
            other => other,
        },
        (ip, _) => on(ip.unwrap_or(any4)),
    }
}

fn bind(protocol: Protocol, ip: IpAddr, port: u16) -> io::Result<Source> {
    match protocol {
        Protocol::Udp => {
            let socket = UdpSocket::bind((ip, port))?;
            socket.set_nonblocking(true)?;
            Ok(Source::Udp(socket))
        }
        Protocol::Tcp | Protocol::Sctp => {
            let listener = TcpListener::bind((ip, port))?;
            listener.set_nonblocking(true)?;
            Ok(Source::Tcp(listener))
        }
    }
}

fn refusal(port: &Published, cause: io::Error, owner: &dyn Fn(&Published) -> Option<String>) -> NetworkError {
    let shown = Shown::of(port);
    match cause.raw_os_error() {
        Some(libc::EADDRINUSE) => NetworkError::PortInUse { port: shown, owner: owner(port) },
        Some(libc::EACCES) => NetworkError::PortPrivileged { port: shown, first: sockets::first_user_port() },
        Some(libc::EADDRNOTAVAIL) => NetworkError::NoSuchAddress(shown),
        _ => NetworkError::Ports(cause),
    }
}

/// A port of the host, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    ip: Option<IpAddr>,
    port: u16,
    protocol: Protocol,
}

impl Shown {
    /// The host's side of a published port.
    pub fn of(port: &Published) -> Self {
        Self { ip: port.host_ip, port: port.host_port, protocol: port.protocol }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// Ports in a row, of the host and of the container, as pasta takes them: `[ADDRESS/]FIRST[-LAST]:FIRST[-LAST]`.
pub fn pasta_words(ports: &[Published]) -> Vec<[String; 2]> {
    let mut words = Vec::new();
    let mut rest = ports;
    while let [first, ..] = rest {
        let follows = |(index, port): &(usize, &Published)| {
            let index = *index as u32;
            (port.host_ip, port.protocol) == (first.host_ip, first.protocol)
                && u32::from(port.host_port) == u32::from(first.host_port) + index
                && u32::from(port.container_port) == u32::from(first.container_port) + index
        };
        let count = rest.iter().enumerate().take_while(follows).count();
        let range = |first: u16| PortRange { first, last: first + (count - 1) as u16 };
        let address = first.host_ip.map(|ip| format!("{ip}/")).unwrap_or_default();
        let flag = if first.protocol == Protocol::Udp { "--udp-ports" } else { "--tcp-ports" };
        words.push([flag.to_owned(), format!("{address}{}:{}", range(first.host_port), range(first.container_port))]);
        rest = &rest[count..];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(published: &[&str], all: bool) -> PortRequest {
        let published = published.iter().map(|text| text.parse().unwrap()).collect();
        PortRequest { published, all, exposed: vec!["90/udp".parse().unwrap()] }
    }

    fn nobody(_: &Published) -> Option<String> {
        None
    }

    #[test]
    fn ranges_are_taken_apart() {
        let wishes = wishes(&request(&["8080-8081:80-81", "127.0.0.1::53/udp", "100-110:90"], false), &[]).unwrap();
        let hosts: Vec<HostPort> = wishes.iter().map(|wish| wish.host).collect();
        let range = PortRange { first: 100, last: 110 };
        assert_eq!(hosts, [HostPort::At(8080), HostPort::At(8081), HostPort::Free, HostPort::FirstOf(range)]);
        assert_eq!(wishes.iter().map(|wish| wish.container).collect::<Vec<_>>(), [80, 81, 53, 90]);
    }

    #[test]
    fn all_exposed_ports_are_published_once() {
        let exposed = ["80".parse().unwrap(), "443".parse().unwrap()];
        let found = wishes(&request(&["8080:80"], true), &exposed).unwrap();
        let found: Vec<(u16, HostPort)> = found.iter().map(|wish| (wish.container, wish.host)).collect();
        assert_eq!(found, [(80, HostPort::At(8080)), (443, HostPort::Free), (90, HostPort::Free)]);
        assert_eq!(wishes(&request(&[], false), &exposed).unwrap(), []);
    }

    #[test]
    fn one_port_cannot_be_published_twice() {
        assert!(matches!(wishes(&request(&["80:80", "80:81"], false), &[]), Err(NetworkError::PortTwice { .. })));
        // All addresses are the others, too.
        assert!(matches!(
            wishes(&request(&["80:80", "127.0.0.1:80:81"], false), &[]),
            Err(NetworkError::PortTwice { .. })
        ));
        assert!(
            wishes(&request(&["127.0.0.2:80:80", "80:80/udp", "127.0.0.1:80:80", "[::1]:80:80"], false), &[]).is_ok()
        );
    }

    #[test]
    fn free_ports_are_different_ones_and_taken_ones_are_told() {
        let found = settle(&wishes(&request(&["80", "81", "82/udp"], false), &[]).unwrap(), true, &nobody).unwrap();
        assert!(found[0].0.host_port != found[1].0.host_port && found.iter().all(|(port, _)| port.host_port > 0));
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let holder = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        let text = format!("127.0.0.1:{taken}:80");
        let refused = |owner: &dyn Fn(&Published) -> Option<String>| {
            settle(&wishes(&request(&[&text], false), &[]).unwrap(), true, owner).unwrap_err().to_string()
        };
        assert!(refused(&|_| Some("container web".into())).contains("container web"));
        assert!(refused(&nobody).contains(&taken.to_string()));
        drop(holder);
        assert!(settle(&wishes(&request(&[&text], false), &[]).unwrap(), true, &nobody).is_ok());
    }

    #[test]
    fn the_first_free_one_of_a_range() {
        let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let Some(last) = port.checked_add(20) else { return };
        let text = format!("127.0.0.1:{port}-{last}:80");
        let found = settle(&wishes(&request(&[&text], false), &[]).unwrap(), false, &nobody).unwrap();
        assert!(found[0].0.host_port > port && found[0].0.host_port <= last);
    }

    #[test]
    fn pasta_gets_ranges() {
        let port = |host_ip: Option<&str>, host_port, container_port, protocol| Published {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port,
            protocol,
        };
        let ports = [
            port(None, 8080, 80, Protocol::Tcp),
            port(None, 8081, 81, Protocol::Tcp),
            port(None, 9000, 82, Protocol::Tcp),
            port(Some("127.0.0.1"), 9001, 83, Protocol::Tcp),
            port(Some("::1"), 53, 53, Protocol::Udp),
        ];
        let words: Vec<String> = pasta_words(&ports).into_iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            words,
            [
                "--tcp-ports 8080-8081:80-81",
                "--tcp-ports 9000:82",
                "--tcp-ports 127.0.0.1/9001:83",
                "--udp-ports ::1/53:53"
            ]
        );
    }

    #[test]
    fn collisions() {
        let port = |ip: Option<&str>, number| Published {
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port: number,
            container_port: 1,
            protocol: Protocol::Tcp,
        };
        assert!(port(None, 80).collides_with(&port(Some("127.0.0.1"), 80)));
        assert!(port(Some("127.0.0.1"), 80).collides_with(&port(Some("0.0.0.0"), 80)));
        assert!(!port(Some("127.0.0.1"), 80).collides_with(&port(Some("192.0.2.2"), 80)));
        assert!(!port(None, 80).collides_with(&port(None, 81)));
    }
}
