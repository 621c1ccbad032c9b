//! `export`: all files of a container as one tar.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use super::files::pack::{Packer, Settings};
use super::files::recorded::Recorded;
use super::files::trees::{Held, Trees};
use super::files::visit::{self, Ids, Visitor};
use super::list::Listed;
use super::status::Status;
use crate::failure::Failure;
use crate::runtime::plan::LaunchPlan;
use crate::store::Store;
use crate::sys::mount::{self, Depth};

/// A tar being made by a visitor.
pub struct Archive {
    /// Where it comes from.
    reader: io::PipeReader,
    visitor: Visitor,
}

impl Archive {
    /// The archive that `visitor` writes into the other end of the pipe.
    pub fn new(reader: io::PipeReader, visitor: Visitor) -> Self {
        Self { reader, visitor }
    }

    /// After the last byte: whether all of it came, and what had to be left out.
    pub fn finish(self) -> Result<Vec<String>, Failure> {
        drop(self.reader);
        let report = self.visitor.finish()?;
        serde_json::from_slice(&report).map_err(|cause| visit::internal("hearing of the archive", cause))
    }

    /// What went wrong, where taking the bytes has failed with `failure`.
    pub fn explain(self, failure: Failure) -> Failure {
        drop(self.reader);
        self.visitor.explain(failure)
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Begins to pack the files of the container: those of its root, without what is mounted there.
pub fn execute(store: &Store, container: &Listed) -> Result<Archive, Failure> {
    let record = &container.record;
    let (ids, recorded) = (Ids::of(record)?, Recorded::of_container(store, record)?);
    let running = match &container.status {
        Status::Running(processes) | Status::Initialized(processes) => visit::join(processes),
        _ => None,
    };
    // From inside of a container that runs its layers cannot be told from each other.
    let needs_layers = ids.need_layers(&recorded) && (running.is_none() || record.rootfs.is_none());
    match running.filter(|_| !needs_layers) {
        Some(plan) => archive(plan, (ids, recorded), View::WithoutMounts),
        None => {
            let trees = Trees::of_container(store, record)?;
            let held = if needs_layers && trees.has_upper() { Held::Layers } else { Held::Nothing };
            archive(trees.plan_to_read(store.layout(), held)?, (ids, recorded), View::AsItIs(held))
        }
    }
}

/// What of a root is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// It has no mounts below it.
    AsItIs(Held),
    /// What lies below its mounts.
    WithoutMounts,
}

pub(super) fn archive(mut plan: LaunchPlan, (ids, recorded): (Ids, Recorded), view: View) -> Result<Archive, Failure> {
    let (reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let writer = OwnedFd::from(writer);
    let visitor = visit::start(&mut plan, writer.as_fd(), |inside, data| {
        let (owners, made) = match view {
            View::AsItIs(Held::Layers) => (ids.owners(), ids.made(&inside)?),
            View::AsItIs(Held::Nothing) => (ids.owners(), None),
            View::WithoutMounts => (ids.owners_from_inside(), None),
        };
        let root = match view {
            View::AsItIs(_) => inside.root,
            View::WithoutMounts => {
                let alone = mount::clone_tree(inside.root.as_fd(), c"", Depth::Single);
                let alone = alone.map_err(|errno| visit::internal("looking below the container's mounts", errno))?;
                super::files::trees::root_of(&alone)?
            }
        };
        let settings = Settings { owners, recorded, made, one_mount: true, xattrs: true };
        let mut packer = Packer::new(io::BufWriter::with_capacity(64 << 10, data), settings);
        packer.directory(&root, b"", b"")?;
        packer.contents(root.as_fd(), b"", b"")?;
        serde_json::to_vec(&packer.finish()?).map_err(|cause| visit::internal("telling of the archive", cause))
    })?;
    drop(writer);
    Ok(Archive::new(reader, visitor))
}
