//! Flags about a container's share of the machine.

use clap::Args;

use super::{all_parsed, of_flag, parsed, with};
use crate::container::request::{Enforcement, GroupMode, GroupNamespace, LimitRequest};
use crate::failure::{Explain, Failure};
use crate::host::config::containers::ContainersConf;
use crate::name::limit_request::{parse_oom_score, parse_parent};
use crate::name::resources::{self, CPU_PERIOD, DeviceValue, Resources, Traffic};

/// Limits on what all processes of a container together use: of `run`, `create` and `update`.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitFlags {
    /// Memory: 64m, 1g; processes are killed when there is no more
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory and swap together; -1 for any amount of swap [default: twice the memory]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Memory that is left to it while others can give some back
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// How readily its memory is swapped out, in percent (control groups v1)
    #[arg(long, value_name = "PERCENT")]
    memory_swappiness: Option<String>,
    /// Processors that it may keep busy, as 1.5; 0 for all
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["cpu_quota", "cpu_period"])]
    cpus: Option<String>,
    /// Share of processor time where there is not enough: 1024 is a usual one
    #[arg(short = 'c', long, value_name = "SHARES")]
    cpu_shares: Option<String>,
    /// Microseconds of processor time in each period; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// Microseconds of a period [default: 100000]
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<String>,
    /// Real-time processor time: only for root without a user namespace
    #[arg(long, value_name = "MICROSECONDS", hide = true)]
    cpu_rt_period: Option<String>,
    /// Real-time processor time: only for root without a user namespace
    #[arg(long, value_name = "MICROSECONDS", hide = true)]
    cpu_rt_runtime: Option<String>,
    /// Processors that it runs on: 0-3,5
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it uses: 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Share of disk time: 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<String>,
    /// The same for one device
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,
    /// Bytes that are read from a device in a second, at most
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_read_bps: Vec<String>,
    /// Bytes that are written to a device in a second, at most
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_write_bps: Vec<String>,
    /// Reads from a device in a second, at most
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_read_iops: Vec<String>,
    /// Writes to a device in a second, at most
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_write_iops: Vec<String>,
}

/// What only a new container is given.
#[derive(Args, Clone, Debug, Default)]
pub struct ResourceFlags {
    /// Let processes wait for memory instead of killing them (control groups v1)
    #[arg(long)]
    oom_kill_disable: bool,
    /// How readily the kernel kills its processes when memory is short: -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    oom_score_adj: Option<String>,
    /// Limit of each process: NAME=SOFT[:HARD], -1 for none; host for all that this user has
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,
    /// Size of /dev/shm; 0 for no limit [default: 64m]
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Control group in which that of the container is made, or a slice of systemd's
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// What the container sees of control groups: private or host
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Whether it gets a control group without a limit that needs one: enabled, disabled, no-conmon or split
    #[arg(long, value_name = "MODE")]
    cgroups: Option<String>,
    /// File of the container's control group and its value, as memory.high=1073741824 (control groups v2)
    #[arg(long, value_name = "FILE=VALUE")]
    cgroup_conf: Vec<String>,
    /// What is done about a limit that cannot be enforced here: strict refuses it, soft does what is possible and says so
    #[arg(long = "limits", value_name = "MODE")]
    enforcement: Option<String>,
}

impl LimitFlags {
    /// In types: all that a container has.
    pub fn resources(&self) -> Result<Resources, Failure> {
        let asked = self.changes()?;
        asked.check()?;
        Ok(asked)
    }

    /// In types: what is different from what a container has.
    pub fn changes(&self) -> Result<Resources, Failure> {
        if self.cpu_rt_period.is_some() || self.cpu_rt_runtime.is_some() {
            let message =
                "--cpu-rt-period, --cpu-rt-runtime: the kernel gives real-time processor time to root's groups only";
            return Err(Failure::new("E_LIMIT_UNENFORCEABLE", message)
                .with_hint("--cpu-shares and --cpuset-cpus are for everybody"));
        }
        let cpus = with("--cpus", self.cpus.as_deref(), resources::parse_cpus)?;
        Ok(Resources {
            memory: with("--memory", self.memory.as_deref(), resources::parse_memory)?,
            memory_swap: with("--memory-swap", self.memory_swap.as_deref(), resources::parse_bound_of_bytes)?,
            memory_reservation: with(
                "--memory-reservation",
                self.memory_reservation.as_deref(),
                crate::name::byte_size::parse_bytes,
            )?,
            memory_swappiness: with(
                "--memory-swappiness",
                self.memory_swappiness.as_deref(),
                resources::parse_swappiness,
            )?,
            oom_kill_disable: false,
            cpu_shares: with("--cpu-shares", self.cpu_shares.as_deref(), resources::parse_shares)?,
            // The quota of --cpus is one of this period, whatever was set before.
            cpu_period: match cpus {
                Some(_) => Some(CPU_PERIOD),
                None => with("--cpu-period", self.cpu_period.as_deref(), resources::parse_period)?,
            },
            cpu_quota: match cpus {
                Some(quota) => Some(quota),
                None => with("--cpu-quota", self.cpu_quota.as_deref(), resources::parse_quota)?,
            },
            cpuset_cpus: parsed("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: parsed("--cpuset-mems", self.cpuset_mems.as_deref())?,
            pids: with("--pids-limit", self.pids_limit.as_deref(), resources::parse_pids)?,
            blkio_weight: with("--blkio-weight", self.blkio_weight.as_deref(), resources::parse_weight)?,
            blkio_weight_device: each(
                "--blkio-weight-device",
                &self.blkio_weight_device,
                resources::parse_device_weight,
            )?,
            device_rates: self.device_rates()?,
            conf: Vec::new(),
        })
    }

    fn device_rates(&self) -> Result<Vec<(Traffic, DeviceValue)>, Failure> {
        let (bytes, number) = (resources::parse_device_bytes, resources::parse_device_number);
        let mut rates = Vec::new();
        let mut add =
            |traffic, values: Vec<DeviceValue>| rates.extend(values.into_iter().map(|value| (traffic, value)));
        add(Traffic::ReadBytes, each("--device-read-bps", &self.device_read_bps, bytes)?);
        add(Traffic::WriteBytes, each("--device-write-bps", &self.device_write_bps, bytes)?);
        add(Traffic::Reads, each("--device-read-iops", &self.device_read_iops, number)?);
        add(Traffic::Writes, each("--device-write-iops", &self.device_write_iops, number)?);
        Ok(rates)
    }
}

impl ResourceFlags {
    /// Takes what is not given from containers.conf.
    pub fn take_defaults(&mut self, limits: &mut LimitFlags, conf: &ContainersConf) {
        if limits.pids_limit.is_none()
            && let Some(pids) = conf.text("pids_limit")
        {
            limits.pids_limit = Some(if pids == "0" { "-1".into() } else { pids });
            // Nobody asked for it here and now: it is enforced as far as that is possible.
            let is_alone = self.request(limits).is_ok_and(|request| {
                let without = Resources { pids: None, ..request.resources };
                without.is_empty() && request.parent.is_none()
            });
            if is_alone && self.enforcement.is_none() {
                self.enforcement = Some("soft".into());
            }
        }
        let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let given: Vec<String> = self.ulimit.iter().map(|text| name(text)).collect();
        if !given.iter().any(|name| name == "host") {
            self.ulimit
                .extend(conf.list("default_ulimits").iter().filter(|text| !given.contains(&name(text))).cloned());
        }
        self.cgroup_conf.splice(0..0, conf.list("cgroup_conf").iter().cloned());
        // A group is made where one is needed; a setting must not make the lack of one an error.
        let groups = conf.text("cgroups").filter(|mode| mode == "disabled" || mode == "split");
        self.cgroups = self.cgroups.take().or(groups);
        self.cgroupns = self.cgroupns.take().or_else(|| conf.text("cgroupns"));
        self.oom_score_adj = self.oom_score_adj.take().or_else(|| conf.text("oom_score_adj"));
        self.shm_size = self.shm_size.take().or_else(|| conf.text("shm_size"));
    }

    /// In types.
    pub fn request(&self, limits: &LimitFlags) -> Result<LimitRequest, Failure> {
        Ok(LimitRequest {
            resources: Resources {
                oom_kill_disable: self.oom_kill_disable,
                conf: each("--cgroup-conf", &self.cgroup_conf, resources::parse_conf)?,
                ..limits.resources()?
            },
            groups: parsed::<GroupMode>("--cgroups", self.cgroups.as_deref())?.unwrap_or_default(),
            parent: with("--cgroup-parent", self.cgroup_parent.as_deref(), parse_parent)?,
            namespace: parsed::<GroupNamespace>("--cgroupns", self.cgroupns.as_deref())?.unwrap_or_default(),
            enforcement: parsed::<Enforcement>("--limits", self.enforcement.as_deref())?.unwrap_or_default(),
            ulimits: all_parsed("--ulimit", &self.ulimit)?,
            shm_size: with("--shm-size", self.shm_size.as_deref(), resources::parse_bound_of_bytes)?,
            oom_score_adj: with("--oom-score-adj", self.oom_score_adj.as_deref(), parse_oom_score)?,
        })
    }
}

/// All values of a flag.
fn each<T, E: Explain>(
    flag: &'static str,
    texts: &[String],
    parse: fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| parse(text)).collect::<Result<_, E>>().map_err(|error| of_flag(flag, error))
}
