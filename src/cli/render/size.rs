//! Sizes for people.

const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `bytes` in units of powers of 1000 with three significant digits, as podman prints the sizes of images: `1.99 MB`.
pub fn decimal(bytes: u64) -> String {
    let (number, unit) = in_units(bytes, 3);
    format!("{number} {unit}")
}

/// The same with four digits, as podman prints how much room something takes: `1.987MB`.
pub fn compact(bytes: u64) -> String {
    let (number, unit) = in_units(bytes, 4);
    format!("{number}{unit}")
}

/// `bytes` in powers of 1024, as limits are given: `64 MiB`.
pub fn binary(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let exact = |power: &usize| bytes.is_multiple_of(1 << (10 * power)) && bytes >= 1 << (10 * power);
    let power = (0..units.len()).rev().find(exact).unwrap_or(0);
    format!("{} {}", bytes >> (10 * power), units[power])
}

/// A number with so many significant digits, and its unit.
fn in_units(bytes: u64, digits: usize) -> (String, &'static str) {
    let mut unit = 0;
    let mut divisor = 1u64;
    let half_a_digit = 500.0 / 10f64.powi(digits as i32);
    // Rounding to three digits must not make 1000 of 999.5: that is the next unit's 1.
    while unit + 1 < UNITS.len() && bytes as f64 / divisor as f64 >= 1000.0 - half_a_digit {
        unit += 1;
        divisor = divisor.saturating_mul(1000);
    }
    let value = bytes as f64 / divisor as f64;
    let fraction = match value {
        _ if unit == 0 => 0,
        v if v >= 100.0 - half_a_digit / 10.0 => digits - 3,
        v if v >= 10.0 - half_a_digit / 100.0 => digits - 2,
        _ => digits - 1,
    };
    let number = format!("{value:.fraction$}");
    let shortest = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    (shortest.to_owned(), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_1024() {
        let cases = [0, 1023, 1024, 64 << 20, 1536 << 20, 3 << 40].map(binary);
        assert_eq!(cases, ["0 B", "1023 B", "1 KiB", "64 MiB", "1536 MiB", "3 TiB"]);
    }

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

    #[test]
    fn four_significant_digits() {
        let cases = [
            (0, "0B"),
            (1000, "1kB"),
            (8_874, "8.874kB"),
            (123_456, "123.5kB"),
            (999_949, "999.9kB"),
            (999_950, "1MB"),
            (99_995, "100kB"),
            (1_234_567, "1.235MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(compact(bytes), text);
        }
    }
}
