//! `mount` and `unmount` of containers.

use std::path::PathBuf;

use super::{loaded, say_waiting};
use crate::container::list::Listed;
use crate::container::{mount, remove};
use crate::failure::Failure;
use crate::image::mount::IfBusy;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;
use crate::store::Store;

/// All containers.
pub fn all_containers(layout: &Layout) -> Vec<Listed> {
    remove::collect_leftovers(layout).0
}

/// Mounts the files of a container; its id, and where they are.
pub fn mount_container(layout: &Layout, name: &str) -> Result<(ContainerId, PathBuf), Failure> {
    let store = Store::open(layout.clone())?;
    // Its layers stay while they are being mounted.
    let _stays = store.lock_shared(&mut say_waiting)?;
    let container = loaded(layout, name)?;
    let path = mount::mount(&store, &container)?;
    Ok((container.record.id, path))
}

/// Takes a container's mount away.
pub fn unmount_container(layout: &Layout, name: &str, if_busy: IfBusy) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    mount::unmount(&store, &loaded(layout, name)?, if_busy)
}

/// The containers that are mounted, and where.
pub fn mounted_containers(layout: &Layout) -> Result<Vec<(Listed, PathBuf)>, Failure> {
    let store = Store::open(layout.clone())?;
    let mounted = |container: Listed| mount::mounted_at(&store, &container).map(|path| (container, path));
    Ok(all_containers(layout).into_iter().filter_map(mounted).collect())
}
