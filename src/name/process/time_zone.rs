//! `--tz`.

use std::fmt;
use std::str::FromStr;

use super::Refused;
use crate::name::serialize::as_text;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// The host's.
    Local,
    /// One of the time zone database: `Europe/Berlin`.
    Named(String),
}

impl FromStr for TimeZone {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let is_part = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte);
            !part.is_empty() && part.bytes().all(is_plain)
        };
        match text {
            "local" => Ok(Self::Local),
            _ if text.len() < 120 && text.split('/').all(is_part) => Ok(Self::Named(text.into())),
            _ => Err(Refused::new(text, "a time zone, like Europe/Berlin, UTC or local")),
        }
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Named(name) => name,
        })
    }
}

as_text!(TimeZone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for text in ["local", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(text.parse::<TimeZone>().map(|zone| zone.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "/etc/passwd", "../UTC", "Europe//Berlin", "Europe/", "a b", "."] {
            assert!(text.parse::<TimeZone>().is_err(), "{text:?}");
        }
    }
}
