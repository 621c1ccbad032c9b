//! Environment settings: `-e`, and the lines of `--env-file`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

use super::serialize;

/// One environment setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvSetting {
    /// `NAME=value`.
    Set {
        /// Name, not empty, without `=`.
        name: String,
        /// Any bytes but NUL.
        #[serde(with = "serialize::os_string")]
        value: OsString,
    },
    /// `NAME`: our own value, if there is one.
    Import(String),
    /// `PREFIX*`: all of ours whose name begins so.
    ImportPrefix(String),
}

/// Why a setting was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvRefused {
    /// `=value`, or nothing.
    #[error("{0:?} sets no variable: expected NAME=VALUE, NAME or PREFIX*")]
    NoName(String),
    /// A name that is not UTF-8, or has a NUL byte.
    #[error("the name of {0:?} is not text")]
    NameNotText(String),
    /// A NUL byte in the value.
    #[error("the value of {0:?} contains a NUL byte")]
    Nul(String),
    /// White space in a name in a file.
    #[error("the name {0:?} contains white space")]
    WhiteSpace(String),
    /// One of the above, in a file.
    #[error("line {0}")]
    Line(usize, #[source] Box<EnvRefused>),
}

impl crate::failure::Explain for EnvRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl EnvSetting {
    /// `NAME=value`, `NAME` or `PREFIX*`. The value is taken as it is: no quoting, no escapes.
    pub fn parse(text: &OsStr) -> Result<Self, EnvRefused> {
        let shown = || String::from_utf8_lossy(text.as_bytes()).chars().take(80).collect::<String>();
        let (name, value) = split_at_equals(text.as_bytes());
        let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('\0'));
        let name = name.ok_or_else(|| EnvRefused::NameNotText(shown()))?;
        if name.is_empty() {
            return Err(EnvRefused::NoName(shown()));
        }
        match value {
            Some(value) if value.contains(&0) => Err(EnvRefused::Nul(name.to_owned())),
            Some(value) => Ok(Self::Set { name: name.to_owned(), value: OsString::from_vec(value.to_vec()) }),
            None => Ok(match name.strip_suffix('*') {
                Some(prefix) => Self::ImportPrefix(prefix.to_owned()),
                None => Self::Import(name.to_owned()),
            }),
        }
    }
}

/// The settings of an environment file, in docker's grammar: a setting a line, white space before it is skipped, empty
/// lines and those that begin with `#` are not settings, everything after the first `=` is the value.
pub fn parse_env_file(contents: &[u8]) -> Result<Vec<EnvSetting>, EnvRefused> {
    let mut settings = Vec::new();
    for (number, line) in file_lines(contents) {
        let in_line = |error| EnvRefused::Line(number, Box::new(error));
        let name = split_at_equals(line).0;
        if name.iter().any(u8::is_ascii_whitespace) {
            return Err(in_line(EnvRefused::WhiteSpace(String::from_utf8_lossy(name).into_owned())));
        }
        settings.push(EnvSetting::parse(OsStr::from_bytes(line)).map_err(in_line)?);
    }
    Ok(settings)
}

/// The lines of a file of settings that are not empty and not comments, with their numbers from 1; white space before
/// them, carriage returns after them and a byte order mark before the first are left out.
pub(crate) fn file_lines(contents: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    let lines = contents.split(|&byte| byte == b'\n').enumerate();
    lines
        .map(|(index, line)| (index + 1, line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

fn split_at_equals(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == b'=') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> EnvSetting {
        EnvSetting::Set { name: name.into(), value: value.into() }
    }

    fn parse(text: &str) -> Result<EnvSetting, EnvRefused> {
        EnvSetting::parse(OsStr::new(text))
    }

    #[test]
    fn the_three_forms() {
        assert_eq!(parse("A=b=c"), Ok(set("A", "b=c")));
        assert_eq!(parse("A="), Ok(set("A", "")));
        assert_eq!(parse("A=\"q\" $(id) \n"), Ok(set("A", "\"q\" $(id) \n")));
        assert_eq!(parse("HOME"), Ok(EnvSetting::Import("HOME".into())));
        assert_eq!(parse("LC_*"), Ok(EnvSetting::ImportPrefix("LC_".into())));
        assert_eq!(parse("*"), Ok(EnvSetting::ImportPrefix(String::new())));
        assert_eq!(parse("A*=x"), Ok(set("A*", "x")));
        assert_eq!(parse("-v"), Ok(EnvSetting::Import("-v".into())));
    }

    #[test]
    fn values_are_bytes_and_names_are_text() {
        let value = EnvSetting::parse(OsStr::from_bytes(b"A=\xff"));
        assert_eq!(value, Ok(EnvSetting::Set { name: "A".into(), value: OsString::from_vec(vec![0xff]) }));
        assert!(matches!(EnvSetting::parse(OsStr::from_bytes(b"\xff=a")), Err(EnvRefused::NameNotText(_))));
    }

    // CVE-2026-57231: an entry without a name, or with a NUL byte, must never become a variable.
    #[test]
    fn settings_without_a_name_or_with_nul_are_refused() {
        for text in ["", "=", "=x"] {
            assert!(matches!(parse(text), Err(EnvRefused::NoName(_))), "{text:?}");
        }
        assert!(parse("A\0B").is_err());
        assert_eq!(parse("A=x\0y"), Err(EnvRefused::Nul("A".into())));
    }

    #[test]
    fn files_have_dockers_grammar() {
        let file = b"\xef\xbb\xbfA=1\r\n\n# comment\n  B = \"2\" # not a comment\nHOME\nXDG_*\n#\n\tC=\n  #x\nA=3";
        assert!(matches!(parse_env_file(file), Err(EnvRefused::Line(4, _))), "white space in a name");
        let file = b"\xef\xbb\xbfA=1\r\n\n# comment\n  B= \"2\" # not a comment\nHOME\nXDG_*\n#\n\tC=\n  #x\nA=3";
        let expected = [
            set("A", "1"),
            set("B", " \"2\" # not a comment"),
            EnvSetting::Import("HOME".into()),
            EnvSetting::ImportPrefix("XDG_".into()),
            set("C", ""),
            set("A", "3"),
        ];
        assert_eq!(parse_env_file(file).unwrap(), expected);
        assert_eq!(parse_env_file(b"").unwrap(), []);
        assert!(matches!(parse_env_file(b"A=1\n=x\n"), Err(EnvRefused::Line(2, _))));
        assert!(matches!(parse_env_file(b"export A=1"), Err(EnvRefused::Line(1, _))));
    }
}
