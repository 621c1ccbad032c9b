//! Times on the command line: `--since` and `--until`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::failure::Explain;

/// Not a time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time")]
pub struct BadTime(String);

impl Explain for BadTime {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some("times are written 2026-11-22T18:52:06Z, 1795373526.5 (seconds since 1970) or 1h30m (ago)".into())
    }
}

/// A time as docker and podman take it: RFC 3339, local where it has no zone; seconds since the epoch; a duration before `now`.
pub fn parse(text: &str, now: Timestamp, zone: TimeZone) -> Result<Timestamp, BadTime> {
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| seconds(text));
    let time = time.or_else(|| now.checked_sub(duration(text)?).ok());
    let time = time.or_else(|| Some(text.parse::<DateTime>().ok()?.to_zoned(zone).ok()?.timestamp()));
    time.ok_or_else(|| BadTime(text.chars().take(80).collect()))
}

/// Seconds and up to nine digits of a fraction.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
}

/// Go's durations: numbers, each with its unit.
fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        sum += number.parse::<f64>().ok()? * seconds;
        rest = &after[unit.len()..];
    }
    SignedDuration::try_from_secs_f64(if negative { -sum } else { sum }).ok()
}

/// Names and seconds; one that begins like another comes first.
const UNITS: &[(&str, f64)] =
    &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<String, BadTime> {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse(text, Timestamp::from_second(1_000_000).unwrap(), zone).map(|time| time.to_string())
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("2026-11-22T18:52:06Z", "2026-11-22T18:52:06Z"),
            ("2026-11-22T18:52:06.123456789+01:00", "2026-11-22T17:52:06.123456789Z"),
            ("2026-11-22T18:52:06", "2026-11-22T17:52:06Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
            ("1000000", "1970-01-12T13:46:40Z"),
            ("1000000.5", "1970-01-12T13:46:40.5Z"),
            ("10m", "1970-01-12T13:36:40Z"),
            ("1h30m", "1970-01-12T12:16:40Z"),
            ("1.5h", "1970-01-12T12:16:40Z"),
            ("250ms", "1970-01-12T13:46:39.75Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in ["", "-", "x", "10x", "m", "1..5h", "2026-13-01", "1.0000000001", "1e400h", "99999999999999999999"]
        {
            assert!(at(text).is_err(), "{text}");
        }
    }
}
