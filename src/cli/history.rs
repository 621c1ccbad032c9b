//! `history`.

use clap::{ArgAction, Args};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::dispatch;
use super::render::format::{Format, Header};
use super::render::{output, size, time};
use super::tree::{Globals, Invocation, parse_boolean};
use crate::failure::Failure;
use crate::image::history::Step;
use crate::oci::digest::ImageId;

/// Show how an image was made
///
/// One line for each step, newest first. The steps are those that the image's configuration tells of.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    /// Show sizes and times for people; with =false, bytes and RFC 3339
    #[arg(short = 'H', long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true", value_parser = parse_boolean)]
    human: bool,
    /// Show ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
    /// Print JSON (json), or a Go template for each step (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Name, id, or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
}

const TABLE: &str = "table {{.ID}}\\t{{.Created}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const TITLES: &[(&str, &str)] = &[("ID", "ID"), ("CreatedBy", "CREATED BY")];
/// Characters of a command that are shown, the three dots included.
const COMMAND_WIDTH: usize = 45;
/// docker's and podman's word for the id of a step that is not an image.
const MISSING: &str = "<missing>";

impl Invocation for HistoryArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All steps", "coracle history debian"),
        ("Commands in full", "coracle history --no-trunc --format '{{.CreatedBy}}' debian"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let format = Format::parse(match (&self.format, self.quiet) {
            (Some(format), _) => format,
            (None, true) => "{{.ID}}",
            (None, false) => TABLE,
        })?;
        let (id, steps) = dispatch::image_history(&globals.layout()?, &self.image.parse()?)?;
        let numbered = || steps.iter().enumerate();
        let items: Vec<Value> = numbered().map(|(number, step)| item(number, step, &id)).collect();
        let now = Timestamp::now();
        let rows: Vec<Value> = numbered().map(|(number, step)| self.row(number, step, &id, now)).collect();
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&items, &rows, TITLES, header)?)?;
        Ok(0)
    }
}

/// The newest step is the image.
fn id_of(number: usize, id: &ImageId) -> String {
    if number == 0 { id.hex().to_owned() } else { MISSING.into() }
}

fn created(step: &Step) -> Option<Timestamp> {
    step.created.as_ref()?.parse().ok()
}

/// What `--format json` shows, under podman's names.
fn item(number: usize, step: &Step, id: &ImageId) -> Value {
    let mut item = Map::new();
    item.insert("id".into(), json!(id_of(number, id)));
    item.insert("created".into(), json!(created(step).map_or_else(|| time::NEVER.into(), time::rfc3339)));
    item.insert("CreatedBy".into(), json!(step.created_by));
    item.insert("size".into(), json!(step.size));
    if !step.comment.is_empty() {
        item.insert("comment".into(), json!(step.comment));
    }
    Value::Object(item)
}

impl HistoryArgs {
    /// What templates see, under podman's names.
    fn row(&self, number: usize, step: &Step, id: &ImageId, now: Timestamp) -> Value {
        let full = id_of(number, id);
        let is_short = number == 0 && !self.no_trunc;
        let since = created(step).map_or_else(|| "N/A".into(), |time| time::ago(time, now));
        let at = created(step).map_or_else(|| "N/A".into(), |time| time::rfc3339(seconds(time)));
        json!({
            "ID": if is_short { id.short().to_owned() } else { full },
            "Created": if self.human { since.clone() } else { at.clone() },
            "CreatedSince": since,
            "CreatedAt": at,
            "CreatedBy": if self.no_trunc { step.created_by.clone() } else { shortened(&step.created_by) },
            "Size": if self.human { size::decimal(step.size) } else { step.size.to_string() },
            "Comment": step.comment,
        })
    }
}

fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn shortened(command: &str) -> String {
    if command.chars().count() <= COMMAND_WIDTH {
        return command.to_owned();
    }
    command.chars().take(COMMAND_WIDTH - 3).chain("...".chars()).collect()
}
