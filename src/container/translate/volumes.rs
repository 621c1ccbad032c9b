//! Volumes: what is mounted, and what the record says of it.

use std::ffi::CString;
use std::os::fd::AsFd;

use nix::fcntl::OFlag;

use super::{Refused, c_string, option_words};
use crate::container::request::{Access, IfMissing, VolumeMount};
use crate::runtime::blueprint::{Mount, MountSource};
use crate::state::layout::Layout;
use crate::state::schema::container::MountRecord;
use crate::sys::in_root::{Resolve, open_below};
use crate::volume::{self, VolumeError};

/// The mount of a volume, which may still have to be made.
pub fn mount(mount: &VolumeMount, layout: &Layout) -> Result<Mount, Refused> {
    let name = mount.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let known = mount.name.as_ref().map(|name| volume::get(layout, name)).transpose()?.flatten();
    if known.is_none() && mount.missing == IfMissing::Refuse {
        return Err(VolumeError::Missing(name).into());
    }
    let is_new = mount.name.as_ref().is_none_or(|name| known.is_none() || volume::is_to_be_filled(layout, name));
    let marks: CString = c_string(format!("volumes/{name}"))?;
    let subpath = mount.subpath.as_deref().map(|subpath| below(layout, &name, subpath)).transpose()?;
    Ok(Mount {
        destination: mount.destination.clone(),
        source: MountSource::Volume {
            path: c_string(format!("volumes/{name}/data"))?,
            fill: (is_new && mount.copy_up && subpath.is_none()).then_some(marks),
            subpath,
        },
        read_only: mount.access == Access::ReadOnly,
        exec: mount.exec,
    })
}

/// What is below a volume, and whether it is a directory. It must be there, and no link may lead to it.
fn below(layout: &Layout, volume: &str, subpath: &str) -> Result<(CString, bool), Refused> {
    let path = c_string(subpath)?;
    let data = layout.volumes().join(volume).join("data");
    let open = || -> std::io::Result<bool> {
        let directory = std::fs::File::open(&data)?;
        let found = open_below(directory.as_fd(), &path, OFlag::O_PATH, Resolve::NoSymlinks)?;
        Ok(std::fs::File::from(found).metadata()?.is_dir())
    };
    let is_directory = open().map_err(|cause| Refused::Subpath { path: data.join(subpath), cause })?;
    Ok((path, is_directory))
}

/// What the container's record says of it.
pub fn record(mount: &VolumeMount, layout: &Layout) -> MountRecord {
    let data = mount.name.as_ref().map(|name| layout.volume_data(name));
    let path = data.map(|data| data.join(mount.subpath.as_deref().unwrap_or_default()).display().to_string());
    MountRecord {
        kind: "volume".into(),
        volume: mount.name.clone(),
        anonymous: mount.anonymous,
        subpath: mount.subpath.clone(),
        source: path.unwrap_or_default(),
        destination: mount.destination.clone(),
        options: option_words(mount.access, mount.exec),
        writable: mount.access == Access::ReadWrite,
    }
}
