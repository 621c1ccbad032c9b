//! What podman's and docker's `inspect` have and nothing here stands for: there and empty, so that a template may name it.

use serde::Serialize;

/// Of a container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct Absent {
    pub pod: &'static str,
    pub namespace: &'static str,
    pub mount_label: &'static str,
    pub process_label: &'static str,
    pub app_armor_profile: &'static str,
    pub conmon_pid_file: &'static str,
    pub pid_file: &'static str,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: [&'static str; 0],
    pub dependencies: [&'static str; 0],
    pub is_infra: bool,
    pub is_service: bool,
    #[serde(rename = "OCIConfigPath")]
    pub oci_config_path: &'static str,
    #[serde(rename = "OCIRuntime")]
    pub oci_runtime: &'static str,
}

impl Absent {
    /// The one there is.
    pub const ALL: Self = Self {
        pod: "",
        namespace: "",
        mount_label: "",
        process_label: "",
        app_armor_profile: "",
        conmon_pid_file: "",
        pid_file: "",
        exec_ids: [],
        dependencies: [],
        is_infra: false,
        is_service: false,
        oci_config_path: "",
        oci_runtime: "coracle",
    };
}

/// Of what runs in it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct AbsentConfig {
    pub domainname: &'static str,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub stdin_once: bool,
    pub on_build: Option<()>,
}

impl AbsentConfig {
    /// The one there is.
    pub const ALL: Self = Self {
        domainname: "",
        attach_stdin: false,
        attach_stdout: false,
        attach_stderr: false,
        stdin_once: false,
        on_build: None,
    };
}

/// Of how it was asked to be set up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names and meanings are docker's and podman's")]
pub struct AbsentHost {
    pub cgroup: &'static str,
    pub console_size: [u8; 2],
    pub cpu_count: u8,
    pub cpu_percent: u8,
    pub cpu_realtime_period: u8,
    pub cpu_realtime_runtime: u8,
    pub disk_quota: u8,
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u8,
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u8,
    pub isolation: &'static str,
    pub kernel_memory: u8,
    pub links: Option<()>,
    pub runtime: &'static str,
    pub volume_driver: &'static str,
    pub dns: [&'static str; 0],
    pub dns_options: [&'static str; 0],
    pub dns_search: [&'static str; 0],
    pub extra_hosts: [&'static str; 0],
}

impl AbsentHost {
    /// The one there is.
    pub const ALL: Self = Self {
        cgroup: "",
        console_size: [0, 0],
        cpu_count: 0,
        cpu_percent: 0,
        cpu_realtime_period: 0,
        cpu_realtime_runtime: 0,
        disk_quota: 0,
        io_maximum_bandwidth: 0,
        io_maximum_iops: 0,
        isolation: "",
        kernel_memory: 0,
        links: None,
        runtime: "coracle",
        volume_driver: "",
        dns: [],
        dns_options: [],
        dns_search: [],
        extra_hosts: [],
    };
}
