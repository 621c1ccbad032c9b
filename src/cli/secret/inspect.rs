//! `secret inspect` and `secret exists`.

use clap::Args;
use serde_json::json;

use super::value;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, named};
use crate::failure::Failure;
use crate::secret::reveal;

/// Show everything about secrets
///
/// Prints a JSON list. What is secret is in it only with --showsecret.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// Print what this Go template makes of each, in place of JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print a few lines for people, in place of JSON
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    /// Show what is secret, too, as SecretData
    #[arg(long)]
    showsecret: bool,
    /// Names, or ids
    #[arg(value_name = "SECRET", required = true)]
    secrets: Vec<String>,
}

const PRETTY: &str = "ID:              {{.ID}}\nName:            {{.Spec.Name}}\nDriver:          {{.Spec.Driver.Name}}\n\
                      Created at:      {{.CreatedAt}}\nUpdated at:      {{.UpdatedAt}}";

impl Invocation for InspectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("When it was made", "coracle secret inspect --format '{{.CreatedAt}}' password"),
        ("What it is", "coracle secret inspect --showsecret --format '{{.SecretData}}' password"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let text = if self.pretty { Some(PRETTY) } else { self.format.as_deref() };
        let layout = globals.layout()?;
        named::inspect(text, Vec::new(), &self.secrets, |name| {
            let secret = dispatch::find_secret(&layout, name)?;
            let mut shown = value(&secret);
            if self.showsecret {
                shown["SecretData"] = json!(String::from_utf8_lossy(reveal(&secret)?.reveal()));
            }
            Ok(shown)
        })
    }
}

/// Check whether a secret exists
///
/// Prints nothing; the exit code tells.
#[derive(Args, Clone, Debug)]
pub struct ExistsArgs {
    /// Name, or id
    #[arg(value_name = "SECRET")]
    secret: String,
}

impl Invocation for ExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle secret exists token || coracle secret create token token.txt")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = named::EXISTS_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        named::exists(dispatch::find_secret(&globals.layout()?, &self.secret))
    }
}
