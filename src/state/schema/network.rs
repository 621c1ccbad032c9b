//! Records of networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::container::Timestamp;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::mac_address::MacAddress;
use crate::name::network::{Attachment, DeviceName, NetworkName};
use crate::name::port::Published;
use crate::state::record::Record;

/// `networks/NAME/record.json`: what a network is. Replaced as a whole when its name servers are changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Name.
    pub name: NetworkName,
    /// Identifier: 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Of what kind it is.
    pub driver: NetworkDriver,
    /// The bridge, or the device of the host that is shared.
    pub device: DeviceName,
    /// The addresses that it has.
    pub subnets: Vec<SubnetRecord>,
    /// Routes that its members get beside those to the network itself and the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteRecord>,
    /// Whether nothing outside of it can be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Whether its members find each other by name.
    pub dns: bool,
    /// Name servers that are asked for all other names; those of the host where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<IpAddr>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Options of its driver, under podman's names: `mtu`, `isolate`, `mode`, `parent`, `no_default_route`, `metric`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Of what kind a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkDriver {
    /// A bridge: its members, and nobody else, are attached to it.
    Bridge,
    /// Members have hardware addresses of their own beside that of a device of the host.
    MacVlan,
    /// Members share the hardware address of a device of the host.
    IpVlan,
}

impl NetworkDriver {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::MacVlan => "macvlan",
            Self::IpVlan => "ipvlan",
        }
    }
}

/// Addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetRecord {
    /// All of them.
    pub subnet: IpNet,
    /// The router's: the bridge's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The first and the last that members get without asking for one; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(IpAddr, IpAddr)>,
}

/// A route of the members of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// To where.
    pub destination: IpNet,
    /// Over whom.
    pub gateway: IpAddr,
    /// The less, the better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

impl Record for NetworkRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "network record";
}

/// `RUNTIME/networks/NAME/ID.json`: a container in a network, for as long as its monitor lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Other names that it is found by here.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its addresses here, with the lengths of the prefixes of their subnets.
    pub addresses: Vec<IpNet>,
    /// Its hardware address here.
    pub mac: MacAddress,
    /// The name of its device; the first free one of `eth0`, `eth1`, ... where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// How good its default route through this network is: the less, the better.
    #[serde(default)]
    pub metric: u32,
    /// Name servers that are asked for what the network does not know, in place of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<IpAddr>,
    /// Its ports that are published through this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Published>,
}

impl Record for LeaseRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "lease of a container in a network";
}

/// `RUNTIME/networks/NAME/holder.json`: the process that holds a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRecord {
    /// The boot in which it was written.
    pub boot_id: String,
    /// Its process id.
    pub pid: i32,
    /// Its start time in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start: u64,
}

impl Record for HolderRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "record of a network's process";
}

/// `containers/ID/networks.json`: the networks of a container as they were changed since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerNetworks {
    /// How it is attached to each.
    pub networks: Vec<Attachment>,
}

impl Record for ContainerNetworks {
    const VERSION: u32 = 1;
    const KIND: &'static str = "record of a container's networks";
}
