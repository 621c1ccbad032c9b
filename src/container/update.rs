//! `update`: limits, and what happens when it ends, of a container that was made already.

use serde::{Deserialize, Serialize};

use super::environment::{self, Environment};
use super::list;
use super::request::{EnvSetting, HealthRequest, LimitRequest, Request, RestartPolicy};
use super::status::Status;
use super::translate::PER_NAMESPACE_PROCESS_COUNT;
use super::translate::resources;
use crate::failure::Failure;
use crate::host::kernel;
use crate::name::container::ContainerId;
use crate::name::resources::Resources;
use crate::name::ulimit::Ulimit;
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
    /// Variables, for what is executed in it from now on: each has its value.
    #[serde(default)]
    pub env: Vec<EnvSetting>,
    /// Variables that are taken away.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Limits of each process, from its next start.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
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
        if !self.env.is_empty() || !self.unset.is_empty() {
            let mut environment = Environment::default();
            environment.add_image(&record.process.env);
            environment.remove(&self.unset);
            environment.add_settings(&self.env);
            record.process.env = environment.entries().map(|entry| entry.to_string_lossy().into_owned()).collect();
        }
        change_ulimits(&mut record.limits.ulimits, &self.ulimits);
    }

    /// Changes what a container is asked to be in its next life.
    pub fn apply_to_request(&self, request: &mut Request) {
        let is_unset = |name: &str| self.unset.iter().any(|unset| unset == name);
        request.env.retain(|setting| !matches!(setting, EnvSetting::Set { name, .. } if is_unset(name)));
        request.process.unset.extend(self.unset.iter().cloned());
        request.env.extend(self.env.iter().cloned());
    }

    /// Adds what is changed now: the last word on a variable counts.
    fn extend(&mut self, changes: &Self) {
        self.resources = self.resources.changed_by(&changes.resources);
        self.restart = changes.restart.or(self.restart);
        self.health.extend(changes.health.iter().cloned());
        let sets =
            |setting: &EnvSetting, name: &str| matches!(setting, EnvSetting::Set { name: set, .. } if set == name);
        self.env.retain(|setting| !changes.unset.iter().any(|name| sets(setting, name)));
        self.unset.retain(|name| !changes.env.iter().any(|setting| sets(setting, name)));
        self.unset.extend(changes.unset.iter().cloned());
        self.env.extend(environment::settled(&changes.env));
        change_ulimits(&mut self.ulimits, &changes.ulimits);
    }

    /// Whether a container that runs feels some of it with its next start only.
    fn are_felt_later(&self) -> bool {
        !self.health.is_empty() || !self.env.is_empty() || !self.unset.is_empty() || !self.ulimits.is_empty()
    }
}

/// Of two limits of one resource the later one counts.
fn change_ulimits(limits: &mut Vec<Ulimit>, changes: &[Ulimit]) {
    let resource = |limit: &Ulimit| match limit {
        Ulimit::Host => None,
        Ulimit::One { resource, .. } => Some(*resource),
    };
    limits.retain(|limit| !changes.iter().any(|change| resource(change) == resource(limit)));
    limits.extend(changes.iter().cloned());
}

/// When changes are felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Felt {
    /// At once, or with the container's next start where it does not run.
    AtOnce,
    /// Health checks, variables and limits of single processes with its next start.
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
    all.extend(changes);
    record::write_durable(&layout.tmp(), &layout.container_changes(id), &all)?;
    Ok(if runs && changes.are_felt_later() { Felt::InPartLater } else { Felt::AtOnce })
}
