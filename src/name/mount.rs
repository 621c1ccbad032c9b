//! `-v` and `--tmpfs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::byte_size::{SizeRefused, parse_bytes};
use super::container_path::{PathRefused, parse_container_path};
use super::volume::{VolumeName, VolumeNameRefused};

/// Whether something can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
}

/// `-v SOURCE:DESTINATION[:OPTIONS]` where the source is a path of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// Path on the host, absolute.
    #[serde(with = "super::serialize::os_string")]
    pub source: PathBuf,
    /// Path in the container, absolute.
    pub destination: String,
    /// Whether the container may write.
    pub access: Access,
    /// Whether mounts below the source come along (`rbind`, the default) or not (`bind`).
    pub recursive: bool,
    /// `exec` (the default) or `noexec`.
    pub exec: bool,
}

/// `-v [NAME:]DESTINATION[:OPTIONS]`: a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume; absent for an anonymous one that is not made yet.
    pub name: Option<VolumeName>,
    /// Whether it was made for the container, and goes with it.
    pub anonymous: bool,
    /// Path in the container, absolute.
    pub destination: String,
    /// Whether the container may write.
    pub access: Access,
    /// `exec` (the default) or `noexec`.
    pub exec: bool,
    /// Whether a new volume is filled with what it covers (`nocopy` turns it off).
    pub copy_up: bool,
    /// What becomes of a volume that is not there.
    pub missing: IfMissing,
}

/// What becomes of a volume that is wanted and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfMissing {
    /// It is made.
    Create,
    /// That is an error (`nocreate`).
    Refuse,
}

impl VolumeMount {
    /// One that is made with the container, with no options.
    pub fn anonymous(destination: String) -> Self {
        Self {
            name: None,
            anonymous: true,
            destination,
            access: Access::ReadWrite,
            exec: true,
            copy_up: true,
            missing: IfMissing::Create,
        }
    }
}

/// What `-v` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeFlag {
    /// A path of the host.
    Bind(BindMount, Relabel),
    /// A volume.
    Volume(VolumeMount),
}

/// Whether `-v` asked for the source to be relabelled for SELinux (`z`, `Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabel {
    /// No.
    No,
    /// Yes; means nothing where there is no SELinux.
    Yes,
}

/// `--tmpfs DESTINATION[:OPTIONS]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsMount {
    /// Path in the container, absolute.
    pub destination: String,
    /// Whether the container may write.
    pub access: Access,
    /// Size limit in bytes.
    pub size: Option<u64>,
    /// Mode of its root directory; that of the directory beneath, or 1777, where absent.
    pub mode: Option<u32>,
    /// `exec` or `noexec` (the default).
    pub exec: bool,
    /// Whether what the image has there is copied in (podman's default; `notmpcopyup` turns it off).
    pub copy_up: bool,
}

/// Why a mount was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MountRefused {
    /// Not of the form.
    #[error("{0:?} is not a mount: expected SOURCE:DESTINATION[:OPTIONS]")]
    Malformed(String),
    /// `-v name:/x`, with what is no name.
    #[error(transparent)]
    Name(#[from] VolumeNameRefused),
    /// The destination does not parse.
    #[error("reading the destination of {0:?}")]
    Destination(String, #[source] PathRefused),
    /// Mounting over the root directory.
    #[error("{0:?} would hide the whole of the container: the destination cannot be \"/\"")]
    Root(String),
    /// An option of no meaning here.
    #[error("{option:?} is not an option of {flag}: expected {expected}")]
    UnknownOption {
        /// The option.
        option: String,
        /// `-v` or `--tmpfs`.
        flag: &'static str,
        /// All options.
        expected: &'static str,
    },
    /// `suid`, `dev`.
    #[error("the option {0:?} is refused: {1}")]
    Forbidden(String, &'static str),
    /// `ro` and `rw`.
    #[error("the options {0:?} and {1:?} contradict each other")]
    Contradiction(String, String),
    /// `size=`.
    #[error("reading size= of a tmpfs")]
    Size(#[source] SizeRefused),
    /// `mode=`.
    #[error("{0:?} is not a mode: expected octal digits, at most 1777")]
    Mode(String),
}

impl crate::failure::Explain for MountRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(error) => error.hint(),
            Self::Malformed(_) => Some("a path that contains a colon cannot be given to -v".into()),
            _ => None,
        }
    }
}

const BIND_OPTIONS: &str = "ro, rw, rbind, bind, rprivate, private, nosuid, nodev, exec, noexec, z, Z";
const VOLUME_OPTIONS: &str = "ro, rw, rprivate, private, nosuid, nodev, exec, noexec, copy, nocopy, nocreate, z, Z";
const TMPFS_OPTIONS: &str = "ro, rw, size=BYTES, mode=OCTAL, exec, noexec, nosuid, nodev, tmpcopyup, notmpcopyup";
const NO_SUID: &str = "set-user-id programs on a mount could not gain anything the container has not";
const NO_DEV: &str = "devices on a mount of an unprivileged user never work";

/// `-v`'s value: a path of the host, or a volume. A path that is not absolute is taken below `working_directory`; it must begin
/// with a dot, as podman and docker have it, because other words are names of volumes.
pub fn parse_volume_flag(text: &str, working_directory: &Path) -> Result<VolumeFlag, MountRefused> {
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
            // Written without what means nothing; `..` stays, for only the file system knows where it leads.
            let source = working_directory.join(source).components().collect();
            bind_mount(source, destination, options)
        }
        Some(name) => volume_mount(Some(name.parse()?), destination, options),
        None => volume_mount(None, destination, options),
    }
}

fn bind_mount(source: PathBuf, destination: String, options: &str) -> Result<VolumeFlag, MountRefused> {
    let mut mount = BindMount { source, destination, access: Access::ReadWrite, recursive: true, exec: true };
    let mut relabel = Relabel::No;
    for option in Options::new(options)? {
        match option {
            "rbind" => mount.recursive = true,
            "bind" => mount.recursive = false,
            "z" | "Z" => relabel = Relabel::Yes,
            _ => common_option(option, BIND_OPTIONS, &mut mount.access, &mut mount.exec)?,
        }
    }
    Ok(VolumeFlag::Bind(mount, relabel))
}

fn volume_mount(name: Option<VolumeName>, destination: String, options: &str) -> Result<VolumeFlag, MountRefused> {
    let mut mount = VolumeMount { anonymous: name.is_none(), name, ..VolumeMount::anonymous(destination) };
    for option in Options::new(options)? {
        match option {
            "copy" => mount.copy_up = true,
            "nocopy" => mount.copy_up = false,
            "nocreate" => mount.missing = IfMissing::Refuse,
            // The files of the store have the label that containers need, where there is SELinux.
            "z" | "Z" => {}
            _ => common_option(option, VOLUME_OPTIONS, &mut mount.access, &mut mount.exec)?,
        }
    }
    Ok(VolumeFlag::Volume(mount))
}

fn common_option(option: &str, all: &'static str, access: &mut Access, exec: &mut bool) -> Result<(), MountRefused> {
    match option {
        "ro" => *access = Access::ReadOnly,
        "rw" => *access = Access::ReadWrite,
        "exec" => *exec = true,
        "noexec" => *exec = false,
        // What every mount of a container has anyway.
        "rprivate" | "private" | "nosuid" | "nodev" => {}
        "suid" => return Err(MountRefused::Forbidden(option.into(), NO_SUID)),
        "dev" => return Err(MountRefused::Forbidden(option.into(), NO_DEV)),
        _ => return Err(unknown(option, "-v", all)),
    }
    Ok(())
}

/// `--tmpfs`'s value.
pub fn parse_tmpfs(text: &str) -> Result<TmpfsMount, MountRefused> {
    let (destination, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = TmpfsMount {
        destination: parse_destination(destination, text)?,
        access: Access::ReadWrite,
        size: None,
        mode: None,
        exec: false,
        copy_up: true,
    };
    for option in Options::new(options)? {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro", "") => mount.access = Access::ReadOnly,
            ("rw", "") => mount.access = Access::ReadWrite,
            ("exec", "") => mount.exec = true,
            ("noexec", "") => mount.exec = false,
            ("nosuid" | "nodev", "") => {}
            ("tmpcopyup", "") => mount.copy_up = true,
            ("notmpcopyup", "") => mount.copy_up = false,
            ("size", size) => mount.size = Some(parse_bytes(size).map_err(MountRefused::Size)?),
            ("mode", mode) => mount.mode = Some(parse_mode(mode)?),
            ("suid", "") => return Err(MountRefused::Forbidden(option.into(), NO_SUID)),
            ("dev", "") => return Err(MountRefused::Forbidden(option.into(), NO_DEV)),
            _ => return Err(unknown(option, "--tmpfs", TMPFS_OPTIONS)),
        }
    }
    Ok(mount)
}

fn parse_destination(destination: &str, whole: &str) -> Result<String, MountRefused> {
    let shown = || whole.chars().take(200).collect::<String>();
    match parse_container_path(destination) {
        Ok(path) if path == "/" => Err(MountRefused::Root(shown())),
        Ok(path) => Ok(path),
        Err(error) => Err(MountRefused::Destination(shown(), error)),
    }
}

fn parse_mode(text: &str) -> Result<u32, MountRefused> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.filter(|&mode| mode <= 0o1777).ok_or_else(|| MountRefused::Mode(text.chars().take(20).collect()))
}

fn unknown(option: &str, flag: &'static str, expected: &'static str) -> MountRefused {
    MountRefused::UnknownOption { option: option.chars().take(80).collect(), flag, expected }
}

/// Comma-separated options, none of which contradicts another.
struct Options;

impl Options {
    const OPPOSITES: &'static [(&'static str, &'static str)] = &[
        ("ro", "rw"),
        ("bind", "rbind"),
        ("exec", "noexec"),
        ("tmpcopyup", "notmpcopyup"),
        ("z", "Z"),
        ("copy", "nocopy"),
    ];

    #[expect(clippy::new_ret_no_self, reason = "what is wanted is the iterator")]
    fn new(text: &str) -> Result<impl Iterator<Item = &str>, MountRefused> {
        let options = text.split(',').filter(|option| !option.is_empty());
        let has = |wanted: &str| options.clone().any(|option| option == wanted);
        match Self::OPPOSITES.iter().find(|(one, other)| has(one) && has(other)) {
            Some((one, other)) => Err(MountRefused::Contradiction((*one).into(), (*other).into())),
            None => Ok(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Result<(BindMount, Relabel), MountRefused> {
        match parse_volume_flag(text, Path::new("/here"))? {
            VolumeFlag::Bind(mount, relabel) => Ok((mount, relabel)),
            VolumeFlag::Volume(mount) => panic!("{mount:?}"),
        }
    }

    fn volume(text: &str) -> VolumeMount {
        match parse_volume_flag(text, Path::new("/here")) {
            Ok(VolumeFlag::Volume(mount)) => mount,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn volumes() {
        let anonymous = VolumeMount::anonymous("/b".into());
        assert_eq!(volume("/b"), anonymous);
        let named = VolumeMount { name: Some("data".parse().unwrap()), anonymous: false, ..anonymous };
        assert_eq!(volume("data:/b"), named);
        assert_eq!(volume("data:/b/:rw,copy,z"), named);
        let other =
            VolumeMount { access: Access::ReadOnly, exec: false, copy_up: false, missing: IfMissing::Refuse, ..named };
        assert_eq!(volume("data:/b:ro,noexec,nocopy,nocreate"), other);
        for text in ["-v:/b", "a b:/b", "a/b:/b", "data:b", "data:/", "data:/b:rbind", "data:/b:copy,nocopy", "/b:ro"] {
            assert!(parse_volume_flag(text, Path::new("/here")).is_err(), "{text}");
        }
        let refused = parse_volume_flag("a/b:/b", Path::new("/here")).unwrap_err();
        assert!(crate::failure::Explain::hint(&refused).unwrap().contains("./a/b"));
    }

    #[test]
    fn binds() {
        let plain = BindMount {
            source: "/a".into(),
            destination: "/b".into(),
            access: Access::ReadWrite,
            recursive: true,
            exec: true,
        };
        assert_eq!(bind("/a:/b"), Ok((plain.clone(), Relabel::No)));
        assert_eq!(bind("/a:/b:"), Ok((plain.clone(), Relabel::No)));
        assert_eq!(bind("/a:/b/"), Ok((plain.clone(), Relabel::No)));
        assert_eq!(bind("/a:/b:rw,nosuid,nodev,rprivate,exec,rbind"), Ok((plain.clone(), Relabel::No)));
        let other = BindMount { access: Access::ReadOnly, recursive: false, exec: false, ..plain.clone() };
        assert_eq!(bind("/a:/b:ro,bind,noexec,private,Z"), Ok((other, Relabel::Yes)));
        assert_eq!(bind("./a:/b").unwrap().0.source, Path::new("/here/a"));
        assert_eq!(bind("./:/b").unwrap().0.source.as_os_str(), "/here");
        assert_eq!(bind("..:/b").unwrap().0.source, Path::new("/here/.."));
        assert_eq!(bind("/:/host").unwrap().0.source, Path::new("/"));
    }

    #[test]
    fn binds_that_are_refused() {
        assert!(matches!(bind("/a:b"), Err(MountRefused::Destination(..))));
        assert!(matches!(bind("/a:"), Err(MountRefused::Destination(..))));
        assert!(matches!(bind("/a:/x/.."), Err(MountRefused::Root(_))));
        assert!(matches!(bind("/a:/b:suid"), Err(MountRefused::Forbidden(..))));
        assert!(matches!(bind("/a:/b:ro,rw"), Err(MountRefused::Contradiction(..))));
        for text in ["", ":", ":/b", "/a:/b:ro:x", "a"] {
            assert!(matches!(bind(text), Err(MountRefused::Malformed(_))), "{text}");
        }
        for option in ["U", "O", "shared", "rslave", "copy", "idmap", "RO", "ro ", "size=1"] {
            let error = bind(&format!("/a:/b:{option}")).unwrap_err();
            assert!(error.to_string().contains(&format!("{option:?}")), "{error}");
        }
    }

    #[test]
    fn tmpfs() {
        let plain = parse_tmpfs("/t").unwrap();
        assert_eq!((plain.access, plain.size, plain.mode), (Access::ReadWrite, None, None));
        assert_eq!((plain.exec, plain.copy_up), (false, true));
        let all = parse_tmpfs("/t/:ro,size=64m,mode=1777,exec,nosuid,nodev,notmpcopyup").unwrap();
        let expected = TmpfsMount {
            destination: "/t".into(),
            access: Access::ReadOnly,
            size: Some(64 << 20),
            mode: Some(0o1777),
            exec: true,
            copy_up: false,
        };
        assert_eq!(all, expected);
        assert_eq!(parse_tmpfs("/t:mode=0700").unwrap().mode, Some(0o700));
    }

    #[test]
    fn tmpfs_that_are_refused() {
        for text in ["", "t", "/", ":ro", "/t:size=", "/t:size=50%", "/t:mode=", "/t:mode=9", "/t:mode=7777"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
        for text in ["/t:ro=1", "/t:suid", "/t:dev", "/t:nr_inodes=1", "/t:exec,noexec", "/t:x", "/t:mode=-1"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
