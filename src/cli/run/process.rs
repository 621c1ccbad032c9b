//! Flags about a container's process and what it finds around itself.

use std::ffi::OsString;

use clap::Args;

use super::{all_parsed, env_settings, of_flag, parsed, with};
use crate::failure::{Explain, Failure};
use crate::host::config::containers::ContainersConf;
use crate::host::env;
use crate::name::env_setting::EnvSetting;
use crate::name::process::ProcessRequest;
use crate::name::process::annotation::parse_annotation;
use crate::name::process::group_add::AddedGroups;
use crate::name::process::passwd_entry::{AccountRequest, parse_group_entry, parse_passwd_entry};

/// Of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct ProcessFlags {
    /// Begin the environment with all that this command has
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::tree::parse_boolean)]
    env_host: Option<bool>,
    /// Make a variable of the image from others of it: PATH=${PATH}:/opt/bin
    #[arg(long, value_name = "NAME=TEXT")]
    env_merge: Vec<String>,
    /// Leave out a variable that the image or coracle sets
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,
    /// Leave out all of them
    #[arg(long)]
    unsetenv_all: bool,
    /// Set the variables of proxies, http_proxy and its like, as they are here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::tree::parse_boolean)]
    http_proxy: Option<bool>,
    /// Supplementary group, or keep-groups for those of this user
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// How this user is seen inside: private, host, keep-id, keep-id:uid=UID,gid=GID
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// Add a line for a user that /etc/passwd lacks [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::tree::parse_boolean)]
    passwd: Option<bool>,
    /// That line; $USERNAME, $UID, $GID, $NAME and $HOME are replaced
    #[arg(long, value_name = "LINE")]
    passwd_entry: Option<String>,
    /// Line for a group that /etc/group lacks; $GROUPNAME and $GID are replaced
    #[arg(long, value_name = "LINE")]
    group_entry: Option<String>,
    /// Add a line for this user of the host
    #[arg(long, value_name = "NAME")]
    hostuser: Vec<String>,
    /// File mode creation mask [default: 0022]
    #[arg(long, value_name = "MASK")]
    umask: Option<String>,
    /// Kernel setting of the container's namespaces: net.ipv4.ip_forward=1
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Time zone: local or a name like Europe/Berlin [default: the image's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Kind of machine that it sees: LINUX or LINUX32
    #[arg(long, value_name = "KIND")]
    personality: Option<String>,
    /// Whose messages and shared memory it sees: private, shareable, none (without /dev/shm), host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// Whose processes it sees: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Whose host name it has: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Prepare it for systemd as its first process: true (if its program is that), false, always [default: true]
    #[arg(long, value_name = "WHEN")]
    systemd: Option<String>,
    /// Who tells the service manager of NOTIFY_SOCKET that it is ready: container, conmon (when it is started), healthy, ignore [default: container]
    #[arg(long, value_name = "WHO")]
    sdnotify: Option<String>,
    /// Annotation of the container
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Of containers.conf.
    #[arg(skip)]
    configured_env: Vec<OsString>,
    /// Of containers.conf.
    #[arg(skip)]
    configured_sysctls: Vec<String>,
    /// Of containers.conf.
    #[arg(skip)]
    configured_keyring: Option<bool>,
}

/// Variables that tell of proxies: podman's list.
const PROXIES: &[&str] =
    &["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];

/// The annotation by which crun is told to keep groups.
const KEEP_GROUPS: (&str, &str) = ("run.oci.keep_original_groups", "1");

impl ProcessFlags {
    /// Takes what is not given from containers.conf.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        self.configured_env = conf.list("env").iter().map(OsString::from).collect();
        self.configured_sysctls = conf.list("default_sysctls").to_vec();
        self.configured_keyring = conf.flag("keyring");
        self.annotation.splice(0..0, conf.list("annotations").iter().cloned());
        self.env_host = self.env_host.or(conf.flag("env_host"));
        self.http_proxy = self.http_proxy.or(conf.flag("http_proxy"));
        let flags = [
            (&mut self.tz, "tz"),
            (&mut self.umask, "umask"),
            (&mut self.userns, "userns"),
            (&mut self.ipc, "ipcns"),
            (&mut self.pid, "pidns"),
            (&mut self.uts, "utsns"),
        ];
        for (flag, key) in flags {
            *flag = flag.take().or_else(|| conf.text(key));
        }
    }

    /// Takes what is not given from the environment.
    pub fn take_environment(&mut self) {
        let given = || env::get(&env::PODMAN_USERNS).and_then(|value| value.into_string().ok());
        self.userns = self.userns.take().or_else(given);
    }

    /// Whether the container has a host name of its own.
    pub fn has_own_host_name(&self) -> bool {
        self.uts.as_deref().is_none_or(|mode| mode.is_empty() || mode == "private")
    }

    /// In types.
    pub fn request(&self) -> Result<ProcessRequest, Failure> {
        let mut base_env = env_settings(&[], &self.configured_env)?;
        if self.env_host == Some(true) {
            base_env.push(EnvSetting::ImportPrefix(String::new()));
        }
        if self.http_proxy == Some(true) {
            base_env.extend(PROXIES.iter().map(|&name| EnvSetting::Import(name.into())));
        }
        let annotations = each("--annotation", &self.annotation, parse_annotation)?.into_iter().collect();
        let groups = AddedGroups::parse(&self.group_add).map_err(|error| of_flag("--group-add", error))?;
        Ok(ProcessRequest {
            base_env,
            merges: all_parsed("--env-merge", &self.env_merge)?,
            unset: self.unsetenv.clone(),
            unset_all: self.unsetenv_all,
            umask: parsed("--umask", self.umask.as_deref())?.unwrap_or_default(),
            sysctls: all_parsed("--sysctl", &self.sysctl)?,
            default_sysctls: all_parsed("--sysctl", &self.configured_sysctls)?,
            groups: match groups {
                AddedGroups::None if keeps_groups(&annotations) => AddedGroups::Kept,
                groups => groups,
            },
            user_namespace: parsed("--userns", self.userns.as_deref())?.unwrap_or_default(),
            accounts: AccountRequest {
                none: self.passwd == Some(false),
                passwd_entry: with("--passwd-entry", self.passwd_entry.as_deref(), parse_passwd_entry)?,
                group_entry: with("--group-entry", self.group_entry.as_deref(), parse_group_entry)?,
                host_users: self.hostuser.clone(),
            },
            time_zone: parsed("--tz", self.tz.as_deref())?,
            annotations,
            personality: parsed("--personality", self.personality.as_deref())?.unwrap_or_default(),
            ipc: parsed("--ipc", self.ipc.as_deref())?.unwrap_or_default(),
            pid: parsed("--pid", self.pid.as_deref())?.unwrap_or_default(),
            uts: parsed("--uts", self.uts.as_deref())?.unwrap_or_default(),
            systemd: parsed("--systemd", self.systemd.as_deref())?.unwrap_or_default(),
            shares_keyring: self.configured_keyring == Some(false),
            notify: parsed("--sdnotify", self.sdnotify.as_deref())?.unwrap_or_default(),
        })
    }
}

fn keeps_groups(annotations: &std::collections::BTreeMap<String, String>) -> bool {
    annotations.get(KEEP_GROUPS.0).is_some_and(|value| value == KEEP_GROUPS.1)
}

/// All values of a flag.
fn each<T, E: Explain>(
    flag: &'static str,
    texts: &[String],
    parse: fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| parse(text)).collect::<Result<_, E>>().map_err(|error| of_flag(flag, error))
}
