//! The functions: those of text/template, and those that docker and podman add.

use serde_json::Value;

use super::evaluate::Datum;
use super::{TemplateError, compare, printf};

/// All names, `and` and `or` included, which are evaluated elsewhere.
pub const NAMES: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "println", "printf", "eq", "ne", "lt", "le", "gt", "ge",
    "json", "join", "split", "lower", "upper", "title", "truncate", "pad",
];

/// The value of the function `name`.
pub fn call(name: &str, arguments: &[Datum]) -> Result<Datum, TemplateError> {
    match (name, arguments) {
        ("eq" | "ne" | "lt" | "le" | "gt" | "ge", _) => compare::compare(name, arguments),
        ("not", [value]) => Ok(Datum::new(!value.is_true())),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        ("print", _) => Ok(Datum::new(printf::print(arguments))),
        ("println", _) => Ok(Datum::new(printf::println(arguments))),
        ("printf", [format, rest @ ..]) => Ok(Datum::new(printf::printf(text(name, format)?, rest))),
        ("json", [value]) => Ok(Datum::new(value.json.to_string())),
        ("join", [list, separator]) => join(list, text(name, separator)?),
        ("split", [value, separator]) => {
            let parts = text(name, value)?.split(text(name, separator)?).map(Value::from);
            Ok(Datum::new(parts.collect::<Vec<_>>()))
        }
        ("lower", [value]) => Ok(Datum::new(text(name, value)?.to_lowercase())),
        ("upper", [value]) => Ok(Datum::new(text(name, value)?.to_uppercase())),
        ("title", [value]) => Ok(Datum::new(title(text(name, value)?))),
        ("truncate", [value, length]) => {
            Ok(Datum::new(text(name, value)?.chars().take(count(name, length)?).collect::<String>()))
        }
        ("pad", [value, before, after]) => pad(text(name, value)?, count(name, before)?, count(name, after)?),
        _ if NAMES.contains(&name) => {
            Err(TemplateError::Application(format!("{name} was given {} arguments", arguments.len())))
        }
        _ => Err(unknown(name)),
    }
}

/// The title that stands for a function's value in a table's header: that of the field it is applied to.
pub fn call_for_title(name: &str, arguments: Vec<Datum>) -> Result<Datum, TemplateError> {
    match name {
        "print" | "println" | "printf" => call(name, &arguments),
        "index" => Ok(arguments.into_iter().next_back().unwrap_or(Datum::new(""))),
        _ if NAMES.contains(&name) => Ok(arguments.into_iter().next().unwrap_or(Datum::new(""))),
        _ => Err(unknown(name)),
    }
}

/// A value as Go's `%v` has it.
pub fn printed(value: &Datum) -> String {
    match &value.json {
        Value::Null => "<no value>".into(),
        other => nested(other, value.is_map),
    }
}

fn nested(value: &Value, is_map: bool) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| nested(element, false)).collect();
            format!("[{}]", elements.join(" "))
        }
        Value::Object(fields) if is_map => {
            let mut fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}:{}", nested(v, false))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        Value::Object(fields) => {
            let is_map = |key: &String| super::MAP_FIELDS.contains(&key.to_ascii_lowercase().as_str());
            let fields: Vec<String> = fields.iter().map(|(k, v)| nested(v, is_map(k))).collect();
            format!("{{{}}}", fields.join(" "))
        }
    }
}

fn length(value: &Datum) -> Result<Datum, TemplateError> {
    match &value.json {
        Value::String(text) => Ok(Datum::new(text.len())),
        Value::Array(elements) => Ok(Datum::new(elements.len())),
        Value::Object(fields) => Ok(Datum::new(fields.len())),
        Value::Null => Ok(Datum::new(0)),
        other => Err(TemplateError::Application(format!("{other} has no length"))),
    }
}

fn index(value: &Datum, keys: &[Datum]) -> Result<Datum, TemplateError> {
    let mut current = value.json.clone();
    for key in keys {
        current = match (&current, &key.json) {
            (Value::Array(elements), Value::Number(at)) => {
                let element = at.as_u64().and_then(|at| elements.get(usize::try_from(at).ok()?));
                let outside =
                    || TemplateError::Application(format!("index {at} is outside of a list of {}", elements.len()));
                element.cloned().ok_or_else(outside)?
            }
            // A missing key has the zero value of what the map holds, which is text wherever it matters.
            (Value::Object(fields), Value::String(key)) => fields.get(key).cloned().unwrap_or_else(|| "".into()),
            (Value::Null, Value::String(_)) => "".into(),
            (of, key) => return Err(TemplateError::Application(format!("{of} cannot be indexed with {key}"))),
        };
    }
    Ok(Datum::new(current))
}

fn slice(value: &Datum, bounds: &[Datum]) -> Result<Datum, TemplateError> {
    let size = match &value.json {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.len(),
        other => return Err(TemplateError::Application(format!("{other} cannot be sliced"))),
    };
    let from = bounds.first().map_or(Ok(0), |from| count("slice", from))?;
    let to = bounds.get(1).map_or(Ok(size), |to| count("slice", to))?;
    let part = match &value.json {
        Value::String(text) => text.get(from..to).map(Value::from),
        Value::Array(elements) => elements.get(from..to).map(|part| part.to_vec().into()),
        _ => None,
    };
    let outside = || TemplateError::Application(format!("slice {from} {to} is outside of what has {size}"));
    part.map(Datum::new).ok_or_else(outside)
}

fn join(list: &Datum, separator: &str) -> Result<Datum, TemplateError> {
    match &list.json {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| nested(element, false)).collect();
            Ok(Datum::new(elements.join(separator)))
        }
        Value::Null => Ok(Datum::new("")),
        Value::String(text) => Ok(Datum::new(text.clone())),
        other => Err(TemplateError::Application(format!("{other} is not a list to join"))),
    }
}

/// The widest that `pad` makes a value on either side.
const PAD_LIMIT: usize = 1000;

fn pad(text: &str, before: usize, after: usize) -> Result<Datum, TemplateError> {
    if before > PAD_LIMIT || after > PAD_LIMIT {
        return Err(TemplateError::Application(format!("pad adds at most {PAD_LIMIT} spaces")));
    }
    let padded = if text.is_empty() { String::new() } else { format!("{:before$}{text}{:after$}", "", "") };
    Ok(Datum::new(padded))
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

fn text<'a>(name: &str, value: &'a Datum) -> Result<&'a str, TemplateError> {
    let not_text = || TemplateError::Application(format!("{name} needs text, and was given {}", value.json));
    value.json.as_str().ok_or_else(not_text)
}

fn count(name: &str, value: &Datum) -> Result<usize, TemplateError> {
    let count = value.json.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| TemplateError::Application(format!("{name} needs a number, and was given {}", value.json)))
}

fn unknown(name: &str) -> TemplateError {
    TemplateError::Application(format!("the function {name:?} does not exist; there are {}", NAMES.join(", ")))
}
