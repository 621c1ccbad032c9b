//! Networks in user mode: `slirp4netns[:OPTIONS]` and `pasta[:OPTIONS]`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::network::DeviceName;

/// A network that a program of the host makes for one container, without privileges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNetwork {
    /// By the program that suits best of those that are installed.
    Best,
    /// By slirp4netns.
    Slirp(SlirpOptions),
    /// By pasta.
    Pasta(PastaOptions),
}

/// An address, or the device whose address it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound<A> {
    /// The address.
    Address(A),
    /// The device.
    Device(DeviceName),
}

impl<A: fmt::Display> fmt::Display for Outbound<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Device(device) => device.fmt(f),
        }
    }
}

/// Options of slirp4netns, as podman names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlirpOptions {
    /// Whether the host's loopback device can be reached through the gateway.
    pub allow_host_loopback: Option<bool>,
    /// The container's network: its base address and the length of its prefix.
    pub cidr: Option<(Ipv4Addr, u8)>,
    /// Whether there is IPv6.
    pub enable_ipv6: Option<bool>,
    /// Bytes of a packet, at most.
    pub mtu: Option<u16>,
    /// Where packets leave from.
    pub outbound: Option<Outbound<Ipv4Addr>>,
    /// The same of IPv6.
    pub outbound6: Option<Outbound<Ipv6Addr>>,
    /// Who passes on what comes to published ports.
    pub port_handler: Option<PortHandler>,
}

/// Who passes on what comes to published ports of a network by slirp4netns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortHandler {
    /// A process of ours beside it, as podman's of this name.
    Rootlesskit,
    /// Itself.
    Slirp,
}

impl PortHandler {
    const NAMES: [(&str, Self); 2] = [("rootlesskit", Self::Rootlesskit), ("slirp4netns", Self::Slirp)];
}

/// Options for pasta, as its command line has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastaOptions(Vec<PastaOption>);

/// One option for pasta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastaOption {
    /// Its long name, with the dashes.
    pub name: &'static str,
    /// Its value.
    pub value: Option<String>,
}

/// Why options were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserNetworkRefused {
    /// No option of slirp4netns.
    #[error(
        "{0:?} is not an option of slirp4netns, or its value is none: there are allow_host_loopback=BOOL, cidr=CIDR, \
             enable_ipv6=BOOL, mtu=BYTES, outbound_addr=ADDRESS, outbound_addr6=ADDRESS and port_handler=rootlesskit|slirp4netns, each once"
    )]
    Slirp(String),
    /// No option of pasta.
    #[error("{0:?} is not an option of pasta that can be given to it here")]
    Pasta(String),
    /// An option without a value, or the reverse.
    #[error("pasta's option {0} wants a value: pasta:{0},VALUE")]
    PastaValue(&'static str),
}

impl crate::failure::Explain for UserNetworkRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Pasta(_)).then(|| {
            "what coracle itself says to pasta cannot be changed (the namespace, the ports of --publish, where it runs); for \
             the rest see pasta(1)"
                .into()
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl FromStr for SlirpOptions {
    type Err = UserNetworkRefused;

    fn from_str(text: &str) -> Result<Self, UserNetworkRefused> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            options.set(option).ok_or_else(|| UserNetworkRefused::Slirp(shown(option)))?;
        }
        Ok(options)
    }
}

impl SlirpOptions {
    fn set(&mut self, option: &str) -> Option<()> {
        let (key, value) = option.split_once('=')?;
        let is_first = match key {
            "allow_host_loopback" => self.allow_host_loopback.replace(value.parse().ok()?).is_none(),
            "enable_ipv6" => self.enable_ipv6.replace(value.parse().ok()?).is_none(),
            "cidr" => self.cidr.replace(parse_cidr(value)?).is_none(),
            // Between what IPv4 asks for and what slirp4netns can.
            "mtu" => self.mtu.replace(value.parse().ok().filter(|mtu| (68..=65_521).contains(mtu))?).is_none(),
            "outbound_addr" => self.outbound.replace(parse_outbound(value)?).is_none(),
            "outbound_addr6" => self.outbound6.replace(parse_outbound(value)?).is_none(),
            "port_handler" => {
                let (_, handler) = PortHandler::NAMES.into_iter().find(|(name, _)| *name == value)?;
                self.port_handler.replace(handler).is_none()
            }
            _ => false,
        };
        is_first.then_some(())
    }
}

/// A network with room for the addresses that slirp4netns gives in it: up to the 100th.
fn parse_cidr(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (Ipv4Addr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let is_network = (1..=25).contains(&length) && u32::from(address) & (u32::MAX >> length) == 0;
    is_network.then_some((address, length))
}

fn parse_outbound<A: FromStr>(text: &str) -> Option<Outbound<A>> {
    text.parse().map(Outbound::Address).ok().or_else(|| text.parse().map(Outbound::Device).ok())
}

impl fmt::Display for SlirpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.allow_host_loopback.map(|on| format!("allow_host_loopback={on}")));
        words.extend(self.cidr.map(|(address, length)| format!("cidr={address}/{length}")));
        words.extend(self.enable_ipv6.map(|on| format!("enable_ipv6={on}")));
        words.extend(self.mtu.map(|mtu| format!("mtu={mtu}")));
        words.extend(self.outbound.as_ref().map(|outbound| format!("outbound_addr={outbound}")));
        words.extend(self.outbound6.as_ref().map(|outbound| format!("outbound_addr6={outbound}")));
        let handler = PortHandler::NAMES.into_iter().find(|(_, handler)| Some(*handler) == self.port_handler);
        words.extend(handler.map(|(name, _)| format!("port_handler={name}")));
        f.write_str(&words.join(","))
    }
}

/// Options of pasta that may be given to it: long name, short name, whether there is a value (pasta(1)). Not among them is
/// what says which namespace, in which user namespace, with which privileges, whether in the background, and files that
/// it writes.
const PASTA_OPTIONS: &[(&str, &str, bool)] = &[
    ("--mtu", "-m", true),
    ("--address", "-a", true),
    ("--netmask", "-n", true),
    ("--mac-addr", "-M", true),
    ("--ns-mac-addr", "", true),
    ("--gateway", "-g", true),
    ("--interface", "-i", true),
    ("--outbound", "-o", true),
    ("--outbound-if4", "", true),
    ("--outbound-if6", "", true),
    ("--ns-ifname", "-I", true),
    ("--dns-forward", "", true),
    ("--dns-host", "", true),
    ("--search", "-S", true),
    ("--no-tcp", "", false),
    ("--no-udp", "", false),
    ("--no-icmp", "", false),
    ("--no-dhcp", "", false),
    ("--no-ndp", "", false),
    ("--no-dhcpv6", "", false),
    ("--no-ra", "", false),
    ("--no-map-gw", "", false),
    ("--map-gw", "", false),
    ("--map-host-loopback", "", true),
    ("--map-guest-addr", "", true),
    ("--ipv4-only", "-4", false),
    ("--ipv6-only", "-6", false),
    ("--tcp-ports", "-t", true),
    ("--udp-ports", "-u", true),
    ("--tcp-ns", "-T", true),
    ("--udp-ns", "-U", true),
];

impl PastaOptions {
    /// In the order given.
    pub fn iter(&self) -> impl Iterator<Item = &PastaOption> {
        self.0.iter()
    }

    /// Whether an option is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|option| option.name == name)
    }

    /// The last value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|option| option.name == name)?.value.as_deref()
    }
}

impl FromStr for PastaOptions {
    type Err = UserNetworkRefused;

    fn from_str(text: &str) -> Result<Self, UserNetworkRefused> {
        let mut options = Vec::new();
        let mut words = text.split(',').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            let refused = || UserNetworkRefused::Pasta(shown(word));
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word, None),
            };
            let known =
                PASTA_OPTIONS.iter().find(|(long, short, _)| name == *long || (!short.is_empty() && name == *short));
            let &(name, _, has_value) = known.ok_or_else(refused)?;
            let value = match (has_value, joined) {
                (true, Some(value)) => Some(value),
                (true, None) => Some(words.next().ok_or(UserNetworkRefused::PastaValue(name))?),
                (false, None) => None,
                (false, Some(_)) => return Err(refused()),
            };
            // A value that looks like an option would be one.
            let is_safe = |value: &str| {
                !value.is_empty() && !value.starts_with('-') && value.bytes().all(|b| b.is_ascii_graphic())
            };
            if !value.is_none_or(is_safe) {
                return Err(refused());
            }
            options.push(PastaOption { name, value: value.map(str::to_owned) });
        }
        Ok(Self(options))
    }
}

impl fmt::Display for PastaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().flat_map(|option| [Some(option.name), option.value.as_deref()]).flatten();
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Display for UserNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, options) = match self {
            Self::Best => ("private", String::new()),
            Self::Slirp(options) => ("slirp4netns", options.to_string()),
            Self::Pasta(options) => ("pasta", options.to_string()),
        };
        if options.is_empty() { f.write_str(word) } else { write!(f, "{word}:{options}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_slirp() {
        for text in [
            "",
            "mtu=1500",
            "allow_host_loopback=true,cidr=10.1.0.0/24,enable_ipv6=false,outbound_addr=eth0",
            "port_handler=rootlesskit",
            "port_handler=slirp4netns",
        ] {
            assert_eq!(text.parse::<SlirpOptions>().unwrap().to_string(), text);
        }
        for bad in [
            "mtu",
            "mtu=0",
            "mtu=70000",
            "mtu=1500,mtu=1500",
            "cidr=10.1.0.1/24",
            "cidr=10.1.0.0/30",
            "cidr=x",
            "enable_ipv6=1",
            "outbound_addr=-v",
            "port_handler=x",
            "x=y",
        ] {
            assert!(bad.parse::<SlirpOptions>().is_err(), "{bad}");
        }
    }

    #[test]
    fn options_of_pasta() {
        for (text, shown) in [
            ("", ""),
            ("-m,1500", "--mtu,1500"),
            ("--mtu=1500,-4", "--mtu,1500,--ipv4-only"),
            ("-t,8080:80,-t,auto", "--tcp-ports,8080:80,--tcp-ports,auto"),
            ("--map-gw", "--map-gw"),
        ] {
            assert_eq!(text.parse::<PastaOptions>().unwrap().to_string(), shown);
        }
        for bad in [
            "x",
            "-m",
            "-m,-4",
            "--netns,/x",
            "--userns,/x",
            "-l,/etc/x",
            "--pid,/x",
            "--runas,0",
            "-4=x",
            "--mtu=",
            "-m,a b",
        ] {
            assert!(bad.parse::<PastaOptions>().is_err(), "{bad}");
        }
    }
}
