//! Networks that users make, and how a container is attached to one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::mac_address::MacAddress;
use super::serialize::as_text;

/// The network that is there without being made.
pub const DEFAULT_BRIDGE: &str = "bridge";

/// Words that are modes of `--network`, and so no names.
pub const RESERVED: &[&str] = &["default", "none", "host", "private", "container", "ns", "pod", "slirp4netns", "pasta"];

/// Longest name of a device: 16 bytes with the final NUL (netdevice(7), IFNAMSIZ).
const LONGEST_DEVICE: usize = 15;

/// The name of a network, of docker's and podman's form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName(String);

/// The name of a network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(String);

/// Why a name or an attachment was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkRefused {
    /// A name.
    #[error(
        "{0:?} is not the name of a network: expected a letter or digit, then at most 127 of those and '_', '.', '-'"
    )]
    Name(String),
    /// A word with another meaning.
    #[error("{0:?} cannot be the name of a network: it is a mode of --network")]
    Reserved(String),
    /// The name of a device.
    #[error("{0:?} is not the name of a network device: expected 1 to 15 letters, digits, '_', '.', '-'")]
    Device(String),
    /// An alias.
    #[error("{0:?} is not a name that a container could be found by in a network")]
    Alias(String),
    /// An option of an attachment.
    #[error(
        "{0:?} is not an option of a network: expected ip=, ip6=, mac=, alias= or interface_name=, each but alias once"
    )]
    Option(String),
    /// An address.
    #[error("{0:?} is not an address of a container: expected one as 10.89.0.5 or fd00::5")]
    Address(String),
    /// A hardware address.
    #[error(transparent)]
    Mac(#[from] super::mac_address::MacAddressRefused),
}

impl crate::failure::Explain for NetworkRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Name(_) | Self::Reserved(_) | Self::Device(_) | Self::Alias(_) => "E_NAME_INVALID",
            Self::Option(_) | Self::Address(_) | Self::Mac(_) => "E_CONFIG",
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(130).collect()
}

impl NetworkName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = NetworkRefused;

    fn from_str(text: &str) -> Result<Self, NetworkRefused> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let is_name =
            (1..=128).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(allowed);
        if !is_name {
            return Err(NetworkRefused::Name(shown(text)));
        }
        if RESERVED.contains(&text) {
            return Err(NetworkRefused::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl DeviceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceName {
    type Err = NetworkRefused;

    fn from_str(text: &str) -> Result<Self, NetworkRefused> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let is_name = (1..=LONGEST_DEVICE).contains(&text.len()) && text.bytes().all(allowed);
        if is_name && !matches!(text, "." | ".." | "lo" | "all" | "default") && !text.starts_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(NetworkRefused::Device(shown(text)))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(NetworkName, DeviceName);

/// A container in one network: `NAME[:ip=,ip6=,mac=,alias=,interface_name=]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The network.
    pub network: NetworkName,
    /// The container's address there, if it is to have a certain one.
    pub ip: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub ip6: Option<Ipv6Addr>,
    /// Its hardware address there.
    pub mac: Option<MacAddress>,
    /// Names that it is found by there, beside its own.
    pub aliases: Vec<String>,
    /// The name of its device.
    pub device: Option<DeviceName>,
}

impl Attachment {
    /// To `network`, without any wish.
    pub fn new(network: NetworkName) -> Self {
        Self { network, ip: None, ip6: None, mac: None, aliases: Vec::new(), device: None }
    }

    fn set(&mut self, option: &str) -> Result<(), NetworkRefused> {
        let refused = || NetworkRefused::Option(shown(option));
        let (key, value) = option.split_once('=').ok_or_else(refused)?;
        let is_free = match key {
            "ip" | "ip6" => match parse_address(value)? {
                IpAddr::V4(address) if key == "ip" => self.ip.replace(address).is_none(),
                IpAddr::V4(_) => return Err(NetworkRefused::Address(shown(value))),
                IpAddr::V6(address) => self.ip6.replace(address).is_none(),
            },
            "mac" => self.mac.replace(value.parse()?).is_none(),
            "alias" => {
                self.aliases.push(parse_alias(value)?);
                true
            }
            "interface_name" => self.device.replace(value.parse()?).is_none(),
            _ => false,
        };
        if is_free { Ok(()) } else { Err(refused()) }
    }
}

/// An address that a container can have.
pub fn parse_address(text: &str) -> Result<IpAddr, NetworkRefused> {
    let address: Option<IpAddr> = text.parse().ok();
    let is_one = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
    address.filter(is_one).ok_or_else(|| NetworkRefused::Address(shown(text)))
}

/// A name of a container in a network: a host name, where underscores are usual, too.
pub fn parse_alias(text: &str) -> Result<String, NetworkRefused> {
    let part = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&part.len()) && !part.starts_with('-') && part.bytes().all(allowed)
    };
    match text.len() <= 253 && text.split('.').all(part) {
        true => Ok(text.to_owned()),
        false => Err(NetworkRefused::Alias(shown(text))),
    }
}

impl FromStr for Attachment {
    type Err = NetworkRefused;

    fn from_str(text: &str) -> Result<Self, NetworkRefused> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let mut attachment = Self::new(name.parse()?);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            attachment.set(option)?;
        }
        Ok(attachment)
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        options.extend(self.ip.map(|ip| format!("ip={ip}")));
        options.extend(self.ip6.map(|ip| format!("ip6={ip}")));
        options.extend(self.mac.map(|mac| format!("mac={mac}")));
        options.extend(self.aliases.iter().map(|alias| format!("alias={alias}")));
        options.extend(self.device.as_ref().map(|device| format!("interface_name={device}")));
        f.write_str(self.network.as_str())?;
        if options.is_empty() { Ok(()) } else { write!(f, ":{}", options.join(",")) }
    }
}

as_text!(Attachment);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "1", "front-end", "a_b.c", "bridge", "podman"] {
            assert!(good.parse::<NetworkName>().is_ok(), "{good}");
        }
        for bad in ["", "-v", ".a", "_a", "a b", "a/b", "a\n", "é", "host", "none", "pasta", &"a".repeat(129)] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
        for bad in ["", "lo", "..", "-v", "0123456789abcdef", "a/b", "a b"] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn attachments_say_what_they_were_parsed_from() {
        for text in [
            "front",
            "front:ip=10.89.0.5",
            "front:ip=10.89.0.5,ip6=fd00::5,mac=92:d0:c6:0a:29:33,alias=web,alias=www.example,interface_name=eth7",
        ] {
            assert_eq!(text.parse::<Attachment>().unwrap().to_string(), text);
        }
        assert_eq!("front:ip=fd00::5".parse::<Attachment>().unwrap().to_string(), "front:ip6=fd00::5");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "front:ip",
            "front:ip=",
            "front:ip=10.89.0",
            "front:ip=0.0.0.0",
            "front:ip=127.0.0.1",
            "front:ip6=10.89.0.5",
            "front:ip=10.0.0.1,ip=10.0.0.2",
            "front:mac=x",
            "front:alias=",
            "front:alias=a b",
            "front:alias=-v",
            "front:interface_name=lo",
            "front:x=y",
            "front:ip=10.0.0.1:x",
            ":ip=10.0.0.1",
        ] {
            assert!(bad.parse::<Attachment>().is_err(), "{bad}");
        }
    }
}
