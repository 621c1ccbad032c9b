//! The network of another container, or of whoever keeps a namespace at a path (`--network container:NAME`, `ns:PATH`).

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::list;
use super::live::Live;
use super::request::{NetworkMode, Request};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::net::error::NetworkError;
use crate::net::plan::{JoinPlan, NetworkPlan, Owner};
use crate::runtime::spawn::Membership;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use crate::sys::namespace;

/// The request with the container whose network is joined named by its identifier: names change.
pub fn settled<'r>(layout: &Layout, request: Cow<'r, Request>) -> Result<Cow<'r, Request>, Failure> {
    let NetworkMode::Container(name) = &request.network else { return Ok(request) };
    let id = list::find(layout, name)?;
    let mut settled = request.into_owned();
    settled.network = NetworkMode::Container(id.to_string());
    Ok(Cow::Owned(settled))
}

/// The namespaces that a container with this plan is made in, if that says so.
pub fn open(layout: &Layout, plan: &NetworkPlan, record: &ContainerRecord) -> Result<Option<Membership>, Failure> {
    let NetworkPlan::Join(JoinPlan { of, shares_users }) = plan else { return Ok(None) };
    let network = match of {
        Owner::Path(path) => open_namespace(path).map_err(|cause| refused(path, cause))?,
        Owner::Container(id) => of_container(layout, id, record)?,
    };
    let users = match shares_users {
        true => Some(
            namespace::owner(network.as_fd()).map_err(|errno| refused(Path::new("of the container"), errno.into()))?,
        ),
        false => None,
    };
    Ok(Some(Membership { users, network, ids: record.process.ids }))
}

fn refused(path: &Path, cause: io::Error) -> NetworkError {
    NetworkError::Namespace { path: path.to_owned(), cause }
}

fn of_container(layout: &Layout, id: &str, record: &ContainerRecord) -> Result<OwnedFd, Failure> {
    let id: ContainerId = id.parse().or_else(|_| list::find(layout, id))?;
    let live = Live::find(layout, &id)?;
    let (theirs, ours) = (live.record.process.ids, record.process.ids);
    // A user namespace of a user has one id, and so have all containers in it.
    if theirs != ours && !nix::unistd::geteuid().is_root() {
        let message = format!(
            "joining the network of container {}: it runs as user {}:{}, this one as {}:{}",
            id.short(),
            theirs.0,
            theirs.1,
            ours.0,
            ours.1
        );
        let hint = format!("give both the same user: --user {}:{}", theirs.0, theirs.1);
        return Err(Failure::new("E_NETWORK", message).with_hint(hint));
    }
    if live.record.network == "host" {
        let message = format!("joining the network of container {}: that is the host's", id.short());
        return Err(Failure::new("E_NETWORK", message).with_hint("--network host"));
    }
    let path = format!("/proc/{}/ns/net", live.processes.init);
    let network = open_namespace(Path::new(&path)).map_err(|cause| refused(Path::new(&path), cause))?;
    // What was opened is the container's if that still runs.
    live.check()?;
    Ok(network)
}

fn open_namespace(path: &Path) -> io::Result<OwnedFd> {
    File::open(path).map(OwnedFd::from)
}

/// Whether the network namespace at `path` belongs to a user namespace below ours.
pub fn is_of_users_below(path: &Path) -> io::Result<bool> {
    let network = open_namespace(path)?;
    let users = match namespace::owner(network.as_fd()) {
        Ok(users) => File::from(users),
        Err(nix::errno::Errno::EPERM) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    };
    let (theirs, ours) = (users.metadata()?, std::fs::metadata("/proc/self/ns/user")?);
    Ok((theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()))
}
