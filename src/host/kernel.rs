//! The kernel, asked as cheaply as possible: on the start path of every container.

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

/// Whether `/sys/fs/cgroup` is a cgroup v2 hierarchy (cgroups(7)).
pub fn has_cgroup2() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}
