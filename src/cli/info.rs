//! `info` and `system info`.

use clap::Args;
use serde_json::Value;

use super::dispatch;
use super::render::format::Format;
use super::render::{json, output};
use super::tree::{Globals, Invocation};
use crate::container::summary::Status;
use crate::failure::Failure;
use crate::host::report::{Activity, Counts, Report};
use crate::name::filter::Filters;

/// Show what this host can do
///
/// What coracle uses of the kernel and of the host, what is missing, and why.
#[derive(Args, Clone, Debug)]
pub struct InfoArgs {
    /// Print JSON (json), or what this Go template makes of it
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Invocation for InfoArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Everything", "coracle info"), ("Where images are kept", "coracle info --format '{{.Store.GraphRoot}}'")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let counts = Counts {
            images: dispatch::list_images(&layout, &Filters::default())
                .map(|images| images.len())
                .map_err(|error| error.to_string()),
            containers: dispatch::list_containers(&layout, &Filters::default())
                .map(|containers| containers.iter().map(|container| activity(container.status)).collect())
                .map_err(|error| error.to_string()),
        };
        let report = Report::gather(&layout, counts, dispatch::slots(&layout));
        let value = json::value(&report)?;
        let text = match self.format {
            Some(format) => Format::parse(&format)?.one(&value)?,
            None => {
                let mut text = String::new();
                write_fields(&value, 0, &mut text);
                text
            }
        };
        output::write(&text)?;
        Ok(0)
    }
}

fn activity(status: Status) -> Activity {
    match status {
        Status::Running { .. } | Status::Paused { .. } | Status::Restarting => Activity::Running,
        Status::Created | Status::Initialized { .. } | Status::Exited { .. } => Activity::Stopped,
    }
}

/// The fields of an object, indented, one a line.
fn write_fields(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push_str(&format!("{indent}{key}:\n"));
                write_fields(value, depth + 1, out);
            }
            Value::Array(elements) if !elements.is_empty() => {
                out.push_str(&format!("{indent}{key}:\n"));
                for element in elements {
                    out.push_str(&format!("{indent}- {}\n", scalar(element)));
                }
            }
            value => out.push_str(&format!("{indent}{key}: {}\n", scalar(value))),
        }
    }
}

/// Text is quoted only where it could be taken for something else.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '/');
    first
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.chars().any(char::is_control)
        && text.parse::<f64>().is_err()
        && !matches!(text, "true" | "false" | "null" | "yes" | "no")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_looks_like_yaml() {
        let value = serde_json::json!({
            "host": {"arch": "amd64", "cpus": 4, "list": ["a", "b: c"], "none": [], "sub": {"x": "", "y": "12", "z": null}},
            "end": "no"
        });
        let mut text = String::new();
        write_fields(&value, 0, &mut text);
        let expected = "host:\n  arch: amd64\n  cpus: 4\n  list:\n  - a\n  - \"b: c\"\n  none: []\n  sub:\n    x: \"\"\n    \
                        y: \"12\"\n    z: null\nend: \"no\"\n";
        assert_eq!(text, expected);
    }
}
