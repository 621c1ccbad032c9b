//! `system check`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::dispatch::{self, CheckReport, CheckRequest};
use super::render::format::{Format, Header};
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::image::check::Depth;
use crate::name::duration::parse_duration;
use crate::store::finding::Finding;

/// Check that everything in the store is what it should be
///
/// Every blob is hashed, every layer is unpacked again and compared with what is there, every record is read. Prints a line for
/// whatever is wrong. Can be used at any time; with --repair it waits for commands that change images, and nothing is taken
/// from a container that runs.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Look only whether everything is there
    #[arg(short, long)]
    quick: bool,
    /// Repair what can be repaired: unpack layers again, read records again from what they were made of, take away what is in
    /// the way of a pull
    #[arg(short, long)]
    repair: bool,
    /// With --repair: remove containers that cannot be repaired
    #[arg(short, long, requires = "repair")]
    force: bool,
    /// With --repair: how long layers and blobs are kept that nothing refers to
    #[arg(short, long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    max: Duration,
    /// Print JSON (json), or a Go template for each finding (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
}

const TABLE: &str = "table {{.Kind}}\\t{{.Subject}}\\t{{.State}}\\t{{.Problem}}\\t{{.Advice}}";

impl Invocation for CheckArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Everything", "coracle system check"), ("After a disk has failed", "coracle system check --repair")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("0", "Nothing is wrong, or all of it was repaired."), ("125", "Something is wrong, or the check failed.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let format = Format::parse(self.format.as_deref().unwrap_or(TABLE))?;
        let request = CheckRequest {
            depth: if self.quick { Depth::Quick } else { Depth::Full },
            repair: self.repair,
            force: self.force,
            max_age: self.max,
        };
        let report = dispatch::check_store(&globals.layout()?, &request)?;
        let findings = &report.images.findings;
        if findings.is_empty() && self.format.is_none() {
            output::write(&summary(&report))?;
            return Ok(0);
        }
        let rows: Vec<Value> = findings.iter().map(row).collect();
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&rows, &rows, &[], header)?)?;
        match findings.iter().filter(|finding| !finding.repaired).count() {
            0 => Ok(0),
            _ if self.format.is_some() => Ok(EXIT_OWN_FAILURE),
            count => {
                let failure =
                    Failure::new("E_STORE_CORRUPT", format!("damage detected in the store: {count} findings"));
                Err(if self.repair { failure } else { failure.with_hint("coracle system check --repair") })
            }
        }
    }
}

fn row(finding: &Finding) -> Value {
    json!({
        "Kind": finding.kind.as_str(),
        "Subject": finding.subject,
        "State": if finding.repaired { "repaired" } else { "damaged" },
        "Problem": finding.problem,
        "Advice": finding.advice,
    })
}

fn summary(report: &CheckReport) -> String {
    let (images, containers) = (&report.images, report.containers);
    format!(
        "No damage: {} blobs, {} layers, {} images, {containers} containers\n",
        images.blobs, images.layers, images.images
    )
}
