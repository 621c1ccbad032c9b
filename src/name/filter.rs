//! `--filter KEY=VALUE` and `--since TIME`: which containers, images and events are meant. Values of one key are
//! alternatives, except those of `label`, which must all be true; keys must all be true (docker's and podman's rule).

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex_lite::Regex;

use super::duration::parse_distance;

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
pub enum FilterRefused {
    /// No `=`.
    #[error("{0:?} is not a filter: expected KEY=VALUE")]
    NoValue(String),
    /// A key that nobody knows.
    #[error("unknown filter {key:?}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those that are known here.
        known: &'static [&'static str],
    },
    /// A value that the key does not take.
    #[error("the filter {key} does not take {value:?}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: String,
    },
}

impl crate::failure::Explain for FilterRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { known, .. } => Some(format!("the keys are {}", known.join(", "))),
            Self::NoValue(_) => Some("for example `--filter name=web`".into()),
            Self::Value { .. } => None,
        }
    }
}

/// Filters by key: for each key the values that were given, in their order.
#[derive(Clone, Debug, Default)]
pub struct Filters(BTreeMap<&'static str, Vec<String>>);

impl Filters {
    /// Reads `KEY=VALUE`s with these `known` keys. `label!=KEY` is the key `label!`.
    pub fn parse(given: &[String], known: &'static [&'static str]) -> Result<Self, FilterRefused> {
        let mut filters = Self::default();
        for text in given {
            let (key, value) = text.split_once('=').ok_or_else(|| FilterRefused::NoValue(shown(text)))?;
            let key = known.iter().find(|known| **known == key);
            let key = key.ok_or_else(|| FilterRefused::UnknownKey { key: shown(before_equals(text)), known })?;
            filters.0.entry(key).or_default().push(value.to_owned());
        }
        Ok(filters)
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        self.0.iter().map(|(key, values)| (*key, values.as_slice()))
    }
}

fn before_equals(text: &str) -> &str {
    text.split_once('=').map_or(text, |(key, _)| key)
}

fn shown(text: &str) -> String {
    text.chars().take(160).collect()
}

/// The refusal of `value` for `key`.
pub fn refused(key: &'static str, value: &str, expected: impl Into<String>) -> FilterRefused {
    FilterRefused::Value { key, value: shown(value), expected: expected.into() }
}

/// A value that is true or false.
pub fn boolean(key: &'static str, value: &str) -> Result<bool, FilterRefused> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(refused(key, value, "true or false")),
    }
}

/// A label that is asked for: `KEY`, or `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLabel {
    key: String,
    value: Option<String>,
}

impl WantedLabel {
    /// Reads `KEY` or `KEY=VALUE`.
    pub fn of(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: text.to_owned(), value: None },
        }
    }

    /// Whether it is among `labels`.
    pub fn is_in(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.key).is_some_and(|found| self.value.as_ref().is_none_or(|wanted| wanted == found))
    }
}

/// A regular expression, which may match any part of a text.
pub fn pattern(key: &'static str, text: &str) -> Result<Regex, FilterRefused> {
    Regex::new(text).map_err(|error| refused(key, text, format!("a regular expression ({error})")))
}

/// A shell pattern for a whole text: `*` and `?` do not match a slash, as in Go's path.Match.
pub fn glob(text: &str) -> Option<Regex> {
    let mut expression = String::from("^");
    for c in text.chars() {
        match c {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' | '-' | '^' => expression.push(c),
            c => expression.push_str(&regex_lite::escape(&c.to_string())),
        }
    }
    Regex::new(&(expression + "$")).ok()
}

/// A point in time, as users write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(Timestamp),
    /// So far from now.
    Away(SignedDuration),
    /// This one where the user is.
    Local(DateTime),
}

/// Why a time was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time: expected a duration (24h, 1m30s), a date (2026-11-22T10:00:00Z), or seconds since 1970")]
pub struct NotAMoment(String);

impl crate::failure::Explain for NotAMoment {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let refused = || NotAMoment(shown(text));
        if let Some(seconds) = unix_seconds(text) {
            return Timestamp::from_duration(seconds).map(Self::At).map_err(|_| refused());
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(time));
        }
        if let Some(duration) = parse_distance(text) {
            return Ok(Self::Away(duration));
        }
        text.parse::<DateTime>().map(Self::Local).map_err(|_| refused())
    }
}

impl Moment {
    /// The time that this is when a duration means so long before `now`.
    pub fn before(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Away(duration) => now.saturating_sub(duration).unwrap_or(Timestamp::MIN),
            _ => self.absolute(now, zone),
        }
    }

    /// The time that this is when a duration means so long after `now`.
    pub fn after(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Away(duration) => now.saturating_add(duration).unwrap_or(Timestamp::MAX),
            _ => self.absolute(now, zone),
        }
    }

    fn absolute(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Local(civil) => zone.to_timestamp(civil).unwrap_or(now),
            Self::Away(_) => now,
        }
    }
}

/// `1700000000` or `1700000000.25`.
fn unix_seconds(text: &str) -> Option<SignedDuration> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Some(SignedDuration::new(seconds.parse().ok()?, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Explain;

    const KNOWN: &[&str] = &["label", "label!", "name"];

    fn parse(given: &[&str]) -> Result<Filters, FilterRefused> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        Filters::parse(&given, KNOWN)
    }

    #[test]
    fn values_are_kept_by_key() {
        let filters = parse(&["name=a", "label=k=v", "label!=x", "name=b=c"]).unwrap();
        let pairs: Vec<(&str, String)> = filters.iter().map(|(key, values)| (key, values.join(" "))).collect();
        assert_eq!(pairs, [("label", "k=v".into()), ("label!", "x".into()), ("name", "a b=c".into())]);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert!(matches!(parse(&["name"]), Err(FilterRefused::NoValue(_))));
        let unknown = parse(&["color=red"]).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown filter \"color\"");
        assert_eq!(unknown.hint().unwrap(), "the keys are label, label!, name");
    }

    #[test]
    fn labels() {
        let labels = [("a".to_owned(), "1=2".to_owned()), ("b".to_owned(), String::new())].into();
        for (text, is_in) in [("a", true), ("a=1=2", true), ("a=1", false), ("b", true), ("b=", true), ("c", false)] {
            assert_eq!(WantedLabel::of(text).is_in(&labels), is_in, "{text}");
        }
    }

    #[test]
    fn globs_match_all_of_a_text() {
        let matches = |glob: &str, text: &str| super::glob(glob).unwrap().is_match(text);
        assert!(matches("a/*:1.0", "a/b:1.0") && matches("a?", "ab") && matches("[ab]c", "bc"));
        assert!(!matches("a", "ab") && !matches("*", "a/b") && !matches("1.0", "1x0"));
    }

    #[test]
    fn times() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let before = |text: &str| text.parse::<Moment>().map(|time| time.before(now, &TimeZone::UTC).to_string());
        assert_eq!(before("24h").unwrap(), "2026-11-21T10:00:00Z");
        assert_eq!(before("1h30m").unwrap(), "2026-11-22T08:30:00Z");
        assert_eq!(before("1.5s").unwrap(), "2026-11-22T09:59:58.5Z");
        assert_eq!(before("1700000000").unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(before("1700000000.5").unwrap(), "2023-11-14T22:13:20.5Z");
        assert_eq!(before("2026-01-02T03:04:05+01:00").unwrap(), "2026-01-02T02:04:05Z");
        assert_eq!(before("2026-01-02T03:04:05").unwrap(), "2026-01-02T03:04:05Z");
        assert_eq!(before("2026-01-02").unwrap(), "2026-01-02T00:00:00Z");
        let after = "1h".parse::<Moment>().unwrap().after(now, &TimeZone::UTC);
        assert_eq!(after.to_string(), "2026-11-22T11:00:00Z");
        for text in ["", "-", "yesterday", "1x", "h", "1.2.3", "99999999999999999999"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
