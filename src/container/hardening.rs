//! What every container is denied by default (SECURITY.md, section 2).

use super::request::{SecurityOptions, Unmask};

/// Hidden: they tell of the host or reach it. A path that does not exist is nothing to hide.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/pagetypeinfo",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Hidden where `/sys` is the host's, with all that is mounted in it. A sysfs of the container's own has empty directories
/// there. `/sys/kernel` holds debug, security and tracing file systems.
const MASKED_IN_HOSTS_SYS: &[&str] = &["/sys/fs/bpf", "/sys/fs/selinux", "/sys/kernel"];

/// Readable, not writable.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// The devices of every container: name, major and minor number.
pub const DEVICES: &[(&str, u64, u64)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Limits on processes of one user that a container gets where no cgroup bounds it: podman's default for pids.
pub const PROCESS_LIMIT: u64 = 2048;

/// Paths to hide under `options`. With the host's network `/sys` is the host's.
pub fn masked_paths(options: &SecurityOptions, host_network: bool) -> Vec<String> {
    let extra = if host_network { MASKED_IN_HOSTS_SYS } else { &[] };
    let defaults = MASKED.iter().chain(extra).copied().filter(|path| !is_unmasked(options, path)).map(str::to_owned);
    defaults.chain(options.mask.iter().cloned()).collect()
}

/// Where processors count how often they were too hot, which tells what else runs on them: one directory each.
pub fn thermal_throttle_paths(options: &SecurityOptions) -> Vec<String> {
    const PROCESSORS: &str = "/sys/devices/system/cpu";
    let path = |name: &str| format!("{PROCESSORS}/{name}/thermal_throttle");
    if !std::path::Path::new(&path("cpu0")).exists() {
        return Vec::new();
    }
    let names = std::fs::read_dir(PROCESSORS).into_iter().flatten().flatten();
    let paths = names.filter_map(|entry| entry.file_name().to_str().map(path));
    paths.filter(|path| std::path::Path::new(path).exists() && !is_unmasked(options, path)).collect()
}

/// Paths to make read-only under `options`.
pub fn read_only_paths(options: &SecurityOptions) -> Vec<String> {
    READ_ONLY.iter().filter(|path| !is_unmasked(options, path)).map(|path| (*path).to_owned()).collect()
}

fn is_unmasked(options: &SecurityOptions, path: &str) -> bool {
    options.unmask.iter().any(|unmask| match unmask {
        Unmask::All => true,
        Unmask::Pattern(pattern) => matches_pattern(pattern.as_bytes(), path.as_bytes()),
    })
}

/// Shell pattern matching as podman's `unmask`: `*` and `?` do not match a slash.
fn matches_pattern(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches_pattern(rest, text)
                || matches!(text, [c, tail @ ..] if *c != b'/' && matches_pattern(pattern, tail))
        }
        ([b'?', rest @ ..], [c, tail @ ..]) => *c != b'/' && matches_pattern(rest, tail),
        ([p, rest @ ..], [c, tail @ ..]) => p == c && matches_pattern(rest, tail),
        _ => false,
    }
}

/// Resource limits: `RLIMIT_*`, soft, hard. Each is lowered to what we have ourselves.
pub fn limits(per_namespace_process_count: bool) -> Vec<(u32, u64, u64)> {
    let mut limits =
        vec![(libc::RLIMIT_NOFILE, 1024, 524_288), (libc::RLIMIT_CORE, 0, 0), (libc::RLIMIT_MEMLOCK, 8 << 20, 8 << 20)];
    // Since Linux 5.14 processes are counted per user namespace; before, the user's own would count too.
    if per_namespace_process_count {
        limits.push((libc::RLIMIT_NPROC, PROCESS_LIMIT, PROCESS_LIMIT));
    }
    limits
}

/// Kernel settings below `/proc/sys` of a container with its own network namespace: what needs privilege elsewhere
/// concerns nobody else here. `groups` may ping: first and last; the kernel refuses bounds that are not mapped.
pub fn sysctls(groups: (u32, u32)) -> Vec<(String, String)> {
    vec![
        ("net/ipv4/ip_unprivileged_port_start".into(), "0".into()),
        ("net/ipv4/ping_group_range".into(), format!("{} {}", groups.0, groups.1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmasking_is_by_pattern() {
        let unmask = |patterns: &[&str]| SecurityOptions {
            unmask: patterns.iter().map(|pattern| Unmask::Pattern((*pattern).into())).collect(),
            ..SecurityOptions::default()
        };
        let all = masked_paths(&SecurityOptions::default(), false);
        assert!(all.contains(&"/proc/kcore".to_owned()));
        let fewer = masked_paths(&unmask(&["/proc/k*"]), false);
        assert!(!fewer.contains(&"/proc/kcore".to_owned()) && fewer.contains(&"/proc/acpi".to_owned()));
        assert_eq!(masked_paths(&unmask(&["/*"]), false), all, "a star stops at a slash");
        let none = SecurityOptions { unmask: vec![Unmask::All], ..SecurityOptions::default() };
        assert!(masked_paths(&none, true).is_empty() && read_only_paths(&none).is_empty());
        assert!(masked_paths(&SecurityOptions::default(), true).contains(&"/sys/kernel".to_owned()));
    }
}
