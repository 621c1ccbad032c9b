//! How a container finds hosts by name: `--dns`, `--dns-search`, `--dns-option`, `--add-host`, `--hosts-file`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::serialize::as_text;

/// All that was asked for about names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameResolution {
    /// Where names are asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub servers: DnsServers,
    /// Domains in which short names are looked up; those of the host where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Vec<DnsWord>>,
    /// Options of resolv.conf(5); those of the host where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<DnsWord>>,
    /// What `/etc/hosts` begins with.
    #[serde(skip_serializing_if = "is_default")]
    pub hosts: HostsFile,
    /// Entries of `/etc/hosts`, in the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<HostEntry>,
    /// Under which address the host is known there.
    #[serde(skip_serializing_if = "is_default")]
    pub host: KnownHost,
    /// Whether `/etc/hostname` is the image's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leaves_hostname: bool,
}

/// Where names are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsServers {
    /// Where the host asks.
    #[default]
    Host,
    /// `/etc/resolv.conf` is the image's (`--dns none`).
    Image,
    /// These.
    These(Vec<IpAddr>),
}

/// What `/etc/hosts` begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostsFile {
    /// The host's entries that mean something in a container.
    #[default]
    Host,
    /// The image's entries.
    Image,
    /// None but the container's own.
    None,
    /// This file's.
    File(#[serde(with = "crate::name::serialize::os_string")] PathBuf),
    /// It is the image's, and left alone (`--no-hosts`).
    Untouched,
}

/// Under which address a container knows the host by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownHost {
    /// One that is found out.
    #[default]
    Found,
    /// None: it has no name.
    Unnamed,
    /// This one.
    At(IpAddr),
}

/// An address under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// That of the host, as the container reaches it (`host-gateway`).
    Gateway,
}

/// An entry of `/etc/hosts`: `NAME[;NAME...]:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The names.
    pub names: Vec<String>,
    /// Their address.
    pub address: HostAddress,
}

/// A domain, or an option, of resolv.conf(5): one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsWord(String);

/// Why a word was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolutionRefused {
    /// A server.
    #[error("{0:?} is not the address of a name server in numbers, or none")]
    Server(String),
    /// `none` and something else.
    #[error("none leaves the image's resolv.conf alone: it cannot be given with other servers")]
    ServersAndNone,
    /// A domain.
    #[error("{0:?} is not a domain to search")]
    Search(String),
    /// An option.
    #[error("{0:?} is not an option of resolv.conf, for example ndots:2")]
    Option(String),
    /// An entry.
    #[error("{0:?} is not NAME:ADDRESS, for example db:10.0.0.5, db;db.example:10.0.0.5 or host:host-gateway")]
    Entry(String),
}

impl crate::failure::Explain for ResolutionRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl DnsServers {
    /// Those of all `--dns`.
    pub fn parse(words: &[String]) -> Result<Self, ResolutionRefused> {
        if words.iter().any(|word| word == "none") {
            return if words.len() == 1 { Ok(Self::Image) } else { Err(ResolutionRefused::ServersAndNone) };
        }
        let server = |word: &String| word.parse().map_err(|_| ResolutionRefused::Server(shown(word)));
        let servers = words.iter().map(server).collect::<Result<Vec<IpAddr>, _>>()?;
        Ok(if servers.is_empty() { Self::Host } else { Self::These(servers) })
    }
}

impl NameResolution {
    /// Looks up short names in `domain`, too, before all others: those of `of_host` where none were given.
    pub fn search_also(&mut self, domain: &str, of_host: &[&str]) {
        let others = || of_host.iter().map(|word| DnsWord((*word).to_owned())).collect();
        let others = self.search.take().unwrap_or_else(others);
        self.search = Some(std::iter::once(DnsWord(domain.to_owned())).chain(others).collect());
    }

    /// Domains of all `--dns-search`; a single dot stands for none.
    pub fn parse_search(words: &[String]) -> Result<Option<Vec<DnsWord>>, ResolutionRefused> {
        let domain = |word: &&String| {
            let bare = word.strip_suffix('.').unwrap_or(word);
            super::network::parse_alias(bare).map_err(|_| ResolutionRefused::Search(shown(word))).map(DnsWord)
        };
        let domains = words.iter().filter(|word| *word != ".").map(|word| domain(&word)).collect::<Result<_, _>>()?;
        Ok((!words.is_empty()).then_some(domains))
    }

    /// Options of all `--dns-option`.
    pub fn parse_options(words: &[String]) -> Result<Option<Vec<DnsWord>>, ResolutionRefused> {
        let option = |word: &String| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':');
            let is_one = !word.is_empty() && word.len() <= 64 && word.bytes().all(allowed);
            if is_one { Ok(DnsWord(word.clone())) } else { Err(ResolutionRefused::Option(shown(word))) }
        };
        let options = words.iter().map(option).collect::<Result<_, _>>()?;
        Ok((!words.is_empty()).then_some(options))
    }
}

impl DnsWord {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsWord {
    type Err = ResolutionRefused;

    /// As it was kept.
    fn from_str(text: &str) -> Result<Self, ResolutionRefused> {
        let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if is_word { Ok(Self(text.to_owned())) } else { Err(ResolutionRefused::Option(shown(text))) }
    }
}

impl fmt::Display for DnsWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostEntry {
    type Err = ResolutionRefused;

    fn from_str(text: &str) -> Result<Self, ResolutionRefused> {
        let refused = || ResolutionRefused::Entry(shown(text));
        let (names, address) = text.split_once([':', '=']).ok_or_else(refused)?;
        let names = names.split(';').map(|name| super::network::parse_alias(name).map_err(|_| refused()));
        let names = names.collect::<Result<_, _>>()?;
        let address = match address {
            "host-gateway" => HostAddress::Gateway,
            address => {
                let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
                HostAddress::Ip(bare.parse().map_err(|_| refused())?)
            }
        };
        Ok(Self { names, address })
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.names.join(";"))?;
        match self.address {
            HostAddress::Ip(ip) => ip.fmt(f),
            HostAddress::Gateway => f.write_str("host-gateway"),
        }
    }
}

as_text!(HostEntry, DnsWord);

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn servers() {
        assert_eq!(DnsServers::parse(&[]), Ok(DnsServers::Host));
        assert_eq!(DnsServers::parse(&words(&["none"])), Ok(DnsServers::Image));
        let these = ["10.0.0.1", "fd00::1"].map(|text| text.parse().unwrap());
        assert_eq!(DnsServers::parse(&words(&["10.0.0.1", "fd00::1"])), Ok(DnsServers::These(these.to_vec())));
        for bad in [&["none", "10.0.0.1"][..], &["dns.example"], &[""], &["10.0.0.1\nsearch x"]] {
            assert!(DnsServers::parse(&words(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_of_resolv_conf() {
        assert_eq!(NameResolution::parse_search(&[]), Ok(None));
        assert_eq!(NameResolution::parse_search(&words(&["."])), Ok(Some(Vec::new())));
        assert_eq!(NameResolution::parse_search(&words(&["a.example."])).unwrap().unwrap()[0].as_str(), "a.example");
        assert_eq!(NameResolution::parse_options(&words(&["ndots:2"])).unwrap().unwrap()[0].as_str(), "ndots:2");
        for bad in ["", "a b", "a\nnameserver 1.2.3.4", "-v"] {
            assert!(NameResolution::parse_search(&words(&[bad])).is_err(), "{bad}");
        }
        for bad in ["", "a b", "ndots:2\nx"] {
            assert!(NameResolution::parse_options(&words(&[bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn entries_say_what_they_were_parsed_from() {
        for (text, shown) in [
            ("db:10.0.0.5", "db:10.0.0.5"),
            ("db=10.0.0.5", "db:10.0.0.5"),
            ("db;db.example:fd00::5", "db;db.example:fd00::5"),
            ("db:[fd00::5]", "db:fd00::5"),
            ("my_host:host-gateway", "my_host:host-gateway"),
        ] {
            assert_eq!(text.parse::<HostEntry>().unwrap().to_string(), shown);
        }
        for bad in
            ["", "db", ":10.0.0.5", "db:", "db:x", "a b:10.0.0.5", "db;:10.0.0.5", "db\n:10.0.0.5", "db:10.0.0.5\nx"]
        {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad}");
        }
    }
}
