//! The keys of `containers.conf` that are honoured, and what kind of value each has.

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The table that it is in.
    pub section: &'static str,
    /// Its name, unique among all.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of texts.
    List,
}

const fn of(section: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { section, name, kind }
}

/// All of them.
pub const ALL: &[Key] = &[
    of("containers", "annotations", Kind::List),
    of("containers", "base_hosts_file", Kind::Text),
    of("containers", "cgroup_conf", Kind::List),
    of("containers", "cgroupns", Kind::Text),
    of("containers", "cgroups", Kind::Text),
    of("containers", "container_name_as_hostname", Kind::Flag),
    of("containers", "default_capabilities", Kind::List),
    of("containers", "default_sysctls", Kind::List),
    of("containers", "default_ulimits", Kind::List),
    of("containers", "devices", Kind::List),
    of("containers", "dns_options", Kind::List),
    of("containers", "dns_searches", Kind::List),
    of("containers", "dns_servers", Kind::List),
    of("containers", "env", Kind::List),
    of("containers", "env_host", Kind::Flag),
    of("containers", "http_proxy", Kind::Flag),
    of("containers", "init", Kind::Flag),
    of("containers", "ipcns", Kind::Text),
    of("containers", "log_driver", Kind::Text),
    of("containers", "log_size_max", Kind::Number),
    of("containers", "log_tag", Kind::Text),
    of("containers", "mounts", Kind::List),
    of("containers", "netns", Kind::Text),
    of("containers", "no_hosts", Kind::Flag),
    of("containers", "oom_score_adj", Kind::Number),
    of("containers", "pidns", Kind::Text),
    of("containers", "pids_limit", Kind::Number),
    of("containers", "privileged", Kind::Flag),
    of("containers", "read_only", Kind::Flag),
    of("containers", "seccomp_profile", Kind::Text),
    of("containers", "shm_size", Kind::Text),
    of("containers", "tz", Kind::Text),
    of("containers", "umask", Kind::Text),
    of("containers", "userns", Kind::Text),
    of("containers", "utsns", Kind::Text),
    of("containers", "volumes", Kind::List),
    of("engine", "detach_keys", Kind::Text),
    of("engine", "hooks_dir", Kind::List),
    of("engine", "image_volume_mode", Kind::Text),
    of("engine", "pull_policy", Kind::Text),
    of("engine", "retry", Kind::Number),
    of("engine", "retry_delay", Kind::Text),
    of("engine", "stop_timeout", Kind::Number),
    of("network", "default_rootless_network_cmd", Kind::Text),
    of("network", "pasta_options", Kind::List),
];
