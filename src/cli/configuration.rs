//! What containers.conf says to all commands, and what is said about it.

use std::path::PathBuf;

use super::error;
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::host::env;
use crate::state::layout::Layout;
use crate::sys::single_threaded::SingleThreaded;

/// Reads containers.conf with these modules, and sets the variables that it has for commands, as far as they are not set.
pub fn prepare(modules: &[PathBuf]) -> Result<(), Failure> {
    let conf = ContainersConf::with_modules(modules)?;
    let settings = conf.list("engine.env");
    if settings.is_empty() {
        return Ok(());
    }
    let proof = SingleThreaded::prove().map_err(|cause| Failure::new("E_IO", cause.to_string()))?;
    settings
        .iter()
        .filter_map(|setting| setting.split_once('='))
        .for_each(|(name, value)| env::set_if_missing(&proof, name, value));
    Ok(())
}

/// containers.conf, after a warning of what in it cannot be used.
pub fn configured() -> &'static ContainersConf {
    let conf = ContainersConf::here();
    conf.broken.iter().for_each(|broken| error::warn(&broken.to_string()));
    conf
}

/// Tells what in it has no meaning here: once, until there is something else to tell.
pub fn tell_unused(layout: &Layout) {
    let unused = &ContainersConf::here().unused;
    if !unused.is_empty() {
        error::warn_once(&layout.configuration_notice(), &unused.join("\n"));
    }
}
