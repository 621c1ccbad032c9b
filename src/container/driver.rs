//! Which way a container's root file system is made: the user's word, else what was found out for it before, else the first
//! that can do what is asked; and where that cannot be had, the next.

use super::request::Request;
use crate::name::container::ContainerId;
use crate::name::storage_driver::Driver;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::DriverRecord;

/// How the root file system of the container `id`, or of a new one, is tried first.
pub fn of(layout: &Layout, request: &Request, id: Option<&ContainerId>) -> Driver {
    let found_before = || id.and_then(|id| recorded(layout, id)).map(|record| record.driver);
    // The kernel's overlay has no limits.
    let able = if request.size_limit.is_some() { Driver::Fuse } else { Driver::Overlay };
    layout.storage_driver().or_else(found_before).unwrap_or(able)
}

/// What was found out for a container; nothing for one that gets what is tried first.
pub fn recorded(layout: &Layout, id: &ContainerId) -> Option<DriverRecord> {
    // One that cannot be read is found out again.
    record::read(&layout.container_driver(id)).ok().flatten()
}

/// Notes what the container `id` gets, and why. That this is lost costs another attempt.
pub fn note(layout: &Layout, id: &ContainerId, driver: Driver, reason: String) {
    let path = layout.container_driver(id);
    let _ = match (driver, reason.is_empty()) {
        (Driver::Overlay, true) => std::fs::remove_file(path).map_err(drop),
        _ => record::write_volatile(&path, &DriverRecord { driver, reason }).map_err(drop),
    };
}

/// Has the plan try the next way after one that could not be had: why that was, if there is one to try.
pub fn next(plan: &mut LaunchPlan, error: &LaunchError) -> Option<String> {
    let failed = match error {
        LaunchError::Step { step, .. } => plan.is_overlay(*step),
        LaunchError::Serve(_) => true,
        _ => false,
    };
    let next = plan.driver().filter(|_| failed && plan.falls_back)?.next()?;
    plan.set_driver(next);
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("{error}{cause}"))
}
