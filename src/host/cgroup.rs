//! Control groups: which version, where we are, and where we may make groups of our own (cgroups(7)).

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::env;
use super::kernel::{self, one_line};
use crate::sys::xattr;

/// Where the hierarchies are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// What control groups can do for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroups {
    /// `v2`, `v1` (hybrid included), or `none`.
    #[serde(rename = "cgroupVersion")]
    pub version: &'static str,
    /// Who makes groups for us: `cgroupfs` (we do), `systemd`, or `none`.
    #[serde(rename = "cgroupManager")]
    pub manager: &'static str,
    /// Our own group of the v2 hierarchy, if there is one.
    #[serde(rename = "cgroupPath")]
    pub path: Option<String>,
    /// Controllers with which limits can be enforced.
    #[serde(rename = "cgroupControllers")]
    pub controllers: Vec<String>,
    /// Whether limits can be enforced.
    #[serde(rename = "cgroupDelegated")]
    pub delegated: bool,
    /// Why, or why not.
    #[serde(rename = "cgroupReason")]
    pub reason: String,
}

/// Where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In a directory of the v2 hierarchy that is ours.
    Unified(PathBuf),
    /// In a scope that systemd's user manager is asked for.
    Systemd(Manager),
    /// In directories of v1 hierarchies that are ours, by controller.
    Legacy(BTreeMap<String, PathBuf>),
}

/// How systemd's user manager is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// The socket of the user's message bus, or of the manager itself.
    pub socket: PathBuf,
    /// Whether it is a bus, on which others are, too.
    pub is_bus: bool,
}

impl Ground {
    /// The first rung of the ladder that carries: a delegated v2 group, systemd's user manager, v1 groups. Else the reason.
    pub fn find() -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if own.is_empty() {
            return Err("the kernel has no control groups, or /proc does not show them".into());
        }
        if !kernel::has_cgroup2() {
            return legacy(&own);
        }
        let delegated =
            unified_path(&own).ok_or_else(|| "this process has no group".into()).and_then(|path| delegated(&path));
        delegated.map(Self::Unified).or_else(|reason| match manager() {
            Some(manager) => Ok(Self::Systemd(manager)),
            None => Err(format!("{reason}; and there is no systemd user manager to ask (no bus in XDG_RUNTIME_DIR)")),
        })
    }

    /// The same below a group of this name, from the hierarchy's root; a slice of systemd's is its user manager's.
    pub fn below(parent: &str) -> Result<Self, String> {
        let relative = parent.trim_start_matches('/');
        let has_unified = kernel::has_cgroup2();
        if has_unified && parent.ends_with(".slice") {
            return manager().map(Self::Systemd).ok_or_else(|| "there is no systemd user manager to ask".into());
        }
        if has_unified {
            let directory = Path::new(ROOT).join(relative);
            return complaint(&directory, UNIFIED_FILES).map_or(Ok(Self::Unified(directory)), Err);
        }
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let hierarchies = v1_hierarchies(&own).into_iter();
        writable(hierarchies.map(|(controller, _)| (controller, relative.to_owned())))
    }
}

/// What a delegated v2 group's owner may write to ("Cgroups delegation").
const UNIFIED_FILES: &[&str] = &["", "cgroup.procs", "cgroup.subtree_control"];

/// The same of a v1 group.
const LEGACY_FILES: &[&str] = &["", "cgroup.procs"];

/// Why groups cannot be made in a directory.
fn complaint(directory: &Path, files: &[&str]) -> Option<String> {
    files.iter().find_map(|name| {
        let path = directory.join(name);
        let errno = access(&path, AccessFlags::W_OK).err()?;
        Some(format!("{} cannot be written to: {}", path.display().to_string().trim_end_matches('/'), errno.desc()))
    })
}

/// The root of the subtree that was delegated to us: the nearest group around us that is marked so, or the topmost that is ours.
fn delegated(path: &str) -> Result<PathBuf, String> {
    let root = Path::new(ROOT);
    let mut directory = root.join(path.trim_start_matches('/'));
    if let Some(complaint) = complaint(&directory, UNIFIED_FILES) {
        return Err(complaint);
    }
    while !is_marked(&directory) && directory != root {
        match directory.parent() {
            Some(parent) if complaint(parent, UNIFIED_FILES).is_none() => directory = parent.to_owned(),
            _ => break,
        }
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    match name.starts_with("user@") && name.ends_with(".service") {
        true => Err(format!("{} is systemd's", directory.display())),
        false => Ok(directory),
    }
}

/// Whether systemd says that the group is its owner's affair (systemd.resource-control(5), `Delegate=`).
fn is_marked(directory: &Path) -> bool {
    std::fs::File::open(directory)
        .is_ok_and(|file| xattr::get(file.as_fd(), c"user.delegate").is_ok_and(|mark| mark == b"1"))
}

fn manager() -> Option<Manager> {
    let runtime = env::get_absolute(&env::XDG_RUNTIME_DIR)?;
    let candidates = [("bus", true), ("systemd/private", false)];
    // Somebody else's bus is no help: only systemd's own socket says that there is a manager.
    let is_there = runtime.join("systemd/private").exists();
    let mut sockets = candidates.into_iter().map(|(name, is_bus)| Manager { socket: runtime.join(name), is_bus });
    sockets.find(|manager| is_there && manager.socket.exists())
}

fn legacy(own: &str) -> Result<Ground, String> {
    writable(v1_hierarchies(own).into_iter())
}

/// Those of the v1 groups, by controller and path, that are ours to write to.
fn writable(groups: impl Iterator<Item = (String, String)>) -> Result<Ground, String> {
    let mut first = None;
    let directories = groups.filter_map(|(controller, path)| {
        let directory = Path::new(ROOT).join(&controller).join(path.trim_start_matches('/'));
        match complaint(&directory, LEGACY_FILES) {
            // Several controllers may have one directory, under a name of each.
            None => Some((controller, std::fs::canonicalize(directory).ok()?)),
            Some(complaint) => {
                first.get_or_insert(complaint);
                None
            }
        }
    });
    let directories: BTreeMap<_, _> = directories.collect();
    match directories.is_empty() {
        true => Err(first.unwrap_or_else(|| "no control group hierarchy is mounted".into())),
        false => Ok(Ground::Legacy(directories)),
    }
}

impl Cgroups {
    /// Those of this process.
    pub fn here() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = unified_path(&own);
        let version = match own.is_empty() {
            true => "none",
            false if kernel::has_cgroup2() => "v2",
            false => "v1",
        };
        let ground = Ground::find();
        let (manager, controllers, reason) = match &ground {
            Ok(Ground::Unified(directory)) => {
                ("cgroupfs", controllers(directory), format!("{} is ours to write to", directory.display()))
            }
            Ok(Ground::Systemd(manager)) => {
                let reason = format!("systemd's user manager is asked for scopes, at {}", manager.socket.display());
                ("systemd", controllers(&managers_group()), reason)
            }
            Ok(Ground::Legacy(directories)) => {
                let names = directories.values().map(|directory| directory.display().to_string()).collect::<Vec<_>>();
                let verb = if names.len() == 1 { "is" } else { "are" };
                (
                    "cgroupfs",
                    directories.keys().cloned().collect(),
                    format!("{} {verb} ours to write to", names.join(", ")),
                )
            }
            Err(reason) => ("none", Vec::new(), reason.clone()),
        };
        Self { version, manager, path, controllers, delegated: ground.is_ok(), reason }
    }
}

/// The group of systemd's user manager.
pub fn managers_group() -> PathBuf {
    let uid = nix::unistd::geteuid();
    Path::new(ROOT).join(format!("user.slice/user-{uid}.slice/user@{uid}.service"))
}

/// The controllers of a v2 group.
pub fn controllers(directory: &Path) -> Vec<String> {
    let line = one_line(&directory.join("cgroup.controllers")).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// The path of a process's v2 group, from the text of `/proc/PID/cgroup`: the line `0::PATH`.
pub fn unified_path(own: &str) -> Option<String> {
    own.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// Controllers and paths of the lines `N:CONTROLLERS:PATH`; named hierarchies have none.
fn v1_hierarchies(own: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else { continue };
        let names = names.split(',').filter(|name| !name.is_empty() && !name.contains('='));
        all.extend(names.map(|name| (name.to_owned(), path.to_owned())));
    }
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_a_process() {
        let own = "5:memory:/a\n2:cpu,cpuacct:/b:c\n1:name=systemd:/b\n0::/user.slice/c\n";
        assert_eq!(unified_path(own).as_deref(), Some("/user.slice/c"));
        let v1 = v1_hierarchies(own);
        let pairs: Vec<(&str, &str)> = v1.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
        assert_eq!(pairs, [("cpu", "/b:c"), ("cpuacct", "/b:c"), ("memory", "/a")]);
        assert_eq!(unified_path("1:name=systemd:/b\n"), None);
    }
}
