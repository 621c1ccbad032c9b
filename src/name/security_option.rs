//! `--security-opt`.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::container_path::{PathRefused, parse_container_path};

/// `--security-opt`, all of them taken together.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecurityOptions {
    /// `no-new-privileges[=true|false]`; the policy decides where absent.
    pub no_new_privileges: Option<bool>,
    /// `seccomp=`.
    pub seccomp: SeccompChoice,
    /// `mask=PATH[:PATH...]`: absolute paths to hide.
    pub mask: Vec<String>,
    /// `unmask=ALL` or paths, shell patterns allowed, that are not to be hidden or made read-only.
    pub unmask: Vec<Unmask>,
    /// `proc-opts=`: options of the container's procfs and their values (proc(5)).
    #[serde(default)]
    pub proc_options: Vec<(String, String)>,
    /// `apparmor=PROFILE`.
    #[serde(default)]
    pub apparmor: Option<String>,
}

/// What not to mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unmask {
    /// Everything (`unmask=ALL`, `systempaths=unconfined`).
    All,
    /// Paths that match this shell pattern.
    Pattern(String),
}

/// `--security-opt seccomp=`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SeccompChoice {
    /// The built-in profile.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A profile in docker's JSON format.
    File(#[serde(with = "super::serialize::os_string")] PathBuf),
}

/// One `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    /// `no-new-privileges`.
    NoNewPrivileges(bool),
    /// `seccomp=`.
    Seccomp(SeccompChoice),
    /// `mask=`.
    Mask(Vec<String>),
    /// `unmask=`, `systempaths=unconfined`.
    Unmask(Vec<Unmask>),
    /// `proc-opts=`.
    ProcOptions(Vec<(String, String)>),
    /// `apparmor=PROFILE`.
    AppArmor(String),
    /// `label=disable`.
    LabelDisable,
    /// `apparmor=unconfined`.
    AppArmorUnconfined,
}

/// All forms, for messages and completion.
pub const FORMS: &[&str] = &[
    "no-new-privileges",
    "no-new-privileges=false",
    "seccomp=unconfined",
    "seccomp=FILE",
    "mask=PATH[:PATH...]",
    "unmask=ALL",
    "unmask=PATH[:PATH...]",
    "systempaths=unconfined",
    "proc-opts=hidepid=2,subset=pid",
    "label=disable",
    "apparmor=unconfined",
    "apparmor=PROFILE",
];

/// Why a security option was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecurityOptionRefused {
    /// Not one of the forms.
    #[error("{0:?} is not a security option of this version")]
    Unknown(String),
    /// `no-new-privileges=maybe`.
    #[error("{0:?} is neither true nor false")]
    NotBoolean(String),
    /// `label=` with something to set.
    #[error("{0:?}: a container has the label of whoever runs it, coracle sets none")]
    Label(String),
    /// Not an option of a procfs that may be chosen.
    #[error("{0:?} is not an option of /proc: expected hidepid=, gid= or subset=pid")]
    ProcOption(String),
    /// A path in `mask=` or `unmask=`.
    #[error("reading the security option {0:?}")]
    Path(String, #[source] PathRefused),
}

impl crate::failure::Explain for SecurityOptionRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown(_) => Some(format!("expected one of: {}", FORMS.join(", "))),
            Self::Label(_) => Some("leave it out; label=disable is what every container has".into()),
            Self::ProcOption(_) => Some("for example: proc-opts=hidepid=2".into()),
            Self::NotBoolean(_) => Some("for example: no-new-privileges=true".into()),
            Self::Path(_, error) => error.hint().or_else(|| Some("for example: mask=/proc/keys".into())),
        }
    }
}

impl SecurityOptions {
    /// These options in order; later ones win where only one can hold, lists grow.
    pub fn apply(&mut self, option: SecurityOption) {
        match option {
            SecurityOption::NoNewPrivileges(value) => self.no_new_privileges = Some(value),
            SecurityOption::Seccomp(choice) => self.seccomp = choice,
            SecurityOption::Mask(paths) => self.mask.extend(paths),
            SecurityOption::Unmask(patterns) => self.unmask.extend(patterns),
            SecurityOption::ProcOptions(options) => self.proc_options.extend(options),
            SecurityOption::AppArmor(profile) => self.apparmor = Some(profile),
            SecurityOption::AppArmorUnconfined => self.apparmor = None,
            SecurityOption::LabelDisable => {}
        }
    }
}

/// `NAME=VALUE`; docker's old form `NAME:VALUE` is understood too.
impl FromStr for SecurityOption {
    type Err = SecurityOptionRefused;

    fn from_str(text: &str) -> Result<Self, SecurityOptionRefused> {
        let refused = || SecurityOptionRefused::Unknown(text.chars().take(120).collect());
        let at = text.find('=').or_else(|| text.find(':'));
        let (name, value) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        Ok(match (name, value) {
            ("no-new-privileges", None) => Self::NoNewPrivileges(true),
            ("no-new-privileges", Some(value)) => Self::NoNewPrivileges(parse_boolean(value)?),
            ("seccomp", Some("unconfined")) => Self::Seccomp(SeccompChoice::Unconfined),
            ("seccomp", Some(file)) if !file.is_empty() => Self::Seccomp(SeccompChoice::File(file.into())),
            ("mask", Some(paths)) => Self::Mask(parse_paths(paths, text)?),
            ("unmask", Some(paths)) if paths.eq_ignore_ascii_case("all") => Self::Unmask(vec![Unmask::All]),
            ("unmask", Some(paths)) => {
                Self::Unmask(parse_paths(paths, text)?.into_iter().map(Unmask::Pattern).collect())
            }
            ("systempaths", Some("unconfined")) => Self::Unmask(vec![Unmask::All]),
            ("proc-opts", Some(options)) => Self::ProcOptions(parse_proc_options(options)?),
            ("label", Some("disable")) => Self::LabelDisable,
            ("label", Some(_)) => return Err(SecurityOptionRefused::Label(text.chars().take(120).collect())),
            ("apparmor", Some("unconfined")) => Self::AppArmorUnconfined,
            ("apparmor", Some(profile)) if is_profile(profile) => Self::AppArmor(profile.into()),
            _ => return Err(refused()),
        })
    }
}

/// Names of profiles are paths, or words with namespaces before them (apparmor.d(5)).
fn is_profile(text: &str) -> bool {
    !text.is_empty() && text.len() < 256 && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The words of `hidepid` and their numbers (proc(5)); the kernel takes both.
fn parse_proc_options(text: &str) -> Result<Vec<(String, String)>, SecurityOptionRefused> {
    const HIDEPID: &[&str] = &["0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"];
    let parse = |word: &str| match word.split_once('=') {
        Some((key @ "hidepid", value)) if HIDEPID.contains(&value) => Ok((key.to_owned(), value.to_owned())),
        Some((key @ "subset", value @ "pid")) => Ok((key.to_owned(), value.to_owned())),
        Some((key @ "gid", value)) if value.parse::<u32>().is_ok() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(SecurityOptionRefused::ProcOption(word.chars().take(80).collect())),
    };
    text.split(',').map(parse).collect()
}

fn parse_boolean(text: &str) -> Result<bool, SecurityOptionRefused> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(SecurityOptionRefused::NotBoolean(text.chars().take(40).collect())),
    }
}

fn parse_paths(paths: &str, whole: &str) -> Result<Vec<String>, SecurityOptionRefused> {
    let refused = |error| SecurityOptionRefused::Path(whole.chars().take(120).collect(), error);
    paths.split(':').map(|path| parse_container_path(path).map_err(refused)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecurityOption, SecurityOptionRefused> {
        text.parse()
    }

    #[test]
    fn both_separators() {
        for text in ["seccomp=unconfined", "seccomp:unconfined"] {
            assert_eq!(parse(text), Ok(SecurityOption::Seccomp(SeccompChoice::Unconfined)));
        }
        for (text, value) in [
            ("no-new-privileges", true),
            ("no-new-privileges=true", true),
            ("no-new-privileges:true", true),
            ("no-new-privileges:false", false),
            ("no-new-privileges=0", false),
        ] {
            assert_eq!(parse(text), Ok(SecurityOption::NoNewPrivileges(value)), "{text}");
        }
        let file = SecurityOption::Seccomp(SeccompChoice::File("a=b:c".into()));
        assert_eq!(parse("seccomp=a=b:c"), Ok(file));
    }

    #[test]
    fn masks() {
        assert_eq!(parse("mask=/a:/b/"), Ok(SecurityOption::Mask(vec!["/a".into(), "/b".into()])));
        assert_eq!(parse("unmask=ALL"), Ok(SecurityOption::Unmask(vec![Unmask::All])));
        assert_eq!(parse("systempaths=unconfined"), Ok(SecurityOption::Unmask(vec![Unmask::All])));
        let pattern = Unmask::Pattern("/proc/*".into());
        assert_eq!(parse("unmask=/proc/*"), Ok(SecurityOption::Unmask(vec![pattern])));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "=", "seccomp", "seccomp=", "label", "apparmor=", "apparmor=a b", "x=y", "-v"] {
            assert!(matches!(parse(text), Err(SecurityOptionRefused::Unknown(_))), "{text}");
        }
        for text in ["label=type:x", "label=nested", "label="] {
            assert!(matches!(parse(text), Err(SecurityOptionRefused::Label(_))), "{text}");
        }
        for text in ["proc-opts=", "proc-opts=hidepid", "proc-opts=hidepid=9", "proc-opts=rw", "proc-opts=gid=x"] {
            assert!(matches!(parse(text), Err(SecurityOptionRefused::ProcOption(_))), "{text}");
        }
        let options = [("hidepid", "2"), ("subset", "pid")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse("proc-opts=hidepid=2,subset=pid"), Ok(SecurityOption::ProcOptions(options.to_vec())));
        assert_eq!(parse("apparmor=docker-default"), Ok(SecurityOption::AppArmor("docker-default".into())));
        for text in ["mask=", "mask=a", "unmask=/a::/b", "unmask=all:/b", "mask=/a:b"] {
            assert!(matches!(parse(text), Err(SecurityOptionRefused::Path(..))), "{text}");
        }
        for text in ["no-new-privileges=", "no-new-privileges=yes"] {
            assert!(matches!(parse(text), Err(SecurityOptionRefused::NotBoolean(_))), "{text}");
        }
    }

    #[test]
    fn later_choices_win_and_lists_grow() {
        let mut all = SecurityOptions::default();
        for text in ["mask=/a", "seccomp=x", "mask=/b", "seccomp=unconfined", "no-new-privileges", "label=disable"] {
            all.apply(text.parse().unwrap());
        }
        assert_eq!((all.no_new_privileges, all.seccomp), (Some(true), SeccompChoice::Unconfined));
        assert_eq!(all.mask, ["/a", "/b"]);
    }
}
