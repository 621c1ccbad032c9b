//! `-v`, `--mount` and `--tmpfs`.

mod mount_flag;
mod options;
#[cfg(test)]
mod tests;
mod tmpfs_flag;
mod volume_flag;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use mount_flag::parse_mount_flag;
pub use options::parse_mode;
pub use tmpfs_flag::parse_tmpfs;
pub use volume_flag::parse_volume_flag;

use super::byte_size::SizeRefused;
use super::container_path::{PathRefused, parse_container_path};
use super::image_selector::ImageSelector;
use super::label::LabelRefused;
use super::reference::ReferenceSyntax;
use super::volume::{VolumeName, VolumeNameRefused};
use crate::oci::digest::DiffId;

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
    /// Which mounts of the host's appear in it later.
    #[serde(default)]
    pub propagation: Propagation,
    /// Whether mounts below one that is read-only can be written to (`bind-recursive=writable`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writable_below: bool,
    /// Where writes go.
    #[serde(default, skip_serializing_if = "Writes::is_through")]
    pub writes: Writes,
}

impl BindMount {
    /// One without options.
    pub fn new(source: PathBuf, destination: String) -> Self {
        Self {
            source,
            destination,
            access: Access::ReadWrite,
            recursive: true,
            exec: true,
            propagation: Propagation::Private,
            writable_below: false,
            writes: Writes::Through,
        }
    }
}

/// Which mounts that are made below a mount's source later appear in the container (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// Those of the host.
    Slave,
    /// None, and it cannot be bind-mounted in the container.
    Unbindable,
}

/// Where writes to a mount go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writes {
    /// To its source.
    #[default]
    Through,
    /// To a layer on top of it that is gone when the container ends (`O`).
    Discarded,
    /// To a layer on top of it that stays (`O,upperdir=,workdir=`).
    Kept {
        /// `upperdir`, absolute.
        #[serde(with = "super::serialize::os_string")]
        upper: PathBuf,
        /// `workdir`, absolute.
        #[serde(with = "super::serialize::os_string")]
        work: PathBuf,
    },
}

impl Writes {
    /// Whether they reach the source.
    pub fn is_through(&self) -> bool {
        *self == Self::Through
    }
}

/// `--mount type=image`: the files of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMount {
    /// The image; its identifier, once the container is made.
    pub image: ImageSelector,
    /// Path in the container, absolute.
    pub destination: String,
    /// Whether the container may write; what it writes goes with it.
    pub access: Access,
    /// What of it is mounted, relative to its root; all of it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Its layers, lowest first, once the container is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<DiffId>,
}

/// `--mount type=devpts` and `type=ramfs`: a file system of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMount {
    /// Path in the container, absolute.
    pub destination: String,
    /// Whether the container may write.
    pub access: Access,
    /// `exec` or `noexec`.
    pub exec: bool,
    /// Which.
    pub kind: KernelFilesystem,
}

/// A file system of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelFilesystem {
    /// Terminals.
    Devpts {
        /// `uid`, `gid`, `mode`, `max`, as far as they are given: see mount(8).
        options: Vec<(String, String)>,
    },
    /// Memory that is never written to the swap.
    Ramfs {
        /// Permissions of its root.
        mode: Option<u32>,
    },
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
    /// What of the volume is mounted, relative to it; all of it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Where writes go.
    #[serde(default, skip_serializing_if = "Writes::is_through")]
    pub writes: Writes,
    /// Who keeps the files of a volume that is made: `local`, or a driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of a volume that is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Labels of a volume that is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
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
            subpath: None,
            writes: Writes::Through,
            driver: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// What `-v` or `--mount` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountFlag {
    /// A path of the host.
    Bind(BindMount),
    /// Each path of the host that matches a pattern, which stands in the place of the source; below the destination under
    /// its last name, or, where that is empty, in its own place.
    Glob(BindMount),
    /// An image.
    Image(ImageMount),
    /// A file system of the kernel's.
    Kernel(KernelMount),
    /// A volume.
    Volume(VolumeMount),
    /// Memory.
    Tmpfs(TmpfsMount),
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
    /// Not of the form of `-v`.
    #[error("{0:?} is not a mount: expected [SOURCE:]DESTINATION[:OPTIONS]")]
    Malformed(String),
    /// `--mount` without what it needs.
    #[error("{0:?} is not a mount: it has no {1}")]
    Lacks(String, &'static str),
    /// A type of `--mount`.
    #[error("{0:?} is not a type of mount: expected bind, volume, tmpfs, image, glob, devpts or ramfs")]
    UnknownType(String),
    /// A quotation mark without its pair.
    #[error("{0:?} is not a mount: a quotation mark has no pair")]
    Unquoted(String),
    /// `upperdir` without `workdir`, or without `O`.
    #[error("the option {0:?} needs {1}")]
    Needs(String, &'static str),
    /// An image that is none.
    #[error("reading the image of a mount")]
    Image(#[source] ReferenceSyntax),
    /// An option's value.
    #[error("the option {option:?} does not take {value:?}: expected {expected}")]
    Value {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A label.
    #[error(transparent)]
    Label(#[from] LabelRefused),
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

const MOUNT_EXAMPLE: &str = "--mount type=bind,src=./src,dst=/src,ro or --mount src=data,dst=/var/lib/data";

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
            Self::Malformed(_) => Some(
                "for example -v ./src:/src:ro or -v data:/var/lib/data; for a path that contains a colon use --mount"
                    .into(),
            ),
            Self::Needs(..) => Some("for example -v ./src:/src:O,upperdir=/var/tmp/upper,workdir=/var/tmp/work".into()),
            Self::Lacks(..) | Self::UnknownType(_) | Self::Value { .. } | Self::Unquoted(_) => {
                Some(format!("for example {MOUNT_EXAMPLE}"))
            }
            Self::Destination(_, error) => error.hint().or_else(|| Some(IN_WORDS_AND_SHORT.into())),
            Self::Image(_) => Some("for example --mount type=image,src=debian,dst=/mnt/debian".into()),
            Self::Size(_) | Self::Mode(_) => {
                Some("for example --tmpfs /run:size=64m,mode=755 or --mount type=tmpfs,dst=/run,tmpfs-size=64m".into())
            }
            Self::Root(_) | Self::Label(_) | Self::Contradiction(..) => Some(IN_WORDS_AND_SHORT.into()),
            Self::UnknownOption { flag, .. } => Some(match *flag {
                "-v" => "for example -v ./src:/src:ro or -v data:/var/lib/data".into(),
                "--tmpfs" => "for example --tmpfs /tmp:size=64m,exec".into(),
                _ => format!("for example {MOUNT_EXAMPLE}"),
            }),
            Self::Forbidden(..) => Some("leave it out".into()),
        }
    }
}

const IN_WORDS_AND_SHORT: &str = "for example -v ./src:/src:ro or --mount type=bind,src=./src,dst=/src,ro";

fn parse_destination(destination: &str, whole: &str) -> Result<String, MountRefused> {
    let shown = || whole.chars().take(200).collect::<String>();
    match parse_container_path(destination) {
        Ok(path) if path == "/" => Err(MountRefused::Root(shown())),
        Ok(path) => Ok(path),
        Err(error) => Err(MountRefused::Destination(shown(), error)),
    }
}

/// A path of the host below `working_directory`, written without what means nothing; `..` stays, for only the file system
/// knows where it leads.
fn host_path(path: &str, working_directory: &Path) -> PathBuf {
    working_directory.join(path).components().collect()
}
