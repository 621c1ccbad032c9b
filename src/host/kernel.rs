//! The kernel: its version, its settings, the machine's size. Versions and the kind of control groups are asked for on
//! the start path of every container, as cheaply as possible.

use std::path::Path;

/// Major and minor version of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl KernelVersion {
    /// The version in `release` as uname(2) has it, for example `6.18.44-amd64`.
    pub fn of_release(release: &str) -> Option<Self> {
        let (major, rest) = release.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// Version of the running kernel; 0.0 if it cannot be read.
pub fn version() -> KernelVersion {
    let release = nix::sys::utsname::uname().ok().map(|names| names.release().to_string_lossy().into_owned());
    release.and_then(|release| KernelVersion::of_release(&release)).unwrap_or(KernelVersion { major: 0, minor: 0 })
}

/// Whether the kernel makes sockets of the families that containers must not have: AF_ALG, whose parsers are reached without
/// privilege, and AF_VSOCK, which leads to the hypervisor.
pub fn has_refused_socket_families() -> bool {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let pairs = [(AddressFamily::Alg, SockType::SeqPacket), (AddressFamily::Vsock, SockType::Stream)];
    pairs.into_iter().any(|(family, kind)| socket(family, kind, SockFlag::SOCK_CLOEXEC, None).is_ok())
}

/// Whether `/sys/fs/cgroup` is a cgroup v2 hierarchy (cgroups(7)).
pub fn has_cgroup2() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}

/// The kernel's release, as `6.18.44` (uname(2)); empty if it cannot be asked.
pub fn release() -> String {
    let names = nix::sys::utsname::uname();
    names.map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The host's name (uname(2)).
pub fn host_name() -> String {
    let names = nix::sys::utsname::uname();
    names.map(|names| names.nodename().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The value of a setting below `/proc/sys`, as `user/max_user_namespaces`; nothing if the kernel does not have it.
pub fn setting(path: &str) -> Option<String> {
    one_line(&Path::new("/proc/sys").join(path))
}

/// The contents of a file of one line, without white space around it.
pub fn one_line(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Memory in bytes: all of it, and what is available (proc_meminfo(5)).
pub fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some((meminfo(&text, "MemTotal:")?, meminfo(&text, "MemAvailable:")?))
}

fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes() {
        let text = "MemTotal:       24683660 kB\nMemFree:         1 kB\nMemAvailable:   24327088 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), Some(24_683_660 * 1024));
        assert_eq!(meminfo(text, "Missing:"), None);
        let (all, available) = memory().unwrap();
        assert!(available <= all);
    }

    #[test]
    fn settings_are_read() {
        assert_eq!(setting("kernel/ostype").as_deref(), Some("Linux"));
        assert_eq!(setting("kernel/no_such_setting"), None);
        assert!(!release().is_empty());
    }
}
