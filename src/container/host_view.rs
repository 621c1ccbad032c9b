//! What a copy-on-write view of a directory of the host is put together from.
//!
//! The kernel lets an unprivileged user overlay a directory only if no mount lies below it (`__has_locked_children` in
//! fs/namespace.c: a mount could hide something). A directory with mounts below is therefore shown as a new directory whose
//! entries are overlaid one by one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::host::env;
use crate::runtime::blueprint::ViewEntry;

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

/// Directories that the container mounts itself, relative to the view.
const OWN: &[&str] = &["proc", "sys", "dev"];

/// How deep directories with mounts below are taken apart, and into how many parts: what lies deeper is shown read-only.
const MAX_DEPTH: usize = 3;
const MAX_ENTRIES: usize = 256;

/// The parts of a view of `directory`, parents first; none if the directory can be overlaid whole. `targets` as below.
pub fn survey(directory: &Path, targets: &[PathBuf]) -> Vec<ViewEntry> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = parse(&table, directory);
    let mut survey = Survey { root: directory, mounts, targets, entries: Vec::new() };
    if survey.has_mount_below(directory) {
        survey.take_apart(directory, 1);
    }
    survey.entries
}

/// Directories below `overlaid` to make in its upper layer, relative, parents first, with their permissions: those on the way
/// to places where this user writes, and to `targets`, paths where something is mounted and nothing may be. They are somebody
/// else's, who lets nobody write there; and the kernel would copy them up with their owner, who has no id in the container, and
/// refuse (EOVERFLOW).
pub fn made_beforehand(overlaid: &Path, targets: &[PathBuf]) -> Vec<(PathBuf, u32)> {
    let home = env::get_absolute(&env::HOME);
    let here = std::env::current_dir().ok();
    let missing = targets.iter().filter(|target| target.starts_with(overlaid) && !fs::exists(target).unwrap_or(true));
    let missing = missing.filter_map(|target| target.parent()).map(Path::to_owned);
    let places = home.into_iter().chain(here).chain([PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]).chain(missing);
    let mut made: Vec<(PathBuf, u32)> = Vec::new();
    for place in places {
        let Ok(relative) = place.strip_prefix(overlaid) else { continue };
        let mut path = PathBuf::new();
        for component in relative.components() {
            path.push(component);
            let stat = fs::symlink_metadata(overlaid.join(&path));
            let Some(stat) = stat.ok().filter(fs::Metadata::is_dir) else { break };
            if !made.iter().any(|(known, _)| *known == path) {
                made.push((path.clone(), stat.permissions().mode() & 0o7777));
            }
        }
    }
    made
}

struct Mount {
    path: PathBuf,
    pseudo: bool,
}

struct Survey<'a> {
    root: &'a Path,
    mounts: Vec<Mount>,
    targets: &'a [PathBuf],
    entries: Vec<ViewEntry>,
}

impl Survey<'_> {
    fn has_mount_below(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.path != path && mount.path.starts_with(path))
    }

    fn is_pseudo(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.path == path && mount.pseudo)
    }

    fn take_apart(&mut self, directory: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            self.add(path, depth);
        }
    }

    fn add(&mut self, path: PathBuf, depth: usize) {
        let Ok(relative) = path.strip_prefix(self.root).map(Path::to_path_buf) else { return };
        let Ok(stat) = fs::symlink_metadata(&path) else { return };
        if OWN.iter().any(|own| relative == Path::new(own)) {
            return;
        }
        if stat.is_symlink() {
            let Ok(target) = fs::read_link(&path) else { return };
            self.entries.push(ViewEntry::Link { relative, target });
        } else if stat.is_file() {
            self.entries.push(ViewEntry::ReadOnly { relative, directory: false });
        } else if stat.is_dir() {
            self.add_directory(path, relative, stat.permissions().mode() & 0o7777, depth);
        }
    }

    fn add_directory(&mut self, path: PathBuf, relative: PathBuf, mode: u32, depth: usize) {
        let splits = self.has_mount_below(&path);
        if self.is_pseudo(&path) {
            self.entries.push(ViewEntry::Directory { relative, mode });
        } else if splits && depth < MAX_DEPTH {
            self.entries.push(ViewEntry::Directory { relative, mode });
            self.take_apart(&path, depth + 1);
        } else if splits || self.entries.len() >= MAX_ENTRIES {
            self.entries.push(ViewEntry::ReadOnly { relative, directory: true });
        } else {
            let inner = made_beforehand(&path, self.targets);
            self.entries.push(ViewEntry::Overlay { relative, mode, inner });
        }
    }
}

/// proc_pid_mountinfo(5): field 5 is the mount point, the first after `-` the type.
fn parse(table: &str, directory: &Path) -> Vec<Mount> {
    let own: Vec<PathBuf> = OWN.iter().map(|name| directory.join(name)).collect();
    let mounts = table.lines().filter_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let path = unescape(fields.split(' ').nth(4)?);
        let pseudo = PSEUDO.contains(&rest.split(' ').next()?);
        Some(Mount { path, pseudo })
    });
    mounts
        .filter(|mount| mount.path != directory && mount.path.starts_with(directory))
        .filter(|mount| !own.iter().any(|own| mount.path.starts_with(own)))
        .collect()
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
    fn mounts_below_a_directory_are_found() {
        let table = "\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
24 23 0:7 / /dev/shm rw - tmpfs tmpfs rw
25 21 8:2 / /home rw shared:1 - ext4 /dev/sda2 rw
26 25 8:3 / /home/a\\040b rw - xfs /dev/sda3 rw
28 21 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
29 21 0:9 / /run/rpc rw - rpc_pipefs x rw
";
        let of = |directory| -> Vec<_> {
            parse(table, Path::new(directory)).into_iter().map(|mount| (mount.path, mount.pseudo)).collect()
        };
        let expected = [("/home", false), ("/home/a b", false), ("/run/rpc", true)];
        assert_eq!(of("/"), expected.map(|(path, pseudo)| (PathBuf::from(path), pseudo)));
        assert!(of("/srv").is_empty());
    }

    #[test]
    fn a_directory_without_mounts_is_overlaid_whole() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        assert!(survey(directory.path(), &[]).is_empty());
    }
}
