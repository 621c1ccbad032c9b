//! The host's mounts below a directory, for a copy-on-write view of it.

use std::path::{Path, PathBuf};

/// File systems without files of a user: the container has its own, or none.
const PSEUDO: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Mount points below `directory` that hold files, parents first, absolute. What the container mounts itself (`/proc`,
/// `/sys`, `/dev` of the view) is left out.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts = parse(&table, directory);
    mounts.retain(|mount| std::fs::metadata(mount).is_ok_and(|stat| stat.is_dir()));
    mounts
}

/// proc_pid_mountinfo(5): field 5 is the mount point, the first after `-` the type.
fn parse(table: &str, directory: &Path) -> Vec<PathBuf> {
    let own = ["proc", "sys", "dev"].map(|name| directory.join(name));
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| {
            let (fields, rest) = line.split_once(" - ")?;
            let mountpoint = unescape(fields.split(' ').nth(4)?);
            let fstype = rest.split(' ').next()?;
            (!PSEUDO.contains(&fstype)).then_some(mountpoint)
        })
        .filter(|mount| mount != directory && mount.starts_with(directory))
        .filter(|mount| !own.iter().any(|own| mount.starts_with(own)))
        .collect();
    mounts.sort();
    mounts.dedup();
    mounts
}

/// Octal escapes stand for space, tab, newline and backslash.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        if let ([b'\\', a, b, c, after @ ..], true) = (rest, rest.len() >= 4) {
            let digits = [a, b, c].map(|d| d.wrapping_sub(b'0'));
            if digits.iter().all(|&d| d < 8) {
                bytes.push(digits[0].wrapping_mul(64).wrapping_add(digits[1] * 8 + digits[2]));
                rest = after;
                continue;
            }
        }
        bytes.push(*first);
        rest = tail;
    }
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_with_files_are_shown() {
        let table = "\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
23 21 0:6 / /dev rw - devtmpfs udev rw
24 23 0:7 / /dev/shm rw - tmpfs tmpfs rw
25 21 8:2 / /home rw shared:1 - ext4 /dev/sda2 rw
26 25 8:3 / /home/a\\040b rw - xfs /dev/sda3 rw
27 21 0:8 / /run rw - tmpfs tmpfs rw
28 21 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
";
        let of = |directory| parse(table, Path::new(directory));
        assert_eq!(of("/"), [Path::new("/home"), Path::new("/home/a b"), Path::new("/run")]);
        assert_eq!(of("/home"), [Path::new("/home/a b")]);
        assert!(of("/srv").is_empty());
    }
}
