//! Times for people.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How long `duration` is, roughly, in docker's and podman's words: `3 seconds`, `About an hour`, `2 weeks`. Nothing
/// shorter than nothing: a clock that was set back gives `Less than a second`.
pub fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let minutes = seconds / 60;
    // Half an hour more is the next hour, as those two have it.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".into(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / (24 * 7)),
        (.., ..17520) => format!("{} months", hours / (24 * 30)),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long `time` is before `now`: `2 hours ago`.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", duration(now.duration_since(time)))
}

/// `2026-11-22 18:52:06.549 +0000 UTC`, as Go prints a time in this time zone.
pub fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// `2026-11-22T18:52:06.549105125Z` (RFC 3339).
pub fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// What stands for a time that there is not: Go's zero time.
pub const NEVER: &str = "0001-01-01T00:00:00Z";
/// The same in seconds since 1970.
pub const NEVER_SECONDS: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        let (minute, hour, day) = (60, 3600, 86400);
        let cases = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (minute, "About a minute"),
            (2 * minute - 1, "About a minute"),
            (2 * minute, "2 minutes"),
            (hour - 1, "59 minutes"),
            (hour, "About an hour"),
            (hour + 30 * minute, "2 hours"),
            (47 * hour, "47 hours"),
            (48 * hour, "2 days"),
            (13 * day, "13 days"),
            (14 * day, "2 weeks"),
            (59 * day, "8 weeks"),
            (60 * day, "2 months"),
            (729 * day, "24 months"),
            (730 * day, "2 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn written_as_go_does() {
        let time: Timestamp = "2026-11-22T18:52:06.549105125Z".parse().unwrap();
        assert_eq!(in_zone(time, &TimeZone::UTC), "2026-11-22 18:52:06.549105125 +0000 UTC");
        assert_eq!(rfc3339(time), "2026-11-22T18:52:06.549105125Z");
        let seconds = Timestamp::from_second(time.as_second()).unwrap();
        assert_eq!(in_zone(seconds, &TimeZone::UTC), "2026-11-22 18:52:06 +0000 UTC");
        let never: Timestamp = NEVER.parse().unwrap();
        assert_eq!(never.as_second(), NEVER_SECONDS);
    }
}
