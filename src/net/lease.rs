//! Leases: which container has which address of a network. A lease is a file, made and removed under the network's lock, and good
//! for as long as its container lives.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;

use super::ipam::{self, NoAddress};
use crate::failure::Explain;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::network::{Attachment, NetworkName};
use crate::name::port::Published;
use crate::state::layout::Layout;
use crate::state::lock::Exclusive;
use crate::state::record::{self, RecordError};
use crate::state::schema::network::{LeaseRecord, NetworkRecord};

/// Why a container gets no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// There is no address.
    #[error("giving a container an address in the network {network}: {cause}")]
    Address {
        /// The network.
        network: NetworkName,
        /// Why.
        cause: NoAddress,
    },
    /// It wants an address of a family that the network does not have.
    #[error("giving a container the address {address} in the network {network}: it has no addresses of that family")]
    Family {
        /// The network.
        network: NetworkName,
        /// The address.
        address: IpAddr,
    },
    /// The file.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Explain for LeaseError {
    fn code(&self) -> &'static str {
        match self {
            Self::Address { cause: NoAddress::Exhausted { .. } | NoAddress::Taken { .. }, .. } => "E_BUSY",
            Self::Address { .. } | Self::Family { .. } => "E_CONFIG",
            Self::Record(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Address { cause: NoAddress::Exhausted { .. }, .. } => Some(
                "stop containers that are in it, or make another network with a larger --subnet or --ip-range".into(),
            ),
            Self::Family { network, .. } => Some(format!("coracle network inspect {network} shows its subnets")),
            Self::Record(error) => error.hint(),
            Self::Address { .. } => None,
        }
    }
}

/// All leases of a network, also those of containers that died without giving theirs back.
pub fn all(layout: &Layout, network: &NetworkName) -> Vec<LeaseRecord> {
    let entries = fs::read_dir(layout.network_state(network)).into_iter().flatten().flatten();
    let ids =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse::<ContainerId>().ok());
    ids.filter_map(|id| get(layout, network, &id)).collect()
}

/// A container's lease.
pub fn get(layout: &Layout, network: &NetworkName, id: &ContainerId) -> Option<LeaseRecord> {
    record::read(&layout.lease(network, id)).ok().flatten()
}

/// What a container wants of a network.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The container.
    pub id: &'a ContainerId,
    /// Its name.
    pub name: &'a ContainerName,
    /// How it is to be attached.
    pub attachment: &'a Attachment,
    /// Name servers that are asked for it.
    pub name_servers: &'a [IpAddr],
    /// How good its default route through this network is: the less, the better.
    pub metric: u32,
    /// Its ports that are published through this network.
    pub ports: &'a [Published],
}

/// Gives a container a lease, and takes back those of containers that are not alive. One that has a lease gets the same
/// addresses again, if nobody else has them.
pub fn take(
    layout: &Layout,
    network: &NetworkRecord,
    wish: &Wish<'_>,
    is_alive: &dyn Fn(&ContainerId) -> bool,
    _lock: &Exclusive,
) -> Result<LeaseRecord, LeaseError> {
    let mut others = Vec::new();
    for lease in all(layout, &network.name) {
        if lease.id == *wish.id {
            continue;
        }
        if is_alive(&lease.id) {
            others.push(lease);
        } else {
            give_back(layout, &network.name, &lease.id);
        }
    }
    let addresses = addresses(network, wish.attachment, &others)?;
    let first = addresses.first().map_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpNet::addr);
    let lease = LeaseRecord {
        id: wish.id.clone(),
        name: wish.name.clone(),
        aliases: wish.attachment.aliases.clone(),
        mac: wish.attachment.mac.unwrap_or_else(|| ipam::mac(first)),
        addresses,
        device: wish.attachment.device.clone(),
        metric: wish.metric,
        name_servers: wish.name_servers.to_vec(),
        ports: wish.ports.to_vec(),
    };
    record::write_volatile(&layout.lease(&network.name, wish.id), &lease)?;
    Ok(lease)
}

fn addresses(
    network: &NetworkRecord,
    attachment: &Attachment,
    others: &[LeaseRecord],
) -> Result<Vec<IpNet>, LeaseError> {
    let of_network = |cause| LeaseError::Address { network: network.name.clone(), cause };
    let taken: HashSet<IpAddr> = others.iter().flat_map(|lease| lease.addresses.iter().map(IpNet::addr)).collect();
    let wanted: Vec<IpAddr> =
        [attachment.ip.map(IpAddr::V4), attachment.ip6.map(IpAddr::V6)].into_iter().flatten().collect();
    let mut given = Vec::new();
    for &address in &wanted {
        if !network.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv4() == address.is_ipv4()) {
            return Err(LeaseError::Family { network: network.name.clone(), address });
        }
        if let Some(owner) = others.iter().find(|lease| lease.addresses.iter().any(|other| other.addr() == address)) {
            return Err(of_network(NoAddress::Taken { address, owner: owner.name.to_string() }));
        }
        given.push(ipam::wanted(&network.subnets, address).map_err(of_network)?);
    }
    for is_ipv4 in [true, false] {
        let is_wanted = wanted.iter().any(|address| address.is_ipv4() == is_ipv4);
        let mut subnets = network.subnets.iter().filter(|subnet| subnet.subnet.addr().is_ipv4() == is_ipv4).peekable();
        if is_wanted || subnets.peek().is_none() {
            continue;
        }
        let mut result = None;
        for subnet in subnets {
            result = Some(ipam::free(subnet, &taken));
            if matches!(result, Some(Ok(_))) {
                break;
            }
        }
        given.extend(result.transpose().map_err(of_network)?);
    }
    given.sort_by_key(|address| !address.addr().is_ipv4());
    Ok(given)
}

/// Takes a lease back.
pub fn give_back(layout: &Layout, network: &NetworkName, id: &ContainerId) {
    let _ = fs::remove_file(layout.lease(network, id));
}
