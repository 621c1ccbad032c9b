//! `--env-merge`: a variable made from others.

use serde::{Deserialize, Serialize};

use super::Refused;

/// `NAME=TEXT`, with `${OTHER}` and `$OTHER` in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The variable.
    pub name: String,
    /// What it becomes.
    pub text: String,
}

impl std::str::FromStr for Merge {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                Ok(Self { name: name.into(), text: value.into() })
            }
            _ => Err(Refused::new(text, "a variable and its text: expected NAME=TEXT, like PATH=${PATH}:/opt/bin")),
        }
    }
}

/// `text` with `$NAME` and `${NAME}` replaced by what `lookup` has; `\$` is a dollar, and so is one that no name follows.
pub fn expand(text: &str, lookup: impl Fn(&str) -> String) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest.as_bytes()[at] == b'\\' {
            let is_escape = after.starts_with('$');
            expanded.push(if is_escape { '$' } else { '\\' });
            rest = if is_escape { &after[1..] } else { after };
            continue;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        match braced {
            Some((name, tail)) if !name.is_empty() && name.chars().all(is_name) => {
                expanded.push_str(&lookup(name));
                rest = tail;
            }
            _ => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                if end == 0 {
                    expanded.push('$');
                } else {
                    expanded.push_str(&lookup(&after[..end]));
                }
                rest = &after[end..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced() {
        let lookup = |name: &str| if name == "A" { "x".to_owned() } else { String::new() };
        for (text, expanded) in [
            ("${A}:/b", "x:/b"),
            ("$A-$B", "x-"),
            ("\\$A", "$A"),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${", "${"),
            ("${A", "${A"),
            ("\\n", "\\n"),
            ("", ""),
        ] {
            assert_eq!(expand(text, lookup), expanded, "{text}");
        }
        assert!("=x".parse::<Merge>().is_err() && "x".parse::<Merge>().is_err());
    }
}
