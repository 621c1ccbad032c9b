//! `commit`: what a container has changed, as a layer, and how it is run, as settings of an image.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;

use super::environment::DEFAULT_PATH;
use super::export::{self, Archive};
use super::files::changes::{self, Change, Kind};
use super::files::pack::{Packer, Settings, failed, joined};
use super::files::recorded::Recorded;
use super::files::trees::{self, Trees};
use super::files::visit;
use super::list::Listed;
use crate::failure::Failure;
use crate::host::env;
use crate::state::schema::container::ContainerRecord;
use crate::store::Store;
use crate::sys::in_root::{Resolve, open_below};

/// What becomes of the image's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The changes are one more.
    Kept,
    /// Everything becomes one.
    Squashed,
}

/// A layer being packed, and what it belongs on.
pub struct Layer {
    /// Its tar.
    pub archive: Archive,
    /// Whether it has all files, and stands alone.
    pub alone: bool,
}

/// Begins to pack the layer. One that stands alone is made of a container without an image, too.
pub fn layer(store: &Store, container: &Listed, layers: Layers) -> Result<Layer, Failure> {
    if layers == Layers::Squashed || container.record.image.is_none() {
        return Ok(Layer { archive: export::execute(store, container)?, alone: true });
    }
    let trees = Trees::of_container(store, &container.record)?;
    let plan = trees.plan_of_changes(store.layout())?;
    let mounted_on = trees.mounted_on;
    let (reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let writer = OwnedFd::from(writer);
    let visitor = visit::start(&plan, writer.as_fd(), |inside, data| {
        let upper = inside.mounts.get(trees::OTHER.0).and_then(Option::as_ref);
        let upper = upper.ok_or_else(|| visit::internal("opening a layer", "it is not mounted"))?;
        let upper = trees::root_of(upper)?;
        let changes = changes::of(&upper, &inside.root, &mounted_on)?;
        let settings =
            Settings { owners: inside.owners(), recorded: Recorded::default(), one_mount: true, xattrs: true };
        let mut packer = Packer::new(io::BufWriter::with_capacity(64 << 10, data), settings);
        for change in &changes {
            pack(&mut packer, &upper, change)?;
        }
        serde_json::to_vec(&packer.finish()?).map_err(|cause| visit::internal("telling of the layer", cause))
    })?;
    drop(writer);
    Ok(Layer { archive: Archive::new(reader, visitor), alone: false })
}

/// One change as image-spec, "Image Layer Filesystem Changeset", has it.
fn pack(packer: &mut Packer<impl Write>, upper: &OwnedFd, change: &Change) -> Result<(), Failure> {
    let path = change.path.as_bytes();
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (parent, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
    if change.kind == Kind::Deleted {
        // What an opaque directory hides is not named.
        return if change.implied { Ok(()) } else { packer.mark(joined(parent, &[b".wh.", name].concat())) };
    }
    let c = |bytes: &[u8]| CString::new(if bytes.is_empty() { b"." } else { bytes }).unwrap_or_default();
    let directory = open_below(upper.as_fd(), &c(parent), OFlag::O_PATH | OFlag::O_DIRECTORY, Resolve::OneMount);
    let directory = match directory {
        // It went while the rest was packed.
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR | nix::errno::Errno::ELOOP) => return Ok(()),
        other => other.map_err(|errno| failed("opening", parent, errno))?,
    };
    packer.one(directory.as_fd(), &c(name), path, path)?;
    if change.opaque { packer.mark(joined(path, b".wh..wh..opq")) } else { Ok(()) }
}

/// How the container is run, as far as an image can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Command.
    pub command: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// User, empty for root.
    pub user: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
}

impl RunSettings {
    /// Those of the container, without what each container gets anew.
    pub fn of(record: &ContainerRecord) -> Self {
        let process = &record.process;
        let pair = |entry: &String| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let given_to_all = |(name, value): &(String, String)| match name.as_str() {
            "PATH" => value == DEFAULT_PATH,
            "container" => value == "coracle",
            "HOSTNAME" => *value == record.hostname,
            "TERM" => value == "xterm" && process.terminal,
            "HOME" => matches!(value.as_str(), "/root" | "/"),
            name => name == env::STARTED.name,
        };
        Self {
            env: process.env.iter().filter_map(pair).filter(|variable| !given_to_all(variable)).collect(),
            entrypoint: process.entrypoint.clone(),
            command: process.command.clone(),
            workdir: process.workdir.clone(),
            user: process.user.clone(),
            labels: record.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}
