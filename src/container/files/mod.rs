//! Files of containers, from outside: whoever touches them is a process that cannot leave the container's root, and what
//! crosses its border is a tar in a pipe.
//!
//! ```text
//!   command                                  visitor ("coracle-visit", a fork)
//!   fork ----------------------------------> running: joins user and mount namespace of the container
//!                                            stopped: mounts its root in namespaces of its own, and enters it
//!        <====== data: tar, one way =======>
//!        <------ report: result or failure - exit
//! ```

pub mod changes;
pub mod compare;
pub mod made;
pub mod pack;
pub mod recorded;
pub mod tar_writer;
pub mod trees;
pub mod unpack;
pub mod visit;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::failure::Failure;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::store::Store;

/// Has what a container has changed in a copy of its layers become its own layer, and removes the copy: what another driver takes
/// up is its layers. The container must be the caller's. Nothing is done where there is no copy.
pub fn settle(layout: &Layout, record: &ContainerRecord) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let Some(mut plan) = trees::Trees::of_container(&store, record)?.plan_to_settle(layout)? else { return Ok(()) };
    let (_, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let writer = OwnedFd::from(writer);
    visit::start(&mut plan, writer.as_fd(), |_, _| Ok(Vec::new()))?.finish()?;
    let copy = layout.container_copy(&record.id);
    let removed = TemporaryDirectory::take(&copy, &layout.tmp(), Kind::Trash).and_then(TemporaryDirectory::remove);
    removed.map_err(|cause| visit::internal("removing the container's copy of its layers", cause))
}
