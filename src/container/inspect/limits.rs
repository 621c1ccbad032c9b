//! The limits of a container, under the names of docker's and podman's `HostConfig`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::container::translate::resources::SHM_SIZE;
use crate::name::limit_request::LimitRequest;
use crate::name::resources::{Bound, DeviceValue, IdList, Traffic};
use crate::name::ulimit::{self, Ulimit};

/// What was asked for; 0 where nothing was.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Limits {
    pub memory: u64,
    /// -1 for no limit.
    pub memory_swap: i64,
    pub memory_reservation: u64,
    /// -1 where it was not asked for.
    pub memory_swappiness: i64,
    pub oom_kill_disable: bool,
    pub oom_score_adj: i16,
    pub nano_cpus: u64,
    pub cpu_shares: u64,
    pub cpu_period: u64,
    /// -1 for no limit.
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    /// -1 for no limit.
    pub pids_limit: i64,
    pub blkio_weight: u16,
    pub blkio_weight_device: Vec<DeviceWeight>,
    pub blkio_device_read_bps: Vec<DeviceRate>,
    pub blkio_device_write_bps: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Vec<DeviceRate>,
    pub shm_size: u64,
    pub ulimits: Vec<UlimitReport>,
    pub cgroup_parent: String,
    pub cgroup_mode: String,
    pub cgroups: String,
    pub cgroup_conf: BTreeMap<String, String>,
}

/// A device's share.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct DeviceWeight {
    pub path: String,
    pub weight: u64,
}

/// A device's bound.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct DeviceRate {
    pub path: String,
    pub rate: u64,
}

/// A limit of each process; -1 for none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct UlimitReport {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

impl Limits {
    /// Those of a request.
    pub fn of(request: &LimitRequest) -> Self {
        let resources = &request.resources;
        let text = |list: &Option<IdList>| list.as_ref().map(|list| list.as_str().to_owned()).unwrap_or_default();
        let rates = |traffic: Traffic| {
            let of_kind = resources.device_rates.iter().filter(move |(kind, _)| *kind == traffic);
            of_kind.map(|(_, value)| DeviceRate { path: shown(value), rate: value.value }).collect()
        };
        let nanoseconds =
            |quota: u64| quota * 1_000_000_000 / resources.cpu_period.unwrap_or(crate::name::resources::CPU_PERIOD);
        Self {
            memory: positive(resources.memory),
            memory_swap: signed(resources.memory_and_swap()),
            memory_reservation: resources.memory_reservation.unwrap_or(0),
            memory_swappiness: resources.memory_swappiness.map_or(-1, i64::from),
            oom_kill_disable: resources.oom_kill_disable,
            oom_score_adj: request.oom_score_adj.unwrap_or(0),
            nano_cpus: nanoseconds(positive(resources.cpu_quota)),
            cpu_shares: resources.cpu_shares.unwrap_or(0),
            cpu_period: resources.cpu_period.unwrap_or(0),
            cpu_quota: signed(resources.cpu_quota),
            cpuset_cpus: text(&resources.cpuset_cpus),
            cpuset_mems: text(&resources.cpuset_mems),
            pids_limit: signed(resources.pids),
            blkio_weight: resources.blkio_weight.unwrap_or(0),
            blkio_weight_device: resources
                .blkio_weight_device
                .iter()
                .map(|value| DeviceWeight { path: shown(value), weight: value.value })
                .collect(),
            blkio_device_read_bps: rates(Traffic::ReadBytes),
            blkio_device_write_bps: rates(Traffic::WriteBytes),
            blkio_device_read_iops: rates(Traffic::Reads),
            blkio_device_write_iops: rates(Traffic::Writes),
            shm_size: positive(Some(request.shm_size.unwrap_or(SHM_SIZE))),
            ulimits: request.ulimits.iter().map(UlimitReport::of).collect(),
            cgroup_parent: request.parent.clone().unwrap_or_default(),
            cgroup_mode: request.namespace.as_str().to_owned(),
            cgroups: request.groups.as_str().to_owned(),
            cgroup_conf: resources.conf.iter().cloned().collect(),
        }
    }
}

impl UlimitReport {
    fn of(limit: &Ulimit) -> Self {
        let signed = |limit: u64| i64::try_from(limit).unwrap_or(-1);
        match limit {
            Ulimit::Host => Self { name: "host".into(), soft: 0, hard: 0 },
            Ulimit::One { resource, soft, hard } => Self {
                name: format!("RLIMIT_{}", ulimit::name(*resource).to_uppercase()),
                soft: signed(*soft),
                hard: signed(*hard),
            },
        }
    }
}

fn shown(device: &DeviceValue) -> String {
    device.path.display().to_string()
}

fn positive(bound: Option<Bound>) -> u64 {
    match bound {
        Some(Bound::At(number)) => number,
        _ => 0,
    }
}

fn signed(bound: Option<Bound>) -> i64 {
    match bound {
        Some(Bound::At(number)) => i64::try_from(number).unwrap_or(i64::MAX),
        Some(Bound::Unlimited) => -1,
        None => 0,
    }
}
