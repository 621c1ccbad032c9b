//! Users and groups of an image, from its `/etc/passwd` and `/etc/group` (passwd(5), group(5)): our own parser, because
//! the files are the image author's and nothing of the image may run on our side (SECURITY.md R7, R9).

use std::fs::File;
use std::io::Read;

use crate::name::user::{UserName, UserSpec};

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// Longest line that is read, in bytes.
pub const MAX_LINE: usize = 1 << 16;

/// Most supplementary groups that the kernel takes (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65536;

/// The user that a container's process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` for users without one.
    pub home: String,
    /// Login name, if the image has one for this user.
    pub name: Option<String>,
}

/// Why a user of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such name in `/etc/passwd`.
    #[error("looking up user {0:?}: not in the image's /etc/passwd")]
    NoUser(String),
    /// No such name in `/etc/group`.
    #[error("looking up group {0:?}: not in the image's /etc/group")]
    NoGroup(String),
    /// The line that was looked for has something else where an id or a path should be.
    #[error("reading the image's {file}: the entry of {name:?} is not usable")]
    Entry {
        /// Path in the image.
        file: &'static str,
        /// First field of the line.
        name: String,
    },
    /// More than the kernel takes.
    #[error("reading the image's /etc/group: more than {MAX_GROUPS} groups have the user as a member")]
    TooManyGroups,
    /// A FIFO, a device, a directory.
    #[error("reading the image's {0}: not a regular file")]
    NotRegular(&'static str),
    /// Beyond [`MAX_FILE`].
    #[error("reading the image's {0}: more than {MAX_FILE} bytes")]
    TooLarge(&'static str),
    /// Beyond [`MAX_LINE`].
    #[error("reading the image's {0}: a line of more than {MAX_LINE} bytes")]
    LongLine(&'static str),
    /// The system says no.
    #[error("reading the image's {0}")]
    Read(&'static str, #[source] std::io::Error),
}

impl crate::failure::Explain for UserError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoUser(_) | Self::NoGroup(_) => "E_USER_INVALID",
            _ => "E_USER_DB",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoUser(_) | Self::NoGroup(_) => "give a name that the image has, or a number: `--user UID:GID`",
            _ => "the image's file is damaged or hostile: choose another image",
        };
        Some(text.into())
    }
}

/// `/etc/passwd` in messages.
pub const PASSWD: &str = "/etc/passwd";
/// `/etc/group` in messages.
pub const GROUP: &str = "/etc/group";

/// The contents of an opened [`PASSWD`] or [`GROUP`].
///
/// The caller resolves the path inside the root (R1), with `O_NONBLOCK`: opening a FIFO would wait for a writer.
pub fn read(file: &File, path: &'static str) -> Result<Vec<u8>, UserError> {
    let failed = |cause| UserError::Read(path, cause);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(UserError::NotRegular(path));
    }
    if metadata.len() > MAX_FILE as u64 {
        return Err(UserError::TooLarge(path));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // It may grow while it is read.
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_FILE {
        return Err(UserError::TooLarge(path));
    }
    Ok(bytes)
}

/// Who `spec` is, by the contents of the image's files, as docker and podman see it. The first matching line counts.
///
/// A number is never looked up as a name, but a user with that id gives group, home and supplementary groups; without one
/// the group is 0. With a group in `spec` there are no supplementary groups.
pub fn resolve_user(spec: &UserSpec, passwd: Option<&[u8]>, group: Option<&[u8]>) -> Result<ResolvedUser, UserError> {
    let mut user = find_user(&spec.user, passwd.unwrap_or_default())?;
    match (&spec.group, &user.name) {
        (Some(name), _) => user.gid = find_group(name, group.unwrap_or_default())?,
        (None, Some(name)) => user.groups = memberships(name, group.unwrap_or_default())?,
        (None, None) => {}
    }
    Ok(user)
}

/// Whether there are accounts of other ids than 0. A line that cannot be understood may be one.
pub fn has_other_accounts(passwd: &[u8]) -> bool {
    entries(passwd, PASSWD).any(|entry| entry.and_then(|entry| entry.id(2)).map_or(true, |id| id != 0))
}

fn find_user(wanted: &UserName, passwd: &[u8]) -> Result<ResolvedUser, UserError> {
    for entry in entries(passwd, PASSWD) {
        // name:password:uid:gid:comment:home:shell
        let entry = entry?;
        if !entry.is(wanted) {
            continue;
        }
        let home = match entry.text(5)? {
            "" => "/",
            home => home,
        };
        let (uid, gid) = (entry.id(2)?, entry.id(3)?);
        return Ok(ResolvedUser { uid, gid, groups: vec![], home: home.into(), name: Some(entry.text(0)?.into()) });
    }
    match wanted {
        UserName::Id(uid) => Ok(ResolvedUser { uid: *uid, gid: 0, groups: vec![], home: "/".into(), name: None }),
        UserName::Name(name) => Err(UserError::NoUser(name.clone())),
    }
}

fn find_group(wanted: &UserName, group: &[u8]) -> Result<u32, UserError> {
    let name = match wanted {
        UserName::Id(gid) => return Ok(*gid),
        UserName::Name(name) => name,
    };
    for entry in entries(group, GROUP) {
        // name:password:gid:members
        let entry = entry?;
        if entry.is(wanted) {
            return entry.id(2);
        }
    }
    Err(UserError::NoGroup(name.clone()))
}

/// The groups that list `user` as a member, in the file's order.
fn memberships(user: &str, group: &[u8]) -> Result<Vec<u32>, UserError> {
    let mut groups = Vec::new();
    for entry in entries(group, GROUP) {
        let entry = entry?;
        let mut members = entry.field(3).split(|&byte| byte == b',');
        if members.any(|member| member == user.as_bytes()) {
            groups.push(entry.id(2)?);
        }
    }
    let mut seen = std::collections::HashSet::new();
    groups.retain(|&gid| seen.insert(gid));
    if groups.len() > MAX_GROUPS {
        return Err(UserError::TooManyGroups);
    }
    Ok(groups)
}

/// One line.
struct Entry<'a> {
    line: &'a [u8],
    file: &'static str,
}

/// The lines of `bytes`, but for empty ones and comments.
fn entries<'a>(bytes: &'a [u8], file: &'static str) -> impl Iterator<Item = Result<Entry<'a>, UserError>> {
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#');
    lines.map(move |line| match line.len() {
        0..=MAX_LINE => Ok(Entry { line, file }),
        _ => Err(UserError::LongLine(file)),
    })
}

impl<'a> Entry<'a> {
    /// The bytes of a field; none if the line ends before it.
    fn field(&self, index: usize) -> &'a [u8] {
        self.line.split(|&byte| byte == b':').nth(index).unwrap_or_default()
    }

    /// Whether this is the line of `wanted`. A line without a usable id is no number's line, but it is its name's: what is
    /// meant there must not be looked for further down.
    fn is(&self, wanted: &UserName) -> bool {
        match wanted {
            UserName::Name(name) => self.field(0) == name.as_bytes(),
            UserName::Id(id) => self.id(2).is_ok_and(|own| own == *id),
        }
    }

    fn text(&self, index: usize) -> Result<&'a str, UserError> {
        let text = std::str::from_utf8(self.field(index)).ok().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| self.unusable())
    }

    /// A field that must be an id as [`UserName`] takes it.
    fn id(&self, index: usize) -> Result<u32, UserError> {
        match self.text(index)?.parse() {
            Ok(UserName::Id(id)) => Ok(id),
            _ => Err(self.unusable()),
        }
    }

    fn unusable(&self) -> UserError {
        let name = String::from_utf8_lossy(self.field(0)).chars().take(80).collect();
        UserError::Entry { file: self.file, name }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Explain;

    const USERS: &str = "\
root:x:0:0:root:/root:/bin/sh
# app:x:0:0::/:
app:x:1000:1001:An app,,,:/srv/app:/bin/false
twin:x:1000:7::/elsewhere:
bare:x:5:5

+::::::
big:x:4294967296:0::/:
signed:x:-1:0::/:
0:x:33:33::/:
";
    const GROUPS: &str = "\
root:x:0:
wheel:x:10:root,app
app:x:1001:
video:x:44:x,app,y
again:x:44:app
apple:x:45:apples
broken:x:zero:bare
";

    fn resolve(spec: &str) -> Result<ResolvedUser, UserError> {
        resolve_user(&spec.parse().expect("a spec"), Some(USERS.as_bytes()), Some(GROUPS.as_bytes()))
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str, name: Option<&str>) -> ResolvedUser {
        let (home, name) = (home.to_owned(), name.map(str::to_owned));
        ResolvedUser { uid, gid, groups: groups.to_vec(), home, name }
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let app = user(1000, 1001, &[10, 44], "/srv/app", Some("app"));
        assert_eq!(resolve("app").expect("by name"), app);
        assert_eq!(resolve("1000").expect("by number, first line"), app);
        assert_eq!(resolve("app:0").expect("group"), user(1000, 0, &[], "/srv/app", Some("app")));
        assert_eq!(resolve("app:video").expect("group"), user(1000, 44, &[], "/srv/app", Some("app")));
        assert_eq!(resolve("1:wheel").expect("group"), user(1, 10, &[], "/", None));
        assert_eq!(resolve("4242").expect("no line"), user(4242, 0, &[], "/", None));
        assert_eq!(resolve("root").expect("root"), user(0, 0, &[10], "/root", Some("root")));
        assert_eq!(resolve("0").expect("a number is not the name 0"), user(0, 0, &[10], "/root", Some("root")));
        let nobody = resolve_user(&"7:8".parse().expect("a spec"), None, None);
        assert_eq!(nobody.expect("no files"), user(7, 8, &[], "/", None));
    }

    #[test]
    fn other_accounts_are_seen() {
        for (passwd, expected) in [
            ("", false),
            ("# users\n\nroot:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n", false),
            ("root:x:0:0::/:\nnobody:x:65534:65534::/:\n", true),
            ("root:x:0:0::/:\n+::::::\n", true),
        ] {
            assert_eq!(has_other_accounts(passwd.as_bytes()), expected, "{passwd}");
        }
    }

    #[test]
    fn unknown_names_and_unusable_lines_are_errors() {
        for (spec, code) in [
            ("nobody", "E_USER_INVALID"),
            ("app:nogroup", "E_USER_INVALID"),
            ("0:nogroup", "E_USER_INVALID"),
            ("big", "E_USER_DB"),
            ("signed", "E_USER_DB"),
            ("app:broken", "E_USER_DB"),
            ("bare", "E_USER_DB"),
        ] {
            let error = resolve(spec).expect_err(spec);
            assert_eq!(error.code(), code, "{spec}");
            assert!(error.hint().is_some());
        }
        let root = resolve_user(&"root".parse().expect("a spec"), None, None);
        assert!(matches!(root, Err(UserError::NoUser(_))));
    }

    #[test]
    fn only_regular_files_of_bounded_size_and_lines_are_read() {
        let open = |path: &std::path::Path| File::open(path).expect("it can be opened");
        assert!(matches!(read(&open("/dev/zero".as_ref()), PASSWD), Err(UserError::NotRegular(PASSWD))));
        assert!(matches!(read(&open("/".as_ref()), GROUP), Err(UserError::NotRegular(GROUP))));
        let directory = tempfile::tempdir().expect("a directory");
        let sparse = directory.path().join("passwd");
        File::create(&sparse).and_then(|file| file.set_len(2 << 30)).expect("a sparse file");
        assert!(matches!(read(&open(&sparse), PASSWD), Err(UserError::TooLarge(PASSWD))));
        std::fs::write(&sparse, USERS).expect("a file");
        assert_eq!(read(&open(&sparse), PASSWD).expect("a regular file"), USERS.as_bytes());
        let long = [b"x:".repeat(MAX_LINE), USERS.as_bytes().to_vec()].concat();
        let error = resolve_user(&"app".parse().expect("a spec"), Some(&long), None);
        assert!(matches!(error, Err(UserError::LongLine(PASSWD))));
    }

    /// Another reading of the same files: line by line into columns, no sharing with the code above.
    fn reference(uid: Option<u32>, name: &str, passwd: &str) -> Option<(u32, u32)> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id < 1 << 31 && id.to_string() == text);
        for line in passwd.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.splitn(7, ':').chain(["", "", ""]).collect();
            let own = columns.get(2).and_then(|text| number(text));
            if uid.map_or(columns[0] == name && !line.is_empty(), |uid| own == Some(uid)) {
                return Some((own?, number(columns[3])?));
            }
        }
        uid.map(|uid| (uid, 0))
    }

    proptest! {
        #[test]
        fn resolving_agrees_with_a_simple_reading(
            lines in proptest::collection::vec("[ab#]{0,2}:x:(0|1|2|00|-1|4294967296|):(0|1|9|x):[a:]?", 0..8),
            by_number: bool,
        ) {
            let passwd = lines.join("\n");
            let wanted = if by_number { UserName::Id(1) } else { UserName::Name("a".into()) };
            let spec = UserSpec { user: wanted, group: None };
            let got = resolve_user(&spec, Some(passwd.as_bytes()), None).ok().map(|user| (user.uid, user.gid));
            prop_assert_eq!(got, reference(by_number.then_some(1), "a", &passwd));
        }

        #[test]
        fn no_bytes_make_it_panic(passwd: Vec<u8>, group: Vec<u8>) {
            for spec in ["root", "0", "1:a"] {
                let _ = resolve_user(&spec.parse().expect("a spec"), Some(&passwd), Some(&group));
            }
        }
    }
}
