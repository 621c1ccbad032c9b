//! Durations as Go writes them: `30s`, `1m30s`, `500ms`.

use std::time::Duration;

/// Why a duration was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: expected a number and one of h, m, s, ms, us, ns, as in 1m30s")]
pub struct DurationRefused(String);

impl crate::failure::Explain for DurationRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

/// Units and their nanoseconds. One that ends like another comes before it.
const UNITS: [(&str, f64); 6] = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)];

/// Numbers, fractions allowed, each with its unit; `0` needs none. Never negative.
pub fn parse_duration(text: &str) -> Result<Duration, DurationRefused> {
    let refused = || DurationRefused(text.chars().take(40).collect());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let number: f64 = rest[..end].parse().map_err(|_| refused())?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest[end..].starts_with(unit)).ok_or_else(refused)?;
        nanoseconds += number * factor;
        rest = &rest[end + unit.len()..];
    }
    // A century is as long as for ever, and far from what the number can hold.
    if text.is_empty() || nanoseconds > 3.2e18 {
        return Err(refused());
    }
    Ok(Duration::from_nanos(nanoseconds.round() as u64))
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
    }
}
