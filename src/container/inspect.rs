//! Everything there is to know about a container, under the names that docker's and podman's `inspect` have for it.

mod absent;
pub mod limits;
pub mod process;

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

use self::absent::{Absent, AbsentConfig, AbsentHost};
use self::limits::Limits;
use self::process::{ProcessConfig, ProcessHostConfig};
use super::list::Listed;
use super::size::Size;
use super::summary::{Status, time};
use super::{networks, published, status};
use crate::cgroup::group::Group;
use crate::lsm::capability;
use crate::name::capability::{Capability, CapabilitySet};
use crate::name::health::{HealthCheck, OnFailure};
use crate::name::ids::IdsMode;
use crate::name::log_request::LogDriver;
use crate::name::restart_policy;
use crate::state::layout::Layout;
use crate::state::schema::container::{ContainerRecord, DeviceRecord, HealthRecord, HealthResult, MountRecord};
use crate::state::schema::network::{LeaseRecord, NetworkRecord};

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
    pub mounts: Vec<Mount>,
    pub network_settings: NetworkSettings,
    pub config: Config,
    pub host_config: HostConfig,
    /// How its user and group ids are made.
    pub ids: Ids,
    /// The digest of the image's manifest; empty without an image.
    pub image_digest: String,
    /// Where its output is kept, if in a file.
    pub log_path: String,
    /// Its directory.
    pub static_dir: String,
    pub graph_driver: GraphDriver,
    /// Bytes that it has written, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    /// Bytes of the image and of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    #[serde(flatten)]
    pub absent: Absent,
}

/// How the ids of a container are made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ids {
    /// `range`, `native`, `emulate` or `fake`.
    pub mode: String,
    /// Why.
    pub reason: String,
    /// Whether it has needed other ids than its own: without, `--ids=native` does the same for less. Absent until it has ended,
    /// and where ids are not emulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<bool>,
}

impl Ids {
    fn of(listed: &Listed) -> Self {
        let ids = listed.record.ids.as_ref();
        let needed = match &listed.status {
            status::Status::Stopped(stopped) => stopped.ids_needed,
            _ => None,
        };
        let mut reason = ids.map_or_else(|| "made by an earlier version".into(), |ids| ids.reason.clone());
        if needed == Some(false) {
            reason.push_str("; it has not needed them: --ids=native does the same for less");
        }
        Self { mode: ids.map_or(IdsMode::Native, |ids| ids.mode).to_string(), reason, needed }
    }
}

/// How the root file system is made, and of what.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct GraphDriver {
    pub name: String,
    /// Directories by podman's names: `LowerDir`, `UpperDir`, `WorkDir`. Where they are merged only the container sees.
    pub data: BTreeMap<&'static str, String>,
}

impl GraphDriver {
    fn of(layout: &Layout, listed: &Listed) -> Self {
        let record = &listed.record;
        let mut data: BTreeMap<&'static str, String> = match &record.rootfs {
            Some(_) => BTreeMap::new(),
            None => {
                let trees =
                    record.layers.iter().rev().map(|layer| layout.layer(layer).join("tree").display().to_string());
                let own = |name: &str| layout.container(&record.id).join(name).display().to_string();
                let lower = trees.collect::<Vec<_>>().join(":");
                [("LowerDir", lower), ("UpperDir", own("upper")), ("WorkDir", own("work"))].into()
            }
        };
        let copy = layout.container_copy(&record.id);
        if copy.exists() {
            // As of podman's vfs: then the upper directory says nothing.
            data.insert("Dir", copy.join("tree").display().to_string());
        }
        let found = listed.driver.as_ref();
        // Why it is not made as it is tried first.
        data.extend(found.filter(|found| !found.reason.is_empty()).map(|found| ("Reason", found.reason.clone())));
        let name = found.map_or_else(|| record.driver.clone(), |found| found.driver.name().to_owned());
        Self { name, data }
    }
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
    /// Its control group below the hierarchy's root; empty if it has none.
    pub cgroup_path: String,
    /// 0 if it does not run.
    pub pid: i32,
    /// The monitor's process id; 0 if there is none.
    pub conmon_pid: i32,
    pub exit_code: u8,
    /// Why the exit code is not the command's own, else empty.
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
    /// Empty where no checks are made, as podman has it.
    pub health: Health,
    pub oci_version: &'static str,
    pub checkpointed_at: &'static str,
    pub restored_at: &'static str,
}

/// What the health checks of a container have shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    pub failing_streak: u32,
    /// The last checks, oldest first.
    pub log: Vec<HealthLog>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct HealthLog {
    pub start: String,
    pub end: String,
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    const NONE: Self = Self { status: String::new(), failing_streak: 0, log: Vec::new() };

    fn of(record: &HealthRecord) -> Self {
        let log = |result: &HealthResult| HealthLog {
            start: time(result.start).to_string(),
            end: time(result.end).to_string(),
            exit_code: result.exit_code,
            output: result.output.clone(),
        };
        Self {
            status: record.status.clone(),
            failing_streak: record.failing_streak,
            log: record.log.iter().map(log).collect(),
        }
    }
}

/// A mount that the user asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
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
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_length: u8,
    pub gateway: String,
    pub mac_address: String,
    pub ports: BTreeMap<String, serde_json::Value>,
    pub networks: BTreeMap<String, Endpoint>,
    /// Ours: the program that connects the network, its process, and how many times it has died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helper: Option<Helper>,
}

/// A container in a network: what it has there while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Endpoint {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_length: u8,
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_length: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    pub mac_address: String,
    pub aliases: Vec<String>,
}

impl Endpoint {
    fn of(network: &NetworkRecord, lease: Option<&LeaseRecord>) -> Self {
        let mut endpoint = Self { network_id: network.id.clone(), ..Self::default() };
        let Some(lease) = lease else { return endpoint };
        endpoint.mac_address = lease.mac.to_string();
        endpoint.aliases = [lease.id.short().to_owned()].into_iter().chain(lease.aliases.iter().cloned()).collect();
        for address in &lease.addresses {
            let subnet = network.subnets.iter().find(|subnet| subnet.subnet.contains(&address.addr()));
            let gateway = subnet.and_then(|subnet| subnet.gateway).map(|ip| ip.to_string()).unwrap_or_default();
            let (text, length) = (address.addr().to_string(), address.prefix_len());
            match address {
                IpNet::V4(_) => {
                    (endpoint.ip_address, endpoint.ip_prefix_length, endpoint.gateway) = (text, length, gateway)
                }
                IpNet::V6(_) => {
                    (endpoint.global_ipv6_address, endpoint.global_ipv6_prefix_length) = (text, length);
                    endpoint.ipv6_gateway = gateway;
                }
            }
        }
        endpoint
    }
}

/// What connects a container's network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "they are what they are called")]
pub struct Helper {
    pub name: String,
    pub pid: i32,
    pub deaths: u32,
    /// Why it died the last time, if it does not live.
    pub error: String,
}

impl NetworkSettings {
    fn of(layout: &Layout, listed: &Listed) -> Self {
        let connection = listed.connection.as_ref();
        let ports = published::settings(&listed.record.ports, connection);
        let endpoints = networks::endpoints(layout, &listed.record);
        let of = |(network, lease): &(NetworkRecord, Option<LeaseRecord>)| {
            (network.name.to_string(), Endpoint::of(network, lease.as_ref().filter(|_| connection.is_some())))
        };
        let networks: BTreeMap<String, Endpoint> = endpoints.iter().map(of).collect();
        let Some(connection) = connection else { return Self { ports, networks, ..Self::default() } };
        let first =
            endpoints.first().map(|(network, _)| networks[network.name.as_str()].clone()).unwrap_or_else(|| {
                let (ip_address, gateway) = (connection.address.to_string(), connection.gateway.to_string());
                Endpoint { ip_address, ip_prefix_length: connection.prefix_length, gateway, ..Endpoint::default() }
            });
        Self {
            ip_address: first.ip_address,
            ip_prefix_length: first.ip_prefix_length,
            gateway: first.gateway,
            mac_address: first.mac_address,
            ports,
            networks,
            helper: Some(Helper {
                name: connection.helper.clone(),
                pid: connection.pid,
                deaths: connection.deaths,
                error: connection.error.clone().unwrap_or_default(),
            }),
        }
    }
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
    /// By `PORT/PROTOCOL`.
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
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
    /// Those that it has; what is secret is not in the record.
    pub secrets: Vec<Secret>,
    #[serde(flatten)]
    pub process: ProcessConfig,
    /// Seconds.
    pub stop_timeout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck_on_failure_action: Option<OnFailure>,
    /// Destinations of volumes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, BTreeMap<String, ()>>,
    #[serde(flatten)]
    pub absent: AbsentConfig,
}

/// How the container's health is checked. Times are nanoseconds, as docker and podman have them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Healthcheck {
    pub test: Vec<String>,
    pub start_period: u64,
    pub interval: u64,
    pub timeout: u64,
    pub retries: u32,
}

impl Healthcheck {
    fn of(check: &HealthCheck) -> Self {
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            test: std::iter::once("CMD".to_owned()).chain(check.command.iter().cloned()).collect(),
            start_period: nanoseconds(check.start_period),
            interval: nanoseconds(check.interval),
            timeout: nanoseconds(check.timeout),
            retries: check.retries,
        }
    }
}

/// How the container was asked to be set up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct HostConfig {
    /// `SOURCE:DESTINATION:OPTIONS`.
    pub binds: Vec<String>,
    pub log_config: LogConfig,
    pub network_mode: String,
    /// What was asked for, by `PORT/PROTOCOL`.
    pub port_bindings: BTreeMap<String, serde_json::Value>,
    pub publish_all_ports: bool,
    pub auto_remove: bool,
    /// What the bounding set has more than by default.
    pub cap_add: Vec<String>,
    /// What the bounding set has less than by default.
    pub cap_drop: Vec<String>,
    pub privileged: bool,
    pub devices: Vec<Device>,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    /// Options by destination.
    pub tmpfs: BTreeMap<String, String>,
    pub init: bool,
    pub restart_policy: RestartPolicy,
    #[serde(flatten)]
    pub limits: Limits,
    #[serde(flatten)]
    pub process: ProcessHostConfig,
    #[serde(flatten)]
    pub absent: AbsentHost,
}

/// A device of the host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Device {
    pub path_on_host: String,
    pub path_in_container: String,
    pub cgroup_permissions: String,
}

/// A secret, by name.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are podman's")]
pub struct Secret {
    pub name: String,
}

impl Device {
    fn of(record: &DeviceRecord) -> Self {
        Self {
            path_on_host: record.source.clone(),
            path_in_container: record.destination.clone(),
            cgroup_permissions: record.permissions.clone(),
        }
    }
}

/// What happens when the container ends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct RestartPolicy {
    pub name: String,
    /// 0 for no limit.
    pub maximum_retry_count: u32,
}

/// Where output is kept.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct LogConfig {
    /// The log driver.
    #[serde(rename = "Type")]
    pub kind: String,
    pub config: BTreeMap<String, String>,
}

/// A time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Report {
    /// What is known of a container that was listed.
    pub fn of(layout: &Layout, listed: &Listed, size: Option<Size>) -> Self {
        let record = &listed.record;
        let process = &record.process;
        let mut words = process.entrypoint.iter().chain(&process.command).cloned();
        Self {
            id: record.id.to_string(),
            created: time(record.created).to_string(),
            path: words.next().unwrap_or_default(),
            args: words.collect(),
            state: State::of(listed),
            image: record.image.as_ref().map(|image| image.id.hex().to_owned()).unwrap_or_default(),
            image_name: record.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
            rootfs: record.rootfs.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            name: record.name.to_string(),
            restart_count: listed.restarts(),
            driver: listed
                .driver
                .as_ref()
                .map_or_else(|| record.driver.clone(), |found| found.driver.name().to_owned()),
            effective_caps: process.effective.clone(),
            bounding_caps: process.bounding.clone(),
            mounts: record.mounts.iter().map(Mount::of).collect(),
            network_settings: NetworkSettings::of(layout, listed),
            config: Config::of(record),
            host_config: HostConfig::of(record),
            ids: Ids::of(listed),
            image_digest: String::new(),
            log_path: log_path(layout, record),
            static_dir: layout.container(&record.id).display().to_string(),
            graph_driver: GraphDriver::of(layout, listed),
            size_rw: size.map(|size| size.written),
            size_root_fs: size.map(|size| size.written + size.base),
            absent: Absent::ALL,
        }
    }
}

/// Where the output is kept, if in a file.
fn log_path(layout: &Layout, record: &ContainerRecord) -> String {
    match record.log.driver {
        LogDriver::JsonFile | LogDriver::K8sFile => layout.container_log(&record.id, &record.log).display().to_string(),
        _ => String::new(),
    }
}

impl State {
    fn of(listed: &Listed) -> Self {
        let status = &listed.status;
        let written = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
        let (pid, exit_code, started, finished) = match Status::of(listed) {
            Status::Created | Status::Restarting => (0, 0, None, None),
            Status::Initialized { pid } => (pid, 0, None, None),
            Status::Running { pid, started } | Status::Paused { pid, started } => (pid, 0, Some(started), None),
            Status::Exited { code, started, finished } => (0, code, started, finished),
        };
        let reason = match status {
            status::Status::Stopped(stopped) => stopped.reason.as_deref().unwrap_or_default(),
            status::Status::Running(processes) => processes.degraded.as_deref().unwrap_or_default(),
            _ => "",
        };
        Self {
            status: Status::of(listed).as_str().to_owned(),
            running: matches!(status, status::Status::Running(_)),
            paused: listed.is_paused,
            restarting: matches!(status, status::Status::Restarting(_)),
            oom_killed: matches!(status, status::Status::Stopped(stopped) if stopped.oom_killed),
            dead: false,
            cgroup_path: listed.group.as_ref().map(Group::path).unwrap_or_default(),
            pid,
            conmon_pid: match status {
                status::Status::Running(processes)
                | status::Status::Initialized(processes)
                | status::Status::Restarting(processes) => processes.monitor,
                _ => 0,
            },
            exit_code,
            error: reason.to_owned(),
            started_at: written(started),
            finished_at: written(finished),
            health: listed.health.as_ref().map_or(Health::NONE, Health::of),
            oci_version: "1.2.0",
            checkpointed_at: NEVER,
            restored_at: NEVER,
        }
    }
}

impl Mount {
    fn of(record: &MountRecord) -> Self {
        Self {
            kind: record.kind.clone(),
            source: record.source.clone(),
            destination: record.destination.clone(),
            name: record.volume.as_ref().map(ToString::to_string).unwrap_or_default(),
            driver: if record.volume.is_some() { "local".into() } else { String::new() },
            mode: String::new(),
            options: record.options.clone(),
            writable: record.writable,
            propagation: "rprivate".into(),
        }
    }
}

/// Those that are published are exposed, too.
fn exposed_ports(record: &ContainerRecord) -> BTreeMap<String, serde_json::Value> {
    let published = published::asked(&record.ports).into_keys();
    published.chain(published::exposed(&record.ports)).map(|port| (port, serde_json::json!({}))).collect()
}

impl Config {
    fn of(record: &ContainerRecord) -> Self {
        let process = &record.process;
        Self {
            hostname: record.hostname.clone(),
            user: process.user.clone(),
            tty: process.terminal,
            open_stdin: process.stdin,
            exposed_ports: exposed_ports(record),
            env: process.env.clone(),
            cmd: process.command.clone(),
            image: record.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
            working_dir: process.workdir.clone(),
            entrypoint: process.entrypoint.clone(),
            labels: record.labels.clone(),
            stop_signal: process.stop_signal.clone(),
            secrets: record.secrets.iter().map(|name| Secret { name: name.to_string() }).collect(),
            process: ProcessConfig::of(&record.asked, record.process.systemd),
            stop_timeout: record.stop_timeout,
            healthcheck: record.health.as_ref().map(Healthcheck::of),
            healthcheck_on_failure_action: record.health.as_ref().map(|check| check.on_failure),
            volumes: record
                .mounts
                .iter()
                .filter(|mount| mount.kind == "volume")
                .map(|mount| (mount.destination.clone(), BTreeMap::new()))
                .collect(),
            absent: AbsentConfig::ALL,
        }
    }
}

impl HostConfig {
    fn of(record: &ContainerRecord) -> Self {
        let bounding: Vec<Capability> = record.process.bounding.iter().filter_map(|name| name.parse().ok()).collect();
        let bounding = CapabilitySet::of(&bounding);
        let names = |one: CapabilitySet, without: CapabilitySet| {
            one.iter().filter(|&capability| !without.contains(capability)).map(|name| name.to_string()).collect()
        };
        let of_kind = |kind: &'static str| record.mounts.iter().filter(move |mount| mount.kind == kind);
        let bind = |mount: &MountRecord| {
            let source = mount.volume.as_ref().map_or(mount.source.as_str(), |name| name.as_str());
            format!("{source}:{}:{}", mount.destination, mount.options.join(","))
        };
        let restart = record.restart.parse::<restart_policy::RestartPolicy>().unwrap_or_default();
        Self {
            binds: of_kind("bind").chain(of_kind("volume").filter(|mount| !mount.anonymous)).map(bind).collect(),
            log_config: LogConfig { kind: record.log.driver.as_str().to_owned(), config: record.log.options() },
            network_mode: record.network.clone(),
            port_bindings: published::asked(&record.ports),
            publish_all_ports: record.ports.all,
            auto_remove: record.remove_at_exit,
            cap_add: names(bounding, capability::DEFAULT),
            cap_drop: names(capability::DEFAULT, bounding),
            privileged: record.privileged,
            devices: record.devices.iter().map(Device::of).collect(),
            readonly_rootfs: record.read_only,
            security_opt: record.security.clone(),
            tmpfs: of_kind("tmpfs").map(|mount| (mount.destination.clone(), mount.options.join(","))).collect(),
            init: record.init,
            restart_policy: RestartPolicy { name: restart.name().to_owned(), maximum_retry_count: restart.limit() },
            limits: Limits::of(&record.limits),
            process: ProcessHostConfig::of(&record.asked),
            absent: AbsentHost::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::schema::container::{ExitRecord, ProcessRecord, ProcessesRecord, Timestamp};

    fn listed(status: status::Status) -> Listed {
        let names = |capabilities: &[&str]| capabilities.iter().map(|name| format!("CAP_{name}")).collect();
        let mount = |kind: &str, source: &str, destination: &str, writable: bool| MountRecord {
            kind: kind.into(),
            source: source.into(),
            destination: destination.into(),
            volume: None,
            anonymous: false,
            subpath: None,
            image: None,
            layers: Vec::new(),
            options: vec![if writable { "rw" } else { "ro" }.into(), "nosuid".into()],
            writable,
        };
        let record = ContainerRecord {
            ids: None,
            id: crate::name::container::ContainerId::from_random([0xab; 32]),
            name: "web".parse().unwrap(),
            created: Timestamp(1_795_373_526_549_105_125),
            image: None,
            rootfs: Some("/srv/root".into()),
            layers: Vec::new(),
            driver: "overlay".into(),
            remove_at_exit: true,
            process: ProcessRecord {
                entrypoint: vec!["/entry".into()],
                command: vec!["a".into(), "b".into()],
                env: vec!["A=1".into()],
                workdir: "/".into(),
                user: String::new(),
                ids: (0, 0),
                terminal: false,
                stdin: true,
                effective: names(&["CHOWN"]),
                bounding: names(&["CHOWN", "SYS_ADMIN"]),
                no_new_privileges: true,
                seccomp: "default".into(),
                stop_signal: "SIGTERM".into(),
                systemd: false,
            },
            hostname: "abababababab".into(),
            network: "none".into(),
            devices: Vec::new(),
            privileged: false,
            secrets: Vec::new(),
            secret_variables: Default::default(),
            mounts: vec![mount("bind", "/a", "/b", false), mount("tmpfs", "", "/t", true)],
            labels: [("k".to_owned(), "v".to_owned())].into(),
            read_only: false,
            init: false,
            security: Vec::new(),
            restart: "no".into(),
            stop_timeout: 10,
            health: None,
            request: None,
            asked: crate::name::process::ProcessRequest::default(),
            log: crate::name::log_request::LogRequest::default(),
            limits: crate::name::limit_request::LimitRequest::default(),
            ports: crate::name::port::PortRequest::default(),
        };
        Listed { record, status, is_paused: false, health: None, connection: None, group: None, driver: None }
    }

    fn json(status: status::Status) -> serde_json::Value {
        let layout = Layout::discover(Some("/d".into()), Some("/r".into())).unwrap();
        let text = serde_json::to_vec(&Report::of(&layout, &listed(status), None)).unwrap();
        // Of two fields of one name a reader would see either.
        crate::oci::strict_json::parse_value(&text).unwrap()
    }

    #[test]
    fn names_are_podmans() {
        let report = json(status::Status::Creating);
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            keys(&report),
            "Id Created Path Args State Image ImageName Rootfs Name RestartCount Driver EffectiveCaps BoundingCaps \
             Mounts NetworkSettings Config HostConfig Ids ImageDigest LogPath StaticDir GraphDriver Pod Namespace MountLabel \
             ProcessLabel AppArmorProfile ConmonPidFile PidFile ExecIDs Dependencies IsInfra IsService OCIConfigPath OCIRuntime"
        );
        assert_eq!(
            keys(&report["State"]),
            "Status Running Paused Restarting OOMKilled Dead CgroupPath Pid ConmonPid ExitCode Error StartedAt FinishedAt \
             Health OciVersion CheckpointedAt RestoredAt"
        );
        assert_eq!(keys(&report["Mounts"][0]), "Type Source Destination Driver Mode Options RW Propagation");
        assert_eq!((&report["Path"], &report["Args"]), (&"/entry".into(), &serde_json::json!(["a", "b"])));
        assert_eq!(report["Created"], "2026-11-22T18:52:06.549105125Z");
        assert_eq!(report["HostConfig"]["Binds"], serde_json::json!(["/a:/b:ro,nosuid"]));
        assert_eq!(report["HostConfig"]["Tmpfs"], serde_json::json!({"/t": "rw,nosuid"}));
        assert_eq!(report["HostConfig"]["CapAdd"], serde_json::json!(["CAP_SYS_ADMIN"]));
        assert_eq!(report["HostConfig"]["CapDrop"].as_array().unwrap().len(), 10);
    }

    #[test]
    fn states() {
        assert_eq!(json(status::Status::Creating)["State"]["StartedAt"], NEVER);
        let processes = ProcessesRecord {
            boot_id: String::new(),
            monitor: 7,
            init: 42,
            init_start: 1,
            started: Timestamp(0),
            restarts: 0,
            initialized: false,
            degraded: None,
        };
        let running = json(status::Status::Running(processes));
        assert_eq!((&running["State"]["Pid"], &running["State"]["Running"]), (&42.into(), &true.into()));
        let exit = ExitRecord {
            ids_needed: None,
            code: 137,
            started: Timestamp(0),
            finished: Timestamp(1_000_000_000),
            restarts: 0,
            stopped_by_user: false,
            oom_killed: false,
            error: None,
        };
        let stopped = status::Stopped {
            ids_needed: None,
            restarts: 0,
            oom_killed: false,
            by_user: false,
            code: exit.code,
            started: Some(exit.started),
            finished: Some(exit.finished),
            reason: Some("killed".into()),
        };
        let exited = json(status::Status::Stopped(stopped));
        assert_eq!((&exited["State"]["Status"], &exited["State"]["ExitCode"]), (&"exited".into(), &137.into()));
        assert_eq!(
            (&exited["State"]["FinishedAt"], &exited["State"]["Error"]),
            (&"1970-01-01T00:00:01Z".into(), &"killed".into())
        );
    }
}
