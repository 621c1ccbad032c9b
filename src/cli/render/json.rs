//! JSON for people and programs: indented by four spaces.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::failure::Failure;

/// `value` as indented JSON with a line feed at its end.
pub fn indented(value: &impl Serialize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    let written = value.serialize(&mut serializer).map_err(|error| error.to_string());
    let text = written.and_then(|()| String::from_utf8(bytes).map_err(|error| error.to_string()));
    text.map(|text| text + "\n").map_err(|cause| Failure::new("E_OUTPUT", format!("writing JSON: {cause}")))
}

/// `value` as a JSON value, for templates.
pub fn value(value: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|cause| Failure::new("E_OUTPUT", format!("writing JSON: {cause}")))
}
