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
    text.map(|text| escape_invisible(&text) + "\n")
        .map_err(|cause| Failure::new("E_OUTPUT", format!("writing JSON: {cause}")))
}

/// JSON escapes control characters itself; those that turn the direction of writing are as good for deceiving a reader. Outside
/// of strings, where an escape would be an error, JSON has none of them.
fn escape_invisible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out
}

/// `value` as a JSON value, for templates.
pub fn value(value: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|cause| Failure::new("E_OUTPUT", format!("writing JSON: {cause}")))
}
