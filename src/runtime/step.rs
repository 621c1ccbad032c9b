//! The instructions of a container's init: plain data, computed before the fork, executed in order after it.
//!
//! Mounts are made detached and kept in numbered slots until they are attached. Everything that needs a path of the host
//! happens before [`Step::EnterRoot`]; after it the host is reachable only through mounts already in a slot.

use std::ffi::{CStr, CString, OsString};
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;

use super::blueprint::WindowSize;
use crate::lsm::capability::Sets;
use crate::name::capability::CapabilitySet;
use crate::name::concealed::Concealed;
use crate::name::mount::Propagation;
use crate::name::storage_driver::Driver;
use crate::seccomp::{Filter, Key};
use crate::sys::exec::StringVector;
use crate::sys::mount::{Depth, MountAttrs};

/// Number of a mount kept by init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

/// A path below the root of the mount in a slot.
#[derive(Clone, Debug)]
pub struct Place {
    /// The mount.
    pub base: Slot,
    /// Relative path, without leading slash.
    pub path: CString,
}

/// What a mount is attached on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A directory.
    Directory,
    /// Anything but a directory.
    File,
}

/// Whether symbolic links of the rootfs are followed on the way to a mount's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Within the root, as the container's processes would.
    Follow,
    /// A link is an error: the runtime's own mounts must be where they are expected.
    Refuse,
}

/// What is done about a target that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is made, with its parents.
    Create,
    /// It is made; if that cannot be done the mount is left out.
    CreateOrSkip,
    /// It is an error.
    Refuse,
}

/// What a clone of a host path must be, so that nothing else is given to the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The inode that was there when the plan was made.
    Inode {
        /// `st_dev`.
        device: u64,
        /// `st_ino`.
        inode: u64,
    },
    /// A character device of this number (`st_rdev`).
    CharacterDevice(u64),
    /// A block device of this number (`st_rdev`).
    BlockDevice(u64),
}

/// Where an overlay's writes go.
#[derive(Clone, Debug)]
pub struct Upper {
    /// `upperdir`, relative to the store.
    pub upperdir: CString,
    /// `workdir`, relative to the store.
    pub workdir: CString,
    /// Whether the overlay may skip all syncs: its contents die with the container (`volatile`, Linux 5.10).
    pub volatile: bool,
    /// Bytes that it may take, where the driver can see to that.
    pub limit: Option<u64>,
}

/// What is done about a directory that cannot be overlaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is an error.
    Fail,
    /// It is shown read-only, with all mounts below it.
    ReadOnly,
}

/// One instruction.
#[derive(Debug)]
pub enum Step {
    /// Be killed with the monitor, and be opaque to processes of the same user.
    TieToMonitor,
    /// Enter namespaces of a process, and its root directory with its mount namespace.
    Join {
        /// The process.
        member: OwnedFd,
        /// Which of its namespaces.
        namespaces: CloneFlags,
    },
    /// Keep our root directory in a slot.
    HoldRoot(Slot),
    /// Keep a directory of a mount of a devpts in a slot; anything else that is there is an error.
    HoldTerminals {
        /// Where it is kept.
        slot: Slot,
        /// Where it is.
        at: Place,
    },
    /// Write `/proc/self/{uid_map,setgroups,gid_map}`: one line each, our own id.
    MapOwnIds {
        /// Contents of `uid_map`.
        uid_map: String,
        /// Contents of `gid_map`.
        gid_map: String,
    },
    /// Wait until the monitor has written the maps, and take user and group 0 of the namespace.
    AwaitIdMaps,
    /// Change to the store's root: paths of layers and uppers are relative to it.
    EnterStore(CString),
    /// Make a file system.
    NewFilesystem {
        /// Where it is kept.
        slot: Slot,
        /// Type.
        fstype: &'static CStr,
        /// Options: key, and value if it has one.
        options: Vec<(CString, Option<CString>)>,
        /// Attributes of the mount.
        attrs: MountAttrs,
    },
    /// Make the overlay of layers.
    Overlay {
        /// How.
        driver: Driver,
        /// Where it is kept.
        slot: Slot,
        /// `lowerdir`s, topmost first, relative to the store.
        lower: Vec<CString>,
        /// Where writes go; a read-only overlay where absent.
        upper: Option<Upper>,
        /// An empty directory of the store to mount on where the kernel takes the layers by mount(2) only.
        mountpoint: CString,
    },
    /// Make an overlay over a directory of the host.
    OverlayDirectory {
        /// How.
        driver: Driver,
        /// Where it is kept.
        slot: Slot,
        /// The directory, absolute.
        lower: CString,
        /// Where writes go.
        upper: Upper,
        /// A directory of the store, relative to it, on which the lower one is mounted first: the container sees the name of
        /// the lower directory in its mount table, and a name of the host is none of its business.
        mountpoint: CString,
        /// What is done if the kernel refuses the overlay, as it does on some file systems.
        otherwise: Otherwise,
    },
    /// Find out what a container has changed in its copy of its layers.
    Changes {
        /// Where what is found is kept: a layer, to be read.
        slot: Slot,
        /// The container's directory, relative to the store.
        container: CString,
        /// What was copied, as of [`Step::Overlay`].
        lower: Vec<CString>,
    },
    /// Make the same the container's own layer.
    Settle {
        /// The container's directory, relative to the store.
        container: CString,
        /// What was copied, as of [`Step::Overlay`].
        lower: Vec<CString>,
    },
    /// Attach a mount on a directory of the host, in our own mount namespace, before the root is entered.
    AttachOnHost {
        /// The mount.
        slot: Slot,
        /// The directory, relative to the store.
        on: CString,
    },
    /// Make directories of the host, relative to the store, with these permissions.
    MakeHostDirectories(Vec<(CString, u32)>),
    /// Clone what is below a directory of the store, without following a link that a container may have made there.
    CloneBelow {
        /// Where it goes.
        slot: Slot,
        /// The directory, relative to the store.
        directory: CString,
        /// The path below it.
        path: CString,
        /// How much of it.
        depth: Depth,
        /// Attributes of the mount.
        attrs: MountAttrs,
    },
    /// Clone a mount of the host.
    CloneHost {
        /// Where it is kept.
        slot: Slot,
        /// Path on the host, absolute or relative to the store.
        path: CString,
        /// What it must be.
        expect: Option<Expect>,
        /// How much of it.
        depth: Depth,
        /// Attributes added to all of it.
        attrs: MountAttrs,
        /// Which mounts of the host's appear in it later.
        propagation: Propagation,
    },
    /// Attach the root and make it this process's root directory.
    EnterRoot {
        /// The root.
        slot: Slot,
        /// An empty directory of the store to attach it on, relative to the store.
        mountpoint: CString,
    },
    /// Keep a mount that the monitor has given us in a slot: shared memory of another container.
    TakeSharedMemory(Slot),
    /// Attach a mount.
    Attach {
        /// The mount.
        slot: Slot,
        /// Where.
        on: Place,
        /// What must be there.
        kind: TargetKind,
        /// Whether links are followed.
        links: Links,
        /// If it is not there.
        missing: Missing,
    },
    /// Make a directory, parents included, unless there is one.
    MakeDirectory {
        /// Where.
        at: Place,
        /// Its permissions.
        mode: u32,
    },
    /// Make a symbolic link.
    MakeLink {
        /// Where.
        at: Place,
        /// What it says.
        target: CString,
    },
    /// Write a new file, readable by all.
    WriteFile {
        /// Where.
        at: Place,
        /// Its contents.
        content: OsString,
        /// Whether the monitor gets it, too, to change it later.
        shared: bool,
    },
    /// Listen on a new socket for messages of the container's processes (unix(7), SOCK_DGRAM), and send it to the monitor.
    Listen {
        /// Where.
        at: Place,
    },
    /// Add a line to a file, if it is there and has no such line. One that may not be written to stays as it is.
    AddLine {
        /// Where.
        at: Place,
        /// The line, without its end.
        line: String,
    },
    /// Write a new file that holds a secret.
    WriteSecret {
        /// Where.
        at: Place,
        /// Its contents.
        content: Concealed,
        /// Its permissions.
        mode: u32,
        /// User and group that it is given to; ours where absent.
        owner: Option<(u32, u32)>,
    },
    /// Copy what the root has at a place into a mount that is about to cover it.
    CopyUp {
        /// The mount.
        into: Slot,
        /// The covered directory.
        from: Place,
        /// Whether the mount keeps the permissions it was given.
        keep_mode: bool,
    },
    /// The same for a volume, unless another container has done it or somebody has written into it.
    FillVolume {
        /// The mount of its files.
        into: Slot,
        /// The mount of the directory with its marks ([`crate::volume::NEW`]).
        marks: Slot,
        /// The covered directory.
        from: Place,
    },
    /// Write a kernel setting through our own procfs.
    WriteSetting {
        /// Below `/proc`.
        at: Place,
        /// Its value.
        value: String,
    },
    /// Enter a v1 control group: write into these files.
    JoinGroup(Vec<CString>),
    /// Make our control group the root of those that we see.
    NewGroupNamespace,
    /// Set how readily the kernel kills us when memory is short.
    SetOomScore(i16),
    /// Have the next program executed under a profile of AppArmor.
    SetAppArmorProfile(CString),
    /// Begin to make a network namespace, with a loopback device that is up.
    BeginNetwork,
    /// Enter the network namespace that was begun.
    EnterNetwork {
        /// Whether the monitor gets it, too, to have it connected.
        shared: bool,
    },
    /// Wait until the network is connected.
    AwaitNetwork {
        /// A device that then gets what slirp4netns has of IPv6.
        slirp_ipv6: Option<String>,
    },
    /// Name the host.
    SetHostname(CString),
    /// Name its NIS domain.
    SetDomainName(CString),
    /// Hide what is at a place, if it is there: a file behind the null device, a directory behind an empty one.
    Mask {
        /// What.
        place: Place,
        /// The null device, attached.
        null: Slot,
        /// An empty read-only directory.
        empty: Slot,
        /// Whether files that nobody but an owner of no id of ours may open are left alone: the kernel refuses them to
        /// everybody in the container, whatever its capabilities (`capable_wrt_inode_uidgid`).
        spare_refused: bool,
    },
    /// Make a place read-only, if it is there, with everything mounted below it.
    MakeReadOnly(Place),
    /// Make the mount in a slot itself read-only.
    SealMount(Slot),
    /// Add attributes to the mount in a slot itself.
    AddAttributes(Slot, MountAttrs),
    /// Make a terminal in the devpts of a slot, send its master to the monitor, make it our standard streams and our
    /// controlling terminal.
    OpenTerminal {
        /// The devpts.
        devpts: Slot,
        /// Where it is shown as the console, if it is.
        console: Option<Place>,
        /// The size of its window: the program may ask at once.
        size: WindowSize,
    },
    /// Begin a session and a process group of our own.
    NewSession,
    /// Make the descriptors that the monitor gave us our standard streams.
    TakeStreams,
    /// Get a session keyring of our own.
    NewKeyring,
    /// Set a resource limit, lowering it to what we may have.
    Limit {
        /// `RLIMIT_*`.
        resource: u32,
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
    /// Take a personality (personality(2)).
    SetPersonality(u32),
    /// Set the file mode creation mask.
    SetUmask(u32),
    /// Enter the working directory, and check that it is inside the root.
    EnterDirectory {
        /// Where.
        place: Place,
        /// If it is not there.
        missing: Missing,
    },
    /// Set no_new_privs.
    SetNoNewPrivileges,
    /// Set the limit that says what ids a process has whose ids are virtual.
    CarryCredentials(u64),
    /// Install the filter of a process whose ids are virtual, and send the monitor the listener, and the container's user and mount
    /// namespaces as the procfs in a slot shows them.
    InstallListener {
        /// The filter.
        filter: Filter,
        /// What lets the rest of the steps pass it.
        key: Key,
        /// The procfs; no namespaces are sent where absent.
        proc: Option<Slot>,
    },
    /// Install a seccomp filter.
    InstallFilter(Filter),
    /// Drop everything from the bounding set that is not in this set.
    LimitBoundingSet(CapabilitySet),
    /// Become a user; the permitted set stays.
    BecomeUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Supplementary groups; left alone where absent.
        groups: Option<Vec<u32>>,
    },
    /// Set the permitted, effective, inheritable and ambient sets.
    SetCapabilities(Sets),
    /// Become the parent of those whose parent ends, below us, and send the monitor our mount namespace as the procfs in a slot
    /// shows it: nothing that is in it is to outlive us.
    AdoptOrphans(Slot),
    /// Put the container's process into a child of ours and stay as its reaper.
    Reap,
    /// Become the container's process.
    Execute {
        /// Paths to try, in order.
        candidates: Vec<CString>,
        /// Arguments.
        argv: StringVector,
        /// Environment.
        envp: StringVector,
    },
}

impl Place {
    /// `path` below the mount in `base`. Leading slashes are dropped; a NUL ends the path early, so callers parse first.
    pub fn new(base: Slot, path: &str) -> Self {
        let trimmed = path.trim_start_matches('/');
        let bytes: Vec<u8> = trimmed.bytes().take_while(|&b| b != 0).collect();
        let path = CString::new(if bytes.is_empty() { b".".to_vec() } else { bytes }).unwrap_or_default();
        Self { base, path }
    }
}
