//! Durations as Go writes them: `30s`, `1m30s`, `500ms`.

use std::time::Duration;

use jiff::SignedDuration;

/// Why a duration was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: expected a number and one of h, m, s, ms, us, ns, as in 1m30s")]
pub struct DurationRefused(String);

impl crate::failure::Explain for DurationRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

/// Units and their seconds. One that begins like another comes before it.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("\u{b5}s", 1e-6),
    ("\u{3bc}s", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// A century is as long as for ever, and far from what any of our clocks can hold.
const LONGEST: Duration = Duration::from_secs(3_200_000_000);

/// Numbers, fractions allowed, each with its unit; `0` needs none. Never negative.
pub fn parse_duration(text: &str) -> Result<Duration, DurationRefused> {
    let refused = || DurationRefused(text.chars().take(40).collect());
    let duration = unsigned(text).ok_or_else(refused)?;
    duration.try_into().ok().filter(|duration| *duration <= LONGEST).ok_or_else(refused)
}

/// The same with a sign, which may be absent: how far from now.
pub fn parse_distance(text: &str) -> Option<SignedDuration> {
    match text.strip_prefix('-') {
        Some(rest) => unsigned(rest)?.checked_neg(),
        None => unsigned(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn unsigned(text: &str) -> Option<SignedDuration> {
    if text == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut rest = text;
    let mut sum = SignedDuration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        sum = sum.checked_add(SignedDuration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = after.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_durations() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("2h0.5s", 7_200_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1d", "1s ", "1 s", "1..5s", ".", "1e3s", "9999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let distance = |text: &str| parse_distance(text).map(|distance| distance.as_millis());
        assert_eq!(
            (distance("-1.5s"), distance("+2m"), distance("3\u{b5}s1s")),
            (Some(-1500), Some(120_000), Some(1000))
        );
        for text in ["", "-", "--1s", "+-1s", "m", "1..5h", "1e400h"] {
            assert_eq!(distance(text), None, "{text}");
        }
    }
}
