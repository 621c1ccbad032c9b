//! Whether the kernel does what containers need: found out by having it done.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sched::CloneFlags;

use super::init::Given;
use super::launch_error::LaunchError;
use super::plan::LaunchPlan;
use super::spawn::{self, Company};
use super::step::{Slot, Step, Upper};
use crate::name::storage_driver::Driver;
use crate::net::plan::NetworkPlan;
use crate::sys::exec::StringVector;
use crate::sys::single_threaded::SingleThreaded;

/// Makes an overlay in this way, with its layers in `directory`, as this user, in namespaces that end with the attempt. `directory` is
/// empty and of the file system in question; the attempt leaves directories in it.
pub fn overlay(driver: Driver, directory: &Path) -> Result<(), LaunchError> {
    let proof = SingleThreaded::prove()?;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let name = |text: &str| CString::new(text).unwrap_or_default();
    let upper = Upper { upperdir: name("upper"), workdir: name("work"), volatile: true, limit: None };
    let directories = ["lower", "upper", "work"].map(|directory| (name(directory), 0o700)).into();
    let steps = vec![
        Step::MapOwnIds { uid_map: format!("0 {uid} 1\n"), gid_map: format!("0 {gid} 1\n") },
        Step::TieToMonitor,
        Step::EnterStore(CString::new(directory.as_os_str().as_bytes()).unwrap_or_default()),
        Step::MakeHostDirectories(directories),
        Step::Overlay {
            driver,
            slot: Slot(0),
            lower: vec![name("lower")],
            upper: Some(upper),
            mountpoint: name("work"),
        },
        // Nothing to execute: getting here is success.
        Step::Execute {
            candidates: Vec::new(),
            argv: StringVector::new(Vec::new()),
            envp: StringVector::new(Vec::new()),
        },
    ];
    let last = steps.len() - 1;
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let plan = LaunchPlan { namespaces, network: NetworkPlan::None, ..LaunchPlan::without_namespaces(steps) };
    match spawn::launch(&proof, &plan, &Given::default(), Company::default()) {
        Ok(_) => Ok(()),
        Err(LaunchError::Step { step, .. }) if step == last => Ok(()),
        Err(error) => Err(error),
    }
}
