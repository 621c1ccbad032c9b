//! What a container is to be, before it is known how: everything resolved, nothing decided later.

use std::ffi::{CString, OsString};
use std::path::PathBuf;

use crate::cgroup::draft::Draft as GroupDraft;
use crate::identity::keeper::Draft;
use crate::lsm::capability::Sets;
use crate::name::concealed::Concealed;
use crate::name::limit_request::GroupNamespace;
use crate::name::mount::Propagation;
use crate::name::process::namespace_mode::{IpcMode, NamespaceMode};
use crate::name::resources::Bound;
use crate::name::storage_driver::Driver;
use crate::net::plan::NetworkPlan;
use crate::seccomp::{Filter, Key};

/// A container to be launched.
#[derive(Debug)]
pub struct Blueprint {
    /// The store's root directory, absolute; the overlay's layers and uppers are relative to it.
    pub store: PathBuf,
    /// An empty directory, relative to the store, on which the root is attached before it becomes the root.
    pub mountpoint: String,
    /// The root file system.
    pub rootfs: Rootfs,
    /// How it is made, and what else is of layers.
    pub driver: Driver,
    /// Whether that may be done in another way.
    pub falls_back: bool,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// The user namespace's maps.
    pub ids: IdMaps,
    /// The network.
    pub network: NetworkPlan,
    /// Whether it is made in the user namespace of somebody else, whose namespaces it joins.
    pub shares_users: bool,
    /// Host name.
    pub hostname: String,
    /// Mounts that the user asked for, in order.
    pub mounts: Vec<Mount>,
    /// Files that the runtime writes, where they can be: name resolution.
    pub files: Vec<GivenFile>,
    /// Lines that files of the container get, unless they have them: path, absolute, and line.
    pub lines: Vec<(&'static str, String)>,
    /// Where it finds a socket on which its monitor listens, absolute, if it does.
    pub notes: Option<&'static str>,
    /// Whether it is prepared for systemd, which manages the groups below its own.
    pub systemd: bool,
    /// Whether `/sys/fs/cgroup` shows the container's subtree of a cgroup v2 hierarchy.
    pub cgroup2: bool,
    /// Its control group, if it gets one.
    pub group: Option<GroupDraft>,
    /// What it sees of the control groups.
    pub group_namespace: GroupNamespace,
    /// Whose messages and shared memory it sees.
    pub ipc: IpcMode,
    /// Whether the host shows its message queues, which is where they are shown to whoever shares them.
    pub host_queues: bool,
    /// Whose processes; with the host's our reaper is its first process.
    pub pid: NamespaceMode,
    /// Options of its procfs and their values.
    pub proc_options: Vec<(String, String)>,
    /// Whose host name.
    pub uts: NamespaceMode,
    /// Bytes of `/dev/shm`.
    pub shm_size: Bound,
    /// Devices of the host shown in `/dev`: name and `st_rdev`.
    pub devices: Vec<(&'static str, u64)>,
    /// Devices of the host that were asked for.
    pub host_devices: Vec<HostDevice>,
    /// Secrets, as files.
    pub secrets: Vec<GivenSecret>,
    /// Whether the kernel's file systems can be written to as far as the kernel lets the container.
    pub privileged: bool,
    /// Absolute paths to hide.
    pub masked: Vec<String>,
    /// Absolute paths to make read-only.
    pub read_only_paths: Vec<String>,
    /// Kernel settings below `/proc/sys`, and their values.
    pub sysctls: Vec<(String, String)>,
    /// The process.
    pub process: Process,
    /// What is known of it for the supervisor of virtual ids, if its ids are virtual.
    pub virtual_ids: Option<Draft>,
    /// Whether our reaper is pid 1.
    pub reaper: bool,
}

/// A file that the runtime writes and shows in the container.
#[derive(Clone, Debug)]
pub struct GivenFile {
    /// Its name, unique among the given files.
    pub name: &'static str,
    /// Its contents.
    pub content: OsString,
    /// Where it is shown, absolute.
    pub destination: &'static str,
    /// Whether it is an error if it cannot be shown there.
    pub required: bool,
    /// Whether the monitor may have to change it.
    pub shared: bool,
}

/// A device of the host.
#[derive(Clone, Debug)]
pub struct HostDevice {
    /// Its path on the host, absolute.
    pub source: PathBuf,
    /// Its path in the container, absolute.
    pub destination: String,
    /// The number it must have: `st_rdev`.
    pub number: u64,
    /// Whether it is a block device, and not a character device.
    pub block: bool,
}

/// A secret that is shown in the container as a file in memory.
#[derive(Clone, Debug)]
pub struct GivenSecret {
    /// What is secret.
    pub content: Concealed,
    /// Where it is shown, absolute.
    pub destination: String,
    /// Its permissions.
    pub mode: u32,
    /// User and group that it is given to; ours where absent.
    pub owner: Option<(u32, u32)>,
}

/// The root file system.
#[derive(Debug)]
pub enum Rootfs {
    /// An overlay.
    Overlay {
        /// Layers, topmost first, relative to the store or absolute.
        lower: Vec<CString>,
        /// `upperdir` and `workdir`, relative to the store.
        upper: (CString, CString),
        /// Whether its contents die with the container.
        volatile: bool,
        /// Bytes that may be written.
        limit: Option<u64>,
    },
    /// A directory of the host.
    Directory {
        /// Its path, absolute.
        path: PathBuf,
        /// The inode it must be: `st_dev`, `st_ino`.
        inode: (u64, u64),
    },
    /// A copy-on-write view of a directory of the host that is thrown away with the container.
    Discarded {
        /// Its path, absolute.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// As [`ViewEntry::Overlay`]'s, if it is overlaid whole.
        inner: Vec<(PathBuf, u32)>,
        /// What the view is put together from, parents first; none if the directory can be overlaid whole.
        entries: Vec<ViewEntry>,
        /// An empty directory, relative to the store, that holds what is written: in memory where the store lies below
        /// `path`, since an overlay's upper directory cannot lie in its lower one.
        scratch: String,
        /// Whether `scratch` is to be covered by a tmpfs.
        in_memory: bool,
    },
}

/// A part of a copy-on-write view; paths are relative to the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewEntry {
    /// A new directory.
    Directory {
        /// Where.
        relative: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where.
        relative: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A directory of the host, overlaid.
    Overlay {
        /// Where.
        relative: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Directories below it to make in its upper layer, relative to it, with their permissions.
        inner: Vec<(PathBuf, u32)>,
    },
    /// A file or directory of the host, read-only, with all mounts below it.
    ReadOnly {
        /// Where.
        relative: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
}

/// The maps of the user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdMaps {
    /// One id: the container's process is this user and group, which is us outside.
    Single {
        /// User inside.
        uid: u32,
        /// Group inside.
        gid: u32,
        /// User outside.
        host_uid: u32,
        /// Group outside.
        host_gid: u32,
    },
    /// Several, written by the monitor, which has the privilege: lines of `uid_map` and `gid_map`.
    Ranges {
        /// `uid_map`.
        uid_map: String,
        /// `gid_map`.
        gid_map: String,
    },
}

/// A mount that the user asked for. All are `nosuid` and `nodev`.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Path in the container, absolute.
    pub destination: String,
    /// What is mounted.
    pub source: MountSource,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Whether programs in it can be executed.
    pub exec: bool,
}

/// What is mounted.
#[derive(Clone, Debug)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Its path, absolute.
        path: PathBuf,
        /// The inode it must be: `st_dev`, `st_ino`.
        inode: (u64, u64),
        /// Whether it is a directory.
        directory: bool,
        /// Whether mounts below it come along.
        recursive: bool,
        /// Which mounts of the host's appear in it later.
        propagation: Propagation,
        /// Whether mounts below it can be written to although it is read-only.
        writable_below: bool,
    },
    /// Directories on top of each other.
    Overlay {
        /// The directories, topmost first, absolute or relative to the store.
        lower: Vec<CString>,
        /// Where writes go; it is read-only where absent.
        writes: Option<OverlayWrites>,
        /// What below it is mounted, and whether that is a directory; all of it where absent.
        subpath: Option<(CString, bool)>,
    },
    /// Terminals of its own.
    Devpts {
        /// Options and values: mount(8).
        options: Vec<(String, String)>,
    },
    /// Memory that is never written to the swap.
    Ramfs {
        /// Permissions of its root.
        mode: Option<u32>,
    },
    /// A directory of the store.
    Volume {
        /// The directory, relative to the store.
        path: CString,
        /// What below it is mounted, and whether that is a directory; all of it where absent.
        subpath: Option<(CString, bool)>,
        /// The directory beside which the marks are that say whether it is still to be filled with what it covers; none
        /// if it is not.
        fill: Option<CString>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
        /// Permissions of its root; those of what it covers, else 1777, where absent.
        mode: Option<u32>,
        /// Whether what it covers is copied in.
        copy_up: bool,
    },
}

/// Where writes to an overlay go. Paths are absolute or relative to the store.
#[derive(Clone, Debug)]
pub struct OverlayWrites {
    /// `upperdir`.
    pub upper: CString,
    /// `workdir`.
    pub work: CString,
    /// Directories to make before, with their permissions.
    pub make: Vec<(CString, u32)>,
}

/// The size of a terminal's window; zeroes where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What answers a process's questions for its ids.
#[derive(Debug)]
pub enum ProcessIds {
    /// The kernel.
    Kernels,
    /// A supervisor.
    Virtual {
        /// The filter that hands it the questions.
        filter: Filter,
        /// What lets our own init pass that.
        key: Key,
        /// The limit that stands for the credentials that the process begins with.
        limit: u64,
    },
    /// Nobody: a filter has changes succeed that are not made.
    Pretended(Filter),
}

/// The container's process.
#[derive(Debug)]
pub struct Process {
    /// Paths to try, in order.
    pub candidates: Vec<CString>,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// Environment.
    pub envp: Vec<CString>,
    /// Working directory, absolute.
    pub cwd: String,
    /// User; already so where the map has a single id.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups; only where the maps have ranges. Left alone where absent.
    pub groups: Option<Vec<u32>>,
    /// Capabilities.
    pub capabilities: Sets,
    /// Whether no_new_privs is set.
    pub no_new_privileges: bool,
    /// What answers its questions for ids.
    pub ids: ProcessIds,
    /// The seccomp filter.
    pub filter: Option<Filter>,
    /// Resource limits: `RLIMIT_*`, soft, hard; lowered to what we may have.
    pub limits: Vec<(u32, u64, u64)>,
    /// How readily the kernel kills it when memory is short; ours where absent.
    pub oom_score_adj: Option<i16>,
    /// The profile of AppArmor that its program is executed under.
    pub apparmor: Option<CString>,
    /// File mode creation mask.
    pub umask: u32,
    /// What kind of machine it sees (personality(2)).
    pub personality: u32,
    /// Whether it has a session keyring of its own.
    pub new_keyring: bool,
    /// The terminal of its own, if it has one.
    pub terminal: Option<WindowSize>,
}
