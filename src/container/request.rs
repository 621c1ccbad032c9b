//! What `run` was asked for, in types: text has been parsed at the door, nothing behind it parses again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

pub use crate::name::capability_change::{CapabilityChanges, CapabilityName};
use crate::name::container::ContainerName;
use crate::name::reference::Reference;
pub use crate::name::user::{UserName, UserSpec};
use crate::oci::platform::Platform;

/// A container to be made and started.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the files come from.
    pub rootfs: RootfsSource,
    /// The name, or one chosen at random.
    pub name: Option<ContainerName>,
    /// Whether the command stays with the container.
    pub attach: Attach,
    /// What becomes of the container once it has exited.
    pub removal: Removal,
    /// Whether the container reads our standard input.
    pub stdin: Stdin,
    /// Whether the container gets a terminal of its own.
    pub terminal: Terminal,
    /// Environment: entries of `--env-file` in order, then those of `--env`. Later ones win.
    pub env: Vec<EnvSetting>,
    /// Working directory inside; the image's where absent.
    pub workdir: Option<String>,
    /// User to run as; the image's where absent.
    pub user: Option<UserSpec>,
    /// Replaces the image's entrypoint. `Some` of an empty vector clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Command and arguments; the image's `Cmd` where empty.
    pub command: Vec<OsString>,
    /// Host name inside; the container's short id where absent.
    pub hostname: Option<String>,
    /// Whether the rootfs can be written to.
    pub rootfs_access: Access,
    /// Network of the container.
    pub network: NetworkMode,
    /// Whether our reaper is pid 1.
    pub init: Init,
    /// `--cap-add`, `--cap-drop`.
    pub capabilities: CapabilityChanges,
    /// `--security-opt`.
    pub security: SecurityOptions,
    /// `-v`, in the order given.
    pub mounts: Vec<BindMount>,
    /// `--tmpfs`, in the order given.
    pub tmpfs: Vec<TmpfsMount>,
    /// Labels, those of `--label-file` and `--label`.
    pub labels: BTreeMap<String, String>,
    /// Where to write the container's identifier; must not exist.
    pub cidfile: Option<PathBuf>,
}

/// Where a container's files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootfsSource {
    /// An image of the store, or of a registry.
    Image {
        /// What the user typed.
        selector: ImageSelector,
        /// When to ask the registry.
        pull: PullPolicy,
        /// The platform wanted; the host's where absent.
        platform: Option<Platform>,
    },
    /// A directory of the host (`--rootfs`).
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether writes reach it.
        writes: DirectoryWrites,
    },
}

/// What the user typed where an image is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSelector {
    /// A reference; where the text could also be the beginning of an image id, that text in lowercase hexadecimal, tried
    /// if there is no image of that name.
    Reference(Reference, Option<String>),
    /// Certainly an image id: `sha256:` and hexadecimal digits.
    Id(String),
}

/// What happens to writes into a `--rootfs` directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryWrites {
    /// They reach the directory.
    Through,
    /// They go to an overlay that is thrown away (`DIR:O`).
    Discarded,
}

/// When to ask the registry for an image (`--pull`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Only if it is not in the store.
    #[default]
    Missing,
    /// Always; fails if the registry cannot be reached.
    Always,
    /// If the registry has another one; a registry that cannot be reached is no failure if the image is in the store.
    Newer,
    /// Never.
    Never,
}

/// Whether the command stays with the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Until the container exits.
    Foreground,
    /// It prints the container's id and leaves.
    Detached,
}

/// What becomes of a container that has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is kept.
    Never,
    /// It is removed (`--rm`).
    AtExit,
}

/// The container's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// Ours (`-i`).
    Open,
}

/// The container's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// None: pipes or files.
    None,
    /// A new pseudo-terminal (`-t`).
    New,
}

/// Whether something can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
}

/// Pid 1 of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The container's own process.
    Payload,
    /// Our reaper, with the container's process as its child (`--init`).
    Reaper,
}

/// The container's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// A network namespace with a loopback device only.
    None,
    /// The caller's network namespace.
    Host,
}

/// One environment setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvSetting {
    /// `NAME=value`.
    Set {
        /// Name, not empty, without `=`.
        name: String,
        /// Any bytes but NUL.
        value: OsString,
    },
    /// `NAME`: our own value, if there is one.
    Import(String),
    /// `PREFIX*`: all of ours whose name begins so.
    ImportPrefix(String),
}

/// `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SecurityOptions {
    /// `no-new-privileges[=true|false]`; the policy decides where absent.
    pub no_new_privileges: Option<bool>,
    /// `seccomp=`.
    pub seccomp: SeccompChoice,
    /// `mask=PATH[:PATH...]`: absolute paths to hide.
    pub mask: Vec<String>,
    /// `unmask=ALL` or paths, shell patterns allowed, that are not to be hidden or made read-only.
    pub unmask: Vec<Unmask>,
}

/// What not to mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmask {
    /// Everything (`unmask=ALL`, `systempaths=unconfined`).
    All,
    /// Paths that match this shell pattern.
    Pattern(String),
}

/// `--security-opt seccomp=`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum SeccompChoice {
    /// The built-in profile.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A profile in docker's JSON format.
    File(PathBuf),
}

/// `-v SOURCE:DESTINATION[:OPTIONS]` where the source is a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// Path on the host, absolute.
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

/// `--tmpfs DESTINATION[:OPTIONS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
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
