//! `--network`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::network::{Attachment, NetworkRefused};
use super::user_network::{UserNetwork, UserNetworkRefused};

/// The container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Words", into = "Words")]
pub enum NetworkMode {
    /// The best that there is: in user mode where a program for that is installed, else none.
    #[default]
    Default,
    /// A network namespace with a loopback device only.
    None,
    /// The caller's network namespace.
    Host,
    /// That of another container: its name, or its identifier or the beginning of it.
    Container(String),
    /// The network namespace at this path, which is absolute.
    Namespace(PathBuf),
    /// A network namespace that a program of the host connects with the host's network.
    User(UserNetwork),
    /// A network namespace that is attached to networks, in the order given; at least one.
    Networks(Vec<Attachment>),
}

/// Why a network was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModeRefused {
    /// A name or an option.
    #[error(transparent)]
    Network(#[from] NetworkRefused),
    /// An option of a network in user mode.
    #[error(transparent)]
    User(#[from] UserNetworkRefused),
    /// A mode that lacks something, or has too much.
    #[error("{0:?} is not a network: expected {1}")]
    Form(String, &'static str),
    /// Pods.
    #[error("{0:?} is the network of a pod, and there are no pods")]
    Pod(String),
    /// More than one mode.
    #[error("{0} cannot be had together with another network")]
    Alone(String),
    /// One network twice.
    #[error("the network {0} is given twice")]
    Twice(String),
}

impl crate::failure::Explain for ModeRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Network(error) => error.code(),
            Self::User(error) => error.code(),
            Self::Form(..) | Self::Pod(_) | Self::Alone(_) | Self::Twice(_) => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::User(error) => error.hint(),
            Self::Pod(_) => Some("--network container:NAME shares the network of a container".into()),
            _ => None,
        }
    }
}

impl NetworkMode {
    /// Words that `--network` can begin with.
    pub const WORDS: &'static [&'static str] =
        &["none", "host", "bridge", "private", "slirp4netns", "pasta", "container:", "ns:"];

    /// What all of the words given say together.
    pub fn parse_all(words: &[String]) -> Result<Self, ModeRefused> {
        let mut whole: Option<Self> = None;
        for word in words.iter().flat_map(|word| split(word)) {
            let next = word.parse()?;
            whole = Some(match (whole, next) {
                (None, next) => next,
                (Some(Self::Networks(mut all)), Self::Networks(more)) => {
                    for attachment in more {
                        if all.iter().any(|other| other.network == attachment.network) {
                            return Err(ModeRefused::Twice(attachment.network.to_string()));
                        }
                        all.push(attachment);
                    }
                    Self::Networks(all)
                }
                (Some(Self::Networks(_)), next) => return Err(ModeRefused::Alone(next.to_string())),
                (Some(whole), _) => return Err(ModeRefused::Alone(whole.to_string())),
            });
        }
        Ok(whole.unwrap_or_default())
    }

    /// Whether the container has a network namespace of its own.
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Host | Self::Container(_) | Self::Namespace(_))
    }
}

/// A list of names without options may stand in one word.
fn split(word: &str) -> Vec<&str> {
    if word.contains(':') { vec![word] } else { word.split(',').collect() }
}

impl FromStr for NetworkMode {
    type Err = ModeRefused;

    fn from_str(text: &str) -> Result<Self, ModeRefused> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        let form = |expected| ModeRefused::Form(text.chars().take(160).collect(), expected);
        let options = rest.unwrap_or_default();
        match (word, rest) {
            ("default", None) => Ok(Self::Default),
            ("none", None) => Ok(Self::None),
            ("host", None) => Ok(Self::Host),
            ("private", None) => Ok(Self::User(UserNetwork::Best)),
            ("default" | "none" | "host" | "private", Some(_)) => Err(form("this word without options")),
            ("container", Some(name)) if is_container(name) => Ok(Self::Container(name.to_owned())),
            ("container", _) => Err(form("container:NAME or container:ID")),
            ("ns", Some(path)) if path.starts_with('/') && !path.contains('\0') => Ok(Self::Namespace(path.into())),
            ("ns", _) => Err(form("ns:PATH with an absolute path, for example ns:/proc/1234/ns/net")),
            ("pod", _) => Err(ModeRefused::Pod(text.chars().take(160).collect())),
            ("slirp4netns", _) => Ok(Self::User(UserNetwork::Slirp(options.parse()?))),
            ("pasta", _) => Ok(Self::User(UserNetwork::Pasta(options.parse()?))),
            _ => Ok(Self::Networks(vec![text.parse()?])),
        }
    }
}

fn is_container(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && text.bytes().all(allowed)
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Namespace(path) => write!(f, "ns:{}", path.display()),
            Self::User(network) => network.fmt(f),
            Self::Networks(all) => {
                let names: Vec<&str> = all.iter().map(|attachment| attachment.network.as_str()).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// How it is kept: one word, or one for each network.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl From<NetworkMode> for Words {
    fn from(mode: NetworkMode) -> Self {
        match mode {
            NetworkMode::Networks(all) => Self::Many(all.iter().map(ToString::to_string).collect()),
            mode => Self::One(mode.to_string()),
        }
    }
}

impl TryFrom<Words> for NetworkMode {
    type Error = ModeRefused;

    fn try_from(words: Words) -> Result<Self, ModeRefused> {
        match words {
            Words::One(word) => word.parse(),
            Words::Many(words) => Self::parse_all(&words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(words: &[&str]) -> Result<NetworkMode, ModeRefused> {
        NetworkMode::parse_all(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn modes_say_what_they_were_parsed_from_and_survive_being_kept() {
        for text in [
            "default",
            "none",
            "host",
            "private",
            "slirp4netns",
            "slirp4netns:allow_host_loopback=true,mtu=1500",
            "pasta",
            "pasta:--mtu,1500",
            "container:web",
            "ns:/proc/1/ns/net",
            "bridge",
        ] {
            let mode = all(&[text]).unwrap();
            assert_eq!(mode.to_string(), text);
            let kept = serde_json::to_string(&mode).unwrap();
            assert_eq!(serde_json::from_str::<NetworkMode>(&kept).unwrap(), mode);
        }
        // As containers were kept before there were networks.
        assert_eq!(serde_json::from_str::<NetworkMode>("\"none\"").unwrap(), NetworkMode::None);
    }

    #[test]
    fn several_networks() {
        let mode = all(&["front:ip=10.89.0.5,alias=www", "back"]).unwrap();
        assert_eq!(mode.to_string(), "front,back");
        let kept = serde_json::to_string(&mode).unwrap();
        assert_eq!(kept, "[\"front:ip=10.89.0.5,alias=www\",\"back\"]");
        assert_eq!(serde_json::from_str::<NetworkMode>(&kept).unwrap(), mode);
        assert_eq!(all(&["front,back"]).unwrap(), all(&["front", "back"]).unwrap());
        assert_eq!(all(&[]).unwrap(), NetworkMode::Default);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &[""][..],
            &["None "],
            &["-v"],
            &["host:x"],
            &["container"],
            &["container:"],
            &["container:-v"],
            &["container:a/b"],
            &["ns:"],
            &["ns:proc/1"],
            &["pod:x"],
            &["host", "none"],
            &["front", "host"],
            &["host", "front"],
            &["front", "front"],
            &["front,front"],
            &["pasta", "slirp4netns"],
            &["slirp4netns:x"],
            &["pasta:x"],
        ] {
            assert!(all(bad).is_err(), "{bad:?}");
        }
    }
}
