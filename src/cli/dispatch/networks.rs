//! Networks.

use jiff::Timestamp;

use super::{Users, remove_container};
use crate::cli::error;
use crate::container::networks::change;
use crate::container::networks::filter::NetworkFilter;
use crate::container::networks::{self, Summary};
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::name::filter::Filters;
use crate::name::network::{Attachment, NetworkName};
use crate::net::named::{self, Draft};
use crate::state::journal::{self, NetworkEvent};
use crate::state::layout::Layout;
use crate::state::lock;
use crate::state::schema::network::NetworkRecord;
use crate::store::Store;

/// Makes a network.
pub fn create(layout: &Layout, draft: Draft) -> Result<(), Failure> {
    Store::open(layout.clone())?;
    let guard = lock::networks_exclusive(layout, &mut super::say_waiting)?;
    let record = named::create(layout, draft, &guard)?;
    journal::note_network(layout, NetworkEvent::Create, record.name.as_str());
    Ok(())
}

/// The networks that `filters` mean, in the order of their names.
pub fn list(layout: &Layout, filters: &Filters) -> Result<Vec<Summary>, Failure> {
    let filter = NetworkFilter::new(filters, Timestamp::now())?;
    let (mut summaries, failures) = networks::summaries(layout)?;
    failures.iter().for_each(error::report);
    summaries.retain(|network| filter.matches(network));
    Ok(summaries)
}

/// A network by its name, its identifier, or the beginning of that.
pub fn find(layout: &Layout, text: &str) -> Result<Summary, Failure> {
    networks::summary(layout, named::find(layout, text)?)
}

/// Removes a network.
pub fn remove(layout: &Layout, text: &str, users: Users) -> Result<(), Failure> {
    let name = named::find(layout, text)?.name;
    if let Users::Remove(patience) = users {
        for (id, _) in networks::users(layout, &name)? {
            match remove_container(layout, id.as_str(), IfRunning::End(patience), OwnVolumes::Keep) {
                Err(failure) if failure.code() != "E_NOTFOUND" => return Err(failure),
                _ => {}
            }
        }
    }
    change::remove(layout, &name)?;
    journal::note_network(layout, NetworkEvent::Remove, name.as_str());
    Ok(())
}

/// Removes networks that nobody uses: their names, and what failed.
pub fn prune(layout: &Layout, filters: &Filters) -> Result<(Vec<NetworkName>, Vec<Failure>), Failure> {
    let filter = NetworkFilter::new(filters, Timestamp::now())?;
    let (removed, failures) = change::prune(layout, |network| filter.matches(network))?;
    for name in &removed {
        journal::note_network(layout, NetworkEvent::Remove, name.as_str());
    }
    Ok((removed, failures))
}

/// Attaches a container to a network.
pub fn connect(layout: &Layout, container: &str, attachment: Attachment) -> Result<(), Failure> {
    let name = attachment.network.clone();
    change::connect(layout, container, attachment)?;
    journal::note_network(layout, NetworkEvent::Connect, name.as_str());
    Ok(())
}

/// Detaches a container from a network.
pub fn disconnect(layout: &Layout, container: &str, network: &NetworkRecord) -> Result<(), Failure> {
    change::disconnect(layout, container, network)?;
    journal::note_network(layout, NetworkEvent::Disconnect, network.name.as_str());
    Ok(())
}

/// Changes a network.
pub fn update(layout: &Layout, text: &str, change: impl FnOnce(&mut NetworkRecord)) -> Result<(), Failure> {
    Store::open(layout.clone())?;
    change::update(layout, text, change)
}

/// Sees to it that the networks of containers work: of which.
pub fn reload(layout: &Layout, containers: &[String]) -> Result<Vec<ContainerId>, Failure> {
    change::reload(layout, containers)
}

/// Enters the namespace of a network with this process, for good. The network stays as long as that or what it executes lives.
pub fn enter(layout: &Layout, text: &str) -> Result<(), Failure> {
    let record = named::find(layout, text)?;
    networks::enter(layout, &record)
}
