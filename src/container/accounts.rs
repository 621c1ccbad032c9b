//! Lines of `/etc/passwd` and `/etc/group` that a container gets beside its image's.

use std::ffi::CStr;

use super::request::{Request, UserName};
use super::user::ContainerUser;
use crate::failure::Failure;
use crate::identity::map::Caller;
use crate::identity::passwd::{self, Account};
use crate::name::process::merge::expand;
use crate::name::process::user_namespace::UserNamespace;
use crate::rootfs::view::View;

/// What is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Lines of `/etc/passwd`.
    pub passwd: Vec<String>,
    /// Lines of `/etc/group`.
    pub group: Vec<String>,
}

fn line(account: &Account, template: Option<&str>) -> String {
    let Account { name, uid, gid, comment, home } = account;
    let Some(template) = template else { return format!("{name}:*:{uid}:{gid}:{comment}:{home}:/bin/sh") };
    expand(template, |variable| match variable {
        "USERNAME" => name.clone(),
        "UID" => uid.to_string(),
        "GID" => gid.to_string(),
        "NAME" => comment.clone(),
        "HOME" => home.clone(),
        _ => String::new(),
    })
}

/// The line of a user in the host's passwd file. Not by getpwnam(3), which loads libraries that a static program cannot have.
pub fn of_host(user: &UserName) -> Option<Account> {
    let file = std::fs::File::open(passwd::PASSWD).ok()?;
    passwd::account(user, &passwd::read(&file, passwd::PASSWD).ok()?)
}

impl Accounts {
    /// The lines that `user` lacks in the files of `view`, and those of the host's users that were asked for.
    pub fn of(request: &Request, user: &ContainerUser, caller: &Caller, view: &View) -> Result<Self, Failure> {
        let asked = &request.process.accounts;
        let mut accounts = Self::default();
        for name in &asked.host_users {
            let account = host_user(name, request)?;
            if ContainerUser::line_of(&UserName::Id(account.uid), view)?.is_none() {
                accounts.passwd.push(line(&account, None));
            }
        }
        // Root without a line is a user that nobody looks up.
        if asked.none || user.asked.is_empty() {
            return Ok(accounts);
        }
        let is_known = |line: &String| line.split(':').nth(2) == Some(&user.uid.to_string());
        if user.name.is_none() && !accounts.passwd.iter().any(is_known) {
            let is_caller = matches!(request.process.user_namespace, UserNamespace::KeepId { .. }) && user.is_caller;
            let own = is_caller.then(|| of_host(&UserName::Id(caller.uid))).flatten();
            let (name, comment) = match own {
                Some(own) => (own.name, own.comment),
                None => (user.uid.to_string(), "container user".to_owned()),
            };
            let account = Account { name, uid: user.uid, gid: user.gid, comment, home: user.home.clone() };
            accounts.passwd.push(line(&account, asked.passwd_entry.as_deref()));
        }
        if !has_group(user.gid, view)? {
            let name = user.gid.to_string();
            accounts.group.push(match &asked.group_entry {
                None => format!("{name}:x:{name}:"),
                Some(template) => expand(template, |variable| match variable {
                    "GROUPNAME" | "GID" => name.clone(),
                    _ => String::new(),
                }),
            });
        }
        Ok(accounts)
    }
}

fn workdir(request: &Request) -> String {
    request.workdir.clone().unwrap_or_else(|| "/".into())
}

/// Where a user of the host has its home inside: in its own home if that is mounted there.
pub fn home_inside(host_home: Option<&str>, request: &Request) -> String {
    let mounted = host_home.filter(|home| request.destinations().any(|destination| destination == *home));
    mounted.map_or_else(|| workdir(request), str::to_owned)
}

fn host_user(name: &str, request: &Request) -> Result<Account, Failure> {
    let found = name.parse().ok().and_then(|name| of_host(&name));
    let user = found.ok_or_else(|| {
        Failure::new("E_USER_INVALID", format!("--hostuser: /etc/passwd of this machine has no user {name:?}"))
            .with_hint("name a user of this machine, like root")
    })?;
    let home = home_inside(Some(&user.home), request);
    Ok(Account { home, ..user })
}

/// Whether the image has a line for the group.
fn has_group(gid: u32, view: &View) -> Result<bool, Failure> {
    const GROUP: &CStr = c"etc/group";
    let bytes = super::user::read(view, GROUP, passwd::GROUP)?;
    Ok(passwd::has_group(gid, bytes.as_deref().unwrap_or_default()))
}
