//! `network inspect` and `network exists`.

use clap::Args;

use super::value;
use crate::cli::dispatch::networks as dispatch;
use crate::cli::error;
use crate::cli::render::format::{Format, Header};
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::{EXIT_OWN_FAILURE, Failure};

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
        let format = self.format.as_deref().map(Format::parse).transpose()?.unwrap_or(Format::Json);
        let layout = globals.layout()?;
        let mut exit_code = 0;
        let mut found = Vec::new();
        for text in &self.networks {
            match dispatch::find(&layout, text) {
                Ok(summary) => found.push(value(&summary)),
                Err(failure) => {
                    error::report(&failure);
                    exit_code = EXIT_OWN_FAILURE;
                }
            }
        }
        output::write(&format.list(&found, &found, &[], Header::Shown)?)?;
        Ok(exit_code)
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
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("0", "It exists."), ("1", "It does not."), ("125", "A failure.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        match dispatch::find(&globals.layout()?, &self.network) {
            Ok(_) => Ok(0),
            Err(failure) if failure.code() == "E_NOTFOUND" => Ok(1),
            Err(failure) => Err(failure),
        }
    }
}
