//! What `run` was asked for, in types: text has been parsed at the door, nothing behind it parses again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::name::capability_change::{CapabilityChanges, CapabilityName};
use crate::name::container::ContainerName;
pub use crate::name::device::DeviceRequest;
pub use crate::name::env_setting::EnvSetting;
pub use crate::name::health::{HealthCheck, HealthRequest, OnFailure};
pub use crate::name::ids::IdsMode;
use crate::name::image_location::ArchiveLocation;
pub use crate::name::image_selector::ImageSelector;
pub use crate::name::limit_request::{Enforcement, GroupMode, GroupNamespace, LimitRequest};
pub use crate::name::log_request::{LogDriver, LogRequest};
pub use crate::name::mount::{
    Access, BindMount, IfMissing, ImageMount, KernelFilesystem, KernelMount, Propagation, TmpfsMount, VolumeMount,
    Writes,
};
pub use crate::name::name_resolution::{DnsServers, HostsFile, KnownHost, NameResolution};
pub use crate::name::network_mode::NetworkMode;
pub use crate::name::port::PortRequest;
pub use crate::name::process::ProcessRequest;
pub use crate::name::pull_policy::PullPolicy;
pub use crate::name::restart_policy::RestartPolicy;
pub use crate::name::secret::{SecretForm, SecretRequest};
pub use crate::name::security_option::{SeccompChoice, SecurityOptions, Unmask};
pub use crate::name::signal::Signal;
pub use crate::name::user::{UserName, UserSpec};
pub use crate::name::volumes_from::{ImageVolumes, VolumesFrom};
use crate::oci::platform::Platform;

/// Seconds between the signal that asks a container to end and the one that kills it, as docker's and podman's.
pub const STOP_TIMEOUT: u32 = 10;

/// A container to be made and started. What is about the command that makes it is not kept with the container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Where the files come from.
    pub rootfs: RootfsSource,
    /// The name, or one chosen at random.
    pub name: Option<ContainerName>,
    /// What becomes of the container once it has exited.
    pub removal: Removal,
    /// Whether the container reads our standard input.
    pub stdin: Stdin,
    /// Whether the container gets a terminal of its own.
    pub terminal: Terminal,
    /// Where its output is kept.
    pub log: LogRequest,
    /// Environment: entries of `--env-file` in order, then those of `--env`. Later ones win.
    pub env: Vec<EnvSetting>,
    /// Working directory inside; the image's where absent.
    pub workdir: Option<String>,
    /// User to run as; the image's where absent.
    pub user: Option<UserSpec>,
    /// Replaces the image's entrypoint. `Some` of an empty vector clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Command and arguments; the image's `Cmd` where empty.
    #[serde(with = "crate::name::serialize::os_string::list")]
    pub command: Vec<OsString>,
    /// Host name inside; the container's short id where absent.
    pub hostname: Option<String>,
    /// Whether the rootfs can be written to.
    pub rootfs_access: Access,
    /// How its ids are made. Requests of versions that had one way do not say it.
    #[serde(default = "IdsMode::before_there_were_others")]
    pub ids: IdsMode,
    /// Network of the container.
    pub network: NetworkMode,
    /// `--publish`, `--publish-all`, `--expose`.
    #[serde(default)]
    pub ports: PortRequest,
    /// How it finds hosts by name.
    #[serde(default)]
    pub resolution: NameResolution,
    /// Whether our reaper is pid 1.
    pub init: Init,
    /// `--cap-add`, `--cap-drop`.
    pub capabilities: CapabilityChanges,
    /// `--security-opt`.
    pub security: SecurityOptions,
    /// `-v`, in the order given.
    pub mounts: Vec<BindMount>,
    /// `--tmpfs`, in the order given.
    pub tmpfs: Vec<TmpfsMount>,
    /// Volumes: those of `-v`, in the order given, then the image's.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    /// Images, in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageMount>,
    /// File systems of the kernel's, in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_mounts: Vec<KernelMount>,
    /// Whether a rootfs that cannot be written to has some directories in memory that can (`--read-only-tmpfs`).
    #[serde(default = "yes")]
    pub read_only_tmpfs: bool,
    /// Devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRequest>,
    /// Whether it gets all that can be given (`--privileged`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Secrets, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRequest>,
    /// Directories of hooks (`--hooks-dir`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_dirs: Vec<PathBuf>,
    /// `--volumes-from`; once the container is made, what that means is among the other mounts.
    #[serde(skip)]
    pub volumes_from: Vec<VolumesFrom>,
    /// `--image-volume`; as above.
    #[serde(skip)]
    pub image_volumes: ImageVolumes,
    /// Whether new volumes are filled when it is made, and not when it is started.
    #[serde(skip)]
    pub fill_at_once: bool,
    /// Labels, those of `--label-file` and `--label`.
    pub labels: BTreeMap<String, String>,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// How its health is checked.
    pub health: HealthRequest,
    /// The signal that asks it to end; the image's, or SIGTERM, where absent.
    pub stop_signal: Option<Signal>,
    /// Seconds it has to end after that signal before it is killed.
    pub stop_timeout: u32,
    /// Seconds after which it is asked to end, counted from its start; without limit where absent.
    pub time_limit: Option<u32>,
    /// Its share of the machine.
    #[serde(default)]
    pub limits: LimitRequest,
    /// Its process, and what that finds around itself.
    #[serde(default)]
    pub process: ProcessRequest,
    /// Descriptors beside the standard ones that its first process gets from us, by number.
    #[serde(skip)]
    pub preserved: BTreeSet<i32>,
    /// Where process ids are written.
    #[serde(default)]
    pub pid_files: PidFiles,
    /// Bytes that may be written into its root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<u64>,
    /// Where to write the container's identifier; must not exist.
    #[serde(skip)]
    pub cidfile: Option<PathBuf>,
}

/// What older records mean by saying nothing.
fn yes() -> bool {
    true
}

impl Request {
    /// Where something is mounted.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        let (binds, tmpfs, volumes) = (self.mounts.iter(), self.tmpfs.iter(), self.volumes.iter());
        let binds = binds.map(|mount| &mount.destination).chain(tmpfs.map(|mount| &mount.destination));
        let others = self.images.iter().map(|mount| &mount.destination);
        let others = others.chain(self.kernel_mounts.iter().map(|mount| &mount.destination));
        binds.chain(volumes.map(|mount| &mount.destination)).chain(others).map(String::as_str)
    }
}

/// Files that process ids are written to, each time the container is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidFiles {
    /// That of the container's first process.
    pub container: Option<PathBuf>,
    /// Its monitor's.
    pub monitor: Option<PathBuf>,
}

/// Where a container's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootfsSource {
    /// An image of the store, or of a registry.
    Image {
        /// What the user typed.
        selector: ImageSelector,
        /// When to ask the registry.
        pull: PullPolicy,
        /// The platform wanted; the host's where absent.
        platform: Option<Platform>,
    },
    /// An image in a file or a directory of the user's. It becomes one of the store before anything else happens.
    #[serde(skip)]
    Archive {
        /// Where it is.
        location: ArchiveLocation,
        /// The platform wanted; what there is where absent.
        platform: Option<Platform>,
    },
    /// A directory of the host (`--rootfs`).
    Directory {
        /// The directory.
        #[serde(with = "crate::name::serialize::os_string")]
        path: PathBuf,
        /// Whether writes reach it.
        writes: DirectoryWrites,
    },
}

/// What happens to writes into a `--rootfs` directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryWrites {
    /// They reach the directory.
    Through,
    /// They go to an overlay that is thrown away (`DIR:O`).
    Discarded,
}

/// What becomes of a container that has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Removal {
    /// It is kept.
    Never,
    /// It is removed (`--rm`).
    AtExit,
}

/// The container's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// Ours (`-i`).
    Open,
}

/// The container's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// None: pipes or files.
    None,
    /// A new pseudo-terminal (`-t`).
    New,
}

/// Pid 1 of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// The container's own process.
    Payload,
    /// Our reaper, with the container's process as its child (`--init`).
    Reaper,
}
