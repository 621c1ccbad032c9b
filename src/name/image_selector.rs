//! What users type where an image is expected: a reference, or the beginning of an image's identifier.

use std::fmt;
use std::str::FromStr;

use super::reference::{Reference, ReferenceSyntax};
use super::serialize::as_text;

/// What the user typed where an image is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSelector {
    /// A reference; where the text could also be the beginning of an image id, that text in lowercase hexadecimal, tried
    /// if there is no image of that name.
    Reference(Reference, Option<String>),
    /// Certainly an image id: 1 to 64 lowercase hexadecimal digits, of which `sha256:` was stripped.
    Id(String),
}

impl FromStr for ImageSelector {
    type Err = ReferenceSyntax;

    fn from_str(text: &str) -> Result<Self, ReferenceSyntax> {
        if let Some(digits) = text.strip_prefix("sha256:")
            && is_id_prefix(digits)
        {
            return Ok(Self::Id(digits.to_owned()));
        }
        // 64 digits are never a name: docker's reference package refuses them as one for this reason.
        if text.len() == 64 && is_id_prefix(text) {
            return Ok(Self::Id(text.to_owned()));
        }
        let reference = text.parse()?;
        Ok(Self::Reference(reference, is_id_prefix(text).then(|| text.to_owned())))
    }
}

fn is_id_prefix(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The reference in its complete form, or the digits after `sha256:`.
impl fmt::Display for ImageSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference, _) => fmt::Display::fmt(reference, f),
            Self::Id(digits) => write!(f, "sha256:{digits}"),
        }
    }
}

as_text!(ImageSelector);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ImageSelector {
        text.parse().unwrap()
    }

    #[test]
    fn ids_and_references() {
        let full = "0123456789abcdef".repeat(4);
        assert_eq!(parse(&full), ImageSelector::Id(full.clone()));
        assert_eq!(parse("sha256:ab"), ImageSelector::Id("ab".into()));
        assert_eq!(parse("abc"), ImageSelector::Reference("abc".parse().unwrap(), Some("abc".into())));
        assert_eq!(parse("debian"), ImageSelector::Reference("debian".parse().unwrap(), None));
        assert_eq!(parse("abc:1"), ImageSelector::Reference("abc:1".parse().unwrap(), None));
    }

    // CVE-2024-32462: nothing that another program could take for an option is a name.
    #[test]
    fn options_and_shell_syntax_are_refused() {
        for text in ["", "-v", "--privileged", "--mount=type=bind", ";id", "$(id)", "a\n", "sha256:", "A"] {
            assert!(text.parse::<ImageSelector>().is_err(), "{text:?}");
        }
    }
}
