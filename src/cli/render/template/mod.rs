//! A small interpreter of Go's text/template, as far as `--format` needs it: the language of the package's
//! documentation without `define`, `template`, `block` and method calls, over JSON values.
//!
//! Objects stand for Go's structures, whose fields are fixed: naming one that is not there is an error that lists those
//! that are. Only what is reached through a field of `MAP_FIELDS` is a map, where a missing key is `<no value>`.

mod compare;
mod evaluate;
mod function;
mod lex;
mod parse;
mod printf;

use serde_json::Value;

/// Fields whose values are maps with keys of the users' own.
const MAP_FIELDS: &[&str] = &[
    "annotations",
    "exposedports",
    "graphstatus",
    "labels",
    "networks",
    "options",
    "portbindings",
    "ports",
    "tmpfs",
    "volumes",
];

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

/// Why a template was refused, or could not be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Not a template.
    #[error("reading the template {template:?}: {reason}")]
    Syntax {
        /// The whole of it.
        template: String,
        /// What is wrong.
        reason: String,
    },
    /// A field that does not exist.
    #[error("the template names the field {field:?}, which does not exist")]
    UnknownField {
        /// The field.
        field: String,
        /// Those that do.
        available: Vec<String>,
    },
    /// A function was given what it cannot take.
    #[error("the template cannot be applied: {0}")]
    Application(String),
}

impl crate::failure::Explain for TemplateError {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownField { available, .. } if available.is_empty() => None,
            Self::UnknownField { available, .. } => Some(format!("the fields are {}", available.join(", "))),
            _ => None,
        }
    }
}

impl Template {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let refused = |reason| TemplateError::Syntax { template: text.chars().take(300).collect(), reason };
        let tokens = lex::tokens(text).map_err(refused)?;
        parse::nodes(tokens).map(|nodes| Self { nodes }).map_err(refused)
    }

    /// The text for one value.
    pub fn apply(&self, value: &Value) -> Result<String, TemplateError> {
        evaluate::evaluate(&self.nodes, value, evaluate::Mode::Values)
    }

    /// The header of a table whose rows this template makes: fields stand for their titles, which are looked up in
    /// `titles` by the field's name, and made from it where they are not there.
    pub fn header(&self, titles: &[(&str, &str)]) -> Result<String, TemplateError> {
        evaluate::evaluate(&self.nodes, &Value::from(""), evaluate::Mode::Titles(titles))
    }
}

#[cfg(test)]
mod tests;
