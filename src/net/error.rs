//! Why a container cannot have the network that it was to have.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::ports::Shown;
use crate::failure::Explain;
use crate::name::network::NetworkName;
use crate::name::port::Protocol;

/// Why a container cannot have the network that it was to have.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A network that has a name; who was to attach the container knows why.
    #[error("attaching the container to its networks")]
    Named,
    /// A network namespace that was named.
    #[error("joining the network namespace {}", path.display())]
    Namespace {
        /// Its path.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// No helper, and a network is wanted.
    #[error("connecting the container's network: neither slirp4netns nor pasta is installed")]
    NoHelper,
    /// A helper that was named.
    #[error("connecting the container's network: {0} is not installed")]
    NotInstalled(&'static str),
    /// Ports of a container whose own address is on a network of the host.
    #[error(
        "publishing ports through the network {network}: a network of the kind {driver} has none of the host's ports"
    )]
    NotPublished {
        /// The network.
        network: NetworkName,
        /// Its kind.
        driver: &'static str,
    },
    /// A protocol.
    #[error("publishing the port {port}/sctp: {helper} knows tcp and udp only")]
    Protocol {
        /// The container's port.
        port: u16,
        /// Who cannot.
        helper: &'static str,
    },
    /// An address of IPv6.
    #[error("publishing a port on {0}: slirp4netns itself publishes on addresses of IPv4 only")]
    NoIpv6Ports(IpAddr),
    /// A port of udp that only the host itself would use, through a network that leads nowhere near it.
    #[error(
        "publishing the port {0}/udp on the host's loopback device: its answers would not come back, since the container does not reach that"
    )]
    LocalUdp(u16),
    /// A port of the host for two of the container.
    #[error("the port {port}/{protocol} of the host is to be published twice")]
    PortTwice {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
    /// A port that somebody has.
    #[error("publishing a port on {port} of the host: {}", match owner {
        Some(owner) => format!("{owner} has it"),
        None => "another process has it".into(),
    })]
    PortInUse {
        /// The port.
        port: Shown,
        /// Who has it, if that is known.
        owner: Option<String>,
    },
    /// A port that is root's.
    #[error("publishing a port on {port} of the host: the first port that users may have is {first}")]
    PortPrivileged {
        /// The port.
        port: Shown,
        /// The first port that may be had without privilege.
        first: u16,
    },
    /// An address that the host does not have.
    #[error("publishing a port on {0} of the host: this machine has no such address")]
    NoSuchAddress(Shown),
    /// Ports, for another reason.
    #[error("looking for ports of the host")]
    Ports(#[source] io::Error),
    /// What passes on what comes to published ports.
    #[error("passing on what comes to the container's published ports")]
    Forward(#[source] io::Error),
    /// A helper that could not be started.
    #[error("starting {program}")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A helper that did not become ready.
    #[error("connecting the container's network: {program} {what}{words}")]
    Helper {
        /// The program.
        program: &'static str,
        /// What it did.
        what: String,
        /// What it said, with a colon before.
        words: String,
        /// The cure.
        hint: Option<String>,
    },
    /// slirp4netns refuses a port.
    #[error("publishing a port on {port} of the host: slirp4netns refuses: {reason}")]
    Publish {
        /// The port.
        port: Shown,
        /// What it says.
        reason: String,
    },
}

impl Explain for NetworkError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoHelper | Self::NotInstalled(_) => "E_NO_HELPER",
            Self::Namespace { cause, .. } if cause.kind() == io::ErrorKind::NotFound => "E_NOTFOUND",
            Self::Named | Self::Helper { .. } | Self::Start { .. } | Self::Namespace { .. } | Self::Forward(_) => {
                "E_NETWORK"
            }
            Self::PortTwice { .. }
            | Self::Protocol { .. }
            | Self::NoIpv6Ports(_)
            | Self::LocalUdp(_)
            | Self::NotPublished { .. } => "E_CONFIG",
            Self::PortInUse { .. } => "E_PORT_IN_USE",
            Self::PortPrivileged { .. } => "E_PORT_PRIVILEGED",
            Self::NoSuchAddress(_) | Self::Ports(_) | Self::Publish { .. } => "E_PORT",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHelper => {
                "install one of them (apt install slirp4netns, or passt for pasta), or leave the network out: --network none"
                    .into()
            }
            Self::NotInstalled(name) => {
                let package = if *name == "pasta" { "passt" } else { name };
                format!("install it (apt install {package}), or choose another network: --network private takes what there is")
            }
            Self::NotPublished { .. } => {
                "leave -p out: clients reach the container under its own address there; or name a bridge network first".into()
            }
            Self::Protocol { .. } => "publish a port of tcp or udp".into(),
            Self::NoIpv6Ports(_) => "leave port_handler=slirp4netns out".into(),
            Self::LocalUdp(_) => {
                "--network slirp4netns can, or publish it on another address of the host".into()
            }
            Self::PortTwice { .. } => "choose different ports, or different addresses".into(),
            Self::PortInUse { .. } => "choose another port; without one before the colon a free one is taken".into(),
            Self::PortPrivileged { port, .. } => format!(
                "take a higher one, for example {}; or as root: sysctl net.ipv4.ip_unprivileged_port_start={}",
                u32::from(port.number()) + 8000,
                port.number()
            ),
            Self::NoSuchAddress(_) => "ip addr lists the addresses".into(),
            Self::Helper { hint, .. } => return hint.clone(),
            Self::Namespace { cause, .. } => match cause.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => "it is another user's, or root's".into(),
                Some(libc::EINVAL | libc::ENOTTY) => "the path must be that of a network namespace, as /proc/PID/ns/net".into(),
                _ => return None,
            },
            Self::Named | Self::Ports(_) | Self::Forward(_) | Self::Start { .. } | Self::Publish { .. } => return None,
        })
    }
}
