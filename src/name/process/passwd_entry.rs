//! `--passwd`, `--passwd-entry`, `--group-entry` and `--hostuser`: lines of `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use serde::{Deserialize, Serialize};

use super::Refused;

/// What is added to the files of users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountRequest {
    /// Whether a user that has no line gets none.
    pub none: bool,
    /// The line of a user that has none.
    pub passwd_entry: Option<String>,
    /// The line of a group that has none.
    pub group_entry: Option<String>,
    /// Users of the host that are known inside, by name or number.
    pub host_users: Vec<String>,
}

/// A line of `/etc/passwd`: seven fields, in which `$USERNAME`, `$UID`, `$GID`, `$NAME` and `$HOME` are replaced.
pub fn parse_passwd_entry(text: &str) -> Result<String, Refused> {
    let hint = "like '$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh'";
    line(text, 7).ok_or_else(|| Refused::new(text, "a line of /etc/passwd with its seven fields").with_hint(hint))
}

/// A line of `/etc/group`: four fields, in which `$GROUPNAME` and `$GID` are replaced.
pub fn parse_group_entry(text: &str) -> Result<String, Refused> {
    let hint = "like '$GROUPNAME:x:$GID:'";
    line(text, 4).ok_or_else(|| Refused::new(text, "a line of /etc/group with its four fields").with_hint(hint))
}

fn line(text: &str, fields: usize) -> Option<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let is_line = text.split(':').count() == fields && !text.starts_with([':', '#']);
    (is_line && !text.contains(['\n', '\r', '\0'])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_so_many_fields() {
        let line = "$USERNAME:*:$UID:$GID::/:/bin/sh";
        assert_eq!(parse_passwd_entry(line).as_deref(), Ok(line));
        assert_eq!(parse_group_entry("g:x:7:\n").as_deref(), Ok("g:x:7:"));
        for text in ["", "a", "a:b:c:d:e:f", ":::::::", "a:x:0:0:\n::b", "#a:x:0:0:::"] {
            assert!(parse_passwd_entry(text).is_err(), "{text:?}");
        }
    }
}
