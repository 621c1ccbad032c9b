//! What this host can do, each with the reason: what `info` shows. Names are podman's where podman has them. Nothing
//! here fails: what cannot be found out is said to be unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::cgroup::Cgroups;
use super::config::containers::ContainersConf;
use super::config::storage::StorageConf;
use super::device::{self, Device};
use super::directory::{self, FileSystem};
use super::identity::Mapping;
use super::security::{Modules, seccomp_actions};
use super::userns::{Facts, Verdict};
use super::{env, kernel, limits, program};
use crate::oci::platform::Platform;
use crate::state::layout::Layout;

/// What higher floors found out.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// How root file systems are made here, tried and not guessed; nothing if it was not tried.
    pub graph_driver: Option<Choice>,
    /// How the ids of a container are made whose image has several users.
    pub ids: Choice,
    /// Version of Landlock's interface (landlock(7)), 0 where the kernel has none; nothing if it was not asked.
    pub landlock_abi: Option<u32>,
}

/// What was chosen, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// For example `overlay`.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What the store has, or why it could not be counted.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Number of images.
    pub images: Result<usize, String>,
    /// What each container is doing.
    pub containers: Result<Vec<Activity>, String>,
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It does.
    Running,
    /// It does not.
    Stopped,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The host.
    pub host: Host,
    /// Where things are kept.
    pub store: Store,
    /// What containers.conf says.
    pub configuration: Configuration,
    /// This program.
    pub version: Version,
}

/// containers.conf.
#[derive(Clone, Debug, Serialize)]
pub struct Configuration {
    /// Files that are there, weakest first.
    pub files: Vec<PathBuf>,
    /// What in them cannot be used.
    pub broken: Vec<String>,
    /// What in them has no meaning here.
    pub unused: Vec<String>,
}

/// The host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// `GOARCH` word.
    pub arch: String,
    /// `linux`.
    pub os: String,
    /// Release.
    pub kernel: String,
    /// The host's name.
    pub hostname: String,
    /// Processors that this process may run on.
    pub cpus: usize,
    /// Bytes.
    pub mem_total: Option<u64>,
    /// Bytes available.
    pub mem_free: Option<u64>,
    /// Whether containers can be made at all.
    pub user_namespaces: Verdict,
    /// Which ids they can have.
    pub id_mappings: Mapping,
    /// How the ids of a container are made whose image has several users, if nothing is asked for (`--ids`).
    pub ids: Ids,
    /// `/dev/fuse`.
    pub fuse: Device,
    /// `/dev/net/tun`.
    pub tun: Device,
    /// Control groups.
    #[serde(flatten)]
    pub cgroups: Cgroups,
    /// Confinement.
    pub security: Security,
    /// Optional helper for networks.
    pub pasta: Helper,
    /// Optional helper for networks.
    pub slirp4netns: Helper,
    /// Resource limits of this process.
    pub rlimits: BTreeMap<&'static str, Value>,
}

/// How ids are made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ids {
    /// `range`, `emulate` or `native`.
    pub mode: String,
    /// Why.
    pub reason: String,
}

/// Confinement.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are podman's or those of the kernel's files")]
pub struct Security {
    pub rootless: bool,
    pub seccomp_enabled: bool,
    pub seccomp_actions: Vec<String>,
    #[serde(rename = "landlockABI")]
    pub landlock_abi: Option<u32>,
    pub apparmor_enabled: bool,
    pub apparmor_profile: String,
    pub selinux_enabled: bool,
    pub modules: Vec<String>,
}

/// A program of the host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Helper {
    /// Its path; empty if it is not installed.
    pub executable: String,
}

/// Where things are kept.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// Images and containers.
    pub graph_root: PathBuf,
    /// What is wrong with it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_root_complaint: Option<String>,
    /// How containers' root file systems are made here; empty if that was not found out.
    pub graph_driver_name: String,
    /// Why so.
    pub graph_driver_reason: String,
    /// The storage.conf that was read; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_file: Option<PathBuf>,
    /// What in it has no effect, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config_without_effect: Vec<String>,
    /// What it is on.
    pub file_system: Option<FileSystem>,
    /// Process records.
    pub run_root: PathBuf,
    /// Why there.
    pub run_root_reason: String,
    /// What is wrong with it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_root_complaint: Option<String>,
    /// Configuration.
    pub config_root: PathBuf,
    /// Partial downloads.
    pub cache_root: PathBuf,
    /// Counts.
    pub image_store: Value,
    /// Counts.
    pub container_store: Value,
}

/// This program.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are podman's")]
pub struct Version {
    pub version: String,
    pub os_arch: String,
}

impl Report {
    /// Finds everything out.
    pub fn gather(layout: &Layout, counts: Counts, slots: Slots) -> Self {
        let platform = Platform::host();
        let version = Version { version: env!("CARGO_PKG_VERSION").into(), os_arch: platform.to_string() };
        let driver = slots.graph_driver.unwrap_or_else(|| Choice { name: String::new(), reason: "not tried".into() });
        let conf = ContainersConf::here();
        let configuration = Configuration {
            files: conf.files.clone(),
            broken: conf.broken.iter().map(ToString::to_string).collect(),
            unused: conf.unused.clone(),
        };
        let host = host(platform, slots.ids, slots.landlock_abi);
        Self { host, store: store(layout, driver, counts), configuration, version }
    }
}

fn host(platform: Platform, ids: Choice, landlock_abi: Option<u32>) -> Host {
    let modules = Modules::here();
    let memory = kernel::memory();
    Host {
        arch: platform.architecture,
        os: platform.os,
        kernel: kernel::release(),
        hostname: kernel::host_name(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: memory.map(|(total, _)| total),
        mem_free: memory.map(|(_, free)| free),
        user_namespaces: Facts::gather(&modules).verdict(),
        id_mappings: Mapping::here(),
        ids: Ids { mode: ids.name, reason: ids.reason },
        fuse: device::probe("/dev/fuse"),
        tun: device::probe("/dev/net/tun"),
        cgroups: Cgroups::here(),
        security: security(modules, landlock_abi),
        pasta: helper("pasta"),
        slirp4netns: helper("slirp4netns"),
        rlimits: limits::limits(),
    }
}

fn security(modules: Modules, landlock_abi: Option<u32>) -> Security {
    let seccomp_actions = seccomp_actions();
    Security {
        rootless: !nix::unistd::geteuid().is_root(),
        seccomp_enabled: !seccomp_actions.is_empty(),
        seccomp_actions,
        landlock_abi,
        apparmor_enabled: modules.apparmor,
        apparmor_profile: modules.apparmor_profile.unwrap_or_default(),
        selinux_enabled: modules.selinux,
        modules: modules.active,
    }
}

fn helper(name: &str) -> Helper {
    let path = program::find(name);
    Helper { executable: path.map(|path| path.display().to_string()).unwrap_or_default() }
}

fn store(layout: &Layout, driver: Choice, counts: Counts) -> Store {
    let conf = StorageConf::read();
    Store {
        graph_root: layout.data().to_owned(),
        graph_root_complaint: directory::complaint(layout.data()),
        graph_driver_name: driver.name,
        graph_driver_reason: driver.reason,
        config_file: conf.file,
        config_without_effect: conf.without_effect.iter().map(|(key, why)| format!("{key}: {why}")).collect(),
        file_system: directory::file_system(layout.data()),
        run_root: layout.runtime().to_owned(),
        run_root_reason: run_root_reason(layout),
        run_root_complaint: directory::complaint(layout.runtime()),
        config_root: layout.config().to_owned(),
        cache_root: layout.cache().to_owned(),
        image_store: match counts.images {
            Ok(number) => serde_json::json!({ "number": number }),
            Err(reason) => serde_json::json!({ "number": null, "reason": reason }),
        },
        container_store: match counts.containers {
            Ok(containers) => {
                let running = containers.iter().filter(|activity| **activity == Activity::Running).count();
                serde_json::json!({
                    "number": containers.len(), "paused": 0, "running": running, "stopped": containers.len() - running
                })
            }
            Err(reason) => serde_json::json!({ "number": null, "reason": reason }),
        },
    }
}

fn run_root_reason(layout: &Layout) -> String {
    let from_environment = env::get_absolute(&env::XDG_RUNTIME_DIR);
    match from_environment {
        Some(base) if layout.runtime() == base.join("coracle") => "XDG_RUNTIME_DIR".into(),
        Some(base) if layout.runtime() == fallback(layout) => {
            format!(
                "XDG_RUNTIME_DIR names {}, which is no directory of yours: a directory of the store",
                base.display()
            )
        }
        None if layout.runtime() == fallback(layout) => "XDG_RUNTIME_DIR is not set: a directory of the store".into(),
        _ => "--runroot".into(),
    }
}

fn fallback(layout: &Layout) -> PathBuf {
    Path::new(layout.data()).join("run")
}
