//! `--mount`.

use std::path::Path;

use super::options::{Common, OverlayOptions, check, parse_mode, propagation, refuse_idmap, unknown};
use super::tmpfs_flag;
use super::{
    Access, BindMount, IfMissing, ImageMount, KernelFilesystem, KernelMount, MountFlag, MountRefused, TmpfsMount,
    VolumeMount, host_path, parse_destination,
};
use crate::name::container_path::parse_container_path;
use crate::name::label::parse_label;

const BIND_OPTIONS: &str = "src, dst, ro, rw, exec, noexec, nosuid, nodev, bind-propagation, bind-nonrecursive, bind-recursive, \
                            O, upperdir, workdir, relabel, consistency, U";
const VOLUME_OPTIONS: &str = "src, dst, ro, rw, exec, noexec, nosuid, nodev, volume-subpath, volume-nocopy, volume-label, \
                              volume-driver, volume-opt, nocreate, O, upperdir, workdir, consistency, U";
const TMPFS_OPTIONS: &str = "dst, ro, rw, exec, noexec, nosuid, nodev, tmpfs-size, tmpfs-mode, tmpcopyup, notmpcopyup, \
                             consistency, U";
const IMAGE_OPTIONS: &str = "src, dst, ro, rw, subpath";
const DEVPTS_OPTIONS: &str = "dst, ro, rw, uid, gid, mode, max";
const RAMFS_OPTIONS: &str = "dst, ro, rw, exec, noexec, nosuid, nodev, ramfs-mode";

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
    /// Whether that it can be written to was said.
    is_writable: bool,
    /// What is left.
    rest: Vec<Field<'t>>,
}

/// `--mount`'s value: `type=TYPE,KEY=VALUE,...`, a volume if there is no type. Paths of the host are taken below
/// `working_directory`.
pub fn parse_mount_flag(text: &str, working_directory: &Path) -> Result<MountFlag, MountRefused> {
    let words = comma_separated(text)?;
    let fields: Vec<Field<'_>> = words
        .iter()
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
        "image" => image(Parts::of(text, &fields)?),
        "glob" => glob(text, &fields, working_directory),
        "devpts" => devpts(Parts::of(text, &fields)?),
        "ramfs" => ramfs(Parts::of(text, &fields)?),
        other => Err(MountRefused::UnknownType(other.chars().take(80).collect())),
    }
}

/// The fields of a line of comma-separated values (RFC 4180): one in quotation marks may have commas, and two quotation marks
/// for one.
fn comma_separated(text: &str) -> Result<Vec<String>, MountRefused> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(character),
        }
    }
    if is_quoted {
        return Err(MountRefused::Unquoted(text.chars().take(200).collect()));
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    Ok(fields)
}

impl<'t> Parts<'t> {
    fn of(whole: &'t str, fields: &[Field<'t>]) -> Result<Self, MountRefused> {
        check(fields.iter().map(|field| field.whole))?;
        let (mut source, mut destination) = (None, None);
        let mut common = Common { access: Access::ReadWrite, exec: true };
        let mut is_writable = false;
        let mut rest = Vec::new();
        for field in fields {
            match field.key {
                "type" => {}
                "src" | "source" => source = Some(field.text()?),
                "dst" | "dest" | "destination" | "target" => destination = Some(field.text()?),
                "ro" | "rro" | "readonly" => {
                    common.access = if field.flag()? { Access::ReadOnly } else { Access::ReadWrite }
                }
                "rw" | "readwrite" => {
                    is_writable = field.flag()?;
                    common.access = if is_writable { Access::ReadWrite } else { Access::ReadOnly };
                }
                // All files have the one id of the container's user, and there is one way to keep them consistent.
                "U" | "chown" => drop(field.flag()?),
                // Its processes have the label of who started it.
                "z" | "Z" if field.value.is_none() => {}
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
        Ok(Self { whole, source, destination: parse_destination(destination, whole)?, common, is_writable, rest })
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
    let mount = BindMount::new(host_path(source, working_directory), parts.destination);
    bind_options(mount, &parts.common, parts.rest, "--mount type=bind").map(MountFlag::Bind)
}

fn bind_options(
    mut mount: BindMount,
    common: &Common,
    rest: Vec<Field<'_>>,
    flag: &'static str,
) -> Result<BindMount, MountRefused> {
    let mut overlay = OverlayOptions::default();
    (mount.access, mount.exec) = (common.access, common.exec);
    for field in rest {
        match field.key {
            "bind-nonrecursive" => mount.recursive = !field.flag()?,
            "bind-recursive" => {
                let expected = "enabled, disabled, writable or readonly";
                let word = field.word(&["enabled", "disabled", "writable", "readonly"], expected)?;
                mount.recursive = word != "disabled";
                mount.writable_below = word == "writable";
                if word == "readonly" && mount.access == Access::ReadWrite {
                    return Err(MountRefused::Needs("bind-recursive=readonly".into(), "ro"));
                }
            }
            "bind-propagation" => {
                let expected = "private, rprivate, slave, rslave, unbindable or runbindable";
                mount.propagation = propagation(field.text()?)?.ok_or_else(|| field.refused(expected))?;
            }
            "relabel" => drop(field.word(&["shared", "private"], "shared or private")?),
            _ if overlay.take(field.whole)? => {}
            _ => return Err(unknown(field.whole, flag, BIND_OPTIONS)),
        }
    }
    mount.writes = overlay.writes()?;
    Ok(mount)
}

/// The pattern is expanded by who may look at the host.
fn glob(whole: &str, fields: &[Field<'_>], working_directory: &Path) -> Result<MountFlag, MountRefused> {
    const NOWHERE: Field<'_> = Field { key: "dst", value: Some("/nowhere"), whole: "dst=/nowhere" };
    let has_destination = fields.iter().any(|field| ["dst", "dest", "destination", "target"].contains(&field.key));
    let more = [fields, &[NOWHERE]].concat();
    let parts = Parts::of(whole, if has_destination { fields } else { &more })?;
    let Some(source) = parts.source else {
        return Err(MountRefused::Lacks(whole.chars().take(200).collect(), "source (src=PATTERN)"));
    };
    let destination = if has_destination { parts.destination } else { String::new() };
    let mount = BindMount::new(host_path(source, working_directory), destination);
    bind_options(mount, &parts.common, parts.rest, "--mount type=glob").map(MountFlag::Glob)
}

fn image(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let Some(source) = parts.source else {
        return Err(MountRefused::Lacks(parts.whole.chars().take(200).collect(), "source (src=IMAGE)"));
    };
    let mut mount = ImageMount {
        image: source.parse().map_err(MountRefused::Image)?,
        destination: parts.destination,
        access: Access::ReadOnly,
        subpath: None,
        layers: Vec::new(),
    };
    if parts.is_writable {
        mount.access = Access::ReadWrite;
    }
    for field in parts.rest {
        match field.key {
            "subpath" | "image-subpath" => mount.subpath = Some(subpath(&field)?),
            _ => return Err(unknown(field.whole, "--mount type=image", IMAGE_OPTIONS)),
        }
    }
    Ok(MountFlag::Image(mount))
}

fn devpts(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let mut options = Vec::new();
    for field in parts.rest {
        let digits = |base| field.text().ok().filter(|text| u32::from_str_radix(text, base).is_ok());
        let value = match field.key {
            "uid" | "gid" | "max" => digits(10).ok_or_else(|| field.refused("a number"))?,
            "mode" => digits(8).ok_or_else(|| field.refused("octal digits"))?,
            _ => return Err(unknown(field.whole, "--mount type=devpts", DEVPTS_OPTIONS)),
        };
        options.push((field.key.to_owned(), value.to_owned()));
    }
    let Common { access, exec } = parts.common;
    let kind = KernelFilesystem::Devpts { options };
    Ok(MountFlag::Kernel(KernelMount { destination: parts.destination, access, exec, kind }))
}

fn ramfs(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let mut mode = None;
    for field in parts.rest {
        match field.key {
            "ramfs-mode" | "tmpfs-mode" | "mode" => mode = Some(parse_mode(field.text()?)?),
            "ramfs-size" | "tmpfs-size" | "size" => {
                let why = "a ramfs has no limit; type=tmpfs has, and --memory limits both";
                return Err(MountRefused::Forbidden(field.whole.chars().take(80).collect(), why));
            }
            _ => return Err(unknown(field.whole, "--mount type=ramfs", RAMFS_OPTIONS)),
        }
    }
    let Common { access, exec } = parts.common;
    let kind = KernelFilesystem::Ramfs { mode };
    Ok(MountFlag::Kernel(KernelMount { destination: parts.destination, access, exec, kind }))
}

fn volume(parts: Parts<'_>) -> Result<MountFlag, MountRefused> {
    let name = parts.source.map(str::parse).transpose()?;
    let mut mount = VolumeMount { anonymous: name.is_none(), name, ..VolumeMount::anonymous(parts.destination) };
    let mut overlay = OverlayOptions::default();
    for field in parts.rest {
        match field.key {
            "volume-nocopy" | "nocopy" => mount.copy_up = !field.flag()?,
            "copy" => mount.copy_up = field.flag()?,
            "nocreate" if field.flag()? => mount.missing = IfMissing::Refuse,
            "nocreate" => mount.missing = IfMissing::Create,
            "volume-subpath" | "subpath" => mount.subpath = Some(subpath(&field)?),
            "volume-label" => mount.labels.extend([parse_label(field.text()?)?]),
            "volume-driver" => mount.driver = Some(field.text()?).filter(|&name| name != "local").map(str::to_owned),
            "volume-opt" => {
                let (key, value) = field.text()?.split_once('=').ok_or_else(|| field.refused("KEY=VALUE"))?;
                mount.options.insert(key.to_owned(), value.to_owned());
            }
            _ if overlay.take(field.whole)? => {}
            _ => return Err(unknown(field.whole, "--mount type=volume", VOLUME_OPTIONS)),
        }
    }
    let Common { access, exec } = parts.common;
    Ok(MountFlag::Volume(VolumeMount { access, exec, writes: overlay.writes()?, ..mount }))
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
    if let Some(source) = parts.source {
        return Err(MountRefused::Forbidden(format!("src={source}"), "memory has no source"));
    }
    let mut mount = TmpfsMount { access: parts.common.access, ..TmpfsMount::new(parts.destination) };
    for field in parts.rest {
        let option = field.whole.strip_prefix("tmpfs-").unwrap_or(field.whole);
        tmpfs_flag::take_option(&mut mount, option, "--mount type=tmpfs", TMPFS_OPTIONS)?;
    }
    Ok(MountFlag::Tmpfs(mount))
}
