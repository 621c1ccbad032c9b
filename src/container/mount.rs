//! `mount` and `unmount`: the files of a container where programs of the host can read and write them.
//!
//! As with images, an unprivileged process can mount something only for itself and those that it starts: hence these work in the
//! namespaces that `unshare` makes, as podman's do. A container that runs has its layer to itself, and is shown read-only.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::event;
use super::files::trees::{Mode, Trees};
use super::list::Listed;
use super::status::Status;
use crate::failure::Failure;
use crate::image::mount::{self, IfBusy, MountError, Subject};
use crate::state::journal::ContainerEvent;
use crate::store::Store;

/// Where the container's files are to be seen in our mount namespace, if it is mounted. A directory that is the root itself
/// always is.
pub fn mounted_at(store: &Store, container: &Listed) -> Option<PathBuf> {
    let path = store.layout().container_mount(&container.record.id);
    if mount::is_mounted(&path) { Some(path) } else { plain_root(container).map(Path::to_path_buf) }
}

/// The directory that is the container's root, where nothing is laid over it.
fn plain_root(container: &Listed) -> Option<&Path> {
    container.record.rootfs.as_deref().filter(|_| container.record.driver != "overlay")
}

/// Mounts the container's files unless they are; where. The layers are opened by names relative to the store, which becomes
/// this process's working directory.
pub fn mount(store: &Store, container: &Listed) -> Result<PathBuf, Failure> {
    if let Some(path) = mounted_at(store, container) {
        return Ok(path);
    }
    let (layout, record) = (store.layout(), &container.record);
    let path = layout.container_mount(&record.id);
    let failed = |cause| Subject::container(&record.name).failed("mounting", &path, cause);
    let has_layer_to_itself = !matches!(container.status, Status::Created | Status::Stopped(_));
    let mode = if has_layer_to_itself { Mode::ToRead } else { Mode::ToWrite };
    let all = Trees::of_container(store, record)?;
    let point = mount::prepare(layout, &path).map_err(failed)?;
    if let Some(tree) = all.copy() {
        mount::attach_tree(&tree, mode == Mode::ToWrite, &point).map_err(failed)?;
        event::note(layout, ContainerEvent::Mount, record);
        return Ok(path);
    }
    let (mut trees, upper) = all.overlay(mode).ok_or_else(|| failed(Errno::EINVAL.into()))?;
    if trees.is_empty() {
        // An overlay has a lowest layer: the empty directory on which it is mounted.
        trees.push(point.clone());
    }
    mount::attach(layout, &trees, upper.as_ref(), &point).map_err(failed)?;
    event::note(layout, ContainerEvent::Mount, record);
    Ok(path)
}

/// Takes the container's mount away. There is none of a directory that is the root itself.
pub fn unmount(store: &Store, container: &Listed, if_busy: IfBusy) -> Result<(), Failure> {
    let (layout, record) = (store.layout(), &container.record);
    let path = layout.container_mount(&record.id);
    let subject = Subject::container(&record.name);
    if !mount::is_mounted(&path) {
        return match plain_root(container) {
            Some(_) => Ok(()),
            None => Err(MountError::NotMounted(subject).into()),
        };
    }
    mount::detach(&path, if_busy).map_err(|cause| subject.failed("unmounting", &path, cause))?;
    event::note(layout, ContainerEvent::Unmount, record);
    Ok(())
}
