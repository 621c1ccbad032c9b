//! What is mounted in a container.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;

use super::{all_parsed, of_flag, parsed};
use crate::container::request::{BindMount, ImageVolumes, TmpfsMount, VolumeMount, VolumesFrom};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::host::security::Modules;
use crate::name::mount::{MountFlag, Relabel, parse_mount_flag, parse_tmpfs, parse_volume_flag};

/// What is mounted in a container: of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct MountFlags {
    /// Mount a volume, or a directory or file of the host; options: ro, rw, rbind, bind, exec, noexec, nosuid, nodev, copy, nocopy, nocreate
    #[arg(short, long, value_name = "[SOURCE:]DESTINATION[:OPTIONS]")]
    volume: Vec<String>,
    /// The same in words: type=bind, volume or tmpfs, src=, dst=, and options
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,
    /// Mount what another container has mounted, as it has it there; options: ro, rw
    #[arg(long, value_name = "CONTAINER[:OPTIONS]")]
    volumes_from: Vec<String>,
    /// What becomes of volumes that the image asks for: anonymous, tmpfs or ignore [default: anonymous]
    #[arg(long, value_name = "HOW")]
    image_volume: Option<String>,
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
    /// Containers whose mounts it gets, too.
    pub from: Vec<VolumesFrom>,
    /// What becomes of the image's volumes.
    pub of_image: ImageVolumes,
}

impl MountFlags {
    /// Takes what is not given from containers.conf.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        let destination = |text: &str| text.split(':').nth(1).unwrap_or(text).to_owned();
        let in_words = |text: &str| {
            let keys = ["dst=", "destination=", "dest=", "target="];
            let value = text.split(',').find_map(|word| keys.iter().find_map(|key| word.strip_prefix(key)));
            value.unwrap_or_default().to_owned()
        };
        let tmpfs = self.tmpfs.iter().map(|text| text.split(':').next().unwrap_or_default().to_owned());
        let mounts = self.mount.iter().map(|text| in_words(text));
        let mut given: BTreeSet<String> =
            self.volume.iter().map(|text| destination(text)).chain(mounts).chain(tmpfs).collect();
        // What is given for a place wins over what is configured for it.
        self.volume.extend(conf.list("volumes").iter().filter(|text| given.insert(destination(text))).cloned());
        self.mount.extend(conf.list("mounts").iter().filter(|text| given.insert(in_words(text))).cloned());
        let of_image =
            || conf.text("image_volume_mode").map(|mode| if mode == "bind" { "anonymous".into() } else { mode });
        self.image_volume = self.image_volume.take().or_else(of_image);
    }

    /// In types; `modules` is asked only where they matter.
    pub fn parsed(&self, working_directory: &Path, modules: fn() -> Modules) -> Result<Mounts, Failure> {
        let mut mounts = Mounts::default();
        for text in &self.volume {
            let mount = parse_volume_flag(text, working_directory).map_err(|error| of_flag("--volume", error))?;
            mounts.add(mount, modules)?;
        }
        for text in &self.mount {
            let mount = parse_mount_flag(text, working_directory).map_err(|error| of_flag("--mount", error))?;
            mounts.add(mount, modules)?;
        }
        for text in &self.tmpfs {
            mounts.tmpfs.push(parse_tmpfs(text).map_err(|error| of_flag("--tmpfs", error))?);
        }
        mounts.from = all_parsed("--volumes-from", &self.volumes_from)?;
        mounts.of_image = parsed("--image-volume", self.image_volume.as_deref())?.unwrap_or_default();
        mounts.check()?;
        Ok(mounts)
    }
}

impl Mounts {
    fn add(&mut self, mount: MountFlag, modules: fn() -> Modules) -> Result<(), Failure> {
        match mount {
            MountFlag::Bind(mount, Relabel::Yes) if modules().selinux => return Err(cannot_relabel(&mount)),
            MountFlag::Bind(mount, _) => self.binds.push(mount),
            MountFlag::Volume(mount) => self.volumes.push(mount),
            MountFlag::Tmpfs(mount) => self.tmpfs.push(mount),
        }
        Ok(())
    }

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

fn cannot_relabel(mount: &BindMount) -> Failure {
    let message = format!("mounting {}: this version cannot relabel for SELinux", mount.source.display());
    Failure::new("E_CONFIG", message)
        .with_hint("leave z and Z out, and label the directory container_file_t with chcon")
}
