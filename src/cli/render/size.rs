//! Sizes for people.

const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `bytes` in units of powers of 1000 with three significant digits, as podman prints the sizes of images: `1.99 MB`.
pub fn decimal(bytes: u64) -> String {
    let mut unit = 0;
    let mut divisor = 1u64;
    // Rounding to three digits must not make 1000 of 999.5: that is the next unit's 1.
    while unit + 1 < UNITS.len() && bytes as f64 / divisor as f64 >= 999.5 {
        unit += 1;
        divisor = divisor.saturating_mul(1000);
    }
    let value = bytes as f64 / divisor as f64;
    let digits = match value {
        v if unit == 0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let number = format!("{value:.digits$}");
    let shortest = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{shortest} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1_234, "1.23 kB"),
            (12_345, "12.3 kB"),
            (123_456, "123 kB"),
            (999_499, "999 kB"),
            (999_500, "1 MB"),
            (1_987_740, "1.99 MB"),
            (124_000_000, "124 MB"),
            (2_500_000_000, "2.5 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(decimal(bytes), text);
        }
    }
}
