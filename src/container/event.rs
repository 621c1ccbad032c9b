//! Telling the journal what happened to a container: one line where it happens.

use crate::container::list;
use crate::host::config::containers::ContainersConf;
use crate::state::journal::{self, ContainerEvent, Event};
use crate::state::layout::Layout;
use crate::state::schema::container::{ContainerRecord, Timestamp};

/// Notes what happened.
pub fn note(layout: &Layout, happened: ContainerEvent, record: &ContainerRecord) {
    note_all(layout, &[happened], record);
}

/// Notes several things that happened at once, in this order.
pub fn note_all(layout: &Layout, happened: &[ContainerEvent], record: &ContainerRecord) {
    let events: Vec<Event> = happened.iter().map(|&happened| event(layout, happened, record)).collect();
    journal::append(layout, &events);
}

/// Notes what happened, with more about it.
pub fn note_with(layout: &Layout, happened: ContainerEvent, record: &ContainerRecord, more: &[(&str, String)]) {
    let mut event = event(layout, happened, record);
    event.attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    journal::append(layout, &[event]);
}

/// Whether checks of health are told.
pub fn tells_of_health() -> bool {
    ContainersConf::here().flag("healthcheck_events") != Some(false)
}

/// The attribute of `died` that tells the exit code.
pub const EXIT_CODE: &str = "containerExitCode";

/// The attribute of `died` that tells of a lack of memory.
pub const OOM_KILLED: &str = "oomKilled";

/// The attribute of `oom` that tells how much memory there was, in bytes.
pub const MEMORY_LIMIT: &str = "memoryLimit";

/// The attribute of `commit` that tells what was made, docker's.
pub const IMAGE_ID: &str = "imageID";

/// The attribute of `network_lost` that tells why.
pub const ERROR: &str = "error";

/// The attribute of `health_status` that tells it.
pub const HEALTH_STATUS: &str = "health_status";

/// The attribute of `health_status` that tells what the check wrote, where that was asked for.
pub const HEALTH_LOG: &str = "health_log";

fn event(layout: &Layout, happened: ContainerEvent, record: &ContainerRecord) -> Event {
    let directory = || record.rootfs.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    // The record has the first name, unless it was loaded after a renaming.
    let renamed = list::new_name(&layout.container_new_name(&record.id));
    Event {
        id: record.id.to_string(),
        image: record.image.as_ref().map_or_else(directory, |image| image.name.clone()),
        name: renamed.as_ref().unwrap_or(&record.name).to_string(),
        status: happened.as_str().to_owned(),
        time: Timestamp::now(),
        kind: "container".to_owned(),
        attributes: record.labels.clone(),
    }
}
