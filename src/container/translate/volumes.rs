//! Volumes: what is mounted, and what the record says of it.

use std::ffi::CString;

use super::{Refused, c_string, option_words};
use crate::container::request::{Access, IfMissing, VolumeMount};
use crate::runtime::blueprint::{Mount, MountSource};
use crate::state::layout::Layout;
use crate::state::schema::container::MountRecord;
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
    Ok(Mount {
        destination: mount.destination.clone(),
        source: MountSource::Volume {
            path: c_string(format!("volumes/{name}/data"))?,
            fill: (is_new && mount.copy_up).then_some(marks),
        },
        read_only: mount.access == Access::ReadOnly,
        exec: mount.exec,
    })
}

/// What the container's record says of it.
pub fn record(mount: &VolumeMount, layout: &Layout) -> MountRecord {
    let path = mount.name.as_ref().map(|name| layout.volume_data(name).display().to_string());
    MountRecord {
        kind: "volume".into(),
        volume: mount.name.clone(),
        anonymous: mount.anonymous,
        source: path.unwrap_or_default(),
        destination: mount.destination.clone(),
        options: option_words(mount.access, mount.exec),
        writable: mount.access == Access::ReadWrite,
    }
}
