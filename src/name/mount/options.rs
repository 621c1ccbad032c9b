//! What the options of all mounts have in common.

use std::path::PathBuf;

use super::{Access, MountRefused, Propagation, Writes};

const NO_SUID: &str = "set-user-id programs on a mount could not gain anything the container has not";
const NO_DEV: &str = "devices on a mount of an unprivileged user never work";
const NOT_SHARED: &str = "the kernel lets nobody pass mounts on to a mount namespace of another owner: what is mounted in the \
                          container stays there; slave lets mounts of the host come in";
const NO_IDMAP: &str = "the kernel maps the ids of a mount for privileged users only; a container of one user has one id, to which \
                        all files of the mount belong anyway";

/// Whether something can be written to, and programs in it executed.
pub struct Common {
    /// `ro`, `rw`.
    pub access: Access,
    /// `exec`, `noexec`.
    pub exec: bool,
}

impl Common {
    /// Takes one option; whether it is one of these.
    pub fn take(&mut self, option: &str) -> Result<bool, MountRefused> {
        match option {
            "ro" => self.access = Access::ReadOnly,
            "rw" => self.access = Access::ReadWrite,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            // What every mount of a container has anyway.
            "nosuid" | "nodev" => {}
            "suid" => return Err(forbidden(option, NO_SUID)),
            "dev" => return Err(forbidden(option, NO_DEV)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The word on propagation that this is.
pub fn propagation(word: &str) -> Result<Option<Propagation>, MountRefused> {
    match word {
        "private" | "rprivate" => Ok(Some(Propagation::Private)),
        "slave" | "rslave" => Ok(Some(Propagation::Slave)),
        "unbindable" | "runbindable" => Ok(Some(Propagation::Unbindable)),
        "shared" | "rshared" => Err(forbidden(word, NOT_SHARED)),
        _ => Ok(None),
    }
}

/// `O`, `upperdir=` and `workdir=` while they are read.
#[derive(Default)]
pub struct OverlayOptions {
    overlay: bool,
    upper: Option<PathBuf>,
    work: Option<PathBuf>,
}

impl OverlayOptions {
    /// Takes one option; whether it is one of these.
    pub fn take(&mut self, option: &str) -> Result<bool, MountRefused> {
        let place = |path: &str| match path.starts_with('/') {
            true => Ok(Some(path.into())),
            false => Err(MountRefused::Value {
                option: option.split('=').next().unwrap_or_default().into(),
                value: path.chars().take(80).collect(),
                expected: "an absolute path",
            }),
        };
        match option.split_once('=') {
            None if option == "O" => self.overlay = true,
            Some(("upperdir", path)) => self.upper = place(path)?,
            Some(("workdir", path)) => self.work = place(path)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Where writes go.
    pub fn writes(self) -> Result<Writes, MountRefused> {
        match (self.overlay, self.upper, self.work) {
            (true, Some(upper), Some(work)) => Ok(Writes::Kept { upper, work }),
            (true, None, None) => Ok(Writes::Discarded),
            (false, None, None) => Ok(Writes::Through),
            (true, Some(_), None) => Err(MountRefused::Needs("upperdir".into(), "workdir, on the same file system")),
            (true, None, Some(_)) => Err(MountRefused::Needs("workdir".into(), "upperdir, on the same file system")),
            (false, Some(_), _) => Err(MountRefused::Needs("upperdir".into(), "O")),
            (false, None, Some(_)) => Err(MountRefused::Needs("workdir".into(), "O")),
        }
    }
}

/// Refuses `idmap`, with values or without.
pub fn refuse_idmap(option: &str) -> Result<(), MountRefused> {
    match option == "idmap" || option.starts_with("idmap=") {
        true => Err(forbidden(option, NO_IDMAP)),
        false => Ok(()),
    }
}

fn forbidden(option: &str, why: &'static str) -> MountRefused {
    MountRefused::Forbidden(option.chars().take(80).collect(), why)
}

/// The refusal of an option that means nothing here.
pub fn unknown(option: &str, flag: &'static str, expected: &'static str) -> MountRefused {
    MountRefused::UnknownOption { option: option.chars().take(80).collect(), flag, expected }
}

const OPPOSITES: &[(&str, &str)] = &[
    ("ro", "rw"),
    ("rro", "rw"),
    ("O", "ro"),
    ("O", "rro"),
    ("bind", "rbind"),
    ("exec", "noexec"),
    ("tmpcopyup", "notmpcopyup"),
    ("z", "Z"),
    ("copy", "nocopy"),
];

/// Comma-separated options, none of which contradicts another.
pub fn split(text: &str) -> Result<impl Iterator<Item = &str>, MountRefused> {
    let options = text.split(',').filter(|option| !option.is_empty());
    check(options.clone())?;
    Ok(options)
}

/// Fails if two options contradict each other.
pub fn check<'o>(options: impl Iterator<Item = &'o str> + Clone) -> Result<(), MountRefused> {
    let has = |wanted: &str| options.clone().any(|option| option == wanted);
    match OPPOSITES.iter().find(|(one, other)| has(one) && has(other)) {
        Some((one, other)) => Err(MountRefused::Contradiction((*one).into(), (*other).into())),
        None => Ok(()),
    }
}

/// Octal digits.
pub fn parse_mode(text: &str) -> Result<u32, MountRefused> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.filter(|&mode| mode <= 0o1777).ok_or_else(|| MountRefused::Mode(text.chars().take(20).collect()))
}
