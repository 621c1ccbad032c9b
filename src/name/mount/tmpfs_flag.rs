//! `--tmpfs`.

use super::options::{Common, parse_mode, propagation, split, unknown};
use super::{Access, MountRefused, Propagation, TmpfsMount, parse_destination};
use crate::name::byte_size::parse_bytes;

const OPTIONS: &str = "ro, rw, size=BYTES, mode=OCTAL, exec, noexec, nosuid, nodev, tmpcopyup, notmpcopyup";

/// `--tmpfs`'s value: `DESTINATION[:OPTIONS]`.
pub fn parse_tmpfs(text: &str) -> Result<TmpfsMount, MountRefused> {
    let (destination, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = TmpfsMount::new(parse_destination(destination, text)?);
    for option in split(options)? {
        take_option(&mut mount, option, "--tmpfs", OPTIONS)?;
    }
    Ok(mount)
}

/// Takes one option, `NAME` or `NAME=VALUE`; `all` names those that `flag` takes.
pub(super) fn take_option(
    mount: &mut TmpfsMount,
    option: &str,
    flag: &'static str,
    all: &'static str,
) -> Result<(), MountRefused> {
    let mut common = Common { access: mount.access, exec: mount.exec };
    if common.take(option)? || propagation(option)? == Some(Propagation::Private) {
        (mount.access, mount.exec) = (common.access, common.exec);
        return Ok(());
    }
    match option.split_once('=').unwrap_or((option, "")) {
        ("tmpcopyup", "") => mount.copy_up = true,
        ("notmpcopyup", "") => mount.copy_up = false,
        ("size", size) => mount.size = Some(parse_bytes(size).map_err(MountRefused::Size)?),
        ("mode", mode) => mount.mode = Some(parse_mode(mode)?),
        _ => return Err(unknown(option, flag, all)),
    }
    Ok(())
}

impl TmpfsMount {
    /// One without options.
    pub fn new(destination: String) -> Self {
        Self { destination, access: Access::ReadWrite, size: None, mode: None, exec: false, copy_up: true }
    }
}
