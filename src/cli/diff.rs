//! `diff`.

use clap::Args;
use serde_json::json;

use super::dispatch;
use super::render::format::Format;
use super::render::{json as render_json, output};
use super::tree::{Globals, Invocation};
use crate::container::files::changes::{Change, Kind};
use crate::failure::{Failure, escape_control};

/// Show what has changed in the files of a container or an image
///
/// Prints a letter and a path for each file that differs: A for one that was added, C for one that was changed, D for one that
/// was deleted. A container is compared with its image, an image with all of itself but its last layer.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// Output: json
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Take the container made last
    #[arg(short, long, conflicts_with = "subject")]
    latest: bool,
    /// Name or id of a container, or an image
    #[arg(value_name = "CONTAINER|IMAGE", required_unless_present = "latest")]
    subject: Option<String>,
    /// A container or an image to compare it with
    #[arg(value_name = "OTHER")]
    other: Option<String>,
}

impl Invocation for DiffArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("What a container has written", "coracle diff web"),
        ("What is new in an image", "coracle diff debian:13 debian:12"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let json = match self.format.as_deref().map(Format::parse).transpose()? {
            None => false,
            Some(Format::Json) => true,
            Some(_) => {
                let failure = Failure::new("E_CONFIG", "--format: a list of files has no other form than json");
                return Err(failure.with_hint("leave --format out for the list itself"));
            }
        };
        let layout = globals.layout()?;
        let subject = match self.subject {
            Some(subject) => subject,
            None => dispatch::latest_container(&layout)?.to_string(),
        };
        let changes = dispatch::diff(&layout, &subject, self.other.as_deref())?;
        output::write(&if json { as_json(&changes)? } else { as_text(&changes) })?;
        Ok(0)
    }
}

fn shown(change: &Change) -> String {
    format!("/{}", String::from_utf8_lossy(change.path.as_bytes()))
}

fn as_text(changes: &[Change]) -> String {
    let letter = |kind| match kind {
        Kind::Added => 'A',
        Kind::Changed => 'C',
        Kind::Deleted => 'D',
    };
    changes.iter().map(|change| format!("{} {}\n", letter(change.kind), escape_control(&shown(change)))).collect()
}

/// As podman's: only the lists that are not empty.
fn as_json(changes: &[Change]) -> Result<String, Failure> {
    let mut lists = serde_json::Map::new();
    for (name, kind) in [("changed", Kind::Changed), ("added", Kind::Added), ("deleted", Kind::Deleted)] {
        let paths: Vec<String> = changes.iter().filter(|change| change.kind == kind).map(shown).collect();
        if !paths.is_empty() {
            lists.insert(name.into(), json!(paths));
        }
    }
    render_json::indented(&lists)
}
