//! Hardware addresses of network devices (IEEE 802, 48 bits).

use std::fmt;
use std::str::FromStr;

use super::serialize::as_text;

/// A hardware address of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

/// Why a hardware address was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not the hardware address of a device: expected six bytes as 92:d0:c6:0a:29:33, the first of them even"
)]
pub struct MacAddressRefused(String);

impl crate::failure::Explain for MacAddressRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for MacAddress {
    type Err = MacAddressRefused;

    fn from_str(text: &str) -> Result<Self, MacAddressRefused> {
        let refused = || MacAddressRefused(text.chars().take(40).collect());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(refused)?;
        }
        // The lowest bit of the first byte makes it the address of a group.
        let is_one = bytes[0] & 1 == 0 && bytes != [0; 6];
        if is_one && parts.next().is_none() { Ok(Self(bytes)) } else { Err(refused()) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

as_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["92:d0:c6:0a:29:33", "92-D0-C6-0A-29-33"] {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), "92:d0:c6:0a:29:33");
        }
        for bad in [
            "",
            "92:d0:c6:0a:29",
            "92:d0:c6:0a:29:33:44",
            "93:d0:c6:0a:29:33",
            "00:00:00:00:00:00",
            "92:d0:c6:0a:29:3",
            "+2:d0:c6:0a:29:33",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}
