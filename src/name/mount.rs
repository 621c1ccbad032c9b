//! `-v` and `--tmpfs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::byte_size::{SizeRefused, parse_bytes};
use super::container_path::{PathRefused, parse_container_path};

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
    /// `-v /x`.
    #[error("{0:?} asks for an anonymous volume: this version has no volumes, only directories and files of the host")]
    AnonymousVolume(String),
    /// `-v name:/x`.
    #[error("{0:?} is the name of a volume: this version has no named volumes")]
    NamedVolume(String),
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
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NamedVolume(name) => {
                Some(format!("for the directory of the host of that name, write ./{name} or its absolute path"))
            }
            Self::AnonymousVolume(path) => Some(format!(
                "for scratch space use --tmpfs {path}; for a directory of the host write -v SOURCE:{path}"
            )),
            Self::Malformed(_) => Some("a path that contains a colon cannot be given to -v".into()),
            _ => None,
        }
    }
}

const BIND_OPTIONS: &str = "ro, rw, rbind, bind, rprivate, private, nosuid, nodev, exec, noexec, z, Z";
const TMPFS_OPTIONS: &str = "ro, rw, size=BYTES, mode=OCTAL, exec, noexec, nosuid, nodev, tmpcopyup, notmpcopyup";
const NO_SUID: &str = "set-user-id programs on a mount could not gain anything the container has not";
const NO_DEV: &str = "devices on a mount of an unprivileged user never work";

/// `-v`'s value. A source that is not absolute is taken below `working_directory`; it must begin with a dot, as podman
/// and docker have it, because other words are names of volumes.
pub fn parse_bind_mount(text: &str, working_directory: &Path) -> Result<(BindMount, Relabel), MountRefused> {
    let shown = || text.chars().take(200).collect::<String>();
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts[..] {
        [path] if path.starts_with('/') => return Err(MountRefused::AnonymousVolume(shown())),
        [source, destination] => (source, destination, ""),
        [source, destination, options] => (source, destination, options),
        _ => return Err(MountRefused::Malformed(shown())),
    };
    if source.is_empty() {
        return Err(MountRefused::Malformed(shown()));
    }
    if !source.starts_with(['/', '.']) {
        return Err(MountRefused::NamedVolume(source.chars().take(200).collect()));
    }
    let mut mount = BindMount {
        // Written without what means nothing; `..` stays, for only the file system knows where it leads.
        source: working_directory.join(source).components().collect(),
        destination: parse_destination(destination, text)?,
        access: Access::ReadWrite,
        recursive: true,
        exec: true,
    };
    let mut relabel = Relabel::No;
    for option in Options::new(options)? {
        match option {
            "ro" => mount.access = Access::ReadOnly,
            "rw" => mount.access = Access::ReadWrite,
            "rbind" => mount.recursive = true,
            "bind" => mount.recursive = false,
            "exec" => mount.exec = true,
            "noexec" => mount.exec = false,
            // What every mount of a container has anyway.
            "rprivate" | "private" | "nosuid" | "nodev" => {}
            "z" | "Z" => relabel = Relabel::Yes,
            "suid" => return Err(MountRefused::Forbidden(option.into(), NO_SUID)),
            "dev" => return Err(MountRefused::Forbidden(option.into(), NO_DEV)),
            _ => return Err(unknown(option, "-v", BIND_OPTIONS)),
        }
    }
    Ok((mount, relabel))
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
    const OPPOSITES: &'static [(&'static str, &'static str)] =
        &[("ro", "rw"), ("bind", "rbind"), ("exec", "noexec"), ("tmpcopyup", "notmpcopyup"), ("z", "Z")];

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
        parse_bind_mount(text, Path::new("/here"))
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
        assert!(matches!(bind("/a"), Err(MountRefused::AnonymousVolume(_))));
        assert!(matches!(bind("data:/b"), Err(MountRefused::NamedVolume(_))));
        assert!(matches!(bind("-v:/b"), Err(MountRefused::NamedVolume(_))));
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
