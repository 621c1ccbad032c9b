//! The control group of a container, from its making to its removal.
//!
//! Where it is is written down before it is made, and forgotten after it is removed: what a monitor that was killed leaves
//! behind is removed by whoever comes next, and nothing else.

use std::fs;

use serde::{Deserialize, Serialize};

use super::create::Owned;
use super::event;
use crate::cgroup::draft::Draft;
use crate::cgroup::error::CgroupError;
use crate::cgroup::group::Group;
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::state::journal::{self, ContainerEvent};
use crate::state::layout::Layout;
use crate::state::record::{self, Record};
use crate::state::schema::container::ContainerRecord;

/// `RUNTIME/containers/ID.group.json`.
#[derive(Serialize, Deserialize)]
struct GroupRecord {
    group: Group,
}

impl Record for GroupRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "record of a control group";
}

/// That there was no memory left for processes of a container.
#[derive(Clone, Copy, Debug)]
pub struct LackOfMemory {
    /// Bytes that they could have.
    pub limit: Option<u64>,
}

/// Whether processes of a group were killed for lack of memory.
pub fn lack_of_memory(group: &Group) -> Option<LackOfMemory> {
    (group.killed_for_memory() > 0).then(|| LackOfMemory { limit: group.usage().memory_limit })
}

/// Notes it in the journal.
pub fn note(layout: &Layout, record: &ContainerRecord, lack: &LackOfMemory) {
    let limit = lack.limit.map(|limit| (event::MEMORY_LIMIT, limit.to_string()));
    event::note_with(layout, ContainerEvent::Oom, record, limit.as_slice());
}

/// Whether the last life of a container that was killed ended so, as far as the journal knows it.
pub fn memory_lack(layout: &Layout, id: &ContainerId) -> Option<LackOfMemory> {
    let events = journal::read_all(layout);
    let mut own = events.iter().rev().filter(|event| event.id == id.as_str());
    let last = own.find(|event| ["oom", "start"].contains(&event.status.as_str()))?;
    let limit = last.attributes.get(event::MEMORY_LIMIT).and_then(|limit| limit.parse().ok());
    (last.status == "oom").then_some(LackOfMemory { limit })
}

/// The group of a container that runs, if it has one.
pub fn of(layout: &Layout, id: &ContainerId) -> Option<Group> {
    record::read::<GroupRecord>(&layout.group_record(id)).ok().flatten().map(|record| record.group)
}

/// Makes the group of a container that this process owns.
pub fn make(layout: &Layout, id: &ContainerId, draft: &Draft) -> Result<Group, Failure> {
    let group = draft.settle()?;
    let path = layout.group_record(id);
    record::write_volatile(&path, &GroupRecord { group: group.clone() })?;
    if let Err(error) = group.make(draft.settings()) {
        let _ = remove(layout, id, &group);
        return Err(error.into());
    }
    Ok(group)
}

/// Removes the group of a container that has ended.
pub fn remove(layout: &Layout, id: &ContainerId, group: &Group) -> Result<(), CgroupError> {
    group.remove()?;
    let _ = fs::remove_file(layout.group_record(id));
    Ok(())
}

/// Removes the group that a dead monitor of this container has left. The caller owns the container, or it is gone.
pub fn remove_left(layout: &Layout, id: &ContainerId) {
    if let Some(group) = of(layout, id) {
        let _ = remove(layout, id, &group);
    }
}

/// Removes the groups that dead monitors have left.
pub fn sweep(layout: &Layout) {
    for entry in fs::read_dir(layout.process_records()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".group.json")?.parse::<ContainerId>().ok());
        let Some(id) = id else { continue };
        match Owned::take(layout, &id) {
            Ok(_owned) => remove_left(layout, &id),
            // It is gone, or in another store that has the same runtime directory.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                if of(layout, &id).is_some_and(|group| group.remove_empty().is_ok()) {
                    let _ = fs::remove_file(layout.group_record(&id));
                }
            }
            // It runs.
            Err(_) => {}
        }
    }
}
