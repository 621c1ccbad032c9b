//! `--umask`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Refused;

/// A file mode creation mask (umask(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Umask(pub u32);

/// That of docker's and podman's containers.
impl Default for Umask {
    fn default() -> Self {
        Self(0o022)
    }
}

impl FromStr for Umask {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mask = u32::from_str_radix(text, 8).ok().filter(|mask| is_octal && *mask <= 0o777);
        mask.map(Self).ok_or_else(|| Refused::new(text, "a mask in octal digits from 0 to 0777, like 0022"))
    }
}

impl fmt::Display for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_digits_only() {
        assert_eq!("0077".parse(), Ok(Umask(0o077)));
        assert_eq!("2".parse(), Ok(Umask(2)));
        assert_eq!(Umask(0o27).to_string(), "0027");
        for text in ["", "8", "0o22", "1777", "00022", "+22", "-1", "u=rwx"] {
            assert!(text.parse::<Umask>().is_err(), "{text:?}");
        }
    }
}
