//! Records of containers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::name::container::{ContainerId, ContainerName};
use crate::name::health::HealthCheck;
use crate::name::ids::IdsMode;
use crate::name::image_selector::ImageSelector;
use crate::name::limit_request::LimitRequest;
use crate::name::log_request::LogRequest;
use crate::name::port::{PortRequest, Published};
use crate::name::process::ProcessRequest;
use crate::name::secret::SecretName;
use crate::name::storage_driver::Driver;
use crate::name::volume::VolumeName;
use crate::oci::digest::{DiffId, ImageId};
use crate::state::record::Record;

/// `containers/ID/record.json`: what a container is. Written once, when it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Identifier.
    pub id: ContainerId,
    /// Name.
    pub name: ContainerName,
    /// When it was made: seconds and nanoseconds since the epoch.
    pub created: Timestamp,
    /// The image it was made from.
    pub image: Option<ImageOrigin>,
    /// The directory it was made from (`--rootfs`).
    pub rootfs: Option<PathBuf>,
    /// Layers that its root file system uses: they cannot be removed while it exists.
    pub layers: Vec<DiffId>,
    /// How its root file system is made: `overlay` or `directory`.
    pub driver: String,
    /// Whether it is removed when it exits.
    pub remove_at_exit: bool,
    /// What runs in it.
    pub process: ProcessRecord,
    /// Host name.
    pub hostname: String,
    /// Network mode.
    pub network: String,
    /// Mounts that the user asked for.
    pub mounts: Vec<MountRecord>,
    /// Devices of the host that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRecord>,
    /// Whether it has all that can be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Names of secrets that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// Which of them are variables, by the variable's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_variables: BTreeMap<String, SecretName>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Whether our reaper is its pid 1.
    pub init: bool,
    /// `--security-opt` as given in effect.
    pub security: Vec<String>,
    /// What happens when it ends, as `--restart` names it.
    #[serde(default)]
    pub restart: String,
    /// Seconds it has to end before it is killed.
    #[serde(default)]
    pub stop_timeout: u32,
    /// How its health is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What it was asked for, to be repeated when it is started again. Absent where it is removed when it exits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    /// Where its output is kept.
    #[serde(default)]
    pub log: LogRequest,
    /// Its share of the machine.
    #[serde(default, skip_serializing_if = "LimitRequest::is_default")]
    pub limits: LimitRequest,
    /// What was asked for about its process.
    #[serde(default, skip_serializing_if = "ProcessRequest::is_default")]
    pub asked: ProcessRequest,
    /// How its ids are made. Absent in records of versions that knew one way, by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdsRecord>,
    /// What was asked for about its ports; the exposed ones are the image's, too.
    #[serde(default)]
    pub ports: PortRequest,
}

/// How the ids of a container are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdsRecord {
    /// `range`, `native`, `emulate` or `fake`.
    pub mode: IdsMode,
    /// Why.
    pub reason: String,
}

/// The image of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageOrigin {
    /// Identifier.
    pub id: ImageId,
    /// The name it was found by.
    pub name: String,
}

/// The process of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Command.
    pub command: Vec<String>,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: String,
    /// User, as asked for.
    pub user: String,
    /// User and group inside, as numbers.
    pub ids: (u32, u32),
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it reads standard input.
    pub stdin: bool,
    /// Effective capabilities.
    pub effective: Vec<String>,
    /// Bounding set.
    pub bounding: Vec<String>,
    /// Whether no_new_privs is set.
    pub no_new_privileges: bool,
    /// Which seccomp profile: `default`, `unconfined`, or a file.
    pub seccomp: String,
    /// Signal that asks it to stop.
    pub stop_signal: String,
    /// Whether it is prepared for systemd.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub systemd: bool,
}

/// A device of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// `r`, `w`: what the user may do with it.
    pub permissions: String,
}

/// A mount of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountRecord {
    /// `bind`, `volume`, `tmpfs`, `image`, `devpts` or `ramfs`.
    pub kind: String,
    /// The volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeName>,
    /// Whether the volume was made for the container, and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// What of the volume is mounted, relative to it; all of it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSelector>,
    /// Its layers, which cannot be removed while the container exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<DiffId>,
    /// Path on the host; empty for a tmpfs.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Options in effect.
    pub options: Vec<String>,
    /// Whether it can be written to.
    pub writable: bool,
}

/// Nanoseconds since the epoch (CLOCK_REALTIME).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Record for ContainerRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "container record";
}

/// `RUNTIME/containers/ID.json`: which processes serve a running container. Worthless after a reboot, and without the
/// container's lock being taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessesRecord {
    /// `/proc/sys/kernel/random/boot_id` of the boot in which it was written.
    pub boot_id: String,
    /// The monitor's process id.
    pub monitor: i32,
    /// The process id, outside, of the container's pid 1.
    pub init: i32,
    /// Start time of that process in clock ticks since boot (proc_pid_stat(5), field 22): with the number it names the
    /// process.
    pub init_start: u64,
    /// When the container's process was executed.
    pub started: Timestamp,
    /// How many times it was restarted by its policy. With no process it waits for the next time.
    #[serde(default)]
    pub restarts: u32,
    /// Whether that process waits before the container's program, to be started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initialized: bool,
    /// What of it does not work any more, although it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}

impl Record for ProcessesRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "process record";
}

/// `containers/ID/driver.json`: how a container's root file system is made, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverRecord {
    /// How.
    pub driver: Driver,
    /// Why: what was tried before, and how that failed.
    pub reason: String,
}

impl Record for DriverRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "driver record";
}

/// `containers/ID/exit.json`: how a container ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code, or 128 and the signal's number.
    pub code: u8,
    /// When the container's process was executed.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How many times it had been restarted by its policy.
    #[serde(default)]
    pub restarts: u32,
    /// Whether a user asked it to end.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Whether processes of it were killed because there was no memory left for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom_killed: bool,
    /// Whether it needed other ids than its own, where these were emulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_needed: Option<bool>,
    /// Why it could not be started again, if that is how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record for ExitRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "exit record";
}

/// `RUNTIME/containers/ID.network.json`: what connects the network of a container that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// The program that does.
    pub helper: String,
    /// Its process; 0 while none lives.
    pub pid: i32,
    /// The container's device.
    pub device: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix_length: u8,
    /// Its gateway.
    pub gateway: Ipv4Addr,
    /// Published ports.
    pub ports: Vec<Published>,
    /// Whether a port without an address is one of IPv6, too.
    pub publishes_both: bool,
    /// How many times the program has died.
    pub deaths: u32,
    /// Why it died the last time, if it does not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record for ConnectionRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "record of a network's connection";
}

/// `RUNTIME/containers/ID.health.json`: what the checks of a container that runs have shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// One of the words below.
    pub status: String,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: Vec<HealthResult>,
}

impl HealthRecord {
    /// No check has succeeded yet, and not enough have failed.
    pub const STARTING: &str = "starting";
    /// The last one that counted was a success.
    pub const HEALTHY: &str = "healthy";
    /// Too many have failed in a row.
    pub const UNHEALTHY: &str = "unhealthy";
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit code; -1 for one that took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

impl Record for HealthRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "health record";
}
