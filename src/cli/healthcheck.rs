//! `healthcheck run`.

use clap::Args;

use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Make a container's health check now
///
/// What the check writes is shown. The checks that the container's monitor makes go on beside it.
#[derive(Args, Clone, Debug, Default)]
pub struct HealthcheckRunArgs {
    /// Exit with 0 whatever comes of it
    #[arg(long)]
    ignore_result: bool,
    /// Exit with the check's own code, and leave the event to the monitor
    #[arg(long, hide = true)]
    for_monitor: bool,
    /// Make the check that is made first
    #[arg(long, hide = true)]
    startup: bool,
    /// Name, id, or the beginning of one
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Invocation for HealthcheckRunArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle healthcheck run web && echo well")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = &[
        ("0", "The container is well."),
        ("1", "It is not."),
        ("125", "The check could not be made: there is none, or the container does not run."),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let code = dispatch::check_health(&layout, &self.container, self.startup)?;
        if self.for_monitor {
            return Ok(code);
        }
        dispatch::note_health(&layout, &self.container);
        Ok(u8::from(code != 0 && !self.ignore_result))
    }
}
