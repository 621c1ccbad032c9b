//! The user a container runs as, looked up in its files (SECURITY.md R9).

use std::ffi::CStr;

use super::accounts;
use super::base::{Base, BaseImage};
use super::request::{Request, UserName, UserSpec};
use crate::failure::Failure;
use crate::identity::map::Caller;
use crate::identity::passwd::{self, ResolvedUser};
use crate::name::process::group_add::AddedGroups;
use crate::name::process::user_namespace::UserNamespace;
use crate::rootfs::view::View;

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUser {
    /// What was asked for, as text; empty where nothing was.
    pub asked: String,
    /// User inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
    /// Supplementary groups; those of whoever starts it where absent.
    pub groups: Option<Vec<u32>>,
    /// Home directory.
    pub home: String,
    /// Its name in the image's passwd file.
    pub name: Option<String>,
    /// Whether it is the caller, by `--userns keep-id`.
    pub is_caller: bool,
}

impl ContainerUser {
    /// The user of the request, else the image's, else root. Root without an entry in the image's passwd file has the home
    /// directory `/root`.
    pub fn look_up(request: &Request, base: &Base, view: &View, caller: &Caller) -> Result<Self, Failure> {
        let kept = kept_id(&request.process.user_namespace, caller)?;
        let asked = match (&request.user, &kept, base) {
            (Some(spec), ..) => Some(spec.clone()),
            (None, Some(kept), _) => Some(kept.clone()),
            (None, None, Base::Image(BaseImage { defaults, .. })) if !defaults.user.is_empty() => {
                Some(defaults.user.parse()?)
            }
            _ => None,
        };
        let mut user = match asked {
            Some(spec) => Self::of_spec(&spec, view)?,
            None => Self {
                asked: String::new(),
                uid: 0,
                gid: 0,
                groups: Some(Vec::new()),
                home: root_home(view),
                name: None,
                is_caller: false,
            },
        };
        user.is_caller = kept.is_some() && request.user.is_none();
        if user.is_caller && user.name.is_none() {
            let own = accounts::of_host(&UserName::Id(caller.uid));
            user.home = accounts::home_inside(own.as_ref().map(|own| own.home.as_str()), request);
        }
        user.add_groups(&request.process.groups, view, caller.ranges.is_some())?;
        Ok(user)
    }

    /// `--group-add`. Without privilege nobody gets a group that it has not, and nobody loses one that it has.
    pub fn add_groups(&mut self, added: &AddedGroups, view: &View, is_privileged: bool) -> Result<(), Failure> {
        let names = match added {
            AddedGroups::None => return Ok(()),
            AddedGroups::Kept => {
                self.groups = None;
                return Ok(());
            }
            AddedGroups::Listed(names) => names,
        };
        let bytes = read(view, c"etc/group", passwd::GROUP)?;
        for name in names {
            let gid = passwd::find_group(name, bytes.as_deref().unwrap_or_default())?;
            if !is_privileged && gid != self.gid {
                let message = format!(
                    "--group-add {name}: the kernel lets an unprivileged user give a container one group, which is {}",
                    self.gid
                );
                return Err(Failure::new("E_USER_INVALID", message).with_hint(
                    "--group-add keep-groups keeps the groups that this user has; --user USER:GROUP chooses the one",
                ));
            }
            let groups = self.groups.get_or_insert_default();
            if !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        Ok(())
    }

    /// The line of a user in the image's passwd file: its name.
    pub fn line_of(user: &UserName, view: &View) -> Result<Option<String>, Failure> {
        let passwd = read(view, c"etc/passwd", passwd::PASSWD)?;
        let spec = UserSpec { user: user.clone(), group: None };
        Ok(passwd::resolve_user(&spec, passwd.as_deref(), None)?.name)
    }

    /// The user that `spec` names in the files of `view`.
    pub fn of_spec(spec: &UserSpec, view: &View) -> Result<Self, Failure> {
        let passwd = read(view, c"etc/passwd", passwd::PASSWD)?;
        let group = read(view, c"etc/group", passwd::GROUP)?;
        let resolved = passwd::resolve_user(spec, passwd.as_deref(), group.as_deref())?;
        let ResolvedUser { uid, gid, groups, home, name } = resolved;
        Ok(Self { asked: spec.to_string(), uid, gid, groups: Some(groups), home, name, is_caller: false })
    }
}

/// The user that `--userns` makes of the caller, if it says so.
fn kept_id(mode: &UserNamespace, caller: &Caller) -> Result<Option<UserSpec>, Failure> {
    let refused = |message: &str, hint: &str| Err(Failure::new("E_USER_INVALID", message).with_hint(hint));
    match mode {
        UserNamespace::Private | UserNamespace::Host => Ok(None),
        UserNamespace::KeepId { uid, gid } if caller.ranges.is_none() => Ok(Some(UserSpec {
            user: UserName::Id(uid.unwrap_or(caller.uid)),
            group: Some(UserName::Id(gid.unwrap_or(caller.gid))),
        })),
        UserNamespace::KeepId { uid: None, gid: None } => Ok(None),
        UserNamespace::KeepId { .. } => refused(
            "--userns keep-id: root has every id already, and none of them can stand for another",
            "--user says who the container's process is",
        ),
        UserNamespace::NoMap => refused(
            "--userns nomap: the one id that the kernel lets this user map is the one that the container's process has",
            "--userns private is what there is; --user chooses the number that is seen inside",
        ),
        UserNamespace::Auto => refused(
            "--userns auto: it needs ids that no other container has, and this user has one id",
            "--userns private gives the container a user namespace of its own, with that id",
        ),
    }
}

/// Root needs no entry, so a file that cannot be used is none.
fn root_home(view: &View) -> String {
    let root = UserSpec { user: UserName::Id(0), group: None };
    let passwd = read(view, c"etc/passwd", passwd::PASSWD).ok().flatten();
    let resolved = passwd.and_then(|bytes| passwd::resolve_user(&root, Some(&bytes), None).ok());
    resolved.map(|user| user.home).filter(|home| home != "/").unwrap_or_else(|| "/root".into())
}

/// A file of users or groups.
pub fn read(view: &View, path: &CStr, shown: &'static str) -> Result<Option<Vec<u8>>, Failure> {
    let opened =
        view.open(path).map_err(|cause| Failure::new("E_USER_DB", format!("opening the image's {shown}: {cause}")))?;
    Ok(opened.map(|file| passwd::read(&file, shown)).transpose()?)
}
