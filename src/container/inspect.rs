//! Everything there is to know about a container, under the names that docker's and podman's `inspect` have for it.

use std::collections::BTreeMap;

use serde::Serialize;

/// One container. Times are RFC 3339; one that has not come yet is `0001-01-01T00:00:00Z`. Lists are never absent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Report {
    /// 64 hexadecimal digits.
    pub id: String,
    pub created: String,
    /// First word of the command line.
    pub path: String,
    /// The other words.
    pub args: Vec<String>,
    pub state: State,
    /// The image's id, 64 hexadecimal digits; empty for `--rootfs`.
    pub image: String,
    /// Digest of the image's manifest; empty for `--rootfs`.
    pub image_digest: String,
    /// The name that the image was found by.
    pub image_name: String,
    /// The directory of `--rootfs`, else empty.
    pub rootfs: String,
    pub name: String,
    pub restart_count: u32,
    /// How the root file system is made.
    pub driver: String,
    /// `CAP_` names.
    pub effective_caps: Vec<String>,
    /// `CAP_` names.
    pub bounding_caps: Vec<String>,
    pub graph_driver: GraphDriver,
    pub mounts: Vec<Mount>,
    pub network_settings: NetworkSettings,
    pub config: Config,
    pub host_config: HostConfig,
}

/// What the container is doing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct State {
    /// `created`, `running` or `exited`.
    pub status: String,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    /// 0 if it does not run.
    pub pid: i32,
    pub exit_code: u8,
    /// Why it could not be started, else empty.
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
}

/// How the root file system is made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct GraphDriver {
    pub name: String,
    /// For an overlay: `LowerDir`, `UpperDir`, `WorkDir`, `MergedDir`.
    pub data: Option<BTreeMap<String, String>>,
}

/// A mount that the user asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Mount {
    /// `bind` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Path on the host; empty for a tmpfs.
    pub source: String,
    pub destination: String,
    pub driver: String,
    pub mode: String,
    pub options: Vec<String>,
    #[serde(rename = "RW")]
    pub writable: bool,
    /// `rprivate`.
    pub propagation: String,
}

/// The container's addresses; empty without a network of its own.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct NetworkSettings {
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    pub gateway: String,
    pub mac_address: String,
    pub ports: BTreeMap<String, serde_json::Value>,
    pub networks: BTreeMap<String, serde_json::Value>,
}

/// What runs in the container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Config {
    pub hostname: String,
    pub user: String,
    pub tty: bool,
    pub open_stdin: bool,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    /// The name that the image was found by.
    pub image: String,
    pub working_dir: String,
    pub entrypoint: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// A signal's name.
    pub stop_signal: String,
}

/// How the container was asked to be set up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct HostConfig {
    /// `SOURCE:DESTINATION:OPTIONS`.
    pub binds: Vec<String>,
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    pub network_mode: String,
    pub auto_remove: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    /// Options by destination.
    pub tmpfs: BTreeMap<String, String>,
    pub init: bool,
}
