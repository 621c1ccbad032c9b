//! Why a network cannot be held, or joined.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;

use crate::failure::Explain;
use crate::name::network::NetworkName;

/// Why a network cannot be held, or joined.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The kernel refused a step of making the network.
    #[error("making the network {network}: {step}")]
    Make {
        /// The network.
        network: NetworkName,
        /// What was tried.
        step: &'static str,
        /// The cause.
        #[source]
        cause: Errno,
    },
    /// The kernel refused a step of attaching a container.
    #[error("attaching a container to the network {network}: {step}")]
    Attach {
        /// The network.
        network: NetworkName,
        /// What was tried.
        step: &'static str,
        /// The cause.
        #[source]
        cause: Errno,
    },
    /// A program that connects with the outside is missing.
    #[error("connecting the network {0} with the network of the host: neither slirp4netns nor pasta is installed")]
    NoProgram(NetworkName),
    /// It cannot be started.
    #[error("starting {program} for the network {network}")]
    Start {
        /// The network.
        network: NetworkName,
        /// The program.
        program: &'static str,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// It has ended.
    #[error("{program} ended before the network {network} was connected: {said}")]
    Ended {
        /// The network.
        network: NetworkName,
        /// The program.
        program: &'static str,
        /// What it wrote.
        said: String,
    },
    /// A port of the host cannot be had.
    #[error("publishing port {port}/{protocol} of {address} on the host")]
    Port {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The protocol.
        protocol: &'static str,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// Something else.
    #[error("holding the network {network}: {step}")]
    Io {
        /// The network.
        network: NetworkName,
        /// What was tried.
        step: &'static str,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// It has said something that this program does not understand, or nothing.
    #[error("the process that holds the network {0} does not answer")]
    Mute(NetworkName),
}

impl Explain for HolderError {
    fn code(&self) -> &'static str {
        match self {
            Self::Port { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => "E_PORT_IN_USE",
            Self::NoProgram(_) => "E_NO_HELPER",
            Self::Ended { .. } | Self::Mute(_) => "E_HELPER_DIED",
            _ => "E_NETWORK",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram(_) => Some(
                "install slirp4netns or passt; --internal networks need neither, and --network none works without".into(),
            ),
            Self::Make { cause: Errno::EOPNOTSUPP | Errno::ENOENT, .. } => Some(
                "the kernel lacks a module: bridge, veth, nf_tables and nft_masq are needed; --network pasta or slirp4netns works without"
                    .into(),
            ),
            Self::Attach { cause: Errno::EOPNOTSUPP, .. } => {
                Some("the kernel lacks a module: veth, macvlan or ipvlan, as the network's driver says".into())
            }
            Self::Make { cause: Errno::ENODEV, .. } => {
                Some("coracle network inspect shows which device is meant, and ip link those that there are".into())
            }
            Self::Make { cause: Errno::EEXIST, .. } => Some(
                "the host has a device of that name already: make the network anew with another --interface-name".into(),
            ),
            Self::Make { cause: Errno::EADDRINUSE, .. } => {
                Some("a name server of the host listens on all addresses: let it keep to those that it needs".into())
            }
            Self::Make { cause: Errno::EPERM | Errno::ENOSPC, .. } => {
                Some("user or network namespaces are restricted here: coracle info tells more".into())
            }
            Self::Port { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => Some(
                "ports below net.ipv4.ip_unprivileged_port_start (1024) are for root: choose a higher one, or lower that setting"
                    .into(),
            ),
            Self::Port { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                Some("choose another port of the host, or none: a free one is found then".into())
            }
            Self::Mute(_) => Some("it is started again by the next command that needs it".into()),
            _ => None,
        }
    }
}
