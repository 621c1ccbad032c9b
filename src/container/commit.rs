//! `commit`: what a container has changed becomes a layer, and how it is run becomes settings, of a new image.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use serde_json::{Map, Value, json};

use super::environment::DEFAULT_PATH;
use super::export::{self, Archive};
use super::files::changes::{self, Change, Kind};
use super::files::pack::{Packer, Settings, failed, joined};
use super::files::recorded::Recorded;
use super::files::trees::{self, Trees};
use super::files::visit::{self, Ids};
use super::list::Listed;
use super::status::Status;
use super::{event, freeze};
use crate::failure::Failure;
use crate::host::env;
use crate::image::assemble::{self, Format, LayerWriter, NewImage};
use crate::name::config_change::ConfigChange;
use crate::name::ids::IdsMode;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::oci::manifest::MAX_CONFIG;
use crate::oci::platform::Platform;
use crate::state::journal::ContainerEvent;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::state::schema::image::{ImageLayer, ImageRecord};
use crate::store::Store;
use crate::sys::in_root::{Resolve, open_below};

/// What is to be made.
pub struct Request {
    /// Text for the history.
    pub message: Option<String>,
    /// Author.
    pub author: Option<String>,
    /// Whether the container's processes stand still meanwhile.
    pub pause: bool,
    /// Changes of the settings.
    pub changes: Vec<ConfigChange>,
    /// Whose documents.
    pub format: Format,
    /// What becomes of the layers.
    pub layers: Layers,
    /// The name of the image.
    pub reference: Option<Reference>,
    /// What the image says of the container's volumes.
    pub volumes: Volumes,
}

/// What the image says of the container's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// Nothing more than the image it was made from does.
    LeftOut,
    /// A container of the image gets a volume wherever this one has one.
    Declared,
}

/// What becomes of the image's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The changes are one more.
    Kept,
    /// Everything becomes one.
    Squashed,
}

/// Makes an image of the container; its id, and what the user should know of it. Layers are only safe while the store is locked.
pub fn execute(store: &Store, container: &Listed, request: Request) -> Result<(ImageId, Vec<String>), Failure> {
    let record = &container.record;
    let origin = record.image.as_ref().map(|origin| store.images().get(&origin.id)).transpose()?;
    let base = origin.flatten();
    // Of an image that is gone the layers are left, but not what is said of them.
    let layers = if base.is_none() { Layers::Squashed } else { request.layers };
    let stored =
        if request.pause { standing_still(store, container, layers) } else { stored(store, container, layers) };
    let Stored { layer, mut warnings, alone } = stored?;
    let mut config = match &base {
        Some(image) => image_config(store, image)?,
        None => assemble::empty_config(&Platform::host()),
    };
    let created = assemble::created()?;
    let (by, text) = (record.process.command.join(" "), request.message.unwrap_or_default());
    let entry = json!({ "created": created, "created_by": by, "author": request.author, "comment": text });
    match config["history"].as_array_mut().filter(|_| !alone) {
        Some(history) => history.push(entry),
        None => config["history"] = json!([entry]),
    }
    config["created"] = json!(created);
    if let Some(author) = request.author {
        config["author"] = json!(author);
    }
    RunSettings::of(record).write(assemble::settings(&mut config));
    if request.volumes == Volumes::Declared {
        let volumes = record.mounts.iter().filter(|mount| mount.kind == "volume");
        let paths = volumes.map(|mount| mount.destination.clone()).collect();
        assemble::change(assemble::settings(&mut config), &[ConfigChange::Volume(paths)]);
    }
    assemble::change(assemble::settings(&mut config), &request.changes);
    let below = base.map(|image| image.layers).filter(|_| !alone).unwrap_or_default();
    let layers = below.into_iter().chain([layer]).collect();
    let new = NewImage { config, layers, format: request.format, reference: request.reference };
    let id = assemble::image(store, new)?;
    if record.ids.as_ref().is_some_and(|ids| ids.mode == IdsMode::Fake) {
        warnings.push(
            "what the container gave to other users belongs to root: with --ids=fake nothing of it is recorded".into(),
        );
    }
    let more = [(event::IMAGE_ID, id.hex().to_owned())];
    event::note_with(store.layout(), ContainerEvent::Commit, record, &more);
    Ok((id, warnings))
}

/// The configuration of an image as it is.
fn image_config(store: &Store, image: &ImageRecord) -> Result<Value, Failure> {
    let bytes = store.blobs().read(&image.id, MAX_CONFIG)?;
    serde_json::from_slice(&bytes)
        .map_err(|cause| Failure::new("E_CONFIG", format!("reading the configuration of image {}: {cause}", image.id)))
}

/// A container's changes in the store.
struct Stored {
    layer: ImageLayer,
    /// What the user should know of it.
    warnings: Vec<String>,
    /// Whether it has all files, and stands alone.
    alone: bool,
}

/// Stores the layer while the container's processes stand still, if any run.
fn standing_still(store: &Store, container: &Listed, layers: Layers) -> Result<Stored, Failure> {
    if !matches!(container.status, Status::Running(_)) || container.is_paused {
        return stored(store, container, layers);
    }
    let (layout, id) = (store.layout(), &container.record.id);
    freeze::pause(layout, id)?;
    let stored = stored(store, container, layers);
    freeze::unpause(layout, id)?;
    stored
}

fn stored(store: &Store, container: &Listed, layers: Layers) -> Result<Stored, Failure> {
    let Packed { mut archive, alone } = packed(store, container, layers)?;
    let mut writer = LayerWriter::new(store)?;
    if let Err(cause) = io::copy(&mut archive, &mut writer) {
        let failure = Failure::new(record::io_code(&cause), format!("storing the layer: {cause}"));
        return Err(archive.explain(failure));
    }
    let warnings = archive.finish()?;
    Ok(Stored { layer: writer.finish()?, warnings, alone })
}

/// A layer being packed.
struct Packed {
    archive: Archive,
    alone: bool,
}

/// Begins to pack the layer. One that stands alone is made of a container without an image, too.
fn packed(store: &Store, container: &Listed, layers: Layers) -> Result<Packed, Failure> {
    if layers == Layers::Squashed || container.record.image.is_none() {
        return Ok(Packed { archive: export::execute(store, container)?, alone: true });
    }
    let trees = Trees::of_container(store, &container.record)?;
    let (ids, recorded) = (Ids::of(&container.record)?, Recorded::of_container(store, &container.record)?);
    let mut plan = trees.plan_of_changes(store.layout())?;
    let mounted_on = trees.mounted_on;
    let (reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let writer = OwnedFd::from(writer);
    let visitor = visit::start(&mut plan, writer.as_fd(), |inside, data| {
        let upper = inside.mounts.get(trees::OTHER.0).and_then(Option::as_ref);
        let upper = upper.ok_or_else(|| visit::internal("opening a layer", "it is not mounted"))?;
        let upper = trees::root_of(upper)?;
        let changes = changes::of(&upper, &inside.root, &mounted_on)?;
        let made = if ids.need_layers(&recorded) { ids.made(&inside)? } else { None };
        let settings = Settings { owners: ids.owners(), recorded, made, one_mount: true, xattrs: true };
        let mut packer = Packer::new(io::BufWriter::with_capacity(64 << 10, data), settings);
        for change in &changes {
            pack(&mut packer, &upper, change)?;
        }
        serde_json::to_vec(&packer.finish()?).map_err(|cause| visit::internal("telling of the layer", cause))
    })?;
    drop(writer);
    Ok(Packed { archive: Archive::new(reader, visitor), alone: false })
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
struct RunSettings {
    env: Vec<(String, String)>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    workdir: String,
    /// Empty for root.
    user: String,
    labels: Vec<(String, String)>,
}

impl RunSettings {
    /// Those of the container, without what each container gets anew.
    fn of(record: &ContainerRecord) -> Self {
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
    /// Writes them over those of the image.
    fn write(self, settings: &mut Map<String, Value>) {
        self.env.iter().for_each(|(name, value)| assemble::set_variable(settings, name, value));
        let mut set = |key: &str, value: Value, is_said: bool| {
            if is_said || settings.contains_key(key) {
                settings.insert(key.into(), value);
            }
        };
        set("Entrypoint", json!(self.entrypoint), !self.entrypoint.is_empty());
        set("Cmd", json!(self.command), !self.command.is_empty());
        set("WorkingDir", json!(self.workdir), self.workdir != "/");
        set("User", json!(self.user), !self.user.is_empty());
        assemble::change(settings, &[ConfigChange::Label(self.labels)]);
    }
}
