//! `container prune`, `image prune`, `volume prune` and `system prune`.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use super::dispatch::{self, PruneRequest, Pruned};
use super::error;
use super::render::{output, size};
use super::tree::{Globals, Invocation};
use crate::container::filter::KEYS;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::image::filter;
use crate::image::prune::Unused;
use crate::name::filter::{Filters, boolean};
use crate::volume;

/// Remove all containers that do not run
///
/// Prints the id of each, and how much room there is now. Asks first if there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct ContainerPruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove containers for which this is true only, as in ps, for example until=24h
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for ContainerPruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All that do not run", "coracle container prune --force"),
        ("Those of yesterday and before", "coracle container prune --force --filter until=24h"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let containers = Some(Filters::parse(&self.filter, KEYS)?);
        let request = PruneRequest { containers, ..PruneRequest::default() };
        prune(globals, self.force, "All containers that do not run are removed.", &request, |pruned| {
            ids(pruned.containers.iter())
        })
    }
}

/// Remove images that have no name and that no container uses
///
/// Prints the id of each, and how much room there is now. What interrupted commands have left is removed, too. Asks first if
/// there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct ImagePruneArgs {
    /// Remove all images that no container uses, those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Remove images that only containers of other programs use, too; they have none in this store
    #[arg(long)]
    external: bool,
    /// Remove what builds have kept for the next ones, too; there is none: nothing is built here yet
    #[arg(long)]
    build_cache: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove images for which this is true only, as in images, for example until=24h
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for ImagePruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Those without a name", "coracle image prune --force"),
        ("All that are not used and older than a week", "coracle image prune --all --force --filter until=168h"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, filter::KEYS)?;
        let request = PruneRequest { images: Some((which(self.all), filters)), ..PruneRequest::default() };
        let what = match which(self.all) {
            Unused::Dangling => "All images that have no name and are not used are removed.",
            Unused::All => "All images that no container uses are removed.",
        };
        prune(globals, self.force, what, &request, |pruned| ids(pruned.images.iter().map(|id| id.hex())))
    }
}

/// Remove anonymous volumes that no container has
///
/// Prints the name of each, and how much room there is now. Asks first if there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct VolumePruneArgs {
    /// Remove all volumes that no container has, those that were given a name, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove volumes for which this is true only, for example label=KEY, until=24h; all=true is --all
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for VolumePruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Those that were made for a container", "coracle volume prune --force"),
        ("All with a label", "coracle volume prune --all --force --filter label=test"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, volume::filter::PRUNE_KEYS)?;
        let all = match filters.iter().find(|(key, _)| *key == "all").and_then(|(_, values)| values.last()) {
            Some(value) => boolean("all", value)?,
            None => self.all,
        };
        let (which, what) = match all {
            true => (volume::Unused::All, "All volumes that no container has are removed, with their files."),
            false => (volume::Unused::Anonymous, "All anonymous volumes that no container has are removed."),
        };
        let request = PruneRequest { volumes: Some((which, filters)), ..PruneRequest::default() };
        prune(globals, self.force, what, &request, |pruned| ids(pruned.volumes.iter()))
    }
}

/// Remove what nobody uses
///
/// Containers that do not run, images that have no name and that no container uses, and what interrupted commands have left;
/// with --volumes, anonymous volumes that no container has then.
/// Prints what was removed, and how much room there is now. Asks first if there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct SystemPruneArgs {
    /// Remove all images that no container uses, those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes that no container has, too
    #[arg(long)]
    volumes: bool,
    /// Remove what this is true for only: label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for SystemPruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("What is certainly not needed", "coracle system prune --force"),
        ("What can be had again", "coracle system prune --all --force"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, filter::PRUNE_KEYS)?;
        let volumes = self.volumes.then(|| (volume::Unused::Anonymous, filters.clone()));
        let images = Some((which(self.all), filters.clone()));
        let request = PruneRequest { containers: Some(filters), images, volumes };
        let what = match which(self.all) {
            Unused::Dangling => "All containers that do not run, and images that have no name, are removed.",
            Unused::All => "All containers that do not run, and images that no other uses, are removed.",
        };
        prune(globals, self.force, what, &request, |pruned| {
            let title = |title: &str, ids: String| if ids.is_empty() { ids } else { format!("{title}\n{ids}") };
            title("Deleted Containers", ids(pruned.containers.iter()))
                + &title("Deleted Volumes", ids(pruned.volumes.iter()))
                + &title("Deleted Images", ids(pruned.images.iter().map(|id| id.hex())))
        })
    }
}

fn which(all: bool) -> Unused {
    if all { Unused::All } else { Unused::Dangling }
}

fn ids(ids: impl Iterator<Item = impl std::fmt::Display>) -> String {
    ids.map(|id| format!("{id}\n")).collect()
}

fn prune(
    globals: &Globals,
    force: bool,
    what: &str,
    request: &PruneRequest,
    removed: impl Fn(&Pruned) -> String,
) -> Result<u8, Failure> {
    if !force && !agrees(what) {
        return Ok(0);
    }
    let pruned = dispatch::prune(&globals.layout()?, request)?;
    pruned.failures.iter().for_each(error::report);
    let room = size::compact(pruned.freed);
    output::write(&format!("{}Total reclaimed space: {room}\n", removed(&pruned)))?;
    Ok(if pruned.failures.is_empty() { 0 } else { EXIT_OWN_FAILURE })
}

/// Asks whether to go on, on a terminal; who cannot be asked has decided.
pub(super) fn agrees(what: &str) -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return true;
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{what} Go on? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES")
}
