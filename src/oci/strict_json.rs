//! JSON without room for two readings: duplicate keys, trailing text and deep nesting are refused (SECURITY.md R12).
//!
//! Two programs that resolve a duplicate key differently see two documents under one digest; CVE-2021-41190 is what
//! comes of that.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 32;

/// Why a text was refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonRefused(#[from] serde_json::Error);

/// Parses `bytes`, which must hold exactly one JSON value.
pub fn parse_value(bytes: &[u8]) -> Result<Value, JsonRefused> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Turns a parsed value into a document.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, JsonRefused> {
    Ok(serde_json::from_value(value)?)
}

/// One value, `depth` levels below the document's root.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(below)? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} appears twice")));
            }
            let value = entries.next_value_seed(below)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> String {
        parse_value(text.as_bytes()).map_or_else(|error| format!("refused: {error}"), |value| value.to_string())
    }

    #[test]
    fn ordinary_documents_are_read_as_they_are() {
        for text in [r#"{"a":[1,-2,0.5,"x",null,true],"b":{"a":{}}}"#, "[]", "null", " 1\n"] {
            assert_eq!(outcome(text), serde_json::from_str::<Value>(text).unwrap().to_string());
        }
    }

    #[test]
    fn ambiguous_documents_are_refused() {
        assert!(outcome(r#"{"a":1,"a":1}"#).contains("\"a\" appears twice"));
        assert!(outcome(r#"{"x":[{"b":1,"\u0062":2}]}"#).contains("\"b\" appears twice"));
        assert!(outcome("{} {}").contains("trailing"));
        assert!(outcome("{}x").contains("trailing"));
        assert!(outcome("{").contains("EOF"));
        assert!(outcome("").starts_with("refused"));
        assert!(outcome("\u{feff}{}").starts_with("refused"));
        assert!(outcome("{\"a\":\"\\ud800\"}").starts_with("refused"));
    }

    #[test]
    fn nesting_has_a_limit_and_may_reach_it() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!outcome(&nested(MAX_DEPTH)).starts_with("refused"));
        assert!(outcome(&nested(MAX_DEPTH + 1)).contains("nested deeper than 32"));
        assert!(outcome(&nested(1_000_000)).contains("nested deeper than 32"));
    }
}
