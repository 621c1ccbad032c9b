//! What was asked for about a container's process, under the names of docker's and podman's `Config` and `HostConfig`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::name::process::ProcessRequest;
use crate::name::process::group_add::AddedGroups;
use crate::name::process::user_namespace::UserNamespace;

/// Of `Config`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct ProcessConfig {
    pub annotations: BTreeMap<String, String>,
    /// Four octal digits.
    pub umask: String,
    /// `local`, a name, or empty for the image's.
    pub timezone: String,
    /// Whether it is prepared for systemd.
    pub systemd_mode: bool,
    /// Who tells a service manager of it.
    #[serde(rename = "sdNotifyMode")]
    pub sd_notify_mode: String,
}

/// Of `HostConfig`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct ProcessHostConfig {
    /// Names and numbers, or `keep-groups`.
    pub group_add: Vec<String>,
    /// Empty for what every container has.
    pub userns_mode: String,
    pub sysctls: BTreeMap<String, String>,
    pub ipc_mode: String,
    pub pid_mode: String,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
}

impl ProcessConfig {
    /// That of a request.
    pub fn of(asked: &ProcessRequest, systemd_mode: bool) -> Self {
        Self {
            systemd_mode,
            sd_notify_mode: asked.notify.to_string(),
            annotations: asked.annotations.clone(),
            umask: asked.umask.to_string(),
            timezone: asked.time_zone.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl ProcessHostConfig {
    /// That of a request.
    pub fn of(asked: &ProcessRequest) -> Self {
        Self {
            group_add: match &asked.groups {
                AddedGroups::None => Vec::new(),
                AddedGroups::Kept => vec!["keep-groups".into()],
                AddedGroups::Listed(names) => names.iter().map(ToString::to_string).collect(),
            },
            userns_mode: match &asked.user_namespace {
                UserNamespace::Private => String::new(),
                mode => mode.to_string(),
            },
            ipc_mode: asked.ipc.to_string(),
            pid_mode: asked.pid.to_string(),
            uts_mode: asked.uts.to_string(),
            sysctls: asked.sysctls.iter().map(|setting| (setting.name(), setting.value.clone())).collect(),
        }
    }
}
