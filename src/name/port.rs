//! Ports: `--publish`, `--expose` and `EXPOSE`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::serialize::as_text;

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ports in a row: `80`, `80-90`. None is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl PortRange {
    /// How many there are.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// All of them.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Ports that a container listens on: `PORT[-PORT][/PROTOCOL]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExposedPorts {
    /// Which.
    pub ports: PortRange,
    /// Of which protocol.
    pub protocol: Protocol,
}

/// Where ports are published on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPorts {
    /// On a free port each.
    Free,
    /// On ports in a row, as many as are published.
    Range(PortRange),
    /// One port is published, on the first of these that is free.
    FirstFree(PortRange),
}

/// Ports of a container that are published on the host: `[[IP:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// The address of the host; all of them where absent.
    pub host_ip: Option<IpAddr>,
    /// The ports of the host.
    pub host: HostPorts,
    /// The ports of the container.
    pub container: ExposedPorts,
}

/// All that was asked for about ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortRequest {
    /// `--publish`, in the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PortMapping>,
    /// Whether all exposed ports are published, on free ones (`--publish-all`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// `--expose`; those of the image come in addition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<ExposedPorts>,
}

/// A port that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The address of the host; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port of the host.
    pub host_port: u16,
    /// The port of the container.
    pub container_port: u16,
    /// Of which protocol.
    pub protocol: Protocol,
}

impl Published {
    /// Whether both take something of the host that only one can have.
    pub fn collides_with(&self, other: &Self) -> bool {
        // A socket of IPv6 without an address is one of IPv4, too (ipv6(7)).
        let covers = |ip: Option<IpAddr>, other: Option<IpAddr>| match ip {
            None => true,
            Some(IpAddr::V6(ip)) => ip.is_unspecified(),
            Some(IpAddr::V4(ip)) => ip.is_unspecified() && other.is_some_and(|other| other.is_ipv4()),
        };
        let (one, two) = (self.host_ip, other.host_ip);
        let same_place = one == two || covers(one, two) || covers(two, one);
        same_place && (self.host_port, self.protocol) == (other.host_port, other.protocol)
    }
}

/// Why ports were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PortRefused {
    /// No mapping.
    #[error("{0:?} is not [[IP:][HOST-PORT]:]PORT[/PROTOCOL], for example 8080:80, 127.0.0.1:8080:80 or 53:53/udp")]
    Form(String),
    /// No address.
    #[error("{text:?}: {address:?} is not an address of this machine in numbers, as 127.0.0.1 or [::1]")]
    Address {
        /// The mapping.
        text: String,
        /// What stands for the address.
        address: String,
    },
    /// No port.
    #[error("{0:?} is not a port, or a range of ports: expected 1 to 65535, or FIRST-LAST")]
    Port(String),
    /// No protocol.
    #[error("{0:?} is not a protocol: expected tcp, udp or sctp")]
    Protocol(String),
    /// Ranges that do not fit.
    #[error("{0:?}: there must be as many ports of the host as of the container")]
    Lengths(String),
}

impl crate::failure::Explain for PortRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Protocol {
    type Err = PortRefused;

    fn from_str(text: &str) -> Result<Self, PortRefused> {
        let all = [Self::Tcp, Self::Udp, Self::Sctp];
        let known = all.into_iter().find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()));
        known.ok_or_else(|| PortRefused::Protocol(shown(text)))
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

impl FromStr for PortRange {
    type Err = PortRefused;

    fn from_str(text: &str) -> Result<Self, PortRefused> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (parse_port(first), parse_port(last)) {
            (Some(first), Some(last)) if first > 0 && first <= last => Ok(Self { first, last }),
            _ => Err(PortRefused::Port(shown(text))),
        }
    }
}

impl FromStr for ExposedPorts {
    type Err = PortRefused;

    fn from_str(text: &str) -> Result<Self, PortRefused> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        Ok(Self { ports: ports.parse()?, protocol: protocol.parse()? })
    }
}

impl fmt::Display for ExposedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports, self.protocol)
    }
}

impl FromStr for PortMapping {
    type Err = PortRefused;

    fn from_str(text: &str) -> Result<Self, PortRefused> {
        let (before, container) = match text.rsplit_once(':') {
            Some((before, container)) => (Some(before), container),
            None => (None, text),
        };
        let container: ExposedPorts = container.parse()?;
        let Some(before) = before else { return Ok(Self { host_ip: None, host: HostPorts::Free, container }) };
        let (address, ports) = match before.rsplit_once(':') {
            Some((address, ports)) => (Some(address), ports),
            None if before.contains('.') => (Some(before), ""),
            None => (None, before),
        };
        let host_ip = address.map(|address| parse_host_ip(text, address)).transpose()?.flatten();
        let host = match ports {
            "" | "0" => HostPorts::Free,
            ports => {
                let ports: PortRange = ports.parse()?;
                match (ports.count(), container.ports.count()) {
                    (host, inside) if host == inside => HostPorts::Range(ports),
                    (_, 1) => HostPorts::FirstFree(ports),
                    _ => return Err(PortRefused::Lengths(shown(text))),
                }
            }
        };
        Ok(Self { host_ip, host, container })
    }
}

/// All addresses of both families where it is empty.
fn parse_host_ip(text: &str, address: &str) -> Result<Option<IpAddr>, PortRefused> {
    let refused = || PortRefused::Address { text: shown(text), address: shown(address) };
    if address.is_empty() {
        return Ok(None);
    }
    let bare = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|bare| bare.contains(':')).ok_or_else(refused)?,
        // Without brackets nobody can tell an address from its port.
        None if address.contains(':') => return Err(PortRefused::Form(shown(text))),
        None => address,
    };
    bare.parse().map(Some).map_err(|_| refused())
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        match (self.host, self.host_ip) {
            (HostPorts::Range(ports) | HostPorts::FirstFree(ports), _) => write!(f, "{ports}:")?,
            (HostPorts::Free, Some(_)) => f.write_str(":")?,
            (HostPorts::Free, None) => {}
        }
        self.container.fmt(f)
    }
}

as_text!(Protocol, ExposedPorts, PortMapping);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_say_what_they_were_parsed_from() {
        for (text, shown) in [
            ("80", "80/tcp"),
            ("80/UDP", "80/udp"),
            (":80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("::80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":8080:80", "8080:80/tcp"),
            ("8080-8082:80-82/tcp", "8080-8082:80-82/tcp"),
            ("8080-8082:80", "8080-8082:80/tcp"),
            ("80-82", "80-82/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("127.0.0.1:0:80", "127.0.0.1::80/tcp"),
            ("127.0.0.1:80", "127.0.0.1::80/tcp"),
            ("0.0.0.0:53:53/udp", "0.0.0.0:53:53/udp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("[::]::80/sctp", "[::]::80/sctp"),
        ] {
            let mapping = text.parse::<PortMapping>().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(mapping.to_string(), shown);
            assert_eq!(shown.parse(), Ok(mapping), "{shown}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            ":",
            "a",
            "-1",
            "+80",
            "0",
            "80-",
            "-80",
            "90-80",
            "65536",
            "8080:65536",
            "80/",
            "80/http",
            "8080:80:90",
            "8080-8081:80-82",
            "8080:80-82",
            "localhost:8080:80",
            "::1:8080:80",
            "[::1:8080:80",
            "[127.0.0.1]:1:2",
            "1.2.3:8080:80",
            "8080:80/tcp/udp",
            "8080 :80",
            "127.0.0.1:8080:",
        ] {
            assert!(bad.parse::<PortMapping>().is_err(), "{bad}");
        }
    }

    #[test]
    fn exposed_ports() {
        assert_eq!("80".parse::<ExposedPorts>().unwrap().to_string(), "80/tcp");
        assert_eq!("80-90/udp".parse::<ExposedPorts>().unwrap().to_string(), "80-90/udp");
        assert_eq!("80-90".parse::<ExposedPorts>().unwrap().ports.count(), 11);
        assert!("8080:80".parse::<ExposedPorts>().is_err());
    }
}
