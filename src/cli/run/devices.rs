//! Devices, secrets and hooks of a container.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{all_parsed, of_flag};
use crate::container::request::{
    CapabilityChanges, CapabilityName, DeviceRequest, SeccompChoice, SecretRequest, SecurityOptions, Unmask,
};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::name::device::parse_gpus;

/// Devices, secrets and hooks of a container: of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceFlags {
    /// Give the container a device of the host, all in a directory, or what a CDI specification calls VENDOR/CLASS=NAME
    #[arg(long, value_name = "DEVICE[:PATH][:PERMISSIONS]")]
    device: Vec<String>,
    /// Refused, with the reason: no container can make devices
    #[arg(long, value_name = "RULE", hide = true)]
    device_cgroup_rule: Vec<String>,
    /// Give the container graphics processors: all, a number of them, or device=0,1
    #[arg(long, value_name = "GPUS")]
    gpus: Option<String>,
    /// Give the container all that this user can: capabilities, unmasked /proc and /sys, devices, no seccomp filter
    #[arg(long)]
    privileged: bool,
    /// Give the container a secret, as a file in /run/secrets; options: type=mount or env, target=, uid=, gid=, mode=
    #[arg(long, value_name = "SECRET[,OPTIONS]")]
    secret: Vec<String>,
    /// Execute the OCI hooks described in this directory, in place of the machine's
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    hooks_dir: Vec<PathBuf>,
}

/// The same in types.
#[derive(Debug, Default)]
pub struct Given {
    /// Devices.
    pub devices: Vec<DeviceRequest>,
    /// Whether it gets all that can be given.
    pub privileged: bool,
    /// Secrets.
    pub secrets: Vec<SecretRequest>,
    /// Directories of hooks.
    pub hooks_dirs: Vec<PathBuf>,
}

impl DeviceFlags {
    /// Takes what is not given from containers.conf. Devices are had beside those that are given.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        self.device.splice(0..0, conf.list("devices").iter().cloned());
        self.privileged = self.privileged || conf.flag("privileged") == Some(true);
        if self.hooks_dir.is_empty() {
            self.hooks_dir.extend(conf.list("hooks_dir").iter().map(PathBuf::from).filter(|path| path.exists()));
        }
    }

    /// Whether it gets all that can be given.
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// In types.
    pub fn parsed(&self, working_directory: &std::path::Path) -> Result<Given, Failure> {
        if let Some(rule) = self.device_cgroup_rule.first() {
            let failure = Failure::new(
                "E_UNSUPPORTED",
                format!("--device-cgroup-rule {rule:?}: only root can allow a container to make devices"),
            );
            return Err(failure.with_hint("--device PATH gives it a device of the host that this user may open"));
        }
        let mut devices: Vec<DeviceRequest> = all_parsed("--device", &self.device)?;
        if let Some(gpus) = &self.gpus {
            devices.push(parse_gpus(gpus).map_err(|error| of_flag("--gpus", error))?);
        }
        Ok(Given {
            devices,
            privileged: self.privileged,
            secrets: all_parsed("--secret", &self.secret)?,
            hooks_dirs: self.hooks_dir.iter().map(|path| working_directory.join(path)).collect(),
        })
    }

    /// What `--privileged` means for what other flags say, too.
    pub fn widen(&self, capabilities: &mut CapabilityChanges, security: &mut SecurityOptions) {
        if !self.privileged {
            return;
        }
        capabilities.add.push(CapabilityName::All);
        security.unmask.push(Unmask::All);
        if security.seccomp == SeccompChoice::Default {
            security.seccomp = SeccompChoice::Unconfined;
        }
        security.no_new_privileges.get_or_insert(false);
    }
}
