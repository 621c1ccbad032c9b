//! `network prune`.

use clap::Args;

use crate::cli::dispatch::networks as dispatch;
use crate::cli::error;
use crate::cli::prune::agrees;
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::container::networks::filter::PRUNE_KEYS;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::filter::Filters;

/// Remove networks in which no container is
///
/// Prints the name of each. The default network stays. Asks first if there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove networks for which this is true only, for example label=KEY, until=24h
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for PruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All that nobody needs", "coracle network prune --force"),
        ("Those with a label", "coracle network prune --force --filter label=test"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, PRUNE_KEYS)?;
        if !self.force && !agrees("All networks in which no container is are removed.") {
            return Ok(0);
        }
        let (removed, failures) = dispatch::prune(&globals.layout()?, &filters)?;
        failures.iter().for_each(error::report);
        output::write(&removed.iter().map(|name| format!("{name}\n")).collect::<String>())?;
        Ok(if failures.is_empty() { 0 } else { EXIT_OWN_FAILURE })
    }
}
