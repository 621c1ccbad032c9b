//! `--personality`.

use std::fmt;
use std::str::FromStr;

use super::Refused;
use crate::name::serialize::as_text;

/// An execution domain (personality(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// An ordinary Linux program's.
    #[default]
    Linux,
    /// That of a program for 32 bits: uname(2) tells of such a machine.
    Linux32,
}

impl Personality {
    /// The kernel's number: `PER_LINUX`, `PER_LINUX32`.
    pub fn number(self) -> u32 {
        match self {
            Self::Linux => 0,
            Self::Linux32 => 8,
        }
    }
}

impl FromStr for Personality {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text.to_ascii_uppercase().as_str() {
            "LINUX" => Ok(Self::Linux),
            "LINUX32" => Ok(Self::Linux32),
            _ => Err(Refused::new(text, "LINUX or LINUX32")),
        }
    }
}

impl fmt::Display for Personality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "LINUX",
            Self::Linux32 => "LINUX32",
        })
    }
}

as_text!(Personality);
