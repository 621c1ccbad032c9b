//! What is mounted: how, and what the record says of it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Refused, c_string, relative, volumes};
use crate::container::request::{
    Access, BindMount, ImageMount, KernelFilesystem, KernelMount, Propagation, Request, RootfsSource, TmpfsMount,
    Writes,
};
use crate::host::mounts::takes_part_in_propagation;
use crate::name::container::ContainerId;
use crate::runtime::blueprint::{Mount, MountSource, OverlayWrites};
use crate::state::layout::Layout;
use crate::state::schema::container::MountRecord;

/// What `--read-only` leaves writable, in memory (podman's `--read-only-tmpfs`).
const WRITABLE_IN_MEMORY: &[&str] = &["/run", "/tmp", "/var/tmp"];

/// What systemd wants in memory, and with which permissions: podman's list.
const IN_MEMORY_FOR_SYSTEMD: &[(&str, u32)] =
    &[("/run", 0o755), ("/run/lock", 0o1777), ("/tmp", 0o1777), ("/var/log/journal", 0o755)];

/// All of them. Those of devices give way to the user's own.
pub fn mounts(
    request: &Request,
    (of_devices, for_systemd): (&[BindMount], bool),
    layout: &Layout,
    id: &ContainerId,
) -> Result<Vec<Mount>, Refused> {
    let mut made = Maker { layout, id, overlays: 0, mounts: Vec::new() };
    let taken: Vec<String> = request.destinations().map(normal).collect();
    let of_devices = of_devices.iter().filter(|mount| !taken.contains(&normal(&mount.destination)));
    for mount in request.mounts.iter().chain(of_devices) {
        made.bind(mount)?;
    }
    made.mounts.extend(request.tmpfs.iter().map(tmpfs));
    for mount in &request.volumes {
        made.volume(mount)?;
    }
    for mount in &request.images {
        made.image(mount)?;
    }
    made.mounts.extend(request.kernel_mounts.iter().map(kernel));
    let mut mounts = made.mounts;
    for (index, mount) in mounts.iter().enumerate() {
        let destination = normal(&mount.destination);
        if is_reserved(&destination) {
            return Err(Refused::Reserved(destination));
        }
        if mounts[..index].iter().any(|other| normal(&other.destination) == destination) {
            return Err(Refused::Twice(destination));
        }
    }
    if for_systemd {
        for &(place, mode) in IN_MEMORY_FOR_SYSTEMD {
            if !mounts.iter().any(|mount| normal(&mount.destination) == place) {
                // What a directory of the host has there is the host's, and not all of it may be read.
                let copy_up = matches!(request.rootfs, RootfsSource::Image { .. });
                let source = MountSource::Tmpfs { size: None, mode: Some(mode), copy_up };
                mounts.push(Mount { destination: place.into(), source, read_only: false, exec: true });
            }
        }
    }
    if request.rootfs_access == Access::ReadOnly && request.read_only_tmpfs {
        for &place in WRITABLE_IN_MEMORY {
            if !mounts.iter().any(|mount| normal(&mount.destination) == place) {
                let source = MountSource::Tmpfs { size: None, mode: None, copy_up: true };
                mounts.push(Mount { destination: place.into(), source, read_only: false, exec: true });
            }
        }
    }
    Ok(mounts)
}

/// Where a coracle in a privileged container keeps its store: a directory of the host's file system, since an overlay of an
/// overlay of an overlay is one too many for the kernel. Nothing where the user has mounted something.
pub fn nested_store(mounts: &[Mount], home: &str, id: &ContainerId) -> Result<Option<Mount>, Refused> {
    let destination = normal(&format!("{home}/.local/share/coracle"));
    let is_taken = |mount: &Mount| Path::new(&destination).starts_with(normal(&mount.destination));
    if mounts.iter().any(is_taken) {
        return Ok(None);
    }
    let path = c_string(relative(id, "nested"))?;
    let source = MountSource::Volume { path, subpath: None, fill: None };
    Ok(Some(Mount { destination, source, read_only: false, exec: true }))
}

/// Files of `/proc` that programs such as lxcfs replace with their own: those that runc allows to be mounted on.
const REPLACEABLE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// Whether the runtime's own mounts must not be covered there.
pub fn is_reserved(destination: &str) -> bool {
    let own = ["/", "/proc", "/sys", "/dev"].contains(&destination);
    own || (destination.starts_with("/proc/") && !REPLACEABLE.contains(&destination))
}

/// An absolute path without empty and `.` components. `..` stays: only the kernel knows what it means.
pub fn normal(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Mounts being made.
struct Maker<'a> {
    layout: &'a Layout,
    id: &'a ContainerId,
    /// How many of them have a layer of their own that is thrown away.
    overlays: usize,
    mounts: Vec<Mount>,
}

impl Maker<'_> {
    fn bind(&mut self, mount: &BindMount) -> Result<(), Refused> {
        let source = bind(mount, self.layout)?;
        let source = match (&mount.writes, source) {
            (Writes::Through, source) => source,
            (_, MountSource::Bind { directory: false, .. }) => {
                let cause = std::io::Error::from_raw_os_error(libc::ENOTDIR);
                return Err(Refused::Source { path: mount.source.clone(), cause });
            }
            (writes, _) => {
                let mode = mode_of(&mount.source)?;
                let lower = c_string(mount.source.as_os_str().as_bytes())?;
                MountSource::Overlay { lower: vec![lower], writes: Some(self.writes(writes, mode)?), subpath: None }
            }
        };
        let read_only = mount.access == Access::ReadOnly;
        let destination = mount.destination.clone();
        self.mounts.push(Mount { destination, source, read_only, exec: mount.exec });
        Ok(())
    }

    fn volume(&mut self, mount: &super::super::request::VolumeMount) -> Result<(), Refused> {
        let mut made = volumes::mount(mount, self.layout)?;
        if !mount.writes.is_through() {
            let (lower, mode) = match &made.source {
                MountSource::Volume { path, subpath: None, .. } => (path.clone(), 0o755),
                MountSource::Bind { path, .. } => (c_string(path.as_os_str().as_bytes())?, mode_of(path)?),
                _ => return Err(Refused::NoOverlay(mount.destination.clone())),
            };
            let writes = Some(self.writes(&mount.writes, mode)?);
            made.source = MountSource::Overlay { lower: vec![lower], writes, subpath: None };
        }
        self.mounts.push(made);
        Ok(())
    }

    fn image(&mut self, mount: &ImageMount) -> Result<(), Refused> {
        let tree = |layer: &crate::oci::digest::DiffId| c_string(format!("layers/{}/tree", layer.hex()));
        let lower = mount.layers.iter().rev().map(tree).collect::<Result<Vec<CString>, _>>()?;
        let writable = mount.access == Access::ReadWrite;
        let writes = writable.then(|| self.writes(&Writes::Discarded, 0o755)).transpose()?;
        let subpath = mount.subpath.as_deref().map(|subpath| self.below_image(mount, subpath)).transpose()?;
        let source = MountSource::Overlay { lower, writes, subpath };
        self.mounts.push(Mount { destination: mount.destination.clone(), source, read_only: !writable, exec: true });
        Ok(())
    }

    /// What is below an image, and whether that is a directory: the topmost layer that has it decides. No link may lead to it.
    fn below_image(&self, mount: &ImageMount, subpath: &str) -> Result<(CString, bool), Refused> {
        for layer in mount.layers.iter().rev() {
            if let Ok(found) = volumes::below(&self.layout.layer(layer).join("tree"), subpath) {
                return Ok(found);
            }
        }
        let cause = std::io::Error::from_raw_os_error(libc::ENOENT);
        Err(Refused::Subpath { path: subpath.into(), cause })
    }

    /// Where an overlay's writes go. `mode` is that of its root.
    fn writes(&mut self, writes: &Writes, mode: u32) -> Result<OverlayWrites, Refused> {
        if let Writes::Kept { upper, work } = writes {
            for path in [upper, work] {
                refuse_own_state(path, self.layout)?;
                let cause = match std::fs::metadata(path) {
                    Ok(metadata) if metadata.is_dir() => continue,
                    Ok(_) => std::io::Error::from_raw_os_error(libc::ENOTDIR),
                    Err(cause) => cause,
                };
                return Err(Refused::Source { path: path.clone(), cause });
            }
            let path = |path: &Path| c_string(path.as_os_str().as_bytes());
            return Ok(OverlayWrites { upper: path(upper)?, work: path(work)?, make: Vec::new() });
        }
        let base = relative(self.id, "overlays");
        let mut make = Vec::new();
        if self.overlays == 0 {
            make.push((c_string(base.clone())?, 0o700));
        }
        let own = format!("{base}/{}", self.overlays);
        let (upper, work) = (c_string(format!("{own}/upper"))?, c_string(format!("{own}/work"))?);
        make.extend([(c_string(own)?, 0o700), (upper.clone(), mode), (work.clone(), 0o700)]);
        self.overlays += 1;
        Ok(OverlayWrites { upper, work, make })
    }
}

fn mode_of(path: &Path) -> Result<u32, Refused> {
    let metadata = std::fs::metadata(path).map_err(|cause| Refused::Source { path: path.to_owned(), cause })?;
    Ok(metadata.permissions().mode() & 0o7777)
}

/// Whoever could write into the store could change all that is in it.
pub fn refuse_own_state(path: &Path, layout: &Layout) -> Result<(), Refused> {
    let real = std::fs::canonicalize(path).map_err(|cause| Refused::Source { path: path.to_owned(), cause })?;
    let own = [layout.data(), layout.runtime()].into_iter().filter_map(|root| std::fs::canonicalize(root).ok());
    match own.into_iter().any(|root| real.starts_with(root)) {
        true => Err(Refused::OwnState { path: path.to_owned() }),
        false => Ok(()),
    }
}

/// What a bind mount shows.
pub fn bind(mount: &BindMount, layout: &Layout) -> Result<MountSource, Refused> {
    let refused = |cause| Refused::Source { path: mount.source.clone(), cause };
    let stat = std::fs::metadata(&mount.source).map_err(refused)?;
    refuse_own_state(&mount.source, layout)?;
    if mount.propagation == Propagation::Slave && !takes_part_in_propagation(&mount.source).map_err(refused)? {
        return Err(Refused::NotShared(mount.source.clone()));
    }
    Ok(MountSource::Bind {
        path: mount.source.clone(),
        inode: (stat.dev(), stat.ino()),
        directory: stat.is_dir(),
        recursive: mount.recursive,
        propagation: mount.propagation,
        writable_below: mount.writable_below,
    })
}

fn tmpfs(mount: &TmpfsMount) -> Mount {
    Mount {
        destination: mount.destination.clone(),
        source: MountSource::Tmpfs { size: mount.size, mode: mount.mode, copy_up: mount.copy_up },
        read_only: mount.access == Access::ReadOnly,
        exec: mount.exec,
    }
}

fn kernel(mount: &KernelMount) -> Mount {
    let source = match &mount.kind {
        KernelFilesystem::Devpts { options } => MountSource::Devpts { options: options.clone() },
        KernelFilesystem::Ramfs { mode } => MountSource::Ramfs { mode: *mode },
    };
    Mount {
        destination: mount.destination.clone(),
        source,
        read_only: mount.access == Access::ReadOnly,
        exec: mount.exec,
    }
}

/// What the container's record says of them.
pub fn records(request: &Request, layout: &Layout) -> Vec<MountRecord> {
    let plain = |kind: &str, destination: &str, access: Access, exec: bool| MountRecord {
        kind: kind.into(),
        volume: None,
        anonymous: false,
        subpath: None,
        image: None,
        layers: Vec::new(),
        source: String::new(),
        destination: destination.to_owned(),
        options: option_words(access, exec),
        writable: access == Access::ReadWrite,
    };
    let bind = |mount: &BindMount| {
        let mut record = plain("bind", &mount.destination, mount.access, mount.exec);
        record.source = mount.source.display().to_string();
        record.options.push(if mount.recursive { "rbind" } else { "bind" }.into());
        record.options.extend(propagation_word(mount.propagation).map(str::to_owned));
        record.options.extend((!mount.writes.is_through()).then(|| "O".to_owned()));
        record
    };
    let tmpfs = |mount: &TmpfsMount| plain("tmpfs", &mount.destination, mount.access, mount.exec);
    let image = |mount: &ImageMount| MountRecord {
        source: mount.image.to_string(),
        image: Some(mount.image.clone()),
        layers: mount.layers.clone(),
        subpath: mount.subpath.clone(),
        ..plain("image", &mount.destination, mount.access, true)
    };
    let kernel = |mount: &KernelMount| {
        let kind = match mount.kind {
            KernelFilesystem::Devpts { .. } => "devpts",
            KernelFilesystem::Ramfs { .. } => "ramfs",
        };
        plain(kind, &mount.destination, mount.access, mount.exec)
    };
    let (binds, tmpfs) = (request.mounts.iter().map(bind), request.tmpfs.iter().map(tmpfs));
    let volumes = request.volumes.iter().map(|mount| volumes::record(mount, layout));
    let others = request.images.iter().map(image).chain(request.kernel_mounts.iter().map(kernel));
    binds.chain(tmpfs).chain(volumes).chain(others).collect()
}

/// The word for what is not usual.
fn propagation_word(propagation: Propagation) -> Option<&'static str> {
    match propagation {
        Propagation::Private => None,
        Propagation::Slave => Some("rslave"),
        Propagation::Unbindable => Some("runbindable"),
    }
}

/// The options in effect.
pub fn option_words(access: Access, exec: bool) -> Vec<String> {
    let word = if access == Access::ReadOnly { "ro" } else { "rw" };
    let noexec = (!exec).then_some("noexec");
    [word, "nosuid", "nodev"].into_iter().chain(noexec).map(str::to_owned).collect()
}
