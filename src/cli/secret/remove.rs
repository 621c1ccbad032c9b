//! `secret rm`.

use clap::Args;

use crate::cli::dispatch;
use crate::cli::named::{self, IfMissing};
use crate::cli::rm::REMOVAL_EXIT_STATUS;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Remove secrets
///
/// Prints the id of each that was removed. Containers that run keep what they have got; they cannot be started again without
/// it.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// All secrets
    #[arg(short, long, conflicts_with = "secrets")]
    all: bool,
    /// A secret that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    /// Names, or ids
    #[arg(value_name = "SECRET", required_unless_present = "all")]
    secrets: Vec<String>,
}

impl Invocation for RmArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("By name", "coracle secret rm password")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut secrets = self.secrets;
        if self.all {
            secrets.extend(dispatch::list_secrets(&layout).into_iter().map(|secret| secret.name.to_string()));
        }
        let if_missing = if self.ignore { IfMissing::Ignore } else { IfMissing::Fail };
        named::remove(&secrets, if_missing, |name| dispatch::remove_secret(&layout, name).map(|id| id.to_string()))
    }
}
