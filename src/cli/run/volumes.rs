//! What is mounted in a container.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;

use super::of_flag;
use crate::container::request::{BindMount, TmpfsMount, VolumeMount};
use crate::failure::Failure;
use crate::host::security::Modules;
use crate::name::mount::{Relabel, VolumeFlag, parse_tmpfs, parse_volume_flag};

/// What is mounted in a container: of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct MountFlags {
    /// Mount a volume, or a directory or file of the host; options: ro, rw, rbind, bind, exec, noexec, nosuid, nodev, copy, nocopy, nocreate
    #[arg(short, long, value_name = "[SOURCE:]DESTINATION[:OPTIONS]")]
    volume: Vec<String>,
    /// Mount a tmpfs; options: ro, rw, size=, mode=, exec, noexec, tmpcopyup, notmpcopyup
    #[arg(long, value_name = "DESTINATION[:OPTIONS]")]
    tmpfs: Vec<String>,
}

/// The same in types.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// Paths of the host.
    pub binds: Vec<BindMount>,
    /// Memory.
    pub tmpfs: Vec<TmpfsMount>,
    /// Volumes.
    pub volumes: Vec<VolumeMount>,
}

impl MountFlags {
    /// In types; `modules` is asked only where they matter.
    pub fn parsed(&self, working_directory: &Path, modules: fn() -> Modules) -> Result<Mounts, Failure> {
        let mut mounts = Mounts::default();
        for text in &self.volume {
            match parse_volume_flag(text, working_directory).map_err(|error| of_flag("--volume", error))? {
                VolumeFlag::Bind(_, Relabel::Yes) if modules().selinux => return Err(cannot_relabel(text)),
                VolumeFlag::Bind(mount, _) => mounts.binds.push(mount),
                VolumeFlag::Volume(mount) => mounts.volumes.push(mount),
            }
        }
        let tmpfs = self.tmpfs.iter().map(|text| parse_tmpfs(text)).collect::<Result<_, _>>();
        mounts.tmpfs = tmpfs.map_err(|error| of_flag("--tmpfs", error))?;
        mounts.check()?;
        Ok(mounts)
    }
}

impl Mounts {
    fn check(&self) -> Result<(), Failure> {
        let binds = self.binds.iter().map(|mount| &mount.destination);
        let tmpfs = self.tmpfs.iter().map(|mount| &mount.destination);
        let volumes = self.volumes.iter().map(|mount| &mount.destination);
        let mut seen = BTreeSet::new();
        match binds.chain(tmpfs).chain(volumes).find(|destination| !seen.insert(destination.as_str())) {
            Some(twice) => Err(Failure::new("E_CONFIG", format!("two mounts have the destination {twice:?}"))),
            None => Ok(()),
        }
    }
}

fn cannot_relabel(text: &str) -> Failure {
    Failure::new("E_CONFIG", format!("--volume {text}: this version cannot relabel for SELinux"))
        .with_hint("leave z and Z out, and label the directory container_file_t with chcon")
}
