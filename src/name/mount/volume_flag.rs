//! `-v`.

use std::path::{Path, PathBuf};

use super::options::{Common, OverlayOptions, propagation, refuse_idmap, split, unknown};
use super::{Access, BindMount, IfMissing, MountFlag, MountRefused, VolumeMount, host_path, parse_destination};
use crate::name::volume::VolumeName;

const BIND_OPTIONS: &str = "ro, rro, rw, rbind, bind, private, rprivate, slave, rslave, unbindable, runbindable, nosuid, nodev, exec, \
                            noexec, O, upperdir=, workdir=, U, z, Z";
const VOLUME_OPTIONS: &str = "ro, rw, rprivate, private, nosuid, nodev, exec, noexec, copy, nocopy, nocreate, O, upperdir=, \
                              workdir=, U, z, Z";

/// `-v`'s value: a path of the host, or a volume. A path that is not absolute is taken below `working_directory`; it must begin
/// with a dot, as podman and docker have it, because other words are names of volumes.
pub fn parse_volume_flag(text: &str, working_directory: &Path) -> Result<MountFlag, MountRefused> {
    let shown = || text.chars().take(200).collect::<String>();
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts[..] {
        [destination] if destination.starts_with('/') => (None, destination, ""),
        [source, destination] => (Some(source), destination, ""),
        [source, destination, options] => (Some(source), destination, options),
        _ => return Err(MountRefused::Malformed(shown())),
    };
    if source.is_some_and(str::is_empty) {
        return Err(MountRefused::Malformed(shown()));
    }
    let destination = parse_destination(destination, text)?;
    match source {
        Some(source) if source.starts_with(['/', '.']) => {
            bind_mount(host_path(source, working_directory), destination, options)
        }
        Some(name) => volume_mount(Some(name.parse()?), destination, options),
        None => volume_mount(None, destination, options),
    }
}

fn bind_mount(source: PathBuf, destination: String, options: &str) -> Result<MountFlag, MountRefused> {
    let mut common = Common { access: Access::ReadWrite, exec: true };
    let mut mount = BindMount::new(source, destination);
    let mut overlay = OverlayOptions::default();
    for option in split(options)? {
        match option {
            "rbind" => mount.recursive = true,
            "bind" => mount.recursive = false,
            // All that is read-only is that with all mounts below it.
            "rro" => common.access = Access::ReadOnly,
            _ if overlay.take(option)? => {}
            _ => match propagation(option)? {
                Some(propagation) => mount.propagation = propagation,
                None => common_option(option, BIND_OPTIONS, &mut common)?,
            },
        }
    }
    let Common { access, exec } = common;
    Ok(MountFlag::Bind(BindMount { access, exec, writes: overlay.writes()?, ..mount }))
}

fn volume_mount(name: Option<VolumeName>, destination: String, options: &str) -> Result<MountFlag, MountRefused> {
    let mut common = Common { access: Access::ReadWrite, exec: true };
    let mut mount = VolumeMount { anonymous: name.is_none(), name, ..VolumeMount::anonymous(destination) };
    let mut overlay = OverlayOptions::default();
    for option in split(options)? {
        match option {
            "copy" => mount.copy_up = true,
            "nocopy" => mount.copy_up = false,
            "nocreate" => mount.missing = IfMissing::Refuse,
            "private" | "rprivate" => {}
            _ if overlay.take(option)? => {}
            _ => common_option(option, VOLUME_OPTIONS, &mut common)?,
        }
    }
    let Common { access, exec } = common;
    Ok(MountFlag::Volume(VolumeMount { access, exec, writes: overlay.writes()?, ..mount }))
}

fn common_option(option: &str, all: &'static str, common: &mut Common) -> Result<(), MountRefused> {
    refuse_idmap(option)?;
    // All files have the one id of the container's user, and its processes the label of who started it, for SELinux.
    match ["U", "z", "Z"].contains(&option) || common.take(option)? {
        true => Ok(()),
        false => Err(unknown(option, "-v", all)),
    }
}
