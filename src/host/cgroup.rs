//! Control groups: which version, where we are, what we may change (cgroups(7)).

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::kernel::one_line;

const ROOT: &str = "/sys/fs/cgroup";

/// What control groups can do for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroups {
    /// `v2`, `v1` (hybrid included), or `none`.
    #[serde(rename = "cgroupVersion")]
    pub version: &'static str,
    /// Our own group of the v2 hierarchy, if there is one.
    #[serde(rename = "cgroupPath")]
    pub path: Option<String>,
    /// Controllers of our own group.
    #[serde(rename = "cgroupControllers")]
    pub controllers: Vec<String>,
    /// Whether we may make groups below our own, so that limits can be enforced.
    #[serde(rename = "cgroupDelegated")]
    pub delegated: bool,
    /// Why, or why not.
    #[serde(rename = "cgroupReason")]
    pub reason: String,
}

impl Cgroups {
    /// Those of this process.
    pub fn here() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = unified_path(&own);
        if !Path::new(ROOT).join("cgroup.controllers").exists() {
            let version = if own.is_empty() { "none" } else { "v1" };
            let reason = match version {
                "none" => "the kernel has no control groups, or /proc does not show them",
                _ => "limits are enforced with control groups v2, and this host has booted with v1",
            };
            let controllers = if version == "v1" { v1_controllers(&own) } else { Vec::new() };
            return Self { version, path, controllers, delegated: false, reason: reason.into() };
        }
        let directory = path.as_deref().map_or_else(|| PathBuf::from(ROOT), below_root);
        let controllers = one_line(&directory.join("cgroup.controllers")).unwrap_or_default();
        let (delegated, reason) = delegation(&directory);
        Self {
            version: "v2",
            path,
            controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            delegated,
            reason,
        }
    }
}

fn below_root(path: &str) -> PathBuf {
    Path::new(ROOT).join(path.trim_start_matches('/'))
}

/// Whether the three things that a delegated group's owner may write to are ours to write to (cgroups(7),
/// "Cgroups delegation").
fn delegation(directory: &Path) -> (bool, String) {
    for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
        let path = directory.join(name);
        if let Err(errno) = access(&path, AccessFlags::W_OK) {
            return (false, format!("{} cannot be written to: {}", path.display(), errno.desc()));
        }
    }
    (true, format!("{} is ours to write to", directory.display()))
}

/// The path in the line `0::PATH`.
fn unified_path(own: &str) -> Option<String> {
    own.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// The controllers of the lines `N:CONTROLLERS:PATH`; named hierarchies are none.
fn v1_controllers(own: &str) -> Vec<String> {
    let lists = own.lines().filter_map(|line| line.split(':').nth(1));
    let names = lists.flat_map(|list| list.split(',')).filter(|name| !name.is_empty() && !name.contains('='));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_a_process() {
        let own = "5:memory:/a\n2:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/user.slice/c\n";
        assert_eq!(unified_path(own).as_deref(), Some("/user.slice/c"));
        assert_eq!(v1_controllers(own), ["cpu", "cpuacct", "memory"]);
        assert_eq!(unified_path("1:name=systemd:/b\n"), None);
    }
}
