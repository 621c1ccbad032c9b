//! Host names (RFC 1123, section 2.1; at most 64 bytes: uname(2)).

/// Why a host name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a host name: expected at most 64 letters, digits and '-' in parts separated by '.', none of which begins or ends with '-' or is longer than 63"
)]
pub struct HostNameRefused(String);

impl crate::failure::Explain for HostNameRefused {
    fn code(&self) -> &'static str {
        "E_NAME_INVALID"
    }
}

/// `text`, if it is a host name.
pub fn parse_host_name(text: &str) -> Result<String, HostNameRefused> {
    let part = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= 64 && text.split('.').all(part) {
        return Ok(text.to_owned());
    }
    Err(HostNameRefused(text.chars().take(100).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_keep_to_the_rule() {
        let (part, whole) = ("a".repeat(63), format!("{}.b", "a".repeat(62)));
        for good in ["a", "web-1", "1", "A.b.c", "a--b", &part, &whole] {
            assert!(parse_host_name(good).is_ok(), "{good}");
        }
        let (long_part, long) = ("a".repeat(64), format!("{}.bc", "a".repeat(62)));
        for bad in ["", "-v", "a-", "a..b", ".a", "a.", "a_b", "a b", "$(id)", ";id", "a\n", "é", &long_part, &long] {
            assert!(parse_host_name(bad).is_err(), "{bad}");
        }
    }
}
