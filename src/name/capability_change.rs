//! `--cap-add` and `--cap-drop`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::capability::{Capability, UnknownCapability};

/// `--cap-add` and `--cap-drop`, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapabilityChanges {
    /// To add.
    pub add: Vec<CapabilityName>,
    /// To drop.
    pub drop: Vec<CapabilityName>,
}

/// One capability, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapabilityName {
    /// `ALL`.
    All,
    /// One.
    One(Capability),
}

impl FromStr for CapabilityName {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, UnknownCapability> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        text.parse().map(Self::One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_one() {
        assert_eq!("ALL".parse(), Ok(CapabilityName::All));
        assert_eq!("all".parse(), Ok(CapabilityName::All));
        assert_eq!("net_admin".parse(), Ok(CapabilityName::One(Capability::NetAdmin)));
        assert_eq!("CAP_SYS_ADMIN".parse(), Ok(CapabilityName::One(Capability::SysAdmin)));
        for text in ["", "CAP_", "CAP_ALL", "NET", "-v", "CHOWN KILL"] {
            assert!(text.parse::<CapabilityName>().is_err(), "{text}");
        }
    }
}
