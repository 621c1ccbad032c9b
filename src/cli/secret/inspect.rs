//! `secret inspect` and `secret exists`.

use clap::Args;
use serde_json::{Value, json};

use super::value;
use crate::cli::render::format::{Format, Header};
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, error};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
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
        let format = text.map(Format::parse).transpose()?.unwrap_or(Format::Json);
        let layout = globals.layout()?;
        let mut exit_code = 0;
        let mut found: Vec<Value> = Vec::new();
        for text in &self.secrets {
            let shown = dispatch::find_secret(&layout, text).and_then(|secret| {
                let mut shown = value(&secret);
                if self.showsecret {
                    shown["SecretData"] = json!(String::from_utf8_lossy(reveal(&secret)?.reveal()));
                }
                Ok(shown)
            });
            match shown {
                Ok(shown) => found.push(shown),
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
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("0", "It exists."), ("1", "It does not."), ("125", "A failure.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        match dispatch::find_secret(&globals.layout()?, &self.secret) {
            Ok(_) => Ok(0),
            Err(failure) if failure.code() == "E_NOTFOUND" => Ok(1),
            Err(failure) => Err(failure),
        }
    }
}
