//! `stop` and `kill`.

use std::time::Duration;

use clap::Args;

use super::dispatch;
use super::run::parsed;
use super::selection::{IfMissing, Selection, for_each, is_up};
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::signal::Signal;

/// Stop containers
///
/// Asks each to end with its stop signal, and kills it if it does not. One that does not run is no failure.
#[derive(Args, Clone, Debug, Default)]
pub struct StopArgs {
    /// Seconds that a container has to end before it is killed; -1 for ever [default: the container's]
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,
    /// A container that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for StopArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One", "coracle stop web"), ("All, within two seconds", "coracle stop --all --time 2")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let if_missing = if self.ignore { IfMissing::Ignore } else { IfMissing::Report };
        let names = self.selection.names(&layout, if_missing, is_up)?;
        let patience = patience(self.time);
        for_each(&names, if_missing, |name| dispatch::stop(&layout, name, patience))
    }
}

/// Negative: for ever.
pub(super) fn patience(seconds: Option<i64>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

/// Send a signal to containers
///
/// To the first process of each.
#[derive(Args, Clone, Debug, Default)]
pub struct KillArgs {
    /// Which: a name or a number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for KillArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("At once", "coracle kill web"), ("To reload", "coracle kill --signal HUP web")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let signal: Signal = parsed("--signal", Some(&self.signal))?.unwrap_or(Signal::KILL);
        let names = self.selection.names(&layout, IfMissing::Report, is_up)?;
        for_each(&names, IfMissing::Report, |name| dispatch::kill(&layout, name, signal))
    }
}
