//! `network rm`.

use clap::Args;

use crate::cli::dispatch::collect_leftovers;
use crate::cli::dispatch::networks as dispatch;
use crate::cli::named;
use crate::cli::rm::REMOVAL_EXIT_STATUS;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Remove networks
///
/// Prints the name of each network that was removed. Those in which a container is, whether it runs or not, are removed only with
/// --force.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// Remove the containers that are in it first, killing those that run; a network that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// With --force: ask a container to end, and kill it only after so many seconds; -1 waits for it
    #[arg(short, long, value_name = "SECONDS", requires = "force", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Names, IDs, or beginnings of IDs
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
}

impl Invocation for RmArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("By name", "coracle network rm front"),
        ("With the containers that are in it", "coracle network rm --force front"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let (users, if_missing) = named::forced(self.force, self.time);
        collect_leftovers(&layout);
        named::remove(&self.networks, if_missing, |name| {
            dispatch::remove(&layout, name, users).map(|()| name.to_owned())
        })
    }
}
