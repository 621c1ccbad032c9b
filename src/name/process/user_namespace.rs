//! `--userns`: how the caller's own id is seen in the container. No file is changed for any of it.

use std::fmt;
use std::str::FromStr;

use super::Refused;
use crate::name::serialize::as_text;
use crate::name::user::UserName;

/// `--userns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserNamespace {
    /// As the container's user, whoever that is.
    #[default]
    Private,
    /// The same: what podman calls so is a container whose root is the caller.
    Host,
    /// As the same number outside and inside, or as these.
    KeepId {
        /// The user; the caller's own number where absent.
        uid: Option<u32>,
        /// The group; the caller's own number where absent.
        gid: Option<u32>,
    },
    /// Not at all.
    NoMap,
    /// Not at all, and by ids that no other container has.
    Auto,
}

const EXPECTED: &str = "private, host, keep-id, keep-id:uid=UID,gid=GID, nomap or auto";

impl FromStr for UserNamespace {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let (word, options) = text.split_once(':').map_or((text, None), |(word, options)| (word, Some(options)));
        match (word, options) {
            ("private" | "", None) => Ok(Self::Private),
            ("host", None) => Ok(Self::Host),
            ("nomap", None) => Ok(Self::NoMap),
            ("auto", _) => Ok(Self::Auto),
            ("keep-id", options) => keep_id(options.unwrap_or_default(), text),
            ("container" | "ns", Some(_)) => Err(Refused::new(text, EXPECTED)
                .with_hint("each container has a user namespace of its own; --pid and --ipc take container:NAME")),
            _ => Err(Refused::new(text, EXPECTED)),
        }
    }
}

fn keep_id(options: &str, text: &str) -> Result<UserNamespace, Refused> {
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let number = |value: &str| match value.parse() {
            Ok(UserName::Id(id)) => Ok(Some(id)),
            _ => Err(Refused::new(text, "keep-id with numbers, like keep-id:uid=1000,gid=1000")),
        };
        match option.split_once('=') {
            Some(("uid", value)) => uid = number(value)?,
            Some(("gid", value)) => gid = number(value)?,
            // How many ids there are is the kernel's to say.
            Some(("size", value)) => drop(number(value)?),
            _ => return Err(Refused::new(text, "keep-id with uid=, gid= or size=, like keep-id:uid=1000,gid=1000")),
        }
    }
    Ok(UserNamespace::KeepId { uid, gid })
}

impl fmt::Display for UserNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Host => f.write_str("host"),
            Self::NoMap => f.write_str("nomap"),
            Self::Auto => f.write_str("auto"),
            Self::KeepId { uid: None, gid: None } => f.write_str("keep-id"),
            Self::KeepId { uid, gid } => {
                let options = [("uid", uid), ("gid", gid)];
                let given = options.into_iter().filter_map(|(key, id)| id.map(|id| format!("{key}={id}")));
                write!(f, "keep-id:{}", given.collect::<Vec<_>>().join(","))
            }
        }
    }
}

as_text!(UserNamespace);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_themselves() {
        for text in ["private", "host", "keep-id", "keep-id:uid=7", "keep-id:uid=7,gid=0", "nomap", "auto"] {
            assert_eq!(text.parse::<UserNamespace>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("keep-id:size=65536".parse(), Ok(UserNamespace::KeepId { uid: None, gid: None }));
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["keepid", "keep-id:uid", "keep-id:uid=-1", "keep-id:uid=07", "keep-id:x=1", "container:x", "ns:/x", "Host"]
        {
            assert!(text.parse::<UserNamespace>().is_err(), "{text}");
        }
    }
}
