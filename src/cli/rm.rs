//! `rm`.

use std::time::Duration;

use clap::Args;

use super::render::output;
use super::selection::{IfMissing, Selection, is_up};
use super::stop::patience;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::container::summary::Summary;
use crate::failure::Failure;

/// Remove containers
///
/// Prints the name of each container that was removed. Those that run are removed only with --force.
#[derive(Args, Clone, Debug)]
// The short form is that of --force.
#[command(mut_arg("filter", |filter| filter.short(None)))]
pub struct RmArgs {
    /// Kill containers that run; a container that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// A container that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    /// With --force: ask a container to end, and kill it only after so many seconds; -1 waits for it
    #[arg(short, long, value_name = "SECONDS", requires = "force", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Remove the volumes that were made for the container, too, unless another has them
    #[arg(short, long)]
    volumes: bool,
    /// Remove containers that depend on it, too; none ever does
    #[arg(long)]
    depend: bool,
    #[command(flatten)]
    selection: Selection,
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
        let own_volumes = if self.volumes { OwnVolumes::Remove } else { OwnVolumes::Keep };
        let if_missing = if self.ignore || self.force { IfMissing::Ignore } else { IfMissing::Report };
        let mut removals = Removals::default();
        // Once: it looks at all containers.
        dispatch::collect_leftovers(&layout);
        // All that can be removed; with a filter all that it means.
        let is_meant = |container: &Summary| !self.selection.all || self.force || !is_up(container);
        for name in self.selection.names(&layout, if_missing, is_meant)? {
            match dispatch::remove_container(&layout, &name, if_running, own_volumes) {
                Ok(()) => output::write(&format!("{name}\n"))?,
                Err(failure) if failure.code() == "E_NOTFOUND" && if_missing == IfMissing::Ignore => {}
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
            (true, time) => IfRunning::End(patience(time).unwrap_or(Duration::ZERO)),
        }
    }
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
