//! `start`: containers that were made, or have ended, run again.

use std::fs;

use super::base::Base;
use super::create::{Owned, Taken};
use super::launch::{self, Launch, Presence, Report};
use super::list::{self, Listed};
use super::networks;
use super::request::{NetworkMode, Request, RootfsSource};
use super::run;
use super::status::Status;
use super::update::Changes;
use super::{files, group};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::name::storage_driver::Driver;
use crate::oci::digest::ImageId;
use crate::state::layout::Layout;

/// A container that can be started, and what it was asked for.
#[derive(Debug)]
pub struct Startable {
    /// What it is.
    pub container: Listed,
    owned: Owned,
    /// What it was asked for.
    pub request: Request,
}

/// What there is to do about a container that is to run.
#[derive(Debug)]
pub enum Found {
    /// It has to be started.
    Startable(Box<Startable>),
    /// It was made ready, and waits for its start.
    Initialized(Box<Listed>),
    /// It runs.
    Running(ContainerId),
}

/// Looks at the container of this name or id, and takes it if it does not run. Waits for whoever else has it.
pub fn find(layout: &Layout, name: &str) -> Result<Found, Failure> {
    let id = list::find(layout, name)?;
    let unknown = || list::NotFound::Unknown(name.into());
    let taken = Owned::take_idle(layout, &id)?;
    let container = list::load(layout, &id)?.ok_or_else(unknown)?;
    let owned = match taken {
        Taken::Owned(owned) => owned,
        Taken::Served if matches!(container.status, Status::Initialized(_)) => {
            return Ok(Found::Initialized(Box::new(container)));
        }
        Taken::Served => return Ok(Found::Running(id)),
        Taken::Gone => return Err(unknown().into()),
    };
    // Of a life whose monitor was killed: nobody may take its processes for those of the next.
    let _ = fs::remove_file(layout.process_record(&id));
    let short = id.short();
    let Some(kept) = &container.record.request else {
        let failure = Failure::new("E_STATE", format!("starting container {short}: it was made to run once"));
        return Err(failure.with_hint("a container of `run --rm` is removed when it ends; make it with `create`"));
    };
    let request = serde_json::from_str(kept.get());
    let mut request: Request = request.map_err(|cause| {
        let failure = Failure::new("E_STATE", format!("starting container {short}: its record is damaged: {cause}"));
        failure.with_hint("remove it, and make it anew")
    })?;
    // As it was changed.
    if let Some(kept) = networks::kept(layout, &id) {
        request.network = if kept.is_empty() { NetworkMode::None } else { NetworkMode::Networks(kept) };
    }
    request.limits = container.record.limits.clone();
    Changes::of(layout, &id).apply_to_request(&mut request);
    request.restart = container.record.restart.parse().unwrap_or(request.restart);
    Ok(Found::Startable(Box::new(Startable { container, owned, request })))
}

impl Startable {
    /// The image it was made from; nothing for a directory.
    pub fn image(&self) -> Option<&ImageId> {
        self.container.record.image.as_ref().map(|image| &image.id)
    }

    /// The name under which that image was found.
    pub fn image_name(&self) -> Option<&str> {
        self.container.record.image.as_ref().map(|image| image.name.as_str())
    }

    /// The directory it was made from; nothing for an image.
    pub fn directory(&self) -> Option<Base> {
        match &self.request.rootfs {
            RootfsSource::Directory { path, .. } => {
                Some(Base::Directory(self.container.record.rootfs.clone().unwrap_or_else(|| path.clone())))
            }
            RootfsSource::Image { .. } | RootfsSource::Archive { .. } => None,
        }
    }

    /// Starts it.
    pub fn execute(
        self,
        layout: &Layout,
        base: &Base,
        presence: &Presence,
        notice: &dyn Fn(&str),
    ) -> Result<Report, Failure> {
        let record = self.container.record;
        let id = &record.id.clone();
        launch::tidy(layout, &self.request, id);
        group::remove_left(layout, id);
        let (plan, memberships) = run::plan_again(layout, &self.request, base, id, &record.name)?;
        if plan.driver().is_some_and(|driver| driver != Driver::Copy) {
            files::settle(layout, &record)?;
        }
        let _ = fs::remove_file(layout.stop_marker(id));
        let launch = Launch::again(layout, &self.request, record, plan, self.owned, notice).in_networks(memberships);
        let result = launch.execute(presence);
        if result.is_err() && !launch.was_executed() {
            launch.leave_networks();
        }
        result
    }
}
