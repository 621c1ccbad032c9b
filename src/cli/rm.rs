//! `rm`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::filter::KEYS;
use crate::container::remove::IfRunning;
use crate::container::summary::{Status, Summary};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::state::layout::Layout;

/// Remove containers
///
/// Prints the name of each container that was removed. Those that run are removed only with --force.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// Remove all containers that do not run; with --force, all
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile", "latest"])]
    all: bool,
    /// Kill containers that run; a container that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// A container that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    /// Remove the container whose id is in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cidfile: Vec<PathBuf>,
    /// Remove containers for which this is true, as in ps
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["containers", "cidfile", "latest"])]
    filter: Vec<String>,
    /// Remove the container made last
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile"])]
    latest: bool,
    /// With --force: ask a container to end, and kill it only after so many seconds; -1 waits for it
    #[arg(short, long, value_name = "SECONDS", requires = "force", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Remove the container's own volumes, too; they always go with it
    #[arg(short, long)]
    volumes: bool,
    /// Remove containers that depend on it, too; none ever does
    #[arg(long)]
    depend: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "cidfile", "filter", "latest"])]
    containers: Vec<String>,
}

/// Exit codes of commands that remove several things, as podman's.
pub(super) const REMOVAL_EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Everything was removed."),
    ("1", "One did not exist; nothing else failed."),
    ("2", "One is in use."),
    ("125", "Another failure."),
];

impl Invocation for RmArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("By name", "coracle rm web"),
        ("All that have exited", "coracle rm --all"),
        ("One that runs", "coracle rm --force web"),
        ("Those with a label", "coracle rm --filter label=test"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let if_running = self.if_running();
        let mut removals = Removals::default();
        // Once: it looks at all containers.
        dispatch::collect_leftovers(&layout);
        for name in self.names(&layout)? {
            match dispatch::remove_container(&layout, &name, if_running) {
                Ok(()) => output::write(&format!("{name}\n"))?,
                Err(failure) if failure.code() == "E_NOTFOUND" && (self.ignore || self.force) => {}
                Err(failure) => removals.failed(&failure),
            }
        }
        Ok(removals.exit_code())
    }
}

impl RmArgs {
    fn if_running(&self) -> IfRunning {
        match (self.force, self.time) {
            (false, _) => IfRunning::Refuse,
            (true, None | Some(0)) => IfRunning::Kill,
            (true, Some(seconds)) => IfRunning::Stop(u64::try_from(seconds).ok().map(Duration::from_secs)),
        }
    }

    /// What is to be removed, as the user named it.
    fn names(&self, layout: &Layout) -> Result<Vec<String>, Failure> {
        if self.all || !self.filter.is_empty() {
            let containers = dispatch::list_containers(layout, &Filters::parse(&self.filter, KEYS)?)?;
            let removable = |status| {
                !self.all
                    || self.force
                    || !matches!(status, Status::Running { .. } | Status::Paused { .. } | Status::Restarting)
            };
            return Ok(containers
                .into_iter()
                .filter(|container| removable(container.status))
                .map(|container| container.id.to_string())
                .collect());
        }
        if self.latest {
            return latest(layout).map(|container| vec![container.id.to_string()]);
        }
        let mut names = self.containers.clone();
        for path in &self.cidfile {
            match std::fs::read_to_string(path) {
                Ok(id) => names.push(id.trim().to_owned()),
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && (self.ignore || self.force) => {}
                Err(cause) => return Err(Failure::new("E_IO", format!("--cidfile: reading {path:?}: {cause}"))),
            }
        }
        Ok(names)
    }
}

/// The container made last.
pub(super) fn latest(layout: &Layout) -> Result<Summary, Failure> {
    let containers = dispatch::list_containers(layout, &Filters::default())?;
    let newest = containers.into_iter().max_by_key(|container| container.created);
    newest.ok_or_else(|| Failure::new("E_NOTFOUND", "--latest: there are no containers"))
}

/// How the removal of several things went.
#[derive(Default)]
pub(super) struct Removals {
    missing: bool,
    in_use: bool,
    other: Option<u8>,
}

impl Removals {
    /// Reports a failure and remembers it.
    pub fn failed(&mut self, failure: &Failure) {
        error::report(failure);
        self.note(failure.code(), failure.exit_code());
    }

    fn note(&mut self, code: &str, exit_code: u8) {
        match code {
            "E_NOTFOUND" => self.missing = true,
            "E_BUSY" => self.in_use = true,
            _ => self.other = Some(exit_code),
        }
    }

    /// podman's exit code: the gravest failure's.
    pub fn exit_code(&self) -> u8 {
        match (self.other, self.in_use, self.missing) {
            (Some(code), ..) => code,
            (None, true, _) => 2,
            (None, false, true) => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_failure_decides() {
        let code = |codes: &[&str]| {
            let mut removals = Removals::default();
            codes.iter().for_each(|code| removals.note(code, 125));
            removals.exit_code()
        };
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&["E_NOTFOUND"]), 1);
        assert_eq!(code(&["E_NOTFOUND", "E_BUSY"]), 2);
        assert_eq!(code(&["E_IO", "E_NOTFOUND", "E_BUSY"]), 125);
    }
}
