//! Which way a container's root file system is made: the user's word, else what was found out for it before, else the first
//! that can do what is asked; and where that cannot be had, the next.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;

use super::request::Request;
use crate::name::container::ContainerId;
use crate::name::storage_driver::Driver;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::state::layout::{COPY_MADE, COPY_TREE, Layout};
use crate::state::record;
use crate::state::schema::container::DriverRecord;
use crate::state::schema::layer::LayerPath;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::status::{self, Status};

/// How the root file system of the container `id`, or of a new one, is tried first.
pub fn of(layout: &Layout, request: &Request, id: Option<&ContainerId>) -> Driver {
    let found_before = || id.and_then(|id| recorded(layout, id)).map(|record| record.driver);
    // The kernel's overlay has no limits.
    let first = layout.first_driver();
    let able = if request.size_limit.is_some() && first == Driver::Overlay { Driver::Fuse } else { first };
    layout.storage_driver().or_else(|| id.and_then(|id| copied(layout, id))).or_else(found_before).unwrap_or(able)
}

/// What a container stays with whose files are in a copy of its layers, unless the user wants something else.
pub fn copied(layout: &Layout, id: &ContainerId) -> Option<Driver> {
    layout.container_copy(id).exists().then_some(Driver::Copy)
}

/// A container's copy of its layers.
pub struct Copy {
    tree: OwnedFd,
    /// When it was complete.
    made: (i64, u32),
}

impl Copy {
    /// The copy of the container `id`, if it has one.
    pub fn of(layout: &Layout, id: &ContainerId) -> Option<Self> {
        let copy = File::open(layout.container_copy(id)).ok()?;
        let made = Status::of(&copy, COPY_MADE, libc::AT_SYMLINK_NOFOLLOW, status::USUAL).ok()?;
        let tree = open_below(copy.as_fd(), COPY_TREE, OFlag::O_PATH | OFlag::O_DIRECTORY, Resolve::NoSymlinks).ok()?;
        Some(Self { tree, made: (made.0.stx_ctime.tv_sec, made.0.stx_ctime.tv_nsec) })
    }

    /// What is known of the copy of a layer's file; nothing if the container has put something else in its place.
    pub fn status(&self, path: &LayerPath) -> Option<Status> {
        let path = CString::new(path.as_bytes()).ok()?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let file = open_below(self.tree.as_fd(), &path, flags, Resolve::NoSymlinks).ok()?;
        let status = Status::of_file(file).ok()?;
        let born = &status.0.stx_btime;
        ((born.tv_sec, born.tv_nsec) < self.made).then_some(status)
    }
}

/// What was found out for a container; nothing for one that gets what is tried first.
pub fn recorded(layout: &Layout, id: &ContainerId) -> Option<DriverRecord> {
    // One that cannot be read is found out again.
    record::read(&layout.container_driver(id)).ok().flatten()
}

/// Why `driver` is what is tried first; empty where that needs no reason.
pub fn why_first(layout: &Layout, request: &Request, driver: Driver) -> &'static str {
    match driver {
        Driver::Overlay => "",
        _ if layout.storage_driver().is_some() => "--storage-driver",
        _ if layout.first_driver() == driver => "storage.conf or a storage option asks for it",
        Driver::Fuse if request.size_limit.is_some() => "there is a limit to what may be written",
        _ => "",
    }
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
    if next == Driver::Copy && plan.has_size_limit() {
        return None;
    }
    plan.set_driver(next);
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("{error}{cause}"))
}
