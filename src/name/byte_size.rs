//! Sizes as users write them: `64m`, `1g`, `512k`, `4096`.

/// Why a size was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeRefused {
    /// Not a number, or an unknown unit.
    #[error("{0:?} is not a size: expected a whole number of bytes, or of k, m, g or t (powers of 1024), like 512m")]
    Malformed(String),
    /// More than 2^63-1 bytes.
    #[error("{0:?} is too large a size")]
    TooLarge(String),
}

impl crate::failure::Explain for SizeRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

/// Bytes in `text`: a whole number, then nothing or one of `b k m g t`, in either case, itself optionally followed by `b`
/// or `ib`. Units are powers of 1024, as docker's and the kernel's are.
pub fn parse_bytes(text: &str) -> Result<u64, SizeRefused> {
    let malformed = || SizeRefused::Malformed(text.chars().take(80).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(malformed());
    }
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(malformed()),
    };
    let too_large = || SizeRefused::TooLarge(text.chars().take(80).collect());
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << shift).filter(|&bytes| i64::try_from(bytes).is_ok()).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        let cases = [
            ("0", 0),
            ("1", 1),
            ("4096b", 4096),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1GiB", 1 << 30),
            ("2t", 2 << 40),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_bytes("9223372036854775807"), Ok(i64::MAX as u64));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "m", "-1", "+1", "1.5g", "50%", "1x", "1 m", "0x10", "1mm", "٣"] {
            assert!(matches!(parse_bytes(text), Err(SizeRefused::Malformed(_))), "{text}");
        }
        for text in ["9223372036854775808", "99999999999999999999", "8388608t"] {
            assert!(matches!(parse_bytes(text), Err(SizeRefused::TooLarge(_))), "{text}");
        }
    }
}
