//! `--group-add`.

use serde::{Deserialize, Serialize};

use crate::name::user::{UserName, UserRefused};

/// Supplementary groups beside the user's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddedGroups {
    /// None.
    #[default]
    None,
    /// Those of whoever started the container (`keep-groups`).
    Kept,
    /// These.
    Listed(Vec<UserName>),
}

/// Why groups were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GroupsRefused {
    /// Not a group.
    #[error(transparent)]
    Name(#[from] UserRefused),
    /// `keep-groups` and others.
    #[error("keep-groups leaves the groups as they are: no other group can be added to them")]
    KeptAndListed,
}

impl crate::failure::Explain for GroupsRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::KeptAndListed => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(error) => error.hint(),
            Self::KeptAndListed => Some("give either --group-add keep-groups, or the names".into()),
        }
    }
}

impl AddedGroups {
    /// All values of the flag.
    pub fn parse(values: &[String]) -> Result<Self, GroupsRefused> {
        let (kept, listed): (Vec<_>, Vec<_>) = values.iter().partition(|value| *value == "keep-groups");
        match (kept.is_empty(), listed.is_empty()) {
            (true, true) => Ok(Self::None),
            (false, true) => Ok(Self::Kept),
            (false, false) => Err(GroupsRefused::KeptAndListed),
            (true, false) => Ok(Self::Listed(listed.into_iter().map(|name| name.parse()).collect::<Result<_, _>>()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_or_listed() {
        let parse = |values: &[&str]| AddedGroups::parse(&values.iter().map(|&value| value.into()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(AddedGroups::None));
        assert_eq!(parse(&["keep-groups"]), Ok(AddedGroups::Kept));
        let name = |name: &str| UserName::Name(name.into());
        assert_eq!(parse(&["wheel", "7"]), Ok(AddedGroups::Listed(vec![name("wheel"), UserName::Id(7)])));
        assert_eq!(parse(&["keep-groups", "7"]), Err(GroupsRefused::KeptAndListed));
        for text in ["", "a:b", "-1", "4294967296"] {
            assert!(matches!(parse(&[text]), Err(GroupsRefused::Name(_))), "{text:?}");
        }
    }
}
