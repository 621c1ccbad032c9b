//! `-v`.

use std::path::{Path, PathBuf};

use super::options::{Common, is_propagation, refuse_idmap, split, unknown};
use super::{
    Access, BindMount, IfMissing, MountFlag, MountRefused, Relabel, VolumeMount, host_path, parse_destination,
};
use crate::name::volume::VolumeName;

const BIND_OPTIONS: &str = "ro, rw, rbind, bind, rprivate, private, nosuid, nodev, exec, noexec, U, z, Z";
const VOLUME_OPTIONS: &str = "ro, rw, rprivate, private, nosuid, nodev, exec, noexec, copy, nocopy, nocreate, U, z, Z";

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
    let mut recursive = true;
    let mut relabel = Relabel::No;
    for option in split(options)? {
        match option {
            "rbind" => recursive = true,
            "bind" => recursive = false,
            "z" | "Z" => relabel = Relabel::Yes,
            _ => common_option(option, BIND_OPTIONS, &mut common)?,
        }
    }
    let Common { access, exec } = common;
    Ok(MountFlag::Bind(BindMount { source, destination, access, recursive, exec }, relabel))
}

fn volume_mount(name: Option<VolumeName>, destination: String, options: &str) -> Result<MountFlag, MountRefused> {
    let mut common = Common { access: Access::ReadWrite, exec: true };
    let mut mount = VolumeMount { anonymous: name.is_none(), name, ..VolumeMount::anonymous(destination) };
    for option in split(options)? {
        match option {
            "copy" => mount.copy_up = true,
            "nocopy" => mount.copy_up = false,
            "nocreate" => mount.missing = IfMissing::Refuse,
            // The store's own label is the matter of who has made the store.
            "z" | "Z" => {}
            _ => common_option(option, VOLUME_OPTIONS, &mut common)?,
        }
    }
    let Common { access, exec } = common;
    Ok(MountFlag::Volume(VolumeMount { access, exec, ..mount }))
}

fn common_option(option: &str, all: &'static str, common: &mut Common) -> Result<(), MountRefused> {
    refuse_idmap(option)?;
    // All files have the one id of the container's user.
    match option == "U" || common.take(option)? || is_propagation(option)? {
        true => Ok(()),
        false => Err(unknown(option, "-v", all)),
    }
}
