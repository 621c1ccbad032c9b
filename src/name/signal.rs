//! Signals as users name them: `KILL`, `SIGKILL`, `9`, `RTMIN+3`.

use std::fmt;
use std::str::FromStr;

use nix::sys::signal::Signal as Standard;

use super::serialize::as_text;

/// The first real-time signal that programs may use: the C library keeps two for itself (signal(7)).
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// The number of a signal, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// SIGTERM, the signal that asks a container to end if neither it nor its image names another one.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);

    /// The number.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// Why a signal was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a signal")]
pub struct UnknownSignal(String);

impl crate::failure::Explain for UnknownSignal {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some("a name such as TERM, SIGKILL or RTMIN+3, or a number from 1 to 64; `kill -l` lists them".into())
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let standard = || format!("SIG{name}").parse::<Standard>().ok().map(|signal| signal as i32);
        let real_time = || match name.split_at_checked(5)? {
            ("RTMIN", offset) => Some(RTMIN + number(offset, '+')?),
            ("RTMAX", offset) => Some(RTMAX - number(offset, '-')?),
            _ => None,
        };
        let found = text.parse().ok().or_else(standard).or_else(real_time);
        found
            .filter(|number| (1..=RTMAX).contains(number))
            .map(Self)
            .ok_or_else(|| UnknownSignal(text.chars().take(40).collect()))
    }
}

/// The number after `sign`; 0 of an empty text.
fn number(offset: &str, sign: char) -> Option<i32> {
    if offset.is_empty() {
        return Some(0);
    }
    offset.strip_prefix(sign)?.parse().ok().filter(|number| (0..=RTMAX - RTMIN).contains(number))
}

/// Its name with `SIG`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Standard::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

as_text!(Signal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("KILL", 9),
            ("SIGKILL", 9),
            ("kill", 9),
            ("9", 9),
            ("sigterm", 15),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "0", "65", "-9", "SIG", "NOSUCH", "RTMIN+31", "RTMIN-1", "RTMAX+1", "KILL ", "SIGSIGKILL"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for number in 1..=RTMAX {
            assert_eq!(Signal(number).to_string().parse(), Ok(Signal(number)));
        }
    }
}
