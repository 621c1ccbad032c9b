//! Users and groups as `--user` and an image's `User` name them: `USER[:GROUP]`.

use std::fmt;
use std::str::FromStr;

/// `--user`: names are looked up in the image's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    /// User.
    pub user: UserName,
    /// Group; the user's own where absent.
    pub group: Option<UserName>,
}

/// A user or group by number or by name. All-digits text is always a number (SECURITY.md R9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserName {
    /// At most 2^31-1.
    Id(u32),
    /// To be found in the image's `/etc/passwd` or `/etc/group`.
    Name(String),
}

/// Why a user or group was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserRefused {
    /// Digits that are not a number in one way only, or a number that is no id: a wrapped or half-read number would be
    /// another user, root at worst (CVE-2024-40635).
    #[error("{0:?} is not a user or group id: expected a decimal number from 0 to 2147483647 without leading zeroes")]
    Number(String),
    /// Nothing that a passwd or group file could have as a name.
    #[error("{0:?} is not a user or group: expected a number, or a name of letters, digits, '_', '.', '-', '$'")]
    Name(String),
}

impl crate::failure::Explain for UserRefused {
    fn code(&self) -> &'static str {
        "E_USER_INVALID"
    }

    fn hint(&self) -> Option<String> {
        Some("name the user as USER[:GROUP], for example `--user 1000:1000` or `--user www-data`".into())
    }
}

impl FromStr for UserName {
    type Err = UserRefused;

    fn from_str(text: &str) -> Result<Self, UserRefused> {
        let shown = || text.chars().take(80).collect();
        if text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit()) {
            let exact = text == "0" || !text.starts_with('0');
            let id = text.parse().ok().filter(|&id| exact && i32::try_from(id).is_ok());
            return id.map(Self::Id).ok_or_else(|| UserRefused::Number(shown()));
        }
        // useradd(8): begins with a letter or '_'; '$' ends Samba's machine accounts. Digits are no beginning, so that
        // "0x0" or "1e3" are never names.
        let first = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(&b));
        if first && word && text.len() <= 256 {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(UserRefused::Name(shown()))
    }
}

/// `USER` or `USER:GROUP`; neither may be empty.
impl FromStr for UserSpec {
    type Err = UserRefused;

    fn from_str(text: &str) -> Result<Self, UserRefused> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        Ok(Self { user: user.parse()?, group: group.map(str::parse).transpose()? })
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

super::serialize::as_text!(UserSpec, UserName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// CVE-2024-40635, CVE-2026-46680: none of these is user 0, nor a name to look up.
    #[test]
    fn odd_numbers_are_refused() {
        for text in [
            "4294967296",
            "2147483648",
            "-1",
            "0x0",
            "+0",
            "00",
            "007",
            " 0",
            "0 ",
            "99999999999",
            "0\n",
            "٠",
            "1e3",
            "0b0",
            "4294967295",
            "18446744073709551616",
            "1_000",
            "",
            ":",
            "0:",
            ":0",
            "0:0:0",
            "root:",
            "a b",
            "-v",
            "../x",
            "é",
            "root\0",
        ] {
            assert!(text.parse::<UserSpec>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn users_and_groups() {
        let name = |name: &str| UserName::Name(name.into());
        let spec = |user, group| Ok(UserSpec { user, group });
        assert_eq!("0".parse(), spec(UserName::Id(0), None));
        assert_eq!("2147483647:1".parse(), spec(UserName::Id(i32::MAX as u32), Some(UserName::Id(1))));
        assert_eq!("www-data".parse(), spec(name("www-data"), None));
        assert_eq!("_apt:nogroup".parse(), spec(name("_apt"), Some(name("nogroup"))));
        assert_eq!("HOST$:5".parse(), spec(name("HOST$"), Some(UserName::Id(5))));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_means_itself(text in "[0-9a-z:_+ -]{0,12}|\\PC{0,8}|[0-9]{1,24}") {
            if let Ok(spec) = text.parse::<UserSpec>() {
                prop_assert_eq!(spec.to_string(), text);
            }
        }

        #[test]
        fn every_id_is_accepted(id in 0..=i32::MAX as u32) {
            prop_assert_eq!(id.to_string().parse(), Ok(UserName::Id(id)));
        }
    }
}
