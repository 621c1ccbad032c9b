//! The user a container runs as, looked up in its files (SECURITY.md R9).

use std::ffi::CStr;

use super::base::{Base, BaseImage};
use super::request::{Request, UserName, UserSpec};
use crate::failure::Failure;
use crate::identity::passwd::{self, ResolvedUser};
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
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

impl ContainerUser {
    /// The user of the request, else the image's, else root. Root without an entry in the image's passwd file has the home
    /// directory `/root`.
    pub fn look_up(request: &Request, base: &Base, view: &View) -> Result<Self, Failure> {
        let asked = match (&request.user, base) {
            (Some(spec), _) => Some(spec.clone()),
            (None, Base::Image(BaseImage { defaults, .. })) if !defaults.user.is_empty() => {
                Some(defaults.user.parse()?)
            }
            _ => None,
        };
        match asked {
            Some(spec) => Self::of_spec(&spec, view),
            None => Ok(Self { asked: String::new(), uid: 0, gid: 0, groups: Vec::new(), home: root_home(view) }),
        }
    }

    /// The user that `spec` names in the files of `view`.
    pub fn of_spec(spec: &UserSpec, view: &View) -> Result<Self, Failure> {
        let passwd = read(view, c"etc/passwd", passwd::PASSWD)?;
        let group = read(view, c"etc/group", passwd::GROUP)?;
        let resolved = passwd::resolve_user(spec, passwd.as_deref(), group.as_deref())?;
        let ResolvedUser { uid, gid, groups, home, .. } = resolved;
        Ok(Self { asked: spec.to_string(), uid, gid, groups, home })
    }
}

/// Root needs no entry, so a file that cannot be used is none.
fn root_home(view: &View) -> String {
    let root = UserSpec { user: UserName::Id(0), group: None };
    let passwd = read(view, c"etc/passwd", passwd::PASSWD).ok().flatten();
    let resolved = passwd.and_then(|bytes| passwd::resolve_user(&root, Some(&bytes), None).ok());
    resolved.map(|user| user.home).filter(|home| home != "/").unwrap_or_else(|| "/root".into())
}

fn read(view: &View, path: &CStr, shown: &'static str) -> Result<Option<Vec<u8>>, Failure> {
    let opened =
        view.open(path).map_err(|cause| Failure::new("E_USER_DB", format!("opening the image's {shown}: {cause}")))?;
    Ok(opened.map(|file| passwd::read(&file, shown)).transpose()?)
}
