//! Labels: `KEY=VALUE` or `KEY`.

use super::env_setting::file_lines;

/// Why a label was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelRefused {
    /// `=value`, or nothing.
    #[error("{0:?} is not a label: expected KEY=VALUE or KEY")]
    NoKey(String),
    /// Not UTF-8.
    #[error("the label is not text")]
    NotText,
    /// One of the above, in a file.
    #[error("line {0}")]
    Line(usize, #[source] Box<LabelRefused>),
}

impl crate::failure::Explain for LabelRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

/// Key and value; the value is empty where there is none.
pub fn parse_label(text: &str) -> Result<(String, String), LabelRefused> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(LabelRefused::NoKey(text.chars().take(80).collect()));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The labels of a file: one a line; empty lines and those that begin with `#` are skipped.
pub fn parse_label_file(contents: &[u8]) -> Result<Vec<(String, String)>, LabelRefused> {
    let label = |(number, line): (usize, &[u8])| {
        let text = std::str::from_utf8(line).map_err(|_| LabelRefused::NotText);
        text.and_then(parse_label).map_err(|error| LabelRefused::Line(number, Box::new(error)))
    };
    file_lines(contents).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn keys_and_values() {
        assert_eq!(parse_label("a.b/c=d=e f"), Ok(pair("a.b/c", "d=e f")));
        assert_eq!(parse_label("a"), Ok(pair("a", "")));
        assert_eq!(parse_label("-v"), Ok(pair("-v", "")));
        assert!(parse_label("").is_err());
        assert!(parse_label("=x").is_err());
    }

    #[test]
    fn files() {
        assert_eq!(parse_label_file(b"# c\n\na=1\n  b\n").unwrap(), [pair("a", "1"), pair("b", "")]);
        assert!(matches!(parse_label_file(b"a\n\n=x"), Err(LabelRefused::Line(3, _))));
        assert!(matches!(parse_label_file(b"a=\xff"), Err(LabelRefused::Line(1, _))));
    }
}
