//! `secret ls`.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::value;
use crate::cli::dispatch;
use crate::cli::render::format::{Format, Header};
use crate::cli::render::{output, time};
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::filter::{Filters, pattern};
use crate::state::schema::secret::SecretRecord;

/// List secrets
///
/// What is secret is not shown.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Show secrets for which this is true only: name=PATTERN, id=BEGINNING
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print JSON (json), or a Go template for each secret (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Print ids only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
}

const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.CreatedAt}}\\t{{.UpdatedAt}}";
const TITLES: &[(&str, &str)] = &[("CreatedAt", "CREATED"), ("UpdatedAt", "UPDATED")];

impl Invocation for ListArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("All secrets", "coracle secret ls"), ("Names only", "coracle secret ls --format '{{.Name}}'")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, &["id", "name"])?;
        let usual = if self.quiet { "{{.ID}}" } else { TABLE };
        let format = Format::parse(self.format.as_deref().unwrap_or(usual))?;
        let mut secrets = dispatch::list_secrets(&globals.layout()?);
        for (key, values) in filters.iter() {
            let patterns = values.iter().map(|text| pattern(key, text)).collect::<Result<Vec<_>, _>>()?;
            secrets.retain(|secret| match key {
                "id" => values.iter().any(|value| secret.id.starts_with(value.as_str())),
                _ => patterns.iter().any(|pattern| pattern.is_match(secret.name.as_str())),
            });
        }
        let now = Timestamp::now();
        let rows: Vec<Value> = secrets.iter().map(|secret| row(secret, now)).collect();
        let json: Vec<Value> = secrets.iter().map(value).collect();
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&json, &rows, TITLES, header)?)?;
        Ok(0)
    }
}

fn row(secret: &SecretRecord, now: Timestamp) -> Value {
    let ago = |moment| time::ago(crate::container::summary::time(moment), now);
    json!({
        "ID": secret.id,
        "Name": secret.name.as_str(),
        "Driver": secret.driver,
        "CreatedAt": ago(secret.created),
        "UpdatedAt": ago(secret.updated),
    })
}
