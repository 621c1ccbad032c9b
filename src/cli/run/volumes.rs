//! What is mounted in a container.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use clap::Args;

use super::{all_parsed, of_flag, parsed};
use crate::container::request::{
    BindMount, ImageMount, ImageVolumes, KernelMount, TmpfsMount, VolumeMount, VolumesFrom,
};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::name::mount::{MountFlag, parse_mount_flag, parse_tmpfs, parse_volume_flag};

/// What is mounted in a container: of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct MountFlags {
    /// Mount a volume, or a directory or file of the host; options: ro, rw, rbind, bind, rslave, exec, noexec, nosuid, nodev, O, copy, nocopy, nocreate
    #[arg(short, long, value_name = "[SOURCE:]DESTINATION[:OPTIONS]")]
    volume: Vec<String>,
    /// The same in words: type=bind, volume, tmpfs, image, glob, devpts or ramfs, src=, dst=, and options
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,
    /// Mount what another container has mounted, as it has it there; options: ro, rw
    #[arg(long, value_name = "CONTAINER[:OPTIONS]")]
    volumes_from: Vec<String>,
    /// What becomes of volumes that the image asks for: anonymous, tmpfs or ignore [default: anonymous]
    #[arg(long, value_name = "HOW")]
    image_volume: Option<String>,
    /// With --read-only: keep /run, /tmp and /var/tmp writable, in memory
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::tree::parse_boolean)]
    read_only_tmpfs: Option<bool>,
    /// Mount a tmpfs; options: ro, rw, size=, mode=, exec, noexec, tmpcopyup, notmpcopyup
    #[arg(long, value_name = "DESTINATION[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Of containers.conf.
    #[arg(skip)]
    fill_at_once: Option<bool>,
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
    /// Images.
    pub images: Vec<ImageMount>,
    /// File systems of the kernel's.
    pub kernel: Vec<KernelMount>,
    /// Whether a root that cannot be written to has directories that can.
    pub read_only_tmpfs: bool,
    /// Containers whose mounts it gets, too.
    pub from: Vec<VolumesFrom>,
    /// What becomes of the image's volumes.
    pub of_image: ImageVolumes,
    /// Whether new volumes are filled when the container is made.
    pub fill_at_once: bool,
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
        self.fill_at_once = conf.flag("prepare_volume_on_create");
        let of_image =
            || conf.text("image_volume_mode").map(|mode| if mode == "bind" { "anonymous".into() } else { mode });
        self.image_volume = self.image_volume.take().or_else(of_image);
    }

    /// In types. Patterns are expanded.
    pub fn parsed(&self, working_directory: &Path) -> Result<Mounts, Failure> {
        let mut mounts = Mounts { read_only_tmpfs: self.read_only_tmpfs.unwrap_or(true), ..Mounts::default() };
        for text in &self.volume {
            let mount = parse_volume_flag(text, working_directory).map_err(|error| of_flag("--volume", error))?;
            mounts.add(mount)?;
        }
        for text in &self.mount {
            let mount = parse_mount_flag(text, working_directory).map_err(|error| of_flag("--mount", error))?;
            mounts.add(mount)?;
        }
        for text in &self.tmpfs {
            mounts.tmpfs.push(parse_tmpfs(text).map_err(|error| of_flag("--tmpfs", error))?);
        }
        mounts.fill_at_once = self.fill_at_once == Some(true);
        mounts.from = all_parsed("--volumes-from", &self.volumes_from)?;
        mounts.of_image = parsed("--image-volume", self.image_volume.as_deref())?.unwrap_or_default();
        mounts.check()?;
        Ok(mounts)
    }
}

impl Mounts {
    fn add(&mut self, mount: MountFlag) -> Result<(), Failure> {
        match mount {
            MountFlag::Bind(mount) => self.binds.push(mount),
            MountFlag::Glob(mount) => self.binds.extend(expanded(&mount)?),
            MountFlag::Image(mount) => self.images.push(mount),
            MountFlag::Kernel(mount) => self.kernel.push(mount),
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
        let images = self.images.iter().map(|mount| &mount.destination);
        let kernel = self.kernel.iter().map(|mount| &mount.destination);
        match binds
            .chain(tmpfs)
            .chain(volumes)
            .chain(images)
            .chain(kernel)
            .find(|destination| !seen.insert(destination.as_str()))
        {
            Some(twice) => Err(Failure::new("E_CONFIG", format!("two mounts have the destination {twice:?}"))),
            None => Ok(()),
        }
    }
}

/// A mount for each path that matches.
fn expanded(mount: &BindMount) -> Result<Vec<BindMount>, Failure> {
    let pattern = mount.source.to_string_lossy();
    let refused = |why: String| {
        let failure = Failure::new("E_CONFIG", format!("--mount type=glob: {pattern:?} {why}"));
        failure.with_hint("for example --mount type=glob,src=/usr/lib/lib*.so,dst=/mnt/lib")
    };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let paths = glob::glob_with(&pattern, options).map_err(|error| refused(format!("is no pattern: {error}")))?;
    let mut mounts = Vec::new();
    for path in paths.flatten() {
        let name = path.file_name().and_then(OsStr::to_str);
        let destination = match (mount.destination.as_str(), name, path.to_str()) {
            ("", _, Some(path)) => path.to_owned(),
            (directory, Some(name), _) if !directory.is_empty() => format!("{directory}/{name}"),
            _ => return Err(refused(format!("matches {path:?}, whose name is not text"))),
        };
        mounts.push(BindMount { source: path, destination, ..mount.clone() });
    }
    match mounts.is_empty() {
        true => Err(refused("matches nothing".into())),
        false => Ok(mounts),
    }
}
