//! `--user`.

use std::str::FromStr;

use crate::container::request::{UserName, UserSpec};

/// Why a user was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a user: expected USER[:GROUP], each a name or a number of at most 2147483647")]
pub struct UserRefused(String);

impl crate::failure::Explain for UserRefused {
    fn code(&self) -> &'static str {
        "E_USER_INVALID"
    }
}

impl FromStr for UserSpec {
    type Err = UserRefused;

    fn from_str(text: &str) -> Result<Self, UserRefused> {
        let refused = || UserRefused(text.chars().take(80).collect());
        let name = |part: &str| -> Option<UserName> {
            if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
                let id = part.parse::<u32>().ok().filter(|&id| i32::try_from(id).is_ok());
                return id.map(UserName::Id);
            }
            let first = part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let word = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(&b));
            (first && word && part.len() <= 256).then(|| UserName::Name(part.to_owned()))
        };
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let user = name(user).ok_or_else(refused)?;
        let group = group.map(|group| name(group).ok_or_else(refused)).transpose()?;
        Ok(Self { user, group })
    }
}
