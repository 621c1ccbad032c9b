//! Devices of the host that a container gets, and what else a specification of devices says.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::hooks::Hook;
use super::request::{Access, BindMount, Propagation, Request};
use crate::failure::{Explain, Failure};
use crate::host::cdi::{CdiError, Devices};
use crate::name::device::{CdiName, DevicePath, DeviceRequest, Permissions};
use crate::oci::cdi::Edits as CdiEdits;
use crate::runtime::blueprint::HostDevice;
use crate::state::schema::container::DeviceRecord;

/// What the devices of a container mean for it.
#[derive(Debug, Default)]
pub struct Edits {
    /// The devices themselves.
    pub devices: Vec<HostDevice>,
    /// What the container's record says of them.
    pub records: Vec<DeviceRecord>,
    /// Bind mounts.
    pub mounts: Vec<BindMount>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Hooks.
    pub hooks: Vec<Hook>,
}

/// Why a device was refused.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It cannot be looked at.
    #[error("giving the device {} to the container", path.display())]
    Io {
        /// The path on the host.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// It is none.
    #[error("giving {} to the container as a device: it is no device, and no directory of devices", .0.display())]
    NoDevice(PathBuf),
    /// The user may not open it.
    #[error("giving the device {} to the container: this user may not {} it", path.display(), doing)]
    Forbidden {
        /// The path on the host.
        path: PathBuf,
        /// What is not allowed.
        doing: &'static str,
        /// The group that may.
        group: u32,
    },
    /// The user can write, and only reading was asked for.
    #[error("giving the device {} to the container {}: only root can take away what the user may do with it", path.display(), permissions)]
    Narrowed {
        /// The path on the host.
        path: PathBuf,
        /// What was asked for.
        permissions: Permissions,
    },
    /// It lies on a file system where devices cannot be opened.
    #[error("giving the device {} to the container: devices on that file system cannot be opened (nodev)", .0.display())]
    NoDev(PathBuf),
    /// A specification says what means nothing.
    #[error("the specification of the device {name} has {what}")]
    Specification {
        /// The device.
        name: CdiName,
        /// What is wrong.
        what: String,
    },
    /// Its name, or its specification.
    #[error(transparent)]
    Cdi(#[from] CdiError),
}

impl Explain for DeviceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => "E_NOTFOUND",
            Self::Forbidden { .. } => "E_PERMISSION",
            Self::Narrowed { .. } => "E_UNSUPPORTED",
            Self::Cdi(error) => error.code(),
            _ => "E_DEVICE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoDevice(path) => {
                let path = path.display();
                Some(format!("for example --device /dev/fuse; a file or directory is mounted by -v {path}:{path}"))
            }
            Self::Forbidden { group, .. } => {
                let group = nix::unistd::Group::from_gid((*group).into()).ok().flatten().map(|group| group.name);
                Some(match group.filter(|group| group != "root") {
                    Some(group) => {
                        format!("root can put you into its group: usermod -aG {group} USER, and log in anew")
                    }
                    None => "only root may; root can change that with chmod, or a rule for udev".into(),
                })
            }
            Self::Narrowed { .. } => Some("leave the permissions out, or write rw".into()),
            Self::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                Some("for example --device /dev/fuse; ls /dev shows what there is".into())
            }
            Self::NoDev(_) => Some("name the device in /dev".into()),
            Self::Cdi(error) => error.hint(),
            _ => None,
        }
    }
}

/// Finds all that was asked for, as it is now: links are followed, and what is plugged in later is there for the next start.
pub fn resolve(request: &Request) -> Result<Edits, Failure> {
    let mut edits = Edits::default();
    if request.privileged {
        edits.add_all();
    }
    let needs_specifications = request.devices.iter().any(|device| !matches!(device, DeviceRequest::Path(_)));
    let known = needs_specifications.then(Devices::read);
    for device in &request.devices {
        match (device, &known) {
            (DeviceRequest::Path(path), _) => edits.add_path(path)?,
            (DeviceRequest::Cdi(name), Some(known)) => edits.add_named(known, name)?,
            (DeviceRequest::Gpus(names), Some(known)) => {
                let kind = gpu_kind(known);
                for device in names {
                    edits.add_named(known, &CdiName { kind: kind.into(), device: device.clone() })?;
                }
            }
            _ => {}
        }
    }
    Ok(edits)
}

/// Whose graphics processors `--gpus` means: those of NVIDIA, where a specification has some, as podman's.
fn gpu_kind(known: &Devices) -> &'static str {
    const KINDS: [&str; 3] = ["nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu"];
    KINDS.into_iter().find(|kind| known.has_kind(kind)).unwrap_or(KINDS[0])
}

/// What every container has, or has its own of, and what belongs to the host's terminals.
fn is_left_out(name: &str) -> bool {
    let own =
        ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "core"];
    own.contains(&name) || name.starts_with("std") || name.starts_with("vcs") || is_virtual_terminal(name)
}

fn is_virtual_terminal(name: &str) -> bool {
    name.strip_prefix("tty").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Directories below `/dev` are few and shallow.
const DEEPEST: usize = 8;

impl Edits {
    /// Every device that the user may open.
    fn add_all(&mut self) {
        let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| !is_left_out(name))) {
            self.add_openable(&entry.path(), 0);
        }
    }

    fn add_openable(&mut self, path: &Path, depth: usize) {
        let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
        if metadata.is_dir() && depth < DEEPEST {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| self.add_openable(&entry.path(), depth + 1));
        } else if is_device(&metadata) && access(path, AccessFlags::R_OK | AccessFlags::W_OK).is_ok() {
            let destination = path.to_string_lossy().into_owned();
            self.add_device(path.to_owned(), destination, &metadata, Permissions { read: true, write: true });
        }
    }

    fn add_path(&mut self, asked: &DevicePath) -> Result<(), DeviceError> {
        let io = |cause| DeviceError::Io { path: asked.source.clone(), cause };
        let source = std::fs::canonicalize(&asked.source).map_err(io)?;
        let metadata = std::fs::metadata(&source).map_err(io)?;
        if !metadata.is_dir() {
            return self.add_one(&source, &asked.destination, asked.permissions);
        }
        let before = self.devices.len();
        self.add_directory(&source, &asked.destination, asked.permissions, 0)?;
        match self.devices.len() > before {
            true => Ok(()),
            false => Err(DeviceError::NoDevice(asked.source.clone())),
        }
    }

    fn add_directory(
        &mut self,
        directory: &Path,
        destination: &str,
        permissions: Option<Permissions>,
        depth: usize,
    ) -> Result<(), DeviceError> {
        let io = |cause| DeviceError::Io { path: directory.to_owned(), cause };
        for entry in std::fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let destination = format!("{destination}/{name}");
            if metadata.is_dir() && depth < DEEPEST {
                self.add_directory(&path, &destination, permissions, depth + 1)?;
            } else if is_device(&metadata) {
                self.add_one(&path, &destination, permissions)?;
            }
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        source: &Path,
        destination: &str,
        permissions: Option<Permissions>,
    ) -> Result<(), DeviceError> {
        let path = || source.to_owned();
        let metadata = std::fs::metadata(source).map_err(|cause| DeviceError::Io { path: path(), cause })?;
        if !is_device(&metadata) {
            return Err(DeviceError::NoDevice(path()));
        }
        // Looked at by permission, not opened: to open some devices does something.
        let may = |flags| access(source, flags).is_ok();
        let can = Permissions { read: may(AccessFlags::R_OK), write: may(AccessFlags::W_OK) };
        let group = metadata.gid();
        let forbidden = |doing| Err(DeviceError::Forbidden { path: path(), doing, group });
        match permissions {
            None if !can.read && !can.write => return forbidden("open"),
            Some(wanted) if wanted.read && !can.read => return forbidden("read from"),
            Some(wanted) if wanted.write && !can.write => return forbidden("write to"),
            Some(wanted) if wanted != can && (wanted.read || wanted.write) => {
                return Err(DeviceError::Narrowed { path: path(), permissions: wanted });
            }
            _ => {}
        }
        if statvfs(source).is_ok_and(|status| status.flags().contains(FsFlags::ST_NODEV)) {
            return Err(DeviceError::NoDev(path()));
        }
        self.add_device(path(), destination.to_owned(), &metadata, can);
        Ok(())
    }

    /// One that is given twice is given as the last time.
    fn add_device(&mut self, source: PathBuf, destination: String, metadata: &std::fs::Metadata, can: Permissions) {
        self.devices.retain(|device| device.destination != destination);
        self.records.retain(|device| device.destination != destination);
        self.records.push(DeviceRecord {
            source: source.display().to_string(),
            destination: destination.clone(),
            permissions: can.to_string(),
        });
        let block = metadata.file_type().is_block_device();
        self.devices.push(HostDevice { source, destination, number: metadata.rdev(), block });
    }

    fn add_named(&mut self, known: &Devices, name: &CdiName) -> Result<(), DeviceError> {
        for edits in known.find(name)? {
            self.add_edits(name, edits)?;
        }
        Ok(())
    }

    fn add_edits(&mut self, name: &CdiName, edits: &CdiEdits) -> Result<(), DeviceError> {
        let wrong = |what: String| DeviceError::Specification { name: name.clone(), what };
        for node in &edits.device_nodes {
            if !node.path.starts_with('/') || node.path == "/" {
                return Err(wrong(format!("a device with the path {:?}, which is not absolute", node.path)));
            }
            let source = PathBuf::from(node.host_path.as_ref().unwrap_or(&node.path));
            self.add_path(&DevicePath { source, destination: node.path.clone(), permissions: None })?;
        }
        for mount in &edits.mounts {
            if mount.kind.as_deref().is_some_and(|kind| !["", "bind", "none"].contains(&kind)) {
                return Err(wrong(format!("a mount of the type {:?}, which is not bind", mount.kind)));
            }
            if !mount.container_path.starts_with('/') {
                return Err(wrong(format!("a mount on {:?}, which is not absolute", mount.container_path)));
            }
            let has = |word: &str| mount.options.iter().any(|option| option == word);
            let destination = mount.container_path.clone();
            if self.mounts.iter().any(|other| other.destination == destination) {
                continue;
            }
            self.mounts.push(BindMount {
                access: if has("ro") { Access::ReadOnly } else { Access::ReadWrite },
                exec: !has("noexec"),
                propagation: Propagation::Private,
                ..BindMount::new((&mount.host_path).into(), destination)
            });
        }
        for variable in &edits.env {
            if !variable.contains('=') || variable.starts_with('=') {
                return Err(wrong(format!("the variable {variable:?}, which is not NAME=value")));
            }
            self.env.push(variable.clone());
        }
        for hook in &edits.hooks {
            self.hooks.push(Hook::of_cdi(hook).map_err(wrong)?);
        }
        Ok(())
    }
}

fn is_device(metadata: &std::fs::Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}
