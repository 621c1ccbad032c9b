//! The keys of `containers.conf`: those that are honoured, with the kind of value that each has, and those that have no
//! meaning here, with the reason.

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The table that it is in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// By what it is asked for: its name, or, where that is not unique or says too little, the table's as well.
    pub id: &'static str,
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
    /// A list of `NAME=VALUE`.
    Variables,
    /// A table of texts.
    Table,
    /// A list of subnets and sizes.
    Pools,
}

const fn of(section: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { section, name, id: name, kind }
}

const fn named(section: &'static str, name: &'static str, id: &'static str, kind: Kind) -> Key {
    Key { section, name, id, kind }
}

/// All that are honoured.
pub const ALL: &[Key] = &[
    of("containers", "annotations", Kind::List),
    of("containers", "apparmor_profile", Kind::Text),
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
    of("containers", "host_containers_internal_ip", Kind::Text),
    of("containers", "http_proxy", Kind::Flag),
    of("containers", "init", Kind::Flag),
    of("containers", "interface_name", Kind::Text),
    of("containers", "ipcns", Kind::Text),
    of("containers", "keyring", Kind::Flag),
    of("containers", "log_driver", Kind::Text),
    of("containers", "log_path", Kind::Text),
    of("containers", "log_size_max", Kind::Number),
    of("containers", "log_tag", Kind::Text),
    of("containers", "mounts", Kind::List),
    of("containers", "netns", Kind::Text),
    of("containers", "no_hosts", Kind::Flag),
    of("containers", "oom_score_adj", Kind::Number),
    of("containers", "pidns", Kind::Text),
    of("containers", "pids_limit", Kind::Number),
    of("containers", "prepare_volume_on_create", Kind::Flag),
    of("containers", "privileged", Kind::Flag),
    of("containers", "read_only", Kind::Flag),
    of("containers", "seccomp_profile", Kind::Text),
    of("containers", "shm_size", Kind::Text),
    of("containers", "tz", Kind::Text),
    of("containers", "umask", Kind::Text),
    of("containers", "userns", Kind::Text),
    of("containers", "utsns", Kind::Text),
    of("containers", "volumes", Kind::List),
    of("engine", "cdi_spec_dirs", Kind::List),
    of("engine", "chown_copied_files", Kind::Flag),
    of("engine", "compression_format", Kind::Text),
    of("engine", "compression_level", Kind::Number),
    of("engine", "detach_keys", Kind::Text),
    named("engine", "env", "engine.env", Kind::Variables),
    of("engine", "healthcheck_events", Kind::Flag),
    of("engine", "helper_binaries_dir", Kind::List),
    of("engine", "hooks_dir", Kind::List),
    of("engine", "image_default_format", Kind::Text),
    of("engine", "image_parallel_copies", Kind::Number),
    of("engine", "image_volume_mode", Kind::Text),
    of("engine", "multi_image_archive", Kind::Flag),
    of("engine", "network_cmd_options", Kind::List),
    of("engine", "network_cmd_path", Kind::Text),
    of("engine", "pull_policy", Kind::Text),
    of("engine", "retry", Kind::Number),
    of("engine", "retry_delay", Kind::Text),
    of("engine", "stop_timeout", Kind::Number),
    of("engine", "volume_plugins", Kind::Table),
    of("network", "default_network", Kind::Text),
    of("network", "default_rootless_network_cmd", Kind::Text),
    of("network", "default_subnet", Kind::Text),
    of("network", "default_subnet_pools", Kind::Pools),
    of("network", "pasta_options", Kind::List),
    named("secrets", "driver", "secrets.driver", Kind::Text),
    named("secrets", "opts", "secrets.opts", Kind::Table),
];

/// A key that has no meaning here.
#[derive(Debug)]
pub struct Unused {
    /// The table that it is in.
    pub section: &'static str,
    /// Its names there; none for the whole table.
    pub names: &'static [&'static str],
    /// The value that says what is so anyway; empty if there is none.
    pub usual: &'static str,
    /// Why.
    pub why: &'static str,
}

const fn unused(
    section: &'static str,
    names: &'static [&'static str],
    usual: &'static str,
    why: &'static str,
) -> Unused {
    Unused { section, names, usual, why }
}

/// All that podman has, and that have no meaning here.
pub const UNUSED: &[Unused] = &[
    unused("containers", &["init_path"], "", "the init of --init is coracle itself"),
    unused("containers", &["label"], "false", "containers have the SELinux label of who starts them"),
    unused("containers", &["label_users"], "false", "containers have the SELinux label of who starts them"),
    unused("containers", &["userns_size"], "", "this user has the ids that the kernel gives"),
    unused(
        "engine",
        &["conmon_env_vars", "conmon_path", "runtime", "runtimes", "runtime_supports_json", "runtime_supports_kvm"],
        "",
        "containers are made and watched by coracle itself",
    ),
    unused("engine", &["runtime_supports_nocgroups"], "", "containers are made and watched by coracle itself"),
    unused("engine", &["no_pivot_root"], "false", "the root directory is always changed with pivot_root(2)"),
    unused("engine", &["cgroup_manager"], "", "coracle info says by which means control groups are made here"),
    unused("engine", &["database_backend", "lock_type", "num_locks"], "", "there is no database: records are files"),
    unused(
        "engine",
        &["static_dir", "tmp_dir", "volume_path"],
        "",
        "--root and --runroot say where everything is kept",
    ),
    unused("engine", &["image_copy_tmp_dir"], "", "what is fetched is written into the store itself"),
    unused(
        "engine",
        &["image_default_transport"],
        "docker://",
        "an image comes from a registry unless its transport is written",
    ),
    unused("engine", &["add_compression"], "", "a list is sent with the images that it has"),
    unused("engine", &["events_logger"], "file", "events are kept in a file of the runtime directory"),
    unused("engine", &["events_logfile_path"], "", "events are kept in a file of the runtime directory"),
    unused("engine", &["events_logfile_max_size"], "", "events are kept in files of 10 MB"),
    unused("engine", &["events_container_create_inspect_data"], "false", "coracle inspect tells what a container is"),
    unused("engine", &["enable_port_reservation"], "true", "a published port is held by what serves it"),
    unused(
        "engine",
        &["infra_command", "infra_image", "kube_generate_type", "pod_exit_policy"],
        "",
        "there are no pods",
    ),
    unused("engine", &["namespace"], "", "all containers of a store are in one namespace"),
    unused("engine", &["remote"], "false", "there is no service to ask"),
    unused(
        "engine",
        &["active_service", "service_destinations", "service_timeout", "exit_command_delay"],
        "",
        "there is no service to ask",
    ),
    unused("engine", &["compat_api_enforce_docker_hub"], "", "there is no service to ask"),
    unused("engine", &["compose_providers", "compose_warning_logs"], "", "there is no command compose"),
    unused("engine", &["platform_to_oci_runtime"], "", "containers are made and watched by coracle itself"),
    unused(
        "network",
        &["cni_plugin_dirs", "firewall_driver", "netavark_plugin_dirs", "network_backend"],
        "",
        "networks are made by coracle itself",
    ),
    unused("network", &["network_config_dir"], "", "networks are kept in the store"),
    unused(
        "network",
        &["dns_bind_port"],
        "53",
        "the resolver of a network is in a namespace of its own, where port 53 is free",
    ),
    unused("machine", &[], "", "it is about virtual machines"),
    unused("farms", &[], "", "it is about podman's farm"),
    unused("podmansh", &[], "", "it is about the login shell podmansh"),
];
