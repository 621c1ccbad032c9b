//! What was asked for about a container's process and its surroundings, beside what has a type of its own.

pub mod annotation;
pub mod group_add;
pub mod merge;
pub mod namespace_mode;
pub mod notify_mode;
pub mod passwd_entry;
pub mod personality;
pub mod sysctl;
pub mod systemd_mode;
pub mod time_zone;
pub mod umask;
pub mod user_namespace;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::group_add::AddedGroups;
use self::merge::Merge;
use self::namespace_mode::{IpcMode, NamespaceMode};
use self::notify_mode::NotifyMode;
use self::passwd_entry::AccountRequest;
use self::personality::Personality;
use self::sysctl::Sysctl;
use self::systemd_mode::SystemdMode;
use self::time_zone::TimeZone;
use self::umask::Umask;
use self::user_namespace::UserNamespace;
use super::env_setting::EnvSetting;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessRequest {
    /// What the environment begins with, before the image's.
    pub base_env: Vec<EnvSetting>,
    /// Variables of the environment so far that are made from others of it (`--env-merge`).
    pub merges: Vec<Merge>,
    /// Variables that are not set unless `--env` or `--env-file` sets them.
    pub unset: Vec<String>,
    /// The same for all variables.
    pub unset_all: bool,
    /// File mode creation mask.
    pub umask: Umask,
    /// Kernel settings.
    pub sysctls: Vec<Sysctl>,
    /// Kernel settings that are left out where their namespace is not the container's own.
    pub default_sysctls: Vec<Sysctl>,
    /// Supplementary groups.
    pub groups: AddedGroups,
    /// How the caller's own id is seen.
    pub user_namespace: UserNamespace,
    /// Lines of `/etc/passwd` and `/etc/group`.
    pub accounts: AccountRequest,
    /// The time zone of `/etc/localtime`; the image's where absent.
    pub time_zone: Option<TimeZone>,
    /// For whoever looks at the container, and for hooks.
    pub annotations: BTreeMap<String, String>,
    /// What kind of machine it sees.
    pub personality: Personality,
    /// Whose messages and shared memory it sees.
    pub ipc: IpcMode,
    /// Whose processes.
    pub pid: NamespaceMode,
    /// Whose host name.
    pub uts: NamespaceMode,
    /// Whether it is prepared for systemd.
    pub systemd: SystemdMode,
    /// Whether it has the caller's session keyring, and none of its own.
    pub shares_keyring: bool,
    /// Who tells a service manager of it.
    pub notify: NotifyMode,
}

impl ProcessRequest {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a value was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {expected}")]
pub struct Refused {
    text: String,
    expected: &'static str,
    hint: Option<&'static str>,
}

impl Refused {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(120).collect(), expected, hint: None }
    }

    fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl crate::failure::Explain for Refused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        self.hint.map(Into::into)
    }
}
