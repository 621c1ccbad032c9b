//! What is done with networks and with the containers in them: `connect`, `disconnect`, `rm`, `prune`, `update`, `reload`.

use std::cell::Cell;

use super::{Summary, attach, connect as connect_holder, give_back_one, is_alive, kept, summaries, take_one};
use crate::container::list;
use crate::container::live::Live;
use crate::container::request::NetworkMode;
use crate::container::status::{self, Status};
use crate::failure::{Explain, Failure};
use crate::name::container::ContainerId;
use crate::name::network::{Attachment, NetworkName};
use crate::net::holder::protocol::{Connection, Request as Asked};
use crate::net::lease::{self, Wish};
use crate::net::named::{self, NamedError};
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use crate::state::schema::network::{ContainerNetworks, NetworkRecord};
use crate::state::{lock, record};

/// Why the networks of a container are left as they are.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is in none, and cannot get into one.
    #[error("container {container} has no networks that could be changed: its network is {mode}")]
    NoNetworks {
        /// Its name.
        container: String,
        /// Its network.
        mode: String,
    },
    /// It is in it.
    #[error("container {container} is in the network {network} already")]
    IsIn {
        /// Its name.
        container: String,
        /// The network.
        network: NetworkName,
    },
    /// It is not in it.
    #[error("container {container} is not in the network {network}")]
    IsNotIn {
        /// Its name.
        container: String,
        /// The network.
        network: NetworkName,
    },
}

impl Explain for ChangeError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoNetworks { .. } => "E_CONFIG",
            Self::IsIn { .. } => "E_EXISTS",
            Self::IsNotIn { .. } => "E_NOTFOUND",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoNetworks { .. } => Some("make it anew with --network bridge, or another network".into()),
            _ => None,
        }
    }
}

/// The attachments of a container, as they were changed.
fn attachments(layout: &Layout, record: &ContainerRecord) -> Result<Vec<Attachment>, Failure> {
    if let Some(kept) = kept(layout, &record.id) {
        return Ok(kept);
    }
    let request: Option<serde_json::Value> =
        record.request.as_ref().and_then(|kept| serde_json::from_str(kept.get()).ok());
    let mode = request.and_then(|request| serde_json::from_value(request.get("network")?.clone()).ok());
    match mode.or_else(|| NetworkMode::parse_all(std::slice::from_ref(&record.network)).ok()) {
        Some(NetworkMode::Networks(all)) => Ok(all),
        _ => {
            let (container, mode) = (record.name.to_string(), record.network.clone());
            Err(ChangeError::NoNetworks { container, mode }.into())
        }
    }
}

fn keep(layout: &Layout, id: &ContainerId, networks: Vec<Attachment>) -> Result<(), Failure> {
    let path = layout.container_networks(id);
    Ok(record::write_durable(&layout.tmp(), &path, &ContainerNetworks { networks })?)
}

fn load(layout: &Layout, container: &str) -> Result<ContainerRecord, Failure> {
    let id = list::find(layout, container)?;
    let listed = list::load(layout, &id)?.ok_or_else(|| list::NotFound::Unknown(container.to_owned()))?;
    Ok(listed.record)
}

/// Attaches a container to another network.
pub fn connect(layout: &Layout, container: &str, attachment: Attachment) -> Result<(), Failure> {
    let record = load(layout, container)?;
    let mut all = attachments(layout, &record)?;
    let network_name = attachment.network.clone();
    if all.iter().any(|other| named::canonical(&other.network) == network_name) {
        return Err(ChangeError::IsIn { container: record.name.to_string(), network: network_name }.into());
    }
    let missing = || NamedError::Missing(network_name.to_string());
    let network = named::get(layout, &network_name)?.ok_or_else(missing)?;
    all.push(attachment.clone());
    if matches!(status::of(layout, &record.id)?, Status::Running(_)) {
        let live = Live::find(layout, &record.id)?;
        let metric = super::METRIC + all.len() as u32;
        let (id, name) = (&record.id, &record.name);
        let wish = Wish { id, name, attachment: &attachment, name_servers: &[], metric, ports: &[] };
        let lease = take_one(layout, &network, &wish)?;
        let attached = connect_holder(layout, &network, &Cell::new(false))
            .and_then(|connection| attach(&connection, &lease, &live));
        if let Err(failure) = attached {
            give_back_one(layout, &record.id, &network_name);
            return Err(failure);
        }
    }
    keep(layout, &record.id, all)
}

/// Detaches a container from a network.
pub fn disconnect(layout: &Layout, container: &str, network: &NetworkRecord) -> Result<(), Failure> {
    let record = load(layout, container)?;
    let mut all = attachments(layout, &record)?;
    let before = all.len();
    all.retain(|attachment| named::canonical(&attachment.network) != network.name);
    if all.len() == before {
        let (container, network) = (record.name.to_string(), network.name.clone());
        return Err(ChangeError::IsNotIn { container, network }.into());
    }
    keep(layout, &record.id, all)?;
    if let Some(connection) = Connection::open(&layout.holder_socket(&network.name), &network.name) {
        connection.ask(&Asked::Leave(record.id.clone()), &[])?;
    }
    give_back_one(layout, &record.id, &network.name);
    Ok(())
}

/// Removes a network in which nobody is.
pub fn remove(layout: &Layout, name: &NetworkName) -> Result<(), Failure> {
    let guard = lock::networks_exclusive(layout, &mut |_| {})?;
    let users: Vec<String> = super::users(layout, name)?.into_iter().map(|(_, name)| name).collect();
    if !users.is_empty() {
        return Err(NamedError::InUse { name: name.clone(), users }.into());
    }
    Ok(named::remove(layout, name, &guard)?)
}

/// Removes the networks in which nobody is and that are meant.
pub fn prune(
    layout: &Layout,
    is_meant: impl Fn(&Summary) -> bool,
) -> Result<(Vec<NetworkName>, Vec<Failure>), Failure> {
    let (all, mut failures) = summaries(layout)?;
    let mut removed = Vec::new();
    for network in all.iter().filter(|network| network.users.is_empty() && !network.is_default() && is_meant(network)) {
        match remove(layout, &network.record.name) {
            Ok(()) => removed.push(network.record.name.clone()),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((removed, failures))
}

/// Changes a network, and tells who holds it.
pub fn update(layout: &Layout, text: &str, change: impl FnOnce(&mut NetworkRecord)) -> Result<(), Failure> {
    let guard = lock::networks_exclusive(layout, &mut |_| {})?;
    let mut record = named::find(layout, text)?;
    change(&mut record);
    named::replace(layout, &record, &guard)?;
    if let Some(connection) = Connection::open(&layout.holder_socket(&record.name), &record.name) {
        connection.ask(&Asked::Reload(Box::new(record)), &[])?;
    }
    Ok(())
}

/// Sees to it that somebody holds the networks of these containers, or of all.
pub fn reload(layout: &Layout, containers: &[String]) -> Result<Vec<ContainerId>, Failure> {
    let wanted = containers.iter().map(|name| list::find(layout, name)).collect::<Result<Vec<_>, _>>()?;
    let mut reached = Vec::new();
    for record in named::list(layout).0 {
        let leases = lease::all(layout, &record.name);
        let members = leases.into_iter().map(|lease| lease.id).filter(|id| wanted.is_empty() || wanted.contains(id));
        let members: Vec<ContainerId> = members.filter(|id| is_alive(layout, id)).collect();
        if !members.is_empty() {
            connect_holder(layout, &record, &Cell::new(false))?;
            reached.extend(members);
        }
    }
    reached.sort();
    reached.dedup();
    Ok(reached)
}
