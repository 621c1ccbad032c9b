//! `update`: limits, and what happens when it ends, of a container that was made already.

use serde::{Deserialize, Serialize};

use super::list;
use super::request::{HealthRequest, LimitRequest, RestartPolicy};
use super::status::Status;
use super::translate::PER_NAMESPACE_PROCESS_COUNT;
use super::translate::resources;
use crate::failure::Failure;
use crate::host::kernel;
use crate::name::container::ContainerId;
use crate::name::resources::Resources;
use crate::state::layout::Layout;
use crate::state::record::{self, Record};
use crate::state::schema::container::ContainerRecord;

/// `containers/ID/changes.json`: what is different from the container's record, which is never replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Limits.
    pub resources: Resources,
    /// What happens when it ends.
    pub restart: Option<RestartPolicy>,
    /// How its health is checked, from its next start.
    pub health: Vec<HealthRequest>,
}

impl Record for Changes {
    const VERSION: u32 = 1;
    const KIND: &'static str = "changes of a container";
}

impl Changes {
    /// Those that were made to a container. One that cannot be read says nothing.
    pub fn of(layout: &Layout, id: &ContainerId) -> Self {
        record::read(&layout.container_changes(id)).ok().flatten().unwrap_or_default()
    }

    /// Changes what is known of a container.
    pub fn apply(self, record: &mut ContainerRecord) {
        record.limits.resources = record.limits.resources.changed_by(&self.resources);
        if let Some(restart) = self.restart {
            record.restart = restart.to_string();
        }
        for health in self.health {
            record.health = health.change(record.health.take());
        }
    }
}

/// When changes are felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Felt {
    /// At once, or with the container's next start where it does not run.
    AtOnce,
    /// Those of health checks with its next start.
    InPartLater,
}

/// Changes a container. Nothing is written down of what cannot be.
pub fn execute(layout: &Layout, id: &ContainerId, changes: &Changes) -> Result<Felt, Failure> {
    let short = id.short();
    let gone = || Failure::new("E_NOTFOUND", format!("container {short} is gone"));
    let container = list::load(layout, id)?.ok_or_else(gone)?;
    if container.record.remove_at_exit && changes.restart.is_some_and(|policy| policy != RestartPolicy::No) {
        let message = format!("updating container {short}: it is removed when it ends, and cannot be started again");
        return Err(Failure::new("E_CONFIG", message));
    }
    let limits = &container.record.limits;
    let after = limits.resources.changed_by(&changes.resources);
    after.check()?;
    let runs = matches!(container.status, Status::Running(_) | Status::Initialized(_));
    match &container.group {
        _ if changes.resources.is_empty() => {}
        Some(group) => group.change(&after)?,
        None if runs => {
            let message = format!("updating container {short}: it was started without a control group");
            let hint = "run it with --cgroups=enabled or a limit; or stop it, update it, and start it again";
            return Err(Failure::new("E_STATE", message).with_hint(hint));
        }
        None => {
            let per_namespace = kernel::version() >= PER_NAMESPACE_PROCESS_COUNT;
            resources::share(&LimitRequest { resources: after, ..limits.clone() }, id, per_namespace)?;
        }
    }
    let mut all = Changes::of(layout, id);
    all.resources = all.resources.changed_by(&changes.resources);
    all.restart = changes.restart.or(all.restart);
    all.health.extend(changes.health.iter().cloned());
    record::write_durable(&layout.tmp(), &layout.container_changes(id), &all)?;
    Ok(if runs && !changes.health.is_empty() { Felt::InPartLater } else { Felt::AtOnce })
}
