//! When to try again, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that a registry may ask for; one that asks for more is taken to refuse.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The longest wait of our own.
const LONGEST_DELAY: Duration = Duration::from_secs(8);

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; for a blob, attempts in a row that brought nothing new.
    pub tries: u32,
    /// Wait before the second attempt.
    pub first_delay: Duration,
    /// Waits before further ones.
    pub growth: Growth,
    /// How long the other side may send nothing. A transfer as a whole has no limit.
    pub stall: Duration,
}

/// How waits change from one to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// Doubled, up to some seconds, and give or take a quarter.
    #[default]
    Doubling,
    /// Always the first.
    None,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let first_delay = Duration::from_millis(250);
        Self { tries: 5, first_delay, growth: Growth::Doubling, stall: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// The wait after `failures` failed attempts, at least as long as the registry asked for.
    pub(super) fn delay(&self, failures: u32, asked: Option<Duration>) -> Duration {
        if self.growth == Growth::None {
            return self.first_delay.max(asked.unwrap_or_default());
        }
        let doubled = self.first_delay.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        let delay = doubled.min(LONGEST_DELAY);
        let delay = delay * 3 / 4 + delay.mul_f64(0.5 * random_fraction());
        delay.max(asked.unwrap_or_default())
    }
}

/// Whether a registry that asks for this wait may be asked again within reason.
pub(super) fn is_bearable(asked: Option<Duration>) -> bool {
    asked.is_none_or(|asked| asked <= LONGEST_RETRY_AFTER)
}

/// The wait that a response asks for: seconds or a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.duration_since(Timestamp::now()).try_into().unwrap_or_default())
}

/// Between 0 and 1: many clients that failed together shall not come back together. A hasher's random keys will do.
fn random_fraction() -> f64 {
    f64::from(RandomState::new().hash_one(0_u8) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers)
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "the past is now");
        assert!(after("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > LONGEST_RETRY_AFTER);
        for nonsense in ["-1", "soon", "", "1e9"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
        assert!(is_bearable(Some(Duration::from_secs(60))) && !is_bearable(Some(Duration::from_secs(61))));
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        let policy = RetryPolicy::default();
        for failures in 1..100 {
            let delay = policy.delay(failures, None);
            let expected = policy.first_delay.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST_DELAY);
            assert!(delay >= expected * 3 / 4 && delay <= expected * 5 / 4, "{failures}: {delay:?}");
        }
        assert!(policy.delay(1, Some(Duration::from_secs(9))) >= Duration::from_secs(9));
        let steady = RetryPolicy { first_delay: Duration::from_secs(20), growth: Growth::None, ..policy };
        assert_eq!([1, 7].map(|failures| steady.delay(failures, None)), [Duration::from_secs(20); 2]);
    }
}
