//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;
use super::evaluate::Datum;

/// The result of the comparison `name`.
pub fn compare(name: &str, arguments: &[Datum]) -> Result<Datum, TemplateError> {
    let (first, rest) = match arguments {
        [first, rest @ ..] if !rest.is_empty() && (name == "eq" || rest.len() == 1) => (first, rest),
        _ => return Err(TemplateError::Application(format!("{name} compares two values"))),
    };
    if name == "eq" {
        // True if the first is equal to any of the others.
        for other in rest {
            if is_equal(&first.json, &other.json)? {
                return Ok(Datum::new(true));
            }
        }
        return Ok(Datum::new(false));
    }
    if name == "ne" {
        return is_equal(&first.json, &rest[0].json).map(|equal| Datum::new(!equal));
    }
    let order = order(&first.json, &rest[0].json)?;
    Ok(Datum::new(match name {
        "lt" => order == Ordering::Less,
        "le" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn is_equal(one: &Value, other: &Value) -> Result<bool, TemplateError> {
    match (one, other) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        _ => order(one, other).map(Ordering::is_eq),
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, TemplateError> {
    let incompatible = || TemplateError::Application(format!("{one} and {other} cannot be compared"));
    match (one, other) {
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Ok(one.cmp(&other)),
            _ => one.as_f64().partial_cmp(&other.as_f64()).ok_or_else(incompatible),
        },
        _ => Err(incompatible()),
    }
}
