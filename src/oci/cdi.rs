//! Specifications of the Container Device Interface: what a device of a vendor means for a container
//! (<https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>).

use serde::Deserialize;

/// A file of these.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Specification {
    /// The version of the format.
    pub cdi_version: String,
    /// `VENDOR/CLASS`.
    pub kind: String,
    /// Devices of this kind.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// What each of them needs.
    #[serde(default)]
    pub container_edits: Edits,
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its name.
    pub name: String,
    /// What it needs.
    #[serde(default)]
    pub container_edits: Edits,
}

/// What a container gets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Edits {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Devices.
    pub device_nodes: Vec<Node>,
    /// Bind mounts.
    pub mounts: Vec<Mount>,
    /// Hooks of the OCI runtime specification.
    pub hooks: Vec<Hook>,
    /// Groups of the container's process.
    #[serde(rename = "additionalGids", alias = "additionalGIDs")]
    pub additional_groups: Vec<u32>,
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Path in the container.
    pub path: String,
    /// Path on the host, where it is another.
    pub host_path: Option<String>,
}

/// A bind mount.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Path on the host.
    pub host_path: String,
    /// Path in the container.
    pub container_path: String,
    /// Options.
    #[serde(default)]
    pub options: Vec<String>,
    /// Type; bind where absent.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// A hook.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// Its stage.
    pub hook_name: String,
    /// The program.
    pub path: String,
    /// Its arguments, its name first.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds that it has.
    pub timeout: Option<u64>,
}
