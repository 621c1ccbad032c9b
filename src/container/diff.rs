//! `diff`: what a container's or an image's files differ in.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::changes::{self, Change};
use super::files::pack::{names, open_directory, type_of};
use super::files::trees::{self, Trees};
use super::files::{compare, visit};
use super::list;
use crate::failure::Failure;
use crate::name::image_selector::ImageSelector;
use crate::runtime::plan::LaunchPlan;
use crate::state::schema::container::ContainerRecord;
use crate::state::schema::image::ImageRecord;
use crate::store::Store;

/// What has files.
#[allow(clippy::large_enum_variant, reason = "one or two exist per command")]
pub enum Subject {
    /// A container.
    Container(ContainerRecord),
    /// An image.
    Image(ImageRecord),
}

impl Subject {
    /// The container, else the image, that `text` names.
    pub fn find(store: &Store, text: &str) -> Result<Self, Failure> {
        let unknown = match list::find(store.layout(), text) {
            Ok(id) => match list::load(store.layout(), &id)? {
                Some(container) => return Ok(Self::Container(container.record)),
                None => list::NotFound::Unknown(text.into()),
            },
            Err(error) => error,
        };
        let image = match text.parse::<ImageSelector>() {
            Ok(selector) => store.images().resolve(&selector)?,
            Err(_) => None,
        };
        match image {
            Some(image) => Ok(Self::Image(image.record)),
            None => {
                let what = format!("there is no container and no image {text:?}");
                let _ = unknown;
                Err(Failure::new("E_NOTFOUND", what)
                    .with_hint("coracle ps --all and coracle images list what there is"))
            }
        }
    }

    fn trees(&self, store: &Store) -> Result<Trees, Failure> {
        match self {
            Self::Container(record) => Trees::of_container(store, record),
            Self::Image(image) => Ok(Trees::of_image(image)),
        }
    }
}

/// What the subject has changed in what it is based on: a container in its image, an image in all but its last layer.
pub fn own(store: &Store, subject: &Subject) -> Result<Vec<Change>, Failure> {
    let trees = match subject {
        Subject::Container(_) => subject.trees(store)?,
        Subject::Image(image) => Trees::of_topmost_layer(image),
    };
    if !trees.has_upper() {
        if matches!(subject, Subject::Image(_)) {
            return Ok(Vec::new());
        }
        let what = "comparing the container's files: its root is a directory, and nobody knows what that was before";
        return Err(Failure::new("E_UNSUPPORTED", what).with_hint("name an image or a container to compare it with"));
    }
    let plan = trees.plan_of_changes(store.layout())?;
    let mounted_on = trees.mounted_on;
    ask(plan, |inside| {
        let upper = inside.mounts.get(trees::OTHER.0).and_then(Option::as_ref);
        let upper = upper.ok_or_else(|| visit::internal("opening a layer", "it is not mounted"))?;
        changes::of(&trees::root_of(upper)?, &inside.root, &mounted_on)
    })
}

/// Bytes that the files take which a container has made or changed in a copy of its layers.
pub fn written(store: &Store, record: &ContainerRecord) -> Result<u64, Failure> {
    let trees = Trees::of_container(store, record)?;
    ask(trees.plan_of_changes(store.layout())?, |inside| {
        let upper = inside.mounts.get(trees::OTHER.0).and_then(Option::as_ref);
        let upper = upper.ok_or_else(|| visit::internal("opening a layer", "it is not mounted"))?;
        room(trees::root_of(upper)?).map_err(|errno| visit::internal("measuring the container's files", errno))
    })
}

/// Bytes that everything in a directory takes; a file of several names counts once.
fn room(directory: OwnedFd) -> Result<u64, Errno> {
    let (mut bytes, mut seen, mut directories) = (0, HashSet::new(), vec![directory]);
    while let Some(directory) = directories.pop() {
        for name in names(directory.as_fd())? {
            let stat = fstatat(&directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += stat.st_blocks as u64 * 512;
            }
            if type_of(&stat) == libc::S_IFDIR {
                directories.push(open_directory(directory.as_fd(), &name, true)?);
            }
        }
    }
    Ok(bytes)
}

/// What makes the files of `subject` of those of `other`.
pub fn between(store: &Store, subject: &Subject, other: &Subject) -> Result<Vec<Change>, Failure> {
    let (new, old) = (subject.trees(store)?, other.trees(store)?);
    let plan = new.plan_to_compare(&old, store.layout())?;
    let ignored: Vec<Vec<u8>> = new.mounted_on.iter().chain(&old.mounted_on).cloned().collect();
    let mut changes = ask(plan, |inside| {
        let old = inside.mounts.get(trees::OTHER.0).and_then(Option::as_ref);
        let old = old.ok_or_else(|| visit::internal("opening a root", "it is not mounted"))?;
        compare::roots(&inside.root, &trees::root_of(old)?)
    })?;
    changes.retain(|change| !ignored.iter().any(|path| path == change.path.as_bytes()));
    Ok(changes)
}

/// Has a visitor find something out.
fn ask<T: Serialize + DeserializeOwned>(
    mut plan: LaunchPlan,
    find: impl FnOnce(&visit::Inside) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (mut reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    let writer = OwnedFd::from(writer);
    let visitor = visit::start(&mut plan, writer.as_fd(), |inside, mut data| {
        let changes =
            serde_json::to_vec(&find(&inside)?).map_err(|cause| visit::internal("telling the changes", cause))?;
        data.write_all(&changes).map_err(|cause| visit::internal("telling the changes", cause))?;
        Ok(Vec::new())
    })?;
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|cause| visit::internal("hearing the changes", cause))?;
    visitor.finish()?;
    serde_json::from_slice(&bytes).map_err(|cause| visit::internal("hearing the changes", cause))
}
