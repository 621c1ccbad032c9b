//! What users type where a container is expected: a name, or the beginning of an identifier.

use std::fmt;
use std::str::FromStr;

use super::container::{ContainerName, NameRefused};

/// A container's name, its identifier, or the beginning of its identifier. A name is tried first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSelector(ContainerName);

impl ContainerSelector {
    /// The text as a name. Every identifier has the form of one.
    pub fn name(&self) -> &ContainerName {
        &self.0
    }

    /// The text, if an identifier can begin so: 1 to 64 lowercase hexadecimal digits.
    pub fn id_prefix(&self) -> Option<&str> {
        let text = self.0.as_str();
        (text.len() <= 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(text)
    }
}

impl FromStr for ContainerSelector {
    type Err = NameRefused;

    fn from_str(text: &str) -> Result<Self, NameRefused> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ContainerSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_prefixes() {
        let prefix = |text: &str| text.parse::<ContainerSelector>().unwrap().id_prefix().map(str::to_owned);
        assert_eq!(prefix("abc"), Some("abc".into()));
        assert_eq!(prefix(&"a".repeat(64)), Some("a".repeat(64)));
        assert_eq!(prefix(&"a".repeat(65)), None);
        assert_eq!(prefix("web"), None);
        assert_eq!(prefix("ABC"), None);
        for text in ["", "-v", "--all", "a/b", "$(id)", ";id", "a\n"] {
            assert!(text.parse::<ContainerSelector>().is_err(), "{text:?}");
        }
    }
}
