//! Limits on what a container may use, in types.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::byte_size::{SizeRefused, parse_bytes};

/// The least memory with which a container's process can be executed and say that it has too little: docker's.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// Microseconds of a period of processor time where none is given: the kernel's default.
pub const CPU_PERIOD: u64 = 100_000;

/// A limit that can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// None.
    Unlimited,
    /// So much.
    At(u64),
}

/// What is asked for; what is absent is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<Bound>,
    /// Bytes of memory and swap together; twice the memory where absent.
    pub memory_swap: Option<Bound>,
    /// Bytes of memory that are not taken away while others can be.
    pub memory_reservation: Option<u64>,
    /// How readily it is swapped out, in percent.
    pub memory_swappiness: Option<u8>,
    /// Whether processes wait instead of being killed when there is no memory left.
    pub oom_kill_disable: bool,
    /// Share of processor time relative to others': 1024 is a usual one.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time in each period.
    pub cpu_quota: Option<Bound>,
    /// Microseconds of a period.
    pub cpu_period: Option<u64>,
    /// Processors.
    pub cpuset_cpus: Option<IdList>,
    /// Memory nodes.
    pub cpuset_mems: Option<IdList>,
    /// Processes and threads.
    pub pids: Option<Bound>,
    /// Share of disk time relative to others': 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same for single devices.
    pub blkio_weight_device: Vec<DeviceValue>,
    /// Bounds on traffic with devices.
    pub device_rates: Vec<(Traffic, DeviceValue)>,
    /// Files of the container's group and what is written into them.
    pub conf: Vec<(String, String)>,
}

/// A direction and a measure of traffic with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Bytes read a second.
    ReadBytes,
    /// Bytes written a second.
    WriteBytes,
    /// Reads a second.
    Reads,
    /// Writes a second.
    Writes,
}

/// A number for a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceValue {
    /// Its node.
    pub path: PathBuf,
    /// The number.
    pub value: u64,
}

/// Numbers of processors or of memory nodes, as the kernel writes them (cpuset(7), "List format").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdList(String);

/// Why a limit was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResourceRefused {
    /// Not a number of the kind.
    #[error("{text:?} is not {expected}")]
    Malformed {
        /// What was given.
        text: String,
        /// What was expected, with an example.
        expected: &'static str,
    },
    /// A size.
    #[error(transparent)]
    Size(#[from] SizeRefused),
    /// Two that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

impl crate::failure::Explain for ResourceRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

fn malformed(text: &str, expected: &'static str) -> ResourceRefused {
    ResourceRefused::Malformed { text: text.chars().take(80).collect(), expected }
}

impl IdList {
    /// As the kernel reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All numbers.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.split(',').filter_map(range).flatten()
    }
}

impl FromStr for IdList {
    type Err = ResourceRefused;

    fn from_str(text: &str) -> Result<Self, ResourceRefused> {
        match text.split(',').all(|part| range(part).is_some()) {
            true => Ok(Self(text.to_owned())),
            false => Err(malformed(text, "a list of numbers like 0-3,5")),
        }
    }
}

/// `N` or `N-M`; there are no more than 8192 processors (CONFIG_NR_CPUS).
fn range(part: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let number =
        |text: &str| text.parse().ok().filter(|&id: &u32| id < 8192 && text.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

/// Bytes, or 0 or -1 for no limit. Less than a process needs to begin with is refused.
pub fn parse_memory(text: &str) -> Result<Bound, ResourceRefused> {
    match parse_bound_of_bytes(text)? {
        Bound::At(bytes) if bytes < LEAST_MEMORY => Err(malformed(text, "enough memory for a container: at least 6m")),
        bound => Ok(bound),
    }
}

/// Bytes, or 0 or -1 for no limit.
pub fn parse_bound_of_bytes(text: &str) -> Result<Bound, ResourceRefused> {
    Ok(match text {
        "-1" => Bound::Unlimited,
        text => match parse_bytes(text)? {
            0 => Bound::Unlimited,
            bytes => Bound::At(bytes),
        },
    })
}

/// A number of processes, or 0 or -1 for no limit.
pub fn parse_pids(text: &str) -> Result<Bound, ResourceRefused> {
    match text.parse::<i64>() {
        Ok(0 | -1) => Ok(Bound::Unlimited),
        // The largest number that the kernel takes (PIDS_MAX).
        Ok(pids @ 1..=4_194_304) => Ok(Bound::At(pids.cast_unsigned())),
        _ => Err(malformed(text, "a number of processes like 100, or -1 for no limit")),
    }
}

/// Processors, as `1.5`: the quota of the period [`CPU_PERIOD`]. 0 is no limit.
pub fn parse_cpus(text: &str) -> Result<Bound, ResourceRefused> {
    const EXPECTED: &str = "a number of processors from 0.01 to 8192, like 2 or 0.5";
    let is_decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let cpus = text.parse::<f64>().ok().filter(|cpus| is_decimal && *cpus <= 8192.0);
    let quota = (cpus.ok_or_else(|| malformed(text, EXPECTED))? * CPU_PERIOD as f64).round() as u64;
    match quota {
        0 if text.bytes().all(|b| b == b'0' || b == b'.') => Ok(Bound::Unlimited),
        0..1000 => Err(malformed(text, EXPECTED)),
        quota => Ok(Bound::At(quota)),
    }
}

/// Microseconds of processor time in a period, or 0 or -1 for no limit.
pub fn parse_quota(text: &str) -> Result<Bound, ResourceRefused> {
    match text.parse::<i64>() {
        Ok(0 | -1) => Ok(Bound::Unlimited),
        Ok(quota @ 1000..) => Ok(Bound::At(quota.cast_unsigned())),
        _ => Err(malformed(text, "a number of microseconds, at least 1000, like 50000, or -1 for no limit")),
    }
}

/// Microseconds of a period.
pub fn parse_period(text: &str) -> Result<u64, ResourceRefused> {
    let period = text.parse().ok().filter(|period| (1000..=1_000_000).contains(period));
    period.ok_or_else(|| malformed(text, "a number of microseconds from 1000 to 1000000, like 100000"))
}

/// A share of processor time.
pub fn parse_shares(text: &str) -> Result<u64, ResourceRefused> {
    let shares = text.parse().ok().filter(|shares| (2..=262_144).contains(shares));
    shares.ok_or_else(|| malformed(text, "a share of processor time from 2 to 262144, like 1024"))
}

/// Percent.
pub fn parse_swappiness(text: &str) -> Result<u8, ResourceRefused> {
    let percent = text.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| malformed(text, "a percentage from 0 to 100, like 60"))
}

/// A share of disk time.
pub fn parse_weight(text: &str) -> Result<u16, ResourceRefused> {
    let weight = text.parse().ok().filter(|weight| (10..=1000).contains(weight));
    weight.ok_or_else(|| malformed(text, "a share of disk time from 10 to 1000, like 500"))
}

/// `DEVICE:WEIGHT`.
pub fn parse_device_weight(text: &str) -> Result<DeviceValue, ResourceRefused> {
    let (path, weight) = device_and(text, "a device and its share, like /dev/sda:200")?;
    Ok(DeviceValue { path, value: parse_weight(weight)?.into() })
}

/// `DEVICE:BYTES`.
pub fn parse_device_bytes(text: &str) -> Result<DeviceValue, ResourceRefused> {
    let (path, bytes) = device_and(text, "a device and bytes a second, like /dev/sda:1mb")?;
    Ok(DeviceValue { path, value: parse_bytes(bytes)? })
}

/// `DEVICE:NUMBER`.
pub fn parse_device_number(text: &str) -> Result<DeviceValue, ResourceRefused> {
    const EXPECTED: &str = "a device and a number a second, like /dev/sda:1000";
    let (path, number) = device_and(text, EXPECTED)?;
    Ok(DeviceValue { path, value: number.parse().map_err(|_| malformed(text, EXPECTED))? })
}

fn device_and<'a>(text: &'a str, expected: &'static str) -> Result<(PathBuf, &'a str), ResourceRefused> {
    match text.rsplit_once(':') {
        Some((path, value)) if path.starts_with('/') => Ok((path.into(), value)),
        _ => Err(malformed(text, expected)),
    }
}

/// `FILE=VALUE` of a group: a controller's file, none of those by which groups are kept in order.
pub fn parse_conf(text: &str) -> Result<(String, String), ResourceRefused> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match text.split_once('=') {
        Some((file, value))
            if file.split('.').count() > 1
                && file.split('.').all(is_word)
                && !file.starts_with("cgroup.")
                && !value.is_empty() =>
        {
            Ok((file.to_owned(), value.to_owned()))
        }
        _ => Err(malformed(text, "a controller's file and its value, like memory.high=1073741824")),
    }
}

impl Resources {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These with what `changes` asks for.
    #[must_use]
    pub fn changed_by(&self, changes: &Self) -> Self {
        let mut all = self.clone();
        macro_rules! take {
            ($($field:ident)*) => { $(if changes.$field.is_some() { all.$field = changes.$field.clone(); })* };
        }
        take!(memory memory_swap memory_reservation memory_swappiness cpu_shares cpu_quota cpu_period cpuset_cpus cpuset_mems
              pids blkio_weight);
        all.oom_kill_disable |= changes.oom_kill_disable;
        all.blkio_weight_device.extend(changes.blkio_weight_device.iter().cloned());
        all.device_rates.extend(changes.device_rates.iter().cloned());
        all.conf.extend(changes.conf.iter().cloned());
        all
    }

    /// Fails where limits contradict each other.
    pub fn check(&self) -> Result<(), ResourceRefused> {
        let contradiction = |text: String| Err(ResourceRefused::Contradiction(text));
        match (self.memory, self.memory_swap) {
            (None | Some(Bound::Unlimited), Some(Bound::At(_))) => {
                return contradiction("--memory-swap is memory and swap together: it needs --memory".into());
            }
            (Some(Bound::At(memory)), Some(Bound::At(both))) if both < memory => {
                return contradiction(format!(
                    "--memory-swap is memory and swap together: {both} bytes are less than the {memory} of --memory"
                ));
            }
            _ => {}
        }
        match (self.memory, self.memory_reservation) {
            (Some(Bound::At(memory)), Some(reserved)) if reserved > memory => {
                contradiction(format!("--memory-reservation: {reserved} bytes are more than the {memory} of --memory"))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of memory and swap together.
    pub fn memory_and_swap(&self) -> Option<Bound> {
        self.memory_swap.or_else(|| match self.memory? {
            Bound::At(memory) => Some(Bound::At(memory.saturating_mul(2))),
            Bound::Unlimited => Some(Bound::Unlimited),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse_cpus("0.5"), Ok(Bound::At(50_000)));
        assert_eq!(parse_cpus("2"), Ok(Bound::At(200_000)));
        assert_eq!(parse_cpus("0"), Ok(Bound::Unlimited));
        for text in ["", ".", "-1", "0.001", "1e3", "inf", "NaN", "9000", "1,5"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
        assert_eq!(parse_pids("-1"), Ok(Bound::Unlimited));
        assert_eq!(parse_pids("100"), Ok(Bound::At(100)));
        for text in ["", "-2", "x", "4194305", "1.5"] {
            assert!(parse_pids(text).is_err(), "{text}");
        }
        assert_eq!(parse_memory("64m"), Ok(Bound::At(64 << 20)));
        assert!(parse_memory("5m").is_err() && parse_memory("6m").is_ok() && parse_memory("1.5g").is_err());
        assert!(parse_quota("999").is_err() && parse_quota("-1") == Ok(Bound::Unlimited));
        assert!(parse_period("999").is_err() && parse_period("1000") == Ok(1000));
        assert!(parse_shares("1").is_err() && parse_shares("2") == Ok(2) && parse_weight("9").is_err());
    }

    #[test]
    fn lists_of_processors() {
        let list: IdList = "0-2,5".parse().unwrap();
        assert_eq!(list.ids().collect::<Vec<_>>(), [0, 1, 2, 5]);
        for text in ["", ",", "a", "3-1", "-1", "0-", "1,,2", "0 1", "+1", "8192", "0-99999999"] {
            assert!(text.parse::<IdList>().is_err(), "{text}");
        }
    }

    #[test]
    fn devices_and_files() {
        assert_eq!(parse_device_bytes("/dev/a:b:1k"), Ok(DeviceValue { path: "/dev/a:b".into(), value: 1024 }));
        for text in ["sda:1", "/dev/sda", "/dev/sda:", "/dev/sda:x"] {
            assert!(parse_device_bytes(text).is_err() && parse_device_number(text).is_err(), "{text}");
        }
        assert_eq!(parse_conf("memory.high=1"), Ok(("memory.high".into(), "1".into())));
        for text in ["memory.high", "=1", "memory=1", "../x.y=1", "cgroup.procs=1", "a/b.c=1", ".x=1", "memory.high="] {
            assert!(parse_conf(text).is_err(), "{text}");
        }
    }

    #[test]
    fn contradictions() {
        let at = |bytes| Some(Bound::At(bytes));
        let of = |memory, memory_swap, memory_reservation| Resources {
            memory,
            memory_swap,
            memory_reservation,
            ..Resources::default()
        };
        assert!(
            of(at(10), at(20), Some(10)).check().is_ok() && of(at(10), Some(Bound::Unlimited), None).check().is_ok()
        );
        assert!(of(None, at(20), None).check().is_err() && of(at(10), at(9), None).check().is_err());
        assert!(of(at(10), None, Some(11)).check().is_err());
        assert_eq!(of(at(10), None, None).memory_and_swap(), at(20));
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let first = Resources { memory: Some(Bound::At(1)), pids: Some(Bound::At(2)), ..Resources::default() };
        let changes = Resources { pids: Some(Bound::Unlimited), ..Resources::default() };
        let both = Resources { memory: Some(Bound::At(1)), pids: Some(Bound::Unlimited), ..Resources::default() };
        assert_eq!(first.changed_by(&changes), both);
    }
}
