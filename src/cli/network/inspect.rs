//! `network inspect` and `network exists`.

use clap::Args;

use super::value;
use crate::cli::dispatch::networks as dispatch;
use crate::cli::named;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Show everything about networks
///
/// Prints a JSON list.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// Print what this Go template makes of each, in place of JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names, IDs, or beginnings of IDs
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
}

impl Invocation for InspectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All of it", "coracle network inspect front"),
        ("Its addresses", "coracle network inspect --format '{{range .Subnets}}{{.subnet}}{{end}}' front"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let look_up = |name: &str| dispatch::find(&layout, name).map(|summary| value(&summary));
        named::inspect(self.format.as_deref(), Vec::new(), &self.networks, look_up)
    }
}

/// Check whether a network exists
///
/// Prints nothing; the exit code tells.
#[derive(Args, Clone, Debug)]
pub struct ExistsArgs {
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "NETWORK")]
    network: String,
}

impl Invocation for ExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle network exists front || coracle network create front")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = named::EXISTS_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        named::exists(dispatch::find(&globals.layout()?, &self.network))
    }
}
