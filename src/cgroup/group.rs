//! The group of one container: made, limited, entered, frozen, removed.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::error::CgroupError;
use super::settings::{self, Setting};
use super::systemd;
use crate::host::cgroup::{Ground, controllers};
use crate::host::kernel::one_line;
use crate::name::resources::Resources;
use crate::sys::pidfd;

/// Where the processes of a v2 group are: below the limits, which they could lift otherwise, being the same user's.
const LEAF: &str = "container";

/// Where processes go that are in the way: a v2 group that has processes cannot have groups with limits.
const CALLERS: &str = "coracle-callers";

/// How long processes that were killed may take to leave, or all processes to freeze.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(1);

/// Where a container's group is. Kept beside the process record, from before it is made until it is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Group {
    /// In version 2.
    Unified {
        /// Its directory.
        directory: PathBuf,
        /// systemd's scope around it and the monitor.
        scope: Option<String>,
    },
    /// In version 1.
    Legacy {
        /// Its directories, by controller.
        directories: BTreeMap<String, PathBuf>,
    },
}

impl Group {
    /// Makes the group with these limits. One of that name that was left behind is removed first.
    pub fn make(&self, settings: &[Setting]) -> Result<(), CgroupError> {
        match self {
            Self::Unified { directory, .. } => {
                if let Some(parent) = directory.parent() {
                    enable(parent, settings)?;
                }
                make_directory(directory)?;
                make_directory(&directory.join(LEAF))?;
            }
            Self::Legacy { directories } => {
                for directory in self.all_directories() {
                    make_directory(directory)?;
                }
                if let Some(directory) = directories.get("cpuset") {
                    inherit_cpuset(directory)?;
                }
            }
        }
        self.limit(settings)
    }

    /// Changes limits of a group in which processes run.
    pub fn change(&self, resources: &Resources) -> Result<(), CgroupError> {
        let settings = if self.is_unified() { settings::unified(resources)? } else { settings::legacy(resources)? };
        if let Self::Legacy { directories } = self
            && let Some(missing) = settings.iter().find(|setting| !directories.contains_key(&setting.controller))
        {
            return Err(CgroupError::NoController {
                flag: missing.flag.to_owned(),
                controller: missing.controller.clone(),
                available: directories.keys().cloned().collect::<Vec<_>>().join(", "),
            });
        }
        self.limit(&settings)
    }

    /// Sets limits.
    pub fn limit(&self, settings: &[Setting]) -> Result<(), CgroupError> {
        // Of a limit of memory and one of memory and swap the first may not be the larger one at any time.
        let write = |setting: &Setting| {
            let path = self.file(&setting.controller, &setting.file);
            match fs::write(&path, &setting.value) {
                Err(cause) if setting.optional && cause.kind() == ErrorKind::NotFound => Ok(()),
                Err(cause) => {
                    let (flag, value) = (setting.flag.to_owned(), setting.value.clone());
                    Err(CgroupError::Refused { flag, value, path, cause })
                }
                Ok(()) => Ok(()),
            }
        };
        let mut refused = Vec::new();
        for setting in settings {
            if write(setting).is_err() {
                refused.push(setting);
            }
        }
        refused.into_iter().try_for_each(write)
    }

    /// Where a controller's file is. One of a controller that the group does not have is nowhere.
    fn file(&self, controller: &str, name: &str) -> PathBuf {
        match self {
            Self::Unified { directory, .. } => directory.join(name),
            Self::Legacy { directories } => {
                directories.get(controller).map_or_else(|| Path::new(controller).join(name), |group| group.join(name))
            }
        }
    }

    /// A controller's file of one line.
    pub(super) fn read(&self, controller: &str, name: &str) -> Option<String> {
        one_line(&self.file(controller, name))
    }

    /// Whether version 2.
    pub fn is_unified(&self) -> bool {
        matches!(self, Self::Unified { .. })
    }

    /// Its path below the hierarchy's root, as `/proc/PID/cgroup` has it.
    pub fn path(&self) -> String {
        let root = Path::new(crate::host::cgroup::ROOT);
        let directory = match self {
            Self::Unified { directory, .. } => Some(directory.clone()),
            Self::Legacy { directories } => directories.values().next().cloned(),
        };
        let below = directory.as_deref().and_then(|directory| directory.strip_prefix(root).ok());
        let skipped = if self.is_unified() { 0 } else { 1 };
        below
            .map(|path| Path::new("/").join(path.components().skip(skipped).collect::<PathBuf>()))
            .map_or_else(String::new, |path| path.display().to_string())
    }

    /// The directory into which a process of the container is cloned (CLONE_INTO_CGROUP). With version 1 there is none.
    pub fn open_leaf(&self) -> Result<Option<File>, CgroupError> {
        let Self::Unified { directory, .. } = self else { return Ok(None) };
        let leaf = directory.join(LEAF);
        File::open(&leaf).map(Some).map_err(CgroupError::io("opening the group", &leaf))
    }

    /// The same for a process that comes later: where the container's first process is. That may have made groups below the
    /// leaf and have gone into one of them, as systemd does, and then the leaf takes no process any more.
    pub fn open_leaf_of(&self, first: i32) -> Result<Option<File>, CgroupError> {
        let Self::Unified { directory, .. } = self else { return Ok(None) };
        let text = fs::read_to_string(format!("/proc/{first}/cgroup")).unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.map(|path| Path::new(crate::host::cgroup::ROOT).join(path));
        match own.filter(|path| path.starts_with(directory.join(LEAF))) {
            Some(path) => File::open(&path).map(Some).map_err(CgroupError::io("opening the group", &path)),
            None => self.open_leaf(),
        }
    }

    /// The files into which a process of the container writes `0` to enter. With version 2 there are none. A single thread
    /// enters by `tasks` at once, where `cgroup.procs` waits for all processors (`cgroup_procs_write_start` in
    /// kernel/cgroup/cgroup.c).
    pub fn entrances(&self) -> Vec<CString> {
        match self {
            Self::Unified { .. } => Vec::new(),
            Self::Legacy { .. } => {
                let file = |directory: &Path| CString::new(directory.join("tasks").as_os_str().as_bytes()).ok();
                self.all_directories().filter_map(file).collect()
            }
        }
    }

    /// Puts this process where it may start processes in the group.
    pub fn admit_caller(&self) -> Result<(), CgroupError> {
        match (self, Ground::find()) {
            (Self::Unified { scope: Some(unit), .. }, Ok(Ground::Systemd(manager))) => systemd::join(&manager, unit),
            _ => Ok(()),
        }
    }

    fn all_directories(&self) -> impl Iterator<Item = &Path> {
        let directories: std::collections::BTreeSet<&Path> = match self {
            Self::Unified { directory, .. } => [directory.as_path()].into(),
            Self::Legacy { directories } => directories.values().map(PathBuf::as_path).collect(),
        };
        directories.into_iter()
    }

    /// Removes the group, with what may still run in it.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if self.remove_empty().is_ok() {
            return Ok(());
        }
        self.kill();
        self.all_directories().try_for_each(remove_directory)
    }

    /// Kills what runs in it.
    fn kill(&self) {
        for directory in self.all_directories() {
            kill_all(directory);
        }
        self.let_die();
    }

    /// Removes the group if nothing runs in it.
    pub fn remove_empty(&self) -> io::Result<()> {
        let leaf = self.is_unified().then(|| self.file("", LEAF));
        for directory in leaf.as_deref().into_iter().chain(self.all_directories()) {
            match fs::remove_dir(directory) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        Ok(())
    }

    /// How many of its processes were killed because there was no memory left for them.
    pub fn killed_for_memory(&self) -> u64 {
        let file = if self.is_unified() { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.file("memory", file)).unwrap_or_default();
        super::usage::field(&text, "oom_kill").unwrap_or(0)
    }

    /// Whether it can be frozen.
    pub fn can_freeze(&self) -> bool {
        match self {
            Self::Unified { .. } => true,
            Self::Legacy { directories } => directories.contains_key("freezer"),
        }
    }

    /// Freezes all processes, or lets them go on. Returns once they stand still.
    pub fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let (file, value) = match (self.is_unified(), frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let path = self.file("freezer", file);
        let write = || fs::write(&path, value).map_err(CgroupError::io("writing to", &path));
        write()?;
        let end = Instant::now() + PATIENCE;
        while frozen && !self.is_frozen() && Instant::now() < end {
            std::thread::sleep(GLANCE);
            // Version 1 tries again when it is told again (freezer-subsystem.rst).
            write()?;
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        match self.is_unified() {
            true => {
                let events = fs::read_to_string(self.file("", "cgroup.events")).unwrap_or_default();
                super::usage::field(&events, "frozen") == Some(1)
            }
            false => self.read("freezer", "freezer.state").as_deref() == Some("FROZEN"),
        }
    }

    /// Lets processes die that were killed while they stood still: with version 1 they do not by themselves.
    pub fn let_die(&self) {
        if !self.is_unified() && self.can_freeze() {
            let _ = self.set_frozen(false);
        }
    }
}

/// Makes a directory; one that is there was left behind by a dead monitor, and is empty or about to be.
fn make_directory(directory: &Path) -> Result<(), CgroupError> {
    let made = match fs::create_dir(directory) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            remove_directory(directory)?;
            fs::create_dir(directory)
        }
        other => other,
    };
    made.map_err(CgroupError::io("making the group", directory))
}

/// Removes a group and those below it. Processes that were killed leave it a moment later.
fn remove_directory(directory: &Path) -> Result<(), CgroupError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            // EBUSY is what the kernel says of groups that have groups, too.
            Err(cause) if cause.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        remove_directory(&entry.path())?;
                    }
                }
                std::thread::sleep(GLANCE);
            }
            Err(cause) => return Err(CgroupError::io("removing the group", directory)(cause)),
        }
    }
}

/// Kills what runs in a group: by cgroup.kill (version 2, Linux 5.14), else one by one.
fn kill_all(directory: &Path) {
    if fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = || fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let numbers = members();
    let held = numbers.lines().filter_map(|line| Some((line, pidfd::open(Pid::from_raw(line.parse().ok()?)).ok()?)));
    let held: Vec<_> = held.collect();
    // A number that is still in the group now is the process that is held.
    let still = members();
    for (_, process) in held.iter().filter(|(number, _)| still.lines().any(|line| line == *number)) {
        let _ = pidfd::send_signal(process.as_fd(), libc::SIGKILL);
    }
}

/// Has a v2 group pass the controllers of `settings` on to those below it. Processes in it have to go aside for that.
fn enable(parent: &Path, settings: &[Setting]) -> Result<(), CgroupError> {
    let file = parent.join("cgroup.subtree_control");
    let enabled = one_line(&file).unwrap_or_default();
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let mut wanted: Vec<&str> = settings.iter().map(|setting| setting.controller.as_str()).collect();
    // What is counted for `stats`, if it is to be had.
    let available = controllers(parent);
    wanted
        .extend(["memory", "pids", "cpu", "io"].into_iter().filter(|name| available.iter().any(|other| other == name)));
    wanted.retain(|name| !enabled.contains(name));
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let words = wanted.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let enabled = match fs::write(&file, &words) {
        Err(cause) if cause.kind() == ErrorKind::ResourceBusy => {
            move_aside(parent).and_then(|()| fs::write(&file, &words))
        }
        other => other,
    };
    enabled.map_err(CgroupError::io("enabling controllers in", &file))
}

/// Moves the processes of a group into one below it.
fn move_aside(group: &Path) -> io::Result<()> {
    let aside = group.join(CALLERS);
    match fs::create_dir(&aside) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    for pid in fs::read_to_string(group.join("cgroup.procs"))?.lines() {
        // It may have ended meanwhile.
        let _ = fs::write(aside.join("cgroup.procs"), pid);
    }
    Ok(())
}

/// A new v1 cpuset is empty, and an empty one takes no process (cpuset(7)).
fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let value = one_line(&parent.join(name)).unwrap_or_default();
        let path = directory.join(name);
        fs::write(&path, value).map_err(CgroupError::io("writing to", &path))?;
    }
    Ok(())
}
