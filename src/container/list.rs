//! Which containers there are.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::freeze;
use super::group;
use super::status::{self, Status};
use super::update::Changes;
use super::{connection, driver, name_link};
use crate::cgroup::group::Group;
use crate::failure::{Explain, Failure};
use crate::name::container::{ContainerId, ContainerName};
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ConnectionRecord, ContainerRecord, DriverRecord, HealthRecord};

/// A container and what it is doing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it is.
    pub record: ContainerRecord,
    /// What it is doing.
    pub status: Status,
    /// Whether it runs, and stands still.
    pub is_paused: bool,
    /// What its health checks have shown since it was started.
    pub health: Option<HealthRecord>,
    /// What connects its network, if it runs and that is connected.
    pub connection: Option<ConnectionRecord>,
    /// Its control group, if it runs and has one; known of a container that was loaded by itself.
    pub group: Option<Group>,
    /// How its root file system is made, if not as it is tried first; as above.
    pub driver: Option<DriverRecord>,
}

impl Listed {
    /// How many times it was restarted by its policy.
    pub fn restarts(&self) -> u32 {
        match &self.status {
            Status::Running(processes) | Status::Restarting(processes) => processes.restarts,
            Status::Stopped(stopped) => stopped.restarts,
            Status::Created | Status::Creating | Status::Initialized(_) => 0,
        }
    }
}

/// Why a container was not found.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// There is none of this name or identifier.
    #[error("there is no container with the name or id {0:?}")]
    Unknown(String),
    /// There are several whose identifiers begin so.
    #[error("{0:?} is the beginning of several container ids")]
    Ambiguous(String),
}

impl Explain for NotFound {
    fn code(&self) -> &'static str {
        "E_NOTFOUND"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "coracle ps --all lists all containers".into(),
            Self::Ambiguous(_) => "type more of it".into(),
        })
    }
}

/// All containers, newest first. One whose record is damaged is left out and named in the second list.
pub fn execute(layout: &Layout) -> (Vec<Listed>, Vec<Failure>) {
    with_names(layout, &names(layout))
}

/// The names of all containers: mostly one of each, and two of one whose renaming was interrupted. A name may outlive its
/// container.
pub fn names(layout: &Layout) -> HashMap<ContainerId, Vec<ContainerName>> {
    let mut names: HashMap<ContainerId, Vec<ContainerName>> = HashMap::new();
    for entry in fs::read_dir(layout.container_names()).into_iter().flatten().flatten() {
        let holder = name_link::holder(&entry.path());
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(id), Some(name)) = (holder, name) {
            names.entry(id).or_default().push(name);
        }
    }
    names
}

/// The same as [`execute`] with what is known of their names.
pub fn with_names(layout: &Layout, names: &HashMap<ContainerId, Vec<ContainerName>>) -> (Vec<Listed>, Vec<Failure>) {
    let is_marker = |name: &OsString| Path::new(name).extension().is_some_and(|extension| extension == "paused");
    let entries = fs::read_dir(layout.process_records()).into_iter().flatten().flatten();
    let paused: HashSet<OsString> = entries.map(|entry| entry.file_name()).filter(is_marker).collect();
    let (mut listed, mut failures) = (Vec::new(), Vec::new());
    for id in identifiers(layout) {
        let name = names.get(&id).and_then(|names| if let [name] = names.as_slice() { Some(name) } else { None });
        let may_be_paused = layout.paused_marker(&id).file_name().is_some_and(|marker| paused.contains(marker));
        match load_knowing(layout, &id, name, may_be_paused) {
            Ok(container) => listed.extend(container),
            Err(failure) => failures.push(failure),
        }
    }
    listed.sort_by_key(|container| std::cmp::Reverse(container.record.created));
    (listed, failures)
}

/// One container; `None` if it was removed meanwhile.
pub fn load(layout: &Layout, id: &ContainerId) -> Result<Option<Listed>, Failure> {
    let mut container = load_knowing(layout, id, None, true)?;
    if let Some(container) = &mut container {
        Changes::of(layout, id).apply(&mut container.record);
        container.driver = driver::recorded(layout, id);
        let runs = matches!(container.status, Status::Running(_) | Status::Initialized(_));
        let may_have_group = runs && !container.record.limits.is_default();
        container.group = may_have_group.then(|| group::of(layout, id)).flatten();
    }
    Ok(container)
}

/// The same with what is known: its name, and whether it may be paused. Each file less is felt where there are many containers.
fn load_knowing(
    layout: &Layout,
    id: &ContainerId,
    name: Option<&ContainerName>,
    may_be_paused: bool,
) -> Result<Option<Listed>, Failure> {
    let read = record::read_open::<ContainerRecord>(&layout.container_record(id))?;
    let Some((mut record, file)) = read else { return Ok(None) };
    if let Some(name) = name.cloned().or_else(|| new_name(&layout.container_new_name(id))) {
        record.name = name;
    }
    let status = status::of_open(layout, id, Some(&file))?;
    let is_paused =
        may_be_paused && matches!(&status, Status::Running(processes) if freeze::is_paused(layout, id, processes));
    let health = match (&record.health, &status) {
        (Some(_), Status::Running(_)) => record::read(&layout.health_record(id)).ok().flatten(),
        _ => None,
    };
    let may_be_connected = !matches!(record.network.as_str(), "none" | "host");
    let connection = match &status {
        Status::Running(_) | Status::Initialized(_) if may_be_connected => connection::of(layout, id),
        _ => None,
    };
    Ok(Some(Listed { record, status, is_paused, health, connection, group: None, driver: None }))
}

/// The name in the file that `rename` writes; absent for a container that was not renamed.
pub(super) fn new_name(file: &Path) -> Option<ContainerName> {
    fs::read_to_string(file).ok()?.trim_end().parse().ok()
}

/// The container that a name, an identifier or the beginning of one stands for.
pub fn find(layout: &Layout, text: &str) -> Result<ContainerId, NotFound> {
    let unknown = || NotFound::Unknown(text.chars().take(160).collect());
    if let Ok(name) = text.parse::<ContainerName>() {
        let holder = name_link::holder(&layout.container_name(&name));
        if let Some(id) = holder.filter(|id| layout.container(id).exists()) {
            return Ok(id);
        }
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let mut matching = identifiers(layout).filter(|id| id.as_str().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(NotFound::Ambiguous(text.into())),
        (None, _) => Err(unknown()),
    }
}

pub(super) fn identifiers(layout: &Layout) -> impl Iterator<Item = ContainerId> {
    let entries = fs::read_dir(layout.containers()).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
