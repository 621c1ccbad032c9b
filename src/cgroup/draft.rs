//! The group that a container is to have: everything that can be found out is found out before anything is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::CgroupError;
use super::group::Group;
use super::settings::{self, Setting};
use super::systemd;
use crate::host::cgroup::{Ground, Manager, controllers, managers_group};
use crate::host::kernel::one_line;
use crate::name::resources::{Bound, CPU_PERIOD, IdList, Resources};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The group's name: one for each container.
    pub name: &'a str,
    /// The limits.
    pub resources: &'a Resources,
    /// The group in which it is to be, from the hierarchy's root, or systemd's slice.
    pub parent: Option<&'a str>,
    /// Whether it must be below our own.
    pub split: bool,
}

/// A group to be made.
#[derive(Clone, Debug)]
pub struct Draft {
    place: Place,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug)]
enum Place {
    Known(Group),
    /// It is known once the monitor is in a scope.
    Scope {
        manager: Manager,
        slice: Option<String>,
        name: String,
    },
}

/// A draft, and what it leaves out.
#[derive(Debug)]
pub struct Sketch {
    /// The group, if there can be one.
    pub draft: Option<Draft>,
    /// Flags of what cannot be enforced.
    pub left_out: Vec<&'static str>,
}

impl Draft {
    /// The group that is wanted. What cannot be enforced is an error.
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, CgroupError> {
        let ground = ground(wanted).map_err(|reason| CgroupError::NoGround { flag: flags(wanted), reason })?;
        let settings = settings_for(&ground, wanted.resources)?;
        let available = available(&ground);
        if let Some(setting) = settings.iter().find(|setting| !is_available(setting, &available)) {
            return Err(missing(setting, &available));
        }
        check(&ground, wanted.resources)?;
        Ok(Self { place: Place::of(ground, wanted), settings })
    }

    /// The same without what cannot be enforced. Limits that contradict the machine are errors all the same.
    pub fn lenient(wanted: &Wanted<'_>) -> Result<Sketch, CgroupError> {
        let Ok(ground) = ground(wanted) else {
            let all = settings::legacy(wanted.resources).or_else(|_| settings::unified(wanted.resources))?;
            let left_out = all.iter().filter(|setting| !setting.optional).map(|setting| setting.flag).collect();
            return Ok(Sketch { draft: None, left_out });
        };
        let available = available(&ground);
        let (kept, left_out): (Vec<_>, Vec<_>) =
            settings_for(&ground, wanted.resources)?.into_iter().partition(|setting| is_available(setting, &available));
        check(&ground, wanted.resources)?;
        let left_out = left_out.iter().filter(|setting| !setting.optional).map(|setting| setting.flag).collect();
        Ok(Sketch { draft: Some(Self { place: Place::of(ground, wanted), settings: kept }), left_out })
    }

    /// A group in this place, without limits.
    #[cfg(test)]
    pub(crate) fn of(group: Group) -> Self {
        Self { place: Place::Known(group), settings: Vec::new() }
    }

    /// Where the group is to be. With systemd this process is put into the container's scope for that.
    pub fn settle(&self) -> Result<Group, CgroupError> {
        match &self.place {
            Place::Known(group) => Ok(group.clone()),
            Place::Scope { manager, slice, name } => {
                let unit = systemd::unit(name);
                let scope = systemd::enter(manager, &unit, slice.as_deref())?;
                Ok(Group::Unified { directory: scope.join(name), scope: Some(unit) })
            }
        }
    }

    /// The group, where that is known beforehand.
    pub fn known(&self) -> Option<&Group> {
        match &self.place {
            Place::Known(group) => Some(group),
            Place::Scope { .. } => None,
        }
    }

    /// What is written into the group's files.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

impl Place {
    fn of(ground: Ground, wanted: &Wanted<'_>) -> Self {
        let name = wanted.name;
        match ground {
            Ground::Unified(directory) => Self::Known(Group::Unified { directory: directory.join(name), scope: None }),
            Ground::Systemd(manager) => {
                let slice = wanted.parent.map(|parent| parent.trim_matches('/').to_owned());
                Self::Scope { manager, slice, name: name.to_owned() }
            }
            Ground::Legacy(directories) => {
                let is_wanted = |controller: &str| {
                    // What stats and pause use, and what limits are asked of.
                    ["memory", "pids", "cpuacct", "freezer"].contains(&controller)
                        || settings::legacy(wanted.resources)
                            .is_ok_and(|all| all.iter().any(|setting| setting.controller == controller))
                };
                let directories = directories.into_iter().filter(|(controller, _)| is_wanted(controller));
                let directories = directories.map(|(controller, directory)| (controller, directory.join(name)));
                Self::Known(Group::Legacy { directories: directories.collect() })
            }
        }
    }
}

fn ground(wanted: &Wanted<'_>) -> Result<Ground, String> {
    let ground = wanted.parent.map_or_else(Ground::find, Ground::below)?;
    match ground {
        Ground::Systemd(_) if wanted.split => Err("the group of this process is not ours to make others in".into()),
        ground => Ok(ground),
    }
}

/// What was asked for, as it was typed.
fn flags(wanted: &Wanted<'_>) -> String {
    let settings = settings::legacy(wanted.resources).or_else(|_| settings::unified(wanted.resources));
    let mut flags: Vec<&str> =
        settings.iter().flatten().filter(|setting| !setting.optional).map(|one| one.flag).collect();
    flags.dedup();
    if flags.is_empty() {
        flags.push(if wanted.parent.is_some() { "--cgroup-parent" } else { "--cgroups" });
    }
    flags.join(", ")
}

fn settings_for(ground: &Ground, resources: &Resources) -> Result<Vec<Setting>, CgroupError> {
    match ground {
        Ground::Legacy(_) => settings::legacy(resources),
        Ground::Unified(_) | Ground::Systemd(_) => settings::unified(resources),
    }
}

fn available(ground: &Ground) -> Vec<String> {
    match ground {
        Ground::Unified(directory) => controllers(directory),
        Ground::Systemd(_) => controllers(&managers_group()),
        Ground::Legacy(directories) => directories.keys().cloned().collect(),
    }
}

fn is_available(setting: &Setting, available: &[String]) -> bool {
    available.contains(&setting.controller)
}

fn missing(setting: &Setting, available: &[String]) -> CgroupError {
    let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
    CgroupError::NoController { flag: setting.flag.to_owned(), controller: setting.controller.clone(), available }
}

/// Fails for what is more than the machine, or the groups around, have.
fn check(ground: &Ground, resources: &Resources) -> Result<(), CgroupError> {
    let processors =
        nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten().unwrap_or(i64::MAX);
    let processors = processors.cast_unsigned();
    let period = resources.cpu_period.unwrap_or(CPU_PERIOD);
    if let Some(Bound::At(quota)) = resources.cpu_quota
        && quota > processors.saturating_mul(period)
    {
        let asked = format!("{} processors", quota as f64 / period as f64);
        return Err(CgroupError::TooMuch { flag: "--cpus", asked, limit: processors.to_string() });
    }
    let around = Around::of(ground);
    if let (Some(Bound::At(memory)), Some(limit)) = (resources.memory, around.least("memory", MEMORY_FILES))
        && memory > limit
    {
        let (asked, limit) = (format!("{memory} bytes"), format!("the group around it has {limit}"));
        return Err(CgroupError::TooMuch { flag: "--memory", asked, limit });
    }
    if let (Some(Bound::At(pids)), Some(limit)) = (resources.pids, around.least("pids", &["pids.max"]))
        && pids > limit
    {
        let (asked, limit) = (pids.to_string(), format!("the group around it has {limit}"));
        return Err(CgroupError::TooMuch { flag: "--pids-limit", asked, limit });
    }
    around.check_list("--cpuset-cpus", resources.cpuset_cpus.as_ref(), &["cpuset.cpus.effective", "cpuset.cpus"])?;
    around.check_list("--cpuset-mems", resources.cpuset_mems.as_ref(), &["cpuset.mems.effective", "cpuset.mems"])
}

const MEMORY_FILES: &[&str] = &["memory.max", "memory.limit_in_bytes"];

/// The groups around the one that is to be made, by controller.
struct Around(BTreeMap<String, PathBuf>, Option<PathBuf>);

impl Around {
    fn of(ground: &Ground) -> Self {
        match ground {
            Ground::Unified(directory) => Self(BTreeMap::new(), Some(directory.clone())),
            Ground::Systemd(_) => Self(BTreeMap::new(), Some(managers_group())),
            Ground::Legacy(directories) => Self(directories.clone(), None),
        }
    }

    fn directory(&self, controller: &str) -> Option<&Path> {
        self.1.as_deref().or_else(|| self.0.get(controller).map(PathBuf::as_path))
    }

    /// The least number in a file of these names in the groups around.
    fn least(&self, controller: &str, names: &[&str]) -> Option<u64> {
        let groups = self.directory(controller)?.ancestors();
        let files = groups.flat_map(|group| names.iter().map(move |name| group.join(name)));
        files.filter_map(|file| one_line(&file)?.parse().ok()).min()
    }

    fn check_list(&self, flag: &'static str, list: Option<&IdList>, names: &[&str]) -> Result<(), CgroupError> {
        let (Some(list), Some(directory)) = (list, self.directory("cpuset")) else { return Ok(()) };
        let text = names.iter().find_map(|name| one_line(&directory.join(name)).filter(|text| !text.is_empty()));
        let Some(limit) = text else { return Ok(()) };
        let Ok(there) = limit.parse::<IdList>() else { return Ok(()) };
        let there: Vec<u32> = there.ids().collect();
        match list.ids().all(|id| there.contains(&id)) {
            true => Ok(()),
            false => Err(CgroupError::TooMuch { flag, asked: list.as_str().to_owned(), limit }),
        }
    }
}
