//! Networks that have names: their records, and what makes a good one.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use ipnet::IpNet;
use nix::errno::Errno;

use super::ipam;
use super::link;
use super::netlink::Netlink;
use super::privilege;
use crate::failure::{EXIT_OWN_FAILURE, Explain, Failure};
use crate::host::config::containers::{ContainersConf, Unusable};
use crate::name::network::{DEFAULT_BRIDGE, DeviceName, NetworkName};
use crate::state::layout::Layout;
use crate::state::lock::{Exclusive, LockError};
use crate::state::record::{self, RecordError};
use crate::state::schema::container::Timestamp;
use crate::state::schema::network::{NetworkDriver, NetworkRecord, SubnetRecord};
use crate::sys::random;

/// Another name of the default network: podman's.
pub const ALSO_DEFAULT: &str = "podman";

/// The subnet of the default network, if nobody else has it: podman's.
const DEFAULT_SUBNET: &str = "10.88.0.0/16";

/// Why something about a network failed.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// There is one of this name already.
    #[error("making the network {0}: there is one of this name")]
    Exists(NetworkName),
    /// There is none.
    #[error("there is no network with the name or ID {0:?}")]
    Missing(String),
    /// There are several.
    #[error("{0:?} is the beginning of the IDs of several networks")]
    Ambiguous(String),
    /// Its addresses are those of others.
    #[error("making the network {name}: the subnet {subnet} overlaps with {other}, {owner}")]
    Overlap {
        /// The network.
        name: NetworkName,
        /// Its subnet.
        subnet: IpNet,
        /// With what.
        other: IpNet,
        /// Whose that is.
        owner: String,
    },
    /// There are no addresses left.
    #[error("making the network {0}: no subnet is free")]
    NoSubnet(NetworkName),
    /// Containers are in it.
    #[error("removing the network {name}: it is in use by {}", users.join(", "))]
    InUse {
        /// The network.
        name: NetworkName,
        /// Names of containers.
        users: Vec<String>,
    },
    /// It is the default network.
    #[error("the network {0} is the default one: it cannot be removed")]
    Default(NetworkName),
    /// Only root can have such a network.
    #[error("making the network {name}: a network of the kind {kind} shares a device of the host, which is for root")]
    Privilege {
        /// The network.
        name: NetworkName,
        /// Its kind.
        kind: &'static str,
    },
    /// The device that is to be shared.
    #[error("making the network {0}: the host has no device {1}")]
    NoParent(NetworkName, String),
    /// No device was named.
    #[error("making the network {0}: the host has no default route, and so no device that is meant")]
    NoDefaultParent(NetworkName),
    /// The host's routes.
    #[error("reading the routes of the host")]
    Routes(#[source] Errno),
    /// The file system refused.
    #[error("removing the record of the network {0}")]
    Remove(NetworkName, #[source] io::Error),
    /// Random bytes.
    #[error("getting random bytes")]
    Random(#[source] Errno),
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What containers.conf says of networks.
    #[error(transparent)]
    Configured(#[from] Unusable),
}

impl Explain for NamedError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "E_EXISTS",
            Self::Missing(_) | Self::Ambiguous(_) => "E_NOTFOUND",
            Self::Overlap { .. } | Self::NoSubnet(_) | Self::Default(_) | Self::NoDefaultParent(_) => "E_CONFIG",
            Self::Privilege { .. } => "E_PERMISSION",
            Self::NoParent(..) => "E_NOTFOUND",
            Self::InUse { .. } => "E_BUSY",
            Self::Routes(_) | Self::Random(_) => "E_IO",
            Self::Remove(_, cause) => record::io_code(cause),
            Self::Record(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Configured(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("--ignore leaves it as it is, and is no failure".into()),
            Self::Missing(_) => Some("coracle network ls lists all networks; network create NAME makes one".into()),
            Self::Ambiguous(_) => Some("type more of it".into()),
            Self::NoSubnet(_) => Some(
                "name one with --subnet, or more to choose from with default_subnet_pools in containers.conf".into(),
            ),
            Self::Overlap { .. } => Some("choose another --subnet, or none: a free one is found then".into()),
            Self::InUse { name, .. } => {
                Some(format!("coracle network rm --force {name} removes these containers first"))
            }
            Self::Privilege { .. } => Some("networks of the kind bridge are for everybody".into()),
            Self::NoParent(..) | Self::NoDefaultParent(_) => {
                Some("name one of those that ip link shows: --opt parent=DEVICE".into())
            }
            Self::Record(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Configured(error) => error.hint(),
            _ => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            // As podman's network rm.
            Self::InUse { .. } => 2,
            _ => EXIT_OWN_FAILURE,
        }
    }
}

/// The default network's name: that of containers.conf, or `bridge`.
pub fn default_name() -> NetworkName {
    let usual = || DEFAULT_BRIDGE.parse().unwrap_or_else(|_| unreachable!("it is a name"));
    configured_name().ok().flatten().unwrap_or_else(usual)
}

/// What containers.conf calls the default network, if it has another name there.
fn configured_name() -> Result<Option<NetworkName>, Unusable> {
    let conf = ContainersConf::here();
    let name = conf.parsed("default_network", "the name of a network", |text| text.parse::<NetworkName>().ok())?;
    Ok(name.filter(|name| name.as_str() != ALSO_DEFAULT))
}

/// The name that is meant: the default network is the bridge, and has podman's name for it unless it has one of its own.
pub fn canonical(name: &NetworkName) -> NetworkName {
    match name.as_str() {
        DEFAULT_BRIDGE => default_name(),
        ALSO_DEFAULT if default_name().as_str() == DEFAULT_BRIDGE => default_name(),
        _ => name.clone(),
    }
}

/// The record of exactly this network. The default one is there without having been made.
pub fn get(layout: &Layout, name: &NetworkName) -> Result<Option<NetworkRecord>, NamedError> {
    configured_name()?;
    let name = canonical(name);
    match record::read(&layout.network_record(&name))? {
        None if name == default_name() => default_record(layout).map(Some),
        other => Ok(other),
    }
}

/// The network of this name or identifier, or the only one whose identifier begins so.
pub fn find(layout: &Layout, text: &str) -> Result<NetworkRecord, NamedError> {
    let missing = || NamedError::Missing(text.chars().take(160).collect());
    if let Some(record) = text.parse().ok().map(|name| get(layout, &name)).transpose()?.flatten() {
        return Ok(record);
    }
    let is_beginning = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (records, _) = list(layout);
    let mut begun = records.into_iter().filter(|record| is_beginning && record.id.starts_with(text));
    match (begun.next(), begun.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(NamedError::Ambiguous(text.to_owned())),
        (None, _) => Err(missing()),
    }
}

/// All networks in the order of their names. One whose record is damaged is left out and named in the second list.
pub fn list(layout: &Layout) -> (Vec<NetworkRecord>, Vec<Failure>) {
    let mut names: Vec<NetworkName> = record::names(&layout.networks());
    names.push(default_name());
    names.sort();
    names.dedup();
    record::all(&names, |name| get(layout, name))
}

/// What the default network is before anybody has changed it.
fn default_record(layout: &Layout) -> Result<NetworkRecord, NamedError> {
    let records = recorded(layout);
    let taken = taken(&records)?;
    let conf = ContainersConf::here();
    let configured = conf.parsed("default_subnet", "a subnet like 10.88.0.0/16", |text| text.parse::<IpNet>().ok())?;
    let subnet = match configured {
        Some(subnet) => subnet.trunc(),
        None => {
            let usual = DEFAULT_SUBNET.parse().ok().filter(|usual| ipam::overlapping(*usual, &taken).is_none());
            usual.or_else(|| free_subnet(&taken)).ok_or_else(|| NamedError::NoSubnet(default_name()))?
        }
    };
    // The same on every machine, as podman's is: nothing is kept of it.
    let id = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9";
    let record = NetworkRecord {
        name: default_name(),
        id: id.to_owned(),
        created: Timestamp(0),
        driver: NetworkDriver::Bridge,
        device: device(&format!("{}0", devices())),
        subnets: vec![SubnetRecord { subnet, gateway: Some(ipam::default_gateway(subnet)), range: None }],
        routes: Vec::new(),
        internal: false,
        dns: true,
        name_servers: Vec::new(),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
    };
    if configured.is_some() {
        check(&record, subnet, &records)?;
    }
    Ok(record)
}

/// A subnet that nobody has, of those that containers.conf has for networks.
fn free_subnet(taken: &[IpNet]) -> Option<IpNet> {
    match ContainersConf::here().pools("default_subnet_pools") {
        [] => ipam::free_subnet(&ipam::POOLS, taken),
        pools => ipam::free_subnet(pools, taken),
    }
}

/// The bridge of a network whose bridge has no name yet.
pub fn default_device() -> DeviceName {
    device(&format!("{}1", devices()))
}

/// How names of devices begin: as podman's where nobody else sees them. On the host podman may have its own.
fn devices() -> &'static str {
    if privilege::is_privileged() { "coracle" } else { "podman" }
}

fn device(name: &str) -> DeviceName {
    name.parse().unwrap_or_else(|_| unreachable!("it is the name of a device"))
}

/// The records that are there.
fn recorded(layout: &Layout) -> Vec<NetworkRecord> {
    let names: Vec<NetworkName> = record::names(&layout.networks());
    record::all(&names, |name| record::read(&layout.network_record(name))).0
}

/// Where the host has routes to, but for those to our own networks.
fn routed(records: &[NetworkRecord]) -> Result<Vec<IpNet>, NamedError> {
    let routed = || {
        let netlink = Netlink::open()?;
        let mut own = Vec::new();
        if privilege::is_privileged() {
            let default = device(&format!("{}0", devices()));
            let bridges = records.iter().filter(|record| record.driver == NetworkDriver::Bridge);
            for name in bridges.map(|record| &record.device).chain([&default]) {
                own.extend(link::find(&netlink, name.as_str())?);
            }
        }
        link::routed(&netlink, &own)
    };
    routed().map_err(NamedError::Routes)
}

/// The names of the host's devices, where those of networks are among them.
fn devices_of_host() -> Result<Vec<String>, NamedError> {
    match privilege::is_privileged() {
        true => Netlink::open().and_then(|netlink| link::names(&netlink)).map_err(NamedError::Routes),
        false => Ok(Vec::new()),
    }
}

fn taken(records: &[NetworkRecord]) -> Result<Vec<IpNet>, NamedError> {
    let routed = routed(records)?;
    let of_networks = records.iter().flat_map(|record| record.subnets.iter().map(|subnet| subnet.subnet));
    Ok(routed.into_iter().chain(of_networks).collect())
}

/// What a new network is to be; subnets that are left open are found.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The record, with the subnets that were asked for.
    pub record: NetworkRecord,
    /// Whether it gets an IPv6 subnet if none was asked for.
    pub ipv6: bool,
    /// Whether the name of the device was asked for.
    pub has_device: bool,
}

/// Makes a network. Nothing is changed if there is one of its name.
pub fn create(layout: &Layout, draft: Draft, _lock: &Exclusive) -> Result<NetworkRecord, NamedError> {
    let Draft { mut record, ipv6, has_device } = draft;
    if get(layout, &record.name)?.is_some() {
        return Err(NamedError::Exists(record.name));
    }
    let (others, _) = list(layout);
    for subnet in &record.subnets {
        check(&record, subnet.subnet, &others)?;
    }
    if record.driver == NetworkDriver::Bridge {
        let all = taken(&others)?;
        if !record.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv4()) && (record.subnets.is_empty() || ipv6) {
            let subnet = free_subnet(&all).ok_or_else(|| NamedError::NoSubnet(record.name.clone()))?;
            record.subnets.insert(0, SubnetRecord { subnet, gateway: None, range: None });
        }
        if ipv6 && !record.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv6()) {
            let bytes: [u8; 32] = random::bytes().map_err(NamedError::Random)?;
            let [a, b, c, d, e, ..] = bytes;
            let subnet = ipam::local_subnet([a, b, c, d, e]);
            record.subnets.push(SubnetRecord { subnet, gateway: None, range: None });
        }
        for subnet in &mut record.subnets {
            subnet.gateway = subnet.gateway.or_else(|| Some(ipam::default_gateway(subnet.subnet)));
        }
        if !has_device {
            let of_host = devices_of_host()?;
            let is_free = |name: &DeviceName| {
                others.iter().all(|other| other.device != *name) && of_host.iter().all(|other| other != name.as_str())
            };
            let mut names = (1..).map(|number| device(&format!("{}{number}", devices())));
            record.device = names.find(is_free).unwrap_or(record.device);
        }
    }
    if record.driver != NetworkDriver::Bridge {
        share(&mut record, has_device)?;
    }
    let bytes: [u8; 32] = random::bytes().map_err(NamedError::Random)?;
    record.id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    record::write_durable(&layout.tmp(), &layout.network_record(&record.name), &record)?;
    Ok(record)
}

/// What a network that shares a device of the host needs: the privilege, the device, and a router where members have one.
fn share(record: &mut NetworkRecord, has_device: bool) -> Result<(), NamedError> {
    if !privilege::is_privileged() {
        return Err(NamedError::Privilege { name: record.name.clone(), kind: record.driver.as_str() });
    }
    let netlink = Netlink::open().map_err(NamedError::Routes)?;
    if has_device {
        let found = link::find(&netlink, record.device.as_str()).map_err(NamedError::Routes)?;
        found.ok_or_else(|| NamedError::NoParent(record.name.clone(), record.device.to_string()))?;
    } else {
        let missing = || NamedError::NoDefaultParent(record.name.clone());
        let parent = link::default_route(&netlink).map_err(NamedError::Routes)?.ok_or_else(missing)?;
        let name = link::describe(&netlink, parent).map_err(NamedError::Routes)?.name;
        record.device = name.parse().map_err(|_| NamedError::NoParent(record.name.clone(), name))?;
    }
    let mode = record.options.get("mode").map_or("", String::as_str);
    let has_gateway = link::Sharing::of(record.driver, mode).is_some_and(|sharing| !sharing.has_no_gateway());
    for subnet in record.subnets.iter_mut().filter(|_| has_gateway && !record.internal) {
        subnet.gateway = subnet.gateway.or_else(|| Some(ipam::default_gateway(subnet.subnet)));
    }
    Ok(())
}

/// Refuses a subnet that is in use.
fn check(record: &NetworkRecord, subnet: IpNet, others: &[NetworkRecord]) -> Result<(), NamedError> {
    let overlap = |other, owner| NamedError::Overlap { name: record.name.clone(), subnet, other, owner };
    for other in others {
        let theirs: Vec<IpNet> = other.subnets.iter().map(|subnet| subnet.subnet).collect();
        if let Some(theirs) = ipam::overlapping(subnet, &theirs) {
            return Err(overlap(theirs, format!("which is that of the network {}", other.name)));
        }
    }
    if record.driver == NetworkDriver::Bridge {
        let routed = routed(others)?;
        if let Some(route) = ipam::overlapping(subnet, &routed) {
            return Err(overlap(route, "to which the host has a route".to_owned()));
        }
    }
    Ok(())
}

/// Replaces the record of a network, which is there.
pub fn replace(layout: &Layout, record: &NetworkRecord, _lock: &Exclusive) -> Result<(), NamedError> {
    Ok(record::write_durable(&layout.tmp(), &layout.network_record(&record.name), record)?)
}

/// Removes the record of a network that nobody uses.
pub fn remove(layout: &Layout, name: &NetworkName, _lock: &Exclusive) -> Result<(), NamedError> {
    if *name == default_name() {
        return Err(NamedError::Default(name.clone()));
    }
    match fs::remove_file(layout.network_record(name)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(NamedError::Remove(name.clone(), cause)),
        _ => {
            let _ = fs::remove_dir_all(layout.network_state(name));
            Ok(())
        }
    }
}
