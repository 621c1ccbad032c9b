//! From limits to the files of a group, in both versions (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/): pure but
//! for the numbers of devices.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::error::CgroupError;
use crate::name::resources::{Bound, CPU_PERIOD, DeviceValue, Resources, Traffic};

/// A file of a group and what is written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it was asked for with.
    pub flag: &'static str,
    /// Controller: the part of the file's name before the first dot.
    pub controller: String,
    /// The file's name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// Whether a file that the kernel does not have is no failure: nobody asked for this one expressly.
    pub optional: bool,
}

impl Setting {
    fn new(flag: &'static str, file: &str, value: impl ToString) -> Self {
        let controller = file.split('.').next().unwrap_or_default().to_owned();
        Self { flag, controller, file: file.to_owned(), value: value.to_string(), optional: false }
    }
}

fn bound(bound: Bound, unlimited: &str) -> String {
    match bound {
        Bound::Unlimited => unlimited.to_owned(),
        Bound::At(number) => number.to_string(),
    }
}

/// The flag of a bound on traffic.
fn flag_of(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::ReadBytes => "--device-read-bps",
        Traffic::WriteBytes => "--device-write-bps",
        Traffic::Reads => "--device-read-iops",
        Traffic::Writes => "--device-write-iops",
    }
}

/// `MAJOR:MINOR` of a block device.
fn device(flag: &'static str, device: &DeviceValue) -> Result<String, CgroupError> {
    let path = &device.path;
    let refused = |cause| CgroupError::NotADevice { flag, path: path.clone(), cause };
    let metadata = std::fs::metadata(path).map_err(|cause| refused(Some(cause)))?;
    if !metadata.file_type().is_block_device() {
        return Err(refused(None));
    }
    Ok(format!("{}:{}", libc::major(metadata.rdev()), libc::minor(metadata.rdev())))
}

/// The weight for a share of processor time: a curve through the smallest, the usual and the largest values, as runc and crun
/// have it (opencontainers/cgroups, `ConvertCPUSharesToCgroupV2Value`).
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

/// The io.weight (1 to 10000) for a blkio weight (10 to 1000), as crun has it.
pub fn io_weight(weight: u64) -> u64 {
    1 + weight.saturating_sub(10) * 9999 / 990
}

/// For version 2.
pub fn unified(resources: &Resources) -> Result<Vec<Setting>, CgroupError> {
    let mut all = Vec::new();
    let other_version = |flag| Err(CgroupError::OtherVersion { flag, version: "v2" });
    if resources.memory_swappiness.is_some() {
        return other_version("--memory-swappiness");
    }
    if resources.oom_kill_disable {
        return other_version("--oom-kill-disable");
    }
    if let Some(memory) = resources.memory {
        all.push(Setting::new("--memory", "memory.max", bound(memory, "max")));
    }
    if let Some(both) = resources.memory_and_swap() {
        let swap = match (both, resources.memory) {
            (Bound::At(both), Some(Bound::At(memory))) => (both - memory.min(both)).to_string(),
            _ => "max".to_owned(),
        };
        let optional = resources.memory_swap.is_none();
        all.push(Setting { optional, ..Setting::new("--memory-swap", "memory.swap.max", swap) });
    }
    all.extend(resources.memory_reservation.map(|bytes| Setting::new("--memory-reservation", "memory.low", bytes)));
    all.extend(resources.cpu_shares.map(|shares| Setting::new("--cpu-shares", "cpu.weight", weight_of_shares(shares))));
    if resources.cpu_quota.is_some() || resources.cpu_period.is_some() {
        let quota = bound(resources.cpu_quota.unwrap_or(Bound::Unlimited), "max");
        let period = resources.cpu_period.unwrap_or(CPU_PERIOD);
        all.push(Setting::new("--cpus", "cpu.max", format!("{quota} {period}")));
    }
    all.extend(cpusets(resources));
    all.extend(resources.pids.map(|pids| Setting::new("--pids-limit", "pids.max", bound(pids, "max"))));
    all.extend(
        resources.blkio_weight.map(|weight| Setting::new("--blkio-weight", "io.weight", io_weight(weight.into()))),
    );
    for asked in &resources.blkio_weight_device {
        let flag = "--blkio-weight-device";
        let value = format!("{} {}", device(flag, asked)?, io_weight(asked.value));
        all.push(Setting::new(flag, "io.weight", value));
    }
    for (traffic, asked) in &resources.device_rates {
        let flag = flag_of(*traffic);
        let key = match traffic {
            Traffic::ReadBytes => "rbps",
            Traffic::WriteBytes => "wbps",
            Traffic::Reads => "riops",
            Traffic::Writes => "wiops",
        };
        all.push(Setting::new(flag, "io.max", format!("{} {key}={}", device(flag, asked)?, asked.value)));
    }
    all.extend(resources.conf.iter().map(|(file, value)| Setting::new("--cgroup-conf", file, value)));
    Ok(all)
}

fn cpusets(resources: &Resources) -> impl Iterator<Item = Setting> {
    let lists = [
        ("--cpuset-cpus", "cpuset.cpus", &resources.cpuset_cpus),
        ("--cpuset-mems", "cpuset.mems", &resources.cpuset_mems),
    ];
    lists.into_iter().filter_map(|(flag, file, list)| Some(Setting::new(flag, file, list.as_ref()?.as_str())))
}

/// For version 1.
pub fn legacy(resources: &Resources) -> Result<Vec<Setting>, CgroupError> {
    let mut all = Vec::new();
    if !resources.conf.is_empty() {
        return Err(CgroupError::OtherVersion { flag: "--cgroup-conf", version: "v1" });
    }
    if let Some(memory) = resources.memory {
        all.push(Setting::new("--memory", "memory.limit_in_bytes", bound(memory, "-1")));
    }
    // After the other: it may not be the smaller one at any time.
    if let Some(both) = resources.memory_and_swap() {
        let optional = resources.memory_swap.is_none();
        let setting = Setting::new("--memory-swap", "memory.memsw.limit_in_bytes", bound(both, "-1"));
        all.push(Setting { optional, ..setting });
    }
    let numbers = [
        ("--memory-reservation", "memory.soft_limit_in_bytes", resources.memory_reservation),
        ("--memory-swappiness", "memory.swappiness", resources.memory_swappiness.map(u64::from)),
        ("--oom-kill-disable", "memory.oom_control", resources.oom_kill_disable.then_some(1)),
        ("--cpu-shares", "cpu.shares", resources.cpu_shares),
        ("--cpu-period", "cpu.cfs_period_us", resources.cpu_period),
        ("--blkio-weight", "blkio.weight", resources.blkio_weight.map(u64::from)),
    ];
    let numbers = numbers.into_iter().filter_map(|(flag, file, value)| Some(Setting::new(flag, file, value?)));
    all.extend(numbers);
    all.extend(resources.cpu_quota.map(|quota| Setting::new("--cpus", "cpu.cfs_quota_us", bound(quota, "-1"))));
    all.extend(cpusets(resources));
    all.extend(resources.pids.map(|pids| Setting::new("--pids-limit", "pids.max", bound(pids, "max"))));
    for asked in &resources.blkio_weight_device {
        let flag = "--blkio-weight-device";
        all.push(Setting::new(flag, "blkio.weight_device", format!("{} {}", device(flag, asked)?, asked.value)));
    }
    for (traffic, asked) in &resources.device_rates {
        let flag = flag_of(*traffic);
        let file = match traffic {
            Traffic::ReadBytes => "blkio.throttle.read_bps_device",
            Traffic::WriteBytes => "blkio.throttle.write_bps_device",
            Traffic::Reads => "blkio.throttle.read_iops_device",
            Traffic::Writes => "blkio.throttle.write_iops_device",
        };
        all.push(Setting::new(flag, file, format!("{} {}", device(flag, asked)?, asked.value)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(settings: Vec<Setting>) -> Vec<String> {
        settings.into_iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    #[test]
    fn both_versions() {
        let resources = Resources {
            memory: Some(Bound::At(64 << 20)),
            cpu_quota: Some(Bound::At(50_000)),
            cpu_shares: Some(1024),
            cpuset_cpus: Some("0-1".parse().unwrap()),
            pids: Some(Bound::Unlimited),
            blkio_weight: Some(500),
            ..Resources::default()
        };
        assert_eq!(
            lines(unified(&resources).unwrap()),
            [
                "memory.max=67108864",
                "memory.swap.max=67108864",
                "cpu.weight=100",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=max",
                "io.weight=4950"
            ]
        );
        assert_eq!(
            lines(legacy(&resources).unwrap()),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=134217728",
                "cpu.shares=1024",
                "blkio.weight=500",
                "cpu.cfs_quota_us=50000",
                "cpuset.cpus=0-1",
                "pids.max=max"
            ]
        );
    }

    #[test]
    fn weights() {
        assert_eq!([2, 1024, 262_144].map(weight_of_shares), [1, 100, 10_000]);
        assert_eq!([10, 1000].map(io_weight), [1, 10_000]);
    }

    #[test]
    fn what_only_one_version_has() {
        let swappiness = Resources { memory_swappiness: Some(0), ..Resources::default() };
        assert!(unified(&swappiness).is_err() && legacy(&swappiness).is_ok());
        let conf = Resources { conf: vec![("memory.high".into(), "1".into())], ..Resources::default() };
        assert!(unified(&conf).is_ok() && legacy(&conf).is_err());
        let device = DeviceValue { path: "/dev/null".into(), value: 1 };
        let rate = Resources { device_rates: vec![(Traffic::Reads, device)], ..Resources::default() };
        assert!(matches!(legacy(&rate), Err(CgroupError::NotADevice { .. })));
    }
}
