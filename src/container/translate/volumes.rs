//! Volumes: what is mounted, and what the record says of it.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::OFlag;

use super::mounts::{self, option_words};
use super::{Refused, c_string};
use crate::container::request::{Access, BindMount, IfMissing, VolumeMount};
use crate::name::volume_options::{Files, LocalVolume};
use crate::runtime::blueprint::{Mount, MountSource};
use crate::state::layout::Layout;
use crate::state::schema::container::MountRecord;
use crate::sys::in_root::{Resolve, open_below};
use crate::volume::{self, VolumeError};

/// The mount of a volume, which may still have to be made. That of a driver's is known when the driver has mounted it.
pub fn mount(mount: &VolumeMount, layout: &Layout) -> Result<Mount, Refused> {
    let name = mount.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let known = mount.name.as_ref().map(|name| volume::get(layout, name)).transpose()?.flatten();
    if known.is_none() && mount.missing == IfMissing::Refuse {
        return Err(VolumeError::Missing(name).into());
    }
    let local = match &known {
        Some(record) if !record.is_local() => LocalVolume::default(),
        Some(record) => LocalVolume::of(&record.options)?,
        None if mount.driver.is_some() => LocalVolume::default(),
        None => LocalVolume::of(&mount.options)?,
    };
    let is_local = known.as_ref().map_or(mount.driver.is_none(), |record| record.is_local());
    let is_new = mount.name.as_ref().is_none_or(|name| known.is_none() || volume::is_to_be_filled(layout, name));
    let is_filled = is_local && is_new && mount.copy_up && !local.no_copy;
    let source = match local.files {
        Files::Store => {
            let data = layout.volumes().join(&name).join("data");
            let subpath = mount.subpath.as_deref().map(|subpath| below(&data, subpath)).transpose()?;
            let marks: CString = c_string(format!("volumes/{name}"))?;
            let fill = (is_filled && subpath.is_none()).then_some(marks);
            MountSource::Volume { path: c_string(format!("volumes/{name}/data"))?, subpath, fill }
        }
        Files::Host { path, recursive } => {
            let bind = BindMount { recursive, ..BindMount::new(path.clone(), mount.destination.clone()) };
            let source = mounts::bind(&bind, layout)?;
            match mount.subpath.as_deref() {
                None if path.is_dir() => source,
                None => return Err(Refused::Source { path, cause: std::io::Error::from_raw_os_error(libc::ENOTDIR) }),
                Some(subpath) => {
                    let subpath = Some(below(&path, subpath)?);
                    MountSource::Volume {
                        path: c_string(path.into_os_string().into_encoded_bytes())?,
                        subpath,
                        fill: None,
                    }
                }
            }
        }
        Files::Memory { .. } if mount.subpath.is_some() => {
            let cause = std::io::Error::from_raw_os_error(libc::ENOENT);
            return Err(Refused::Subpath { path: mount.subpath.clone().unwrap_or_default().into(), cause });
        }
        Files::Memory { size, mode } => MountSource::Tmpfs { size, mode, copy_up: mount.copy_up && !local.no_copy },
    };
    Ok(Mount {
        destination: mount.destination.clone(),
        source,
        read_only: mount.access == Access::ReadOnly || local.read_only,
        exec: mount.exec && !local.no_exec,
    })
}

/// What is below a volume's directory, and whether it is a directory. It must be there, and no link may lead to it.
pub fn below(data: &Path, subpath: &str) -> Result<(CString, bool), Refused> {
    let path = c_string(subpath)?;
    let open = || -> std::io::Result<bool> {
        let directory = std::fs::File::open(data)?;
        let found = open_below(directory.as_fd(), &path, OFlag::O_PATH, Resolve::NoSymlinks)?;
        Ok(std::fs::File::from(found).metadata()?.is_dir())
    };
    let is_directory = open().map_err(|cause| Refused::Subpath { path: data.join(subpath), cause })?;
    Ok((path, is_directory))
}

/// What the container's record says of it.
pub fn record(mount: &VolumeMount, layout: &Layout) -> MountRecord {
    let known = mount.name.as_ref().and_then(|name| volume::get(layout, name).ok().flatten());
    let options = known.as_ref().map_or(&mount.options, |record| &record.options);
    let files = mount.name.as_ref().and_then(|name| match LocalVolume::of(options).map(|local| local.files) {
        Ok(Files::Host { path, .. }) => Some(path),
        Ok(Files::Memory { .. }) => None,
        _ => Some(layout.volume_data(name)),
    });
    let path = files.map(|data| data.join(mount.subpath.as_deref().unwrap_or_default()).display().to_string());
    let mut words = option_words(mount.access, mount.exec);
    words.extend((!mount.writes.is_through()).then(|| "O".to_owned()));
    MountRecord {
        kind: "volume".into(),
        volume: mount.name.clone(),
        anonymous: mount.anonymous,
        subpath: mount.subpath.clone(),
        image: None,
        layers: Vec::new(),
        source: path.unwrap_or_default(),
        destination: mount.destination.clone(),
        options: words,
        writable: mount.access == Access::ReadWrite,
    }
}
