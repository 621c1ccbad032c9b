//! `--mount`.

use std::path::Path;

use super::options::{Common, check, is_propagation, refuse_idmap, unknown};
use super::tmpfs_flag;
use super::{
    Access, BindMount, IfMissing, MountFlag, MountRefused, Relabel, TmpfsMount, VolumeMount, host_path,
    parse_destination,
};
use crate::name::container_path::parse_container_path;
use crate::name::label::parse_label;

const BIND_OPTIONS: &str = "src, dst, ro, rw, exec, noexec, nosuid, nodev, bind-propagation, bind-nonrecursive, bind-recursive, \
                            relabel, consistency, U";
const VOLUME_OPTIONS: &str = "src, dst, ro, rw, exec, noexec, nosuid, nodev, volume-subpath, volume-nocopy, volume-label, \
                              volume-driver, nocreate, consistency, U";
const TMPFS_OPTIONS: &str = "dst, ro, rw, exec, noexec, nosuid, nodev, tmpfs-size, tmpfs-mode, tmpcopyup, notmpcopyup, \
                             consistency, U";

/// A field of the value: a key, and what follows the equals sign.
#[derive(Clone, Copy)]
struct Field<'t> {
    key: &'t str,
    value: Option<&'t str>,
    /// As it was written.
    whole: &'t str,
}

/// What all types have.
struct Parts<'t> {
    whole: &'t str,
    source: Option<&'t str>,
    destination: String,
    common: Common,
    /// What is left.
    rest: Vec<Field<'t>>,
}

/// `--mount`'s value: `type=TYPE,KEY=VALUE,...`, a volume if there is no type. Paths of the host are taken below
/// `working_directory`.
pub fn parse_mount_flag(text: &str, working_directory: &Path) -> Result<MountFlag, MountRefused> {
    let fields: Vec<Field<'_>> = text
        .split(',')
        .filter(|field| !field.is_empty())
        .map(|whole| match whole.split_once('=') {
            Some((key, value)) => Field { key, value: Some(value), whole },
            None => Field { key: whole, value: None, whole },
        })
        .collect();
    let kind = fields.iter().rev().find(|field| field.key == "type").and_then(|field| field.value).unwrap_or("volume");
    match kind {
        "bind" => bind(Parts::of(text, &fields)?, working_directory),
        "volume" => volume(Parts::of(text, &fields)?),
        "tmpfs" => tmpfs(Parts::of(text, &fields)?),
        other => Err(MountRefused::UnknownType(other.chars().take(80).collect())),
    }
}

impl<'t> Parts<'t> {
    fn of(whole: &'t str, fields: &[Field<'t>]) -> Result<Self, MountRefused> {
        check(fields.iter().map(|field| field.whole))?;
        let (mut source, mut destination) = (None, None);
        let mut common = Common { access: Access::ReadWrite, exec: true };
        let mut rest = Vec::new();
        for field in fields {
            match field.key {
                "type" => {}
                "src" | "source" => source = Some(field.text()?),
                "dst" | "dest" | "destination" | "target" => destination = Some(field.text()?),
                "ro" | "readonly" => common.access = if field.flag()? { Access::ReadOnly } else { Access::ReadWrite },
                "rw" => common.access = if field.flag()? { Access::ReadWrite } else { Access::ReadOnly },
                // All files have the one id of the container's user, and there is one way to keep them consistent.
                "U" | "chown" => drop(field.flag()?),
                "consistency" => drop(field.word(&["default", "consistent", "cached", "delegated"], "default")?),
                _ if field.value.is_none() && common.take(field.key)? => {}
                _ => {
                    refuse_idmap(field.whole)?;
                    rest.push(*field);
                }
            }
        }
        let shown = || whole.chars().take(200).collect::<String>();
        let destination = destination.ok_or_else(|| MountRefused::Lacks(shown(), "destination (dst=PATH)"))?;
        Ok(Self { whole, source, destination: parse_destination(destination, whole)?, common, rest })
    }
}

impl<'t> Field<'t> {
    fn text(&self) -> Result<&'t str, MountRefused> {
        self.value.filter(|value| !value.is_empty()).ok_or_else(|| self.refused("a value"))
    }

    fn flag(&self) -> Result<bool, MountRefused> {
        match self.value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(self.refused("true or false")),
        }
    }

    fn word(&self, words: &[&str], expected: &'static str) -> Result<&'t str, MountRefused> {
        self.value.filter(|value| words.contains(value)).ok_or_else(|| self.refused(expected))
    }

    fn refused(&self, expected: &'static str) -> MountRefused {
        let shown = |text: &str| text.chars().take(80).collect();
        MountRefused::Value { option: shown(self.key), value: shown(self.value.unwrap_or_default()), expected }
    }
}

fn bind(parts: Parts<'_>, working_directory: &Path) -> Result<MountFlag, MountRefused> {
    let Some(source) = parts.source else {
        return Err(MountRefused::Lacks(parts.whole.chars().take(200).collect(), "source (src=PATH)"));
    };
    let (mut recursive, mut relabel) = (true, Relabel::No);
    for field in parts.rest {
        match field.key {
            "bind-nonrecursive" => recursive = !field.flag()?,
            "bind-recursive" => recursive = field.word(&["enabled", "disabled"], "enabled or disabled")? == "enabled",
            "bind-propagation" => {
                if !is_propagation(field.text()?)? {
                    return Err(field.refused("private or rprivate"));
                }
            }
            "relabel" => {
                field.word(&["shared", "private"], "shared or private")?;
                relabel = Relabel::Yes;
            }
            "z" | "Z" if field.value.is_none() => relabel = Relabel::Yes,
            _ => return Err(unknown(field.whole, "--mount type=bind", BIND_OPTIONS)),
        }
    }
    let Common { access, exec } = parts.common;
    let source = host_path(source, working_directory);
    Ok(MountFlag::Bind(BindMount { source, destination: parts.destination, access, recursive, exec }, relabel))
}

fn volume(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let name = parts.source.map(str::parse).transpose()?;
    let mut mount = VolumeMount { anonymous: name.is_none(), name, ..VolumeMount::anonymous(parts.destination) };
    for field in parts.rest {
        match field.key {
            "volume-nocopy" | "nocopy" => mount.copy_up = !field.flag()?,
            "copy" => mount.copy_up = field.flag()?,
            "nocreate" if field.flag()? => mount.missing = IfMissing::Refuse,
            "nocreate" => mount.missing = IfMissing::Create,
            "volume-subpath" | "subpath" => mount.subpath = Some(subpath(&field)?),
            "volume-label" => mount.labels.extend([parse_label(field.text()?)?]),
            "volume-driver" => drop(field.word(&["local"], "local: there is no other driver")?),
            _ => return Err(unknown(field.whole, "--mount type=volume", VOLUME_OPTIONS)),
        }
    }
    let Common { access, exec } = parts.common;
    Ok(MountFlag::Volume(VolumeMount { access, exec, ..mount }))
}

/// A path below a volume, without a slash at its beginning. One with `..` is none.
fn subpath(field: &Field<'_>) -> Result<String, MountRefused> {
    let text = field.text()?;
    let expected = "a path below the volume, without ..";
    let path =
        parse_container_path(&format!("/{}", text.trim_start_matches('/'))).map_err(|_| field.refused(expected))?;
    let path = path.trim_start_matches('/');
    match path.is_empty() || text.split('/').any(|part| part == "..") {
        true => Err(field.refused(expected)),
        false => Ok(path.to_owned()),
    }
}

fn tmpfs(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let mut mount = TmpfsMount { access: parts.common.access, ..TmpfsMount::new(parts.destination) };
    for field in parts.rest {
        let option = field.whole.strip_prefix("tmpfs-").unwrap_or(field.whole);
        tmpfs_flag::take_option(&mut mount, option, "--mount type=tmpfs", TMPFS_OPTIONS)?;
    }
    Ok(MountFlag::Tmpfs(mount))
}
