//! `volume rm`.

use clap::Args;

use crate::cli::dispatch;
use crate::cli::named;
use crate::cli::rm::REMOVAL_EXIT_STATUS;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::filter::Filters;

/// Remove volumes, with their files
///
/// Prints the name of each volume that was removed. Those that a container has, whether it runs or not, are removed only with
/// --force.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// All volumes
    #[arg(short, long, conflicts_with = "volumes")]
    all: bool,
    /// Remove the containers that have it first, killing those that run; a volume that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// With --force: ask a container to end, and kill it only after so many seconds; -1 waits for it
    #[arg(short, long, value_name = "SECONDS", requires = "force", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Names, or beginnings of names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    volumes: Vec<String>,
}

impl Invocation for RmArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("By name", "coracle volume rm data"),
        ("With the containers that have it", "coracle volume rm --force data"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let (users, if_missing) = named::forced(self.force, self.time);
        dispatch::collect_leftovers(&layout);
        let mut names = self.volumes;
        if self.all {
            let all = dispatch::list_volumes(&layout, &Filters::default())?;
            names.extend(all.into_iter().map(|volume| volume.record.name.to_string()));
        }
        named::remove(&names, if_missing, |name| {
            dispatch::remove_volume(&layout, name, users).map(|()| name.to_owned())
        })
    }
}
