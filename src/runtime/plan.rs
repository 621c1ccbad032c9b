//! From a [`Blueprint`] to a [`LaunchPlan`]: a pure function, so that every decision can be read and tested without a
//! kernel.

mod devices;
pub mod join;
mod mounts;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sched::CloneFlags;

use super::blueprint::{Blueprint, IdMaps, Process, ProcessIds, Rootfs, ViewEntry};
use super::step::{Expect, Links, Missing, Otherwise, Place, Slot, Step, TargetKind, Upper};
use crate::cgroup::draft::Draft;
use crate::cgroup::group::Group;
use crate::identity::keeper;
use crate::name::limit_request::GroupNamespace;
use crate::name::mount::Propagation;
use crate::name::process::namespace_mode::{IpcMode, NamespaceMode, Owner};
use crate::name::resources::Bound;
use crate::name::storage_driver::Driver;
use crate::net::plan::{NetworkPlan, UserPlan};
use crate::sys::exec::StringVector;
use crate::sys::mount::{Depth, MountAttrs};

/// What is forked, and what the child does.
#[derive(Debug)]
pub struct LaunchPlan {
    /// Namespaces of the fork.
    pub namespaces: CloneFlags,
    /// What the monitor writes into the child's `uid_map` and `gid_map`, if the child cannot do it itself.
    pub id_maps: Option<(String, String)>,
    /// The control group that is made for it before.
    pub group: Option<Draft>,
    /// What is known for the supervisor of virtual ids that stands beside it.
    pub virtual_ids: Option<Rc<keeper::Draft>>,
    /// The network, which somebody may have to connect meanwhile.
    pub network: NetworkPlan,
    /// Whether it is made in the user namespace of somebody else.
    pub shares_users: bool,
    /// Whether it is made in namespaces of somebody else.
    pub joins: bool,
    /// Whether it is among processes of others from the beginning: those of another container.
    pub is_among_others: bool,
    /// Whether its root file system may be made in another way than planned.
    pub falls_back: bool,
    /// What the child does.
    pub steps: Vec<Step>,
}

/// When the program is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// As soon as all steps before it are done.
    #[default]
    AtOnce,
    /// When the monitor says so.
    WhenTold,
}

/// Whether the child needs memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildMemory {
    /// It executes a program, without help, and until then the monitor has nothing to do: it may use the monitor's.
    Shared,
    /// The monitor works while it does, or it stays, or others can keep it from executing the program.
    Own,
}

const ROOT: Slot = Slot(0);
const PROC: Slot = Slot(1);
const SYS: Slot = Slot(2);
const DEV: Slot = Slot(3);
const DEVPTS: Slot = Slot(4);
const SHM: Slot = Slot(5);
const MQUEUE: Slot = Slot(6);
const EMPTY: Slot = Slot(7);
const CGROUP: Slot = Slot(8);
const SCRATCH: Slot = Slot(9);
const FILES: Slot = Slot(10);
const SETTINGS: Slot = Slot(11);
const SECRETS: Slot = Slot(12);
const FIRST_FREE: usize = 13;

/// What the kernel shows for an owner that has no id in the namespace (`kernel.overflowuid`).
pub const OVERFLOW_ID: u32 = 65_534;

const NOSUID_NODEV: MountAttrs = MountAttrs::NOSUID.and(MountAttrs::NODEV);
const NO_EXEC_SUID_DEV: MountAttrs = NOSUID_NODEV.and(MountAttrs::NOEXEC);
const READ_ONLY_KERNEL: MountAttrs = NO_EXEC_SUID_DEV.and(MountAttrs::RDONLY);
const DEVICE_ATTRS: MountAttrs = MountAttrs::NOSUID.and(MountAttrs::NOEXEC);

impl LaunchPlan {
    /// Whether the child needs memory of its own.
    pub fn child_memory(&self) -> ChildMemory {
        let executes = matches!(self.steps.last(), Some(Step::Execute { .. }));
        let stays = !executes || self.steps.iter().any(|step| matches!(step, Step::Reap));
        // Whoever is among a container's processes can be stopped by them, and we with it.
        let is_exposed = self.joined().is_some();
        let is_helped = self.network.is_connected() || self.id_maps.is_some() || self.joins;
        // The monitor starts what serves it.
        let is_served = self.drivers().any(|driver| driver != Driver::Overlay);
        if stays || is_exposed || is_served || is_helped { ChildMemory::Own } else { ChildMemory::Shared }
    }

    /// The ways in which its overlays are made.
    fn drivers(&self) -> impl Iterator<Item = Driver> {
        self.steps.iter().filter_map(|step| match step {
            Step::Overlay { driver, .. } | Step::OverlayDirectory { driver, .. } => Some(*driver),
            _ => None,
        })
    }

    /// The way in which its overlays are made; nothing if it has none.
    pub fn driver(&self) -> Option<Driver> {
        self.drivers().next()
    }

    /// Has its overlays made in another way.
    pub fn set_driver(&mut self, new: Driver) {
        for step in &mut self.steps {
            if let Step::Overlay { driver, .. } | Step::OverlayDirectory { driver, .. } = step {
                *driver = new;
            }
        }
    }

    /// Whether what is written to an overlay may take so much room and no more.
    pub fn has_size_limit(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Overlay { upper, .. } => upper.as_ref().is_some_and(|upper| upper.limit.is_some()),
            Step::OverlayDirectory { upper, .. } => upper.limit.is_some(),
            _ => false,
        })
    }

    /// The directory of the store in which its processes leave what nobody needs once they are gone.
    pub fn scratch(&self) -> Option<PathBuf> {
        let leaves =
            self.driver() == Some(Driver::Copy) || self.steps.iter().any(|step| matches!(step, Step::Changes { .. }));
        let store = self.steps.iter().find_map(|step| match step {
            Step::EnterStore(path) => Some(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()))),
            _ => None,
        });
        store.filter(|_| leaves).map(|store| store.join(crate::state::layout::TEMPORARY))
    }

    /// Whether the step of this index makes an overlay.
    pub fn is_overlay(&self, step: usize) -> bool {
        matches!(self.steps.get(step), Some(Step::Overlay { .. } | Step::OverlayDirectory { .. }))
    }

    /// The process whose namespaces are joined, if the plan says so: a descriptor that the child needs.
    pub fn joined(&self) -> Option<BorrowedFd<'_>> {
        self.steps.iter().find_map(|step| match step {
            Step::Join { member, .. } => Some(member.as_fd()),
            _ => None,
        })
    }

    /// The plan for `blueprint`.
    pub fn new(mut blueprint: Blueprint) -> Self {
        let mut planner = Planner { steps: Vec::with_capacity(96), next_slot: FIRST_FREE, driver: blueprint.driver };
        // What is made has the permissions that the plan says, whatever the caller's mask.
        planner.steps.push(Step::SetUmask(0));
        let is_of_others = |mode: &NamespaceMode| matches!(mode, NamespaceMode::Of(_));
        let is_among_others = is_of_others(&blueprint.pid);
        let joins = matches!(blueprint.network, NetworkPlan::Join(_))
            || matches!(blueprint.ipc, IpcMode::Of(_))
            || is_among_others
            || is_of_others(&blueprint.uts);
        // Before it hides from ptrace: its files in /proc are root's then. Who joins others has hidden from the beginning, and has
        // both from who forked it.
        if !joins {
            planner.steps.extend(blueprint.process.oom_score_adj.map(Step::SetOomScore));
            planner.steps.extend(blueprint.process.apparmor.clone().map(Step::SetAppArmorProfile));
        }
        // As the user that the group belongs to; after the helper that makes the network, which would count in it.
        let join = join_group(blueprint.group.as_ref().and_then(Draft::known));
        let (early, late) = match blueprint.ids {
            IdMaps::Single { .. } => (None, join),
            IdMaps::Ranges { .. } => (join, None),
        };
        planner.steps.extend(early);
        let id_maps = planner.identity(&blueprint.ids, blueprint.shares_users);
        if blueprint.network.is_made() {
            planner.steps.push(Step::BeginNetwork);
        }
        planner.steps.extend(late);
        let mut namespaces = NAMESPACES;
        if blueprint.shares_users {
            namespaces.remove(CloneFlags::CLONE_NEWUSER);
        }
        if blueprint.group.is_some() || blueprint.group_namespace == GroupNamespace::Host {
            namespaces.remove(CloneFlags::CLONE_NEWCGROUP);
        }
        for (is_made, flag) in [
            (!matches!(blueprint.ipc, IpcMode::Host | IpcMode::Of(_)), CloneFlags::CLONE_NEWIPC),
            (blueprint.pid == NamespaceMode::Private, CloneFlags::CLONE_NEWPID),
            (blueprint.uts == NamespaceMode::Private, CloneFlags::CLONE_NEWUTS),
        ] {
            namespaces.set(flag, is_made);
        }
        // The kernel takes the group of who makes the namespace for its root, and a fork into a group makes it before.
        if blueprint.group.is_some() && blueprint.group_namespace == GroupNamespace::Private {
            planner.steps.push(Step::NewGroupNamespace);
        }
        planner.steps.push(Step::EnterStore(path(&blueprint.store)));
        let parts = planner.rootfs(&blueprint.rootfs, &blueprint.mountpoint);
        planner.own_filesystems(&blueprint);
        let devices = planner.clone_devices(&blueprint.devices);
        let host_devices = planner.clone_host_devices(&blueprint.host_devices);
        let mounts = planner.make_mounts(&blueprint);
        let secrets = planner.make_secrets(&blueprint.secrets, &blueprint.mountpoint);
        let files = planner.give_files(&blueprint);
        planner.network(&blueprint.network, kernels_attrs(&blueprint));
        planner.steps.push(Step::EnterRoot { slot: ROOT, mountpoint: text(&blueprint.mountpoint) });
        for (slot, on, kind) in parts {
            planner.attach(slot, on, kind, Links::Refuse);
        }
        planner.attach_own(&blueprint, &devices);
        planner.attach_mounts(&blueprint.mounts, &mounts);
        planner.attach_host_devices(&blueprint.host_devices, &host_devices);
        planner.attach_secrets(&blueprint.secrets, &secrets);
        for (slot, destination, missing) in files {
            let on = Place::new(ROOT, destination);
            let links = Links::Follow;
            planner.steps.push(Step::Attach { slot, on, kind: TargetKind::File, links, missing });
        }
        for (path, line) in &blueprint.lines {
            planner.steps.push(Step::AddLine { at: Place::new(ROOT, path), line: line.clone() });
        }
        planner.kernel_settings(&blueprint);
        planner.restrict_paths(&blueprint, devices.first().map_or(DEV, |&(slot, _)| slot));
        if blueprint.network.is_connected() {
            // As late as can be: what connects it takes longer than all of this.
            let slirp_ipv6 = blueprint.network.user().and_then(UserPlan::slirp_ipv6).map(str::to_owned);
            planner.steps.push(Step::AwaitNetwork { slirp_ipv6 });
        }
        let (group, virtual_ids) = (blueprint.group.take(), blueprint.virtual_ids.take().map(Rc::new));
        let network = std::mem::replace(&mut blueprint.network, NetworkPlan::None);
        let (falls_back, shares_users) = (blueprint.falls_back, blueprint.shares_users);
        planner.process(blueprint);
        let steps = planner.steps;
        Self {
            namespaces,
            id_maps,
            group,
            virtual_ids,
            network,
            shares_users,
            joins,
            is_among_others,
            falls_back,
            steps,
        }
    }
}

/// The namespaces that every container gets; that of the network is made meanwhile.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWUSER
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// The name of the socket among the given files.
const NOTES: &str = "notes";

/// Attributes of the kernel's file systems that tell of, and change, the whole machine.
fn kernels_attrs(blueprint: &Blueprint) -> MountAttrs {
    if blueprint.privileged { NO_EXEC_SUID_DEV } else { READ_ONLY_KERNEL }
}

struct Planner {
    /// How overlays are made.
    driver: Driver,
    steps: Vec<Step>,
    next_slot: usize,
}

impl Planner {
    fn new_slot(&mut self) -> Slot {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        slot
    }

    /// In a user namespace that somebody else has made there is nothing to map.
    fn identity(&mut self, ids: &IdMaps, is_shared: bool) -> Option<(String, String)> {
        let maps = match ids {
            _ if is_shared => None,
            IdMaps::Single { uid, gid, host_uid, host_gid } => {
                let (uid_map, gid_map) = (format!("{uid} {host_uid} 1\n"), format!("{gid} {host_gid} 1\n"));
                self.steps.push(Step::MapOwnIds { uid_map, gid_map });
                None
            }
            IdMaps::Ranges { uid_map, gid_map } => {
                self.steps.push(Step::AwaitIdMaps);
                Some((uid_map.clone(), gid_map.clone()))
            }
        };
        // After the maps: a process that hides from ptrace may not open its own /proc/self/uid_map.
        self.steps.push(Step::TieToMonitor);
        maps
    }

    /// The root, and what is attached below it.
    fn rootfs(&mut self, rootfs: &Rootfs, mountpoint: &str) -> Vec<(Slot, Place, TargetKind)> {
        match rootfs {
            Rootfs::Overlay { lower, upper: (upperdir, workdir), volatile, limit } => {
                let (upperdir, mountpoint) = (upperdir.clone(), workdir.clone());
                let upper = Some(Upper { upperdir, workdir: workdir.clone(), volatile: *volatile, limit: *limit });
                let (driver, lower) = (self.driver, lower.clone());
                self.steps.push(Step::Overlay { driver, slot: ROOT, lower, upper, mountpoint });
                Vec::new()
            }
            Rootfs::Directory { path, inode: (device, inode) } => {
                self.steps.push(Step::CloneHost {
                    slot: ROOT,
                    path: self::path(path),
                    expect: Some(Expect::Inode { device: *device, inode: *inode }),
                    depth: Depth::Recursive,
                    attrs: MountAttrs::NODEV,
                    propagation: Propagation::Private,
                });
                Vec::new()
            }
            Rootfs::Discarded { path, mode, inner, entries, scratch, in_memory } => {
                let driver = self.driver;
                if *in_memory {
                    self.new_filesystem(SCRATCH, c"tmpfs", &[("mode", "700")], NOSUID_NODEV);
                    self.steps.push(Step::AttachOnHost { slot: SCRATCH, on: text(scratch) });
                }
                if entries.is_empty() {
                    let upper = self.scratch_upper(scratch, 0, *mode, inner);
                    let (lower, mountpoint, otherwise) = (self::path(path), text(mountpoint), Otherwise::Fail);
                    self.steps.push(Step::OverlayDirectory { driver, slot: ROOT, lower, upper, mountpoint, otherwise });
                } else {
                    self.new_filesystem(ROOT, c"tmpfs", &[("mode", "755")], MountAttrs::NODEV);
                }
                self.view(path, entries, (scratch, mountpoint))
            }
        }
    }

    /// The parts of a copy-on-write view: what can be made at once, and the mounts to attach.
    fn view(
        &mut self,
        root: &Path,
        entries: &[ViewEntry],
        (scratch, mountpoint): (&str, &str),
    ) -> Vec<(Slot, Place, TargetKind)> {
        let mut mounts = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match entry {
                ViewEntry::Directory { relative, mode } => {
                    self.steps.push(Step::MakeDirectory { at: place(ROOT, relative), mode: *mode });
                }
                ViewEntry::Link { relative, target } => {
                    self.steps.push(Step::MakeLink { at: place(ROOT, relative), target: path(target) });
                }
                ViewEntry::Overlay { relative, mode, inner } => {
                    let (slot, upper) = (self.new_slot(), self.scratch_upper(scratch, index, *mode, inner));
                    let (lower, mountpoint) = (path(&root.join(relative)), text(mountpoint));
                    let (driver, otherwise) = (self.driver, Otherwise::ReadOnly);
                    self.steps.push(Step::OverlayDirectory { driver, slot, lower, upper, mountpoint, otherwise });
                    mounts.push((slot, place(ROOT, relative), TargetKind::Directory));
                }
                ViewEntry::ReadOnly { relative, directory } => {
                    let slot = self.new_slot();
                    let attrs = MountAttrs::RDONLY.and(MountAttrs::NODEV);
                    let (path, depth) = (path(&root.join(relative)), Depth::Recursive);
                    let propagation = Propagation::Private;
                    self.steps.push(Step::CloneHost { slot, path, expect: None, depth, attrs, propagation });
                    let kind = if *directory { TargetKind::Directory } else { TargetKind::File };
                    mounts.push((slot, place(ROOT, relative), kind));
                }
            }
        }
        mounts
    }

    fn scratch_upper(&mut self, scratch: &str, index: usize, mode: u32, inner: &[(PathBuf, u32)]) -> Upper {
        let base = format!("{scratch}/{index}");
        let (upperdir, workdir) = (text(&format!("{base}/upper")), text(&format!("{base}/work")));
        let mut directories = vec![(text(&base), 0o700), (upperdir.clone(), mode), (workdir.clone(), 0o700)];
        directories
            .extend(inner.iter().map(|(inner, mode)| (path(&Path::new(&base).join("upper").join(inner)), *mode)));
        self.steps.push(Step::MakeHostDirectories(directories));
        Upper { upperdir, workdir, volatile: true, limit: None }
    }

    fn new_filesystem(&mut self, slot: Slot, fstype: &'static CStr, options: &[(&str, &str)], attrs: MountAttrs) {
        let option = |&(key, value): &(&str, &str)| (text(key), (!value.is_empty()).then(|| text(value)));
        let source = (c"source".to_owned(), Some(fstype.to_owned()));
        let options = std::iter::once(source).chain(options.iter().map(option)).collect();
        self.steps.push(Step::NewFilesystem { slot, fstype, options, attrs });
    }

    /// File systems that every container gets. All are made before the root is entered: the kernel gives a procfs or
    /// sysfs only to a mount namespace that still shows one (`mount_too_revealing` in fs/namespace.c).
    fn own_filesystems(&mut self, blueprint: &Blueprint) {
        let clone = |slot, path: &str| Step::CloneHost {
            slot,
            path: text(path),
            expect: None,
            depth: Depth::Recursive,
            propagation: Propagation::Private,
            attrs: NO_EXEC_SUID_DEV,
        };
        match blueprint.pid {
            NamespaceMode::Private | NamespaceMode::Of(_) => {
                let options = blueprint.proc_options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                self.new_filesystem(PROC, c"proc", &options.collect::<Vec<_>>(), NO_EXEC_SUID_DEV);
                if has_subset(blueprint) {
                    self.new_filesystem(SETTINGS, c"proc", &[], NO_EXEC_SUID_DEV);
                }
            }
            // A procfs belongs to a pid namespace: only its owner may make one.
            NamespaceMode::Host => self.steps.push(clone(PROC, "/proc")),
        }
        let mut devpts_options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "620"), ("max", "1024")];
        if matches!(blueprint.ids, IdMaps::Ranges { .. }) {
            devpts_options.push(("gid", "5"));
        }
        self.new_filesystem(DEVPTS, c"devpts", &devpts_options, DEVICE_ATTRS);
        // To a tmpfs 0 is no limit (tmpfs(5)).
        let shm_size = match blueprint.shm_size {
            Bound::Unlimited => 0,
            Bound::At(bytes) => bytes,
        };
        let shm_size = shm_size.to_string();
        let shm_options = [("mode", "1777"), ("size", shm_size.as_str())];
        match &blueprint.ipc {
            IpcMode::Host => {
                self.steps.push(clone(SHM, "/dev/shm"));
                self.steps.extend(blueprint.host_queues.then(|| clone(MQUEUE, "/dev/mqueue")));
            }
            IpcMode::None => self.new_filesystem(MQUEUE, c"mqueue", &[], NO_EXEC_SUID_DEV),
            IpcMode::Of(Owner::Container(_)) => {
                self.steps.push(Step::TakeSharedMemory(SHM));
                self.new_filesystem(MQUEUE, c"mqueue", &[], NO_EXEC_SUID_DEV);
            }
            IpcMode::Private | IpcMode::Shareable | IpcMode::Of(Owner::Path(_)) => {
                self.new_filesystem(SHM, c"tmpfs", &shm_options, NO_EXEC_SUID_DEV);
                self.new_filesystem(MQUEUE, c"mqueue", &[], NO_EXEC_SUID_DEV);
            }
        }
        match blueprint.group_namespace {
            GroupNamespace::Private if blueprint.cgroup2 => {
                let is_managed = blueprint.systemd && blueprint.group.is_some();
                let attrs = if is_managed { NO_EXEC_SUID_DEV } else { kernels_attrs(blueprint) };
                self.new_filesystem(CGROUP, c"cgroup2", &[], attrs);
            }
            // With the host's network its sysfs has them.
            GroupNamespace::Host if blueprint.network.is_own() => self.steps.push(Step::CloneHost {
                slot: CGROUP,
                path: text(crate::host::cgroup::ROOT),
                expect: None,
                depth: Depth::Recursive,
                attrs: READ_ONLY_KERNEL,
                propagation: Propagation::Private,
            }),
            _ => {}
        }
    }

    /// The network namespace, which has been in the making since the beginning, and the sysfs that shows it.
    fn network(&mut self, network: &NetworkPlan, attrs: MountAttrs) {
        if network.is_made() {
            self.steps.push(Step::EnterNetwork { shared: network.is_connected() });
        }
        match network.is_own() {
            true => {
                self.new_filesystem(SYS, c"sysfs", &[], attrs);
            }
            // A sysfs belongs to a network namespace: only its owner may make one.
            false => self.steps.push(Step::CloneHost {
                slot: SYS,
                path: c"/sys".into(),
                expect: None,
                depth: Depth::Recursive,
                attrs,
                propagation: Propagation::Private,
            }),
        }
    }

    /// Slots and names of the devices; the null device is the first.
    fn clone_devices(&mut self, devices: &[(&'static str, u64)]) -> Vec<(Slot, &'static str)> {
        let mut slots = Vec::with_capacity(devices.len());
        for &(name, number) in devices {
            let slot = self.new_slot();
            slots.push((slot, name));
            self.steps.push(Step::CloneHost {
                slot,
                path: text(&format!("/dev/{name}")),
                expect: Some(Expect::CharacterDevice(number)),
                depth: Depth::Single,
                attrs: DEVICE_ATTRS,
                propagation: Propagation::Private,
            });
        }
        slots
    }

    /// One small tmpfs holds what the runtime gives: `/dev`, the empty directory that hides others, and the given files, which
    /// are thus neither made on the host's disk nor named in the container's mount table. It is attached for a moment, since
    /// only what is attached can be cloned (before Linux 6.15).
    fn give_files(&mut self, blueprint: &Blueprint) -> Vec<(Slot, &'static str, Missing)> {
        let covered = |destination: &str| blueprint.mounts.iter().any(|mount| mount.destination == destination);
        let options = [("mode", "755"), ("size", "1m"), ("nr_inodes", "4k")];
        self.new_filesystem(FILES, c"tmpfs", &options, DEVICE_ATTRS);
        for name in ["dev", "empty"] {
            self.steps.push(Step::MakeDirectory { at: Place::new(FILES, name), mode: 0o755 });
        }
        let files: Vec<_> = blueprint.files.iter().filter(|file| !covered(file.destination)).collect();
        for file in &files {
            let (at, content) = (Place::new(FILES, file.name), file.content.clone());
            self.steps.push(Step::WriteFile { at, content, shared: file.shared });
        }
        self.steps.extend(blueprint.notes.map(|_| Step::Listen { at: Place::new(FILES, NOTES) }));
        self.steps.push(Step::AttachOnHost { slot: FILES, on: text(&blueprint.mountpoint) });
        let mut clone = |slot, name: &str, attrs| {
            let path = text(&format!("{}/{name}", blueprint.mountpoint));
            let (depth, propagation) = (Depth::Single, Propagation::Private);
            self.steps.push(Step::CloneHost { slot, path, expect: None, depth, attrs, propagation });
        };
        clone(DEV, "dev", DEVICE_ATTRS);
        clone(EMPTY, "empty", READ_ONLY_KERNEL);
        let mut slots = Vec::new();
        for file in files {
            let slot = Slot(self.next_slot + slots.len());
            clone(slot, file.name, NO_EXEC_SUID_DEV);
            let missing = if file.required { Missing::Create } else { Missing::CreateOrSkip };
            slots.push((slot, file.destination, missing));
        }
        if let Some(destination) = blueprint.notes {
            let slot = Slot(self.next_slot + slots.len());
            clone(slot, NOTES, NO_EXEC_SUID_DEV);
            slots.push((slot, destination, Missing::Create));
        }
        self.next_slot += slots.len();
        slots
    }

    fn attach(&mut self, slot: Slot, on: Place, kind: TargetKind, links: Links) {
        self.steps.push(Step::Attach { slot, on, kind, links, missing: Missing::Create });
    }

    fn attach_own(&mut self, blueprint: &Blueprint, devices: &[(Slot, &'static str)]) {
        let directory = |planner: &mut Self, slot, base, name: &str| {
            planner.attach(slot, Place::new(base, name), TargetKind::Directory, Links::Refuse);
        };
        directory(self, PROC, ROOT, "proc");
        directory(self, SYS, ROOT, "sys");
        let shows_groups = blueprint.cgroup2 || blueprint.group_namespace == GroupNamespace::Host;
        if shows_groups && blueprint.network.is_own() {
            directory(self, CGROUP, SYS, "fs/cgroup");
        }
        directory(self, DEV, ROOT, "dev");
        directory(self, DEVPTS, DEV, "pts");
        if blueprint.ipc != IpcMode::None {
            directory(self, SHM, DEV, "shm");
        }
        if blueprint.ipc != IpcMode::Host || blueprint.host_queues {
            directory(self, MQUEUE, DEV, "mqueue");
        }
        for &(slot, name) in devices {
            self.attach(slot, Place::new(DEV, name), TargetKind::File, Links::Refuse);
        }
        let links = [
            ("fd", c"/proc/self/fd"),
            ("stdin", c"/proc/self/fd/0"),
            ("stdout", c"/proc/self/fd/1"),
            ("stderr", c"/proc/self/fd/2"),
            ("ptmx", c"pts/ptmx"),
        ];
        for (name, target) in links {
            self.steps.push(Step::MakeLink { at: Place::new(DEV, name), target: target.into() });
        }
    }

    fn kernel_settings(&mut self, blueprint: &Blueprint) {
        if blueprint.uts == NamespaceMode::Private {
            self.steps.push(Step::SetHostname(text(&blueprint.hostname)));
        }
        for (name, value) in &blueprint.sysctls {
            if name == "kernel/domainname" {
                self.steps.push(Step::SetDomainName(text(value)));
                continue;
            }
            let settings = if has_subset(blueprint) { SETTINGS } else { PROC };
            let at = Place::new(settings, &format!("sys/{name}"));
            self.steps.push(Step::WriteSetting { at, value: value.clone() });
        }
    }

    fn restrict_paths(&mut self, blueprint: &Blueprint, null: Slot) {
        for path in &blueprint.read_only_paths {
            self.steps.push(Step::MakeReadOnly(restricted_place(path)));
        }
        let spare_refused = matches!(blueprint.ids, IdMaps::Single { uid, .. } if uid != OVERFLOW_ID);
        for path in &blueprint.masked {
            let place = restricted_place(path);
            self.steps.push(Step::Mask { place, null, empty: EMPTY, spare_refused });
        }
    }

    fn process(&mut self, blueprint: Blueprint) {
        let process = blueprint.process;
        let place = Place::new(ROOT, &process.cwd);
        self.steps.push(Step::EnterDirectory { place, missing: Missing::Create });
        if blueprint.read_only {
            self.steps.push(Step::SealMount(ROOT));
        }
        self.steps.push(Step::NewSession);
        if let Some(size) = process.terminal {
            self.steps.push(Step::OpenTerminal { devpts: DEVPTS, console: Some(Place::new(DEV, "console")), size });
        }
        let is_first = blueprint.pid == NamespaceMode::Private;
        if !is_first {
            self.steps.push(Step::AdoptOrphans(PROC));
        }
        self.surroundings(&process);
        self.privileges(&process, &blueprint.ids, Some(PROC));
        if blueprint.reaper || !is_first {
            self.steps.push(Step::Reap);
        }
        self.execute(process);
    }

    /// What a process of a container has, whoever it runs as.
    fn surroundings(&mut self, process: &Process) {
        self.steps.push(Step::TakeStreams);
        self.steps.extend(process.new_keyring.then_some(Step::NewKeyring));
        let limits = process.limits.iter().map(|&(resource, soft, hard)| Step::Limit { resource, soft, hard });
        self.steps.extend(limits);
        self.steps.push(Step::SetPersonality(process.personality));
        self.steps.push(Step::SetUmask(process.umask));
    }

    fn execute(&mut self, process: Process) {
        let Process { candidates, argv, envp, .. } = process;
        self.steps.push(Step::Execute { candidates, argv: StringVector::new(argv), envp: StringVector::new(envp) });
    }

    /// The filter comes last where no_new_privs allows it; else it needs CAP_SYS_ADMIN in the user namespace (seccomp(2), EACCES) and
    /// comes before the sets are cut. What answers for ids lies below it, and is always installed with CAP_SYS_ADMIN: its own
    /// refusals are weaker.
    ///
    /// That order leaves nothing: the bounding set is first, since cutting it takes CAP_SETPCAP (capabilities(7)); what is between
    /// it and the sets are our own steps, which open nothing and execute nothing; and a program that is executed gets no more than
    /// the sets and the bounding set have then. A filter that refuses one of those steps, as one of a user may, fails the start.
    fn privileges(&mut self, process: &Process, ids: &IdMaps, proc: Option<Slot>) {
        // What is asked about once the listener is there comes before it.
        self.steps.push(Step::LimitBoundingSet(process.capabilities.bounding));
        match &process.ids {
            ProcessIds::Kernels => {}
            ProcessIds::Virtual { filter, key, limit } => {
                self.steps.push(Step::CarryCredentials(*limit));
                self.steps.push(Step::InstallListener { filter: filter.clone(), key: *key, proc });
            }
            ProcessIds::Pretended(filter) => self.steps.push(Step::InstallFilter(filter.clone())),
        }
        let filter = process.filter.clone().map(Step::InstallFilter);
        let (early, late) = if process.no_new_privileges { (None, filter) } else { (filter, None) };
        self.steps.extend(early);
        if let IdMaps::Ranges { .. } = ids {
            let groups = process.groups.clone();
            self.steps.push(Step::BecomeUser { uid: process.uid, gid: process.gid, groups });
            // New credentials undo it (PR_SET_PDEATHSIG(2const), PR_SET_DUMPABLE(2const)).
            self.steps.push(Step::TieToMonitor);
        }
        self.steps.push(Step::SetCapabilities(process.capabilities));
        if process.no_new_privileges {
            self.steps.push(Step::SetNoNewPrivileges);
        }
        self.steps.extend(late);
    }
}

/// Whether the container's procfs shows processes only: kernel settings are written by another one then.
fn has_subset(blueprint: &Blueprint) -> bool {
    blueprint.proc_options.iter().any(|(key, _)| key == "subset")
}

/// The step into a group of version 1; into one of version 2 a process is forked.
fn join_group(group: Option<&Group>) -> Option<Step> {
    let entrances = group.map(Group::entrances)?;
    (!entrances.is_empty()).then_some(Step::JoinGroup(entrances))
}

/// Where a path to restrict is. In the kernel's file systems it is looked up from their own roots: whoever moves the
/// directory that they are mounted on would otherwise decide whether there is anything to restrict.
fn restricted_place(path: &str) -> Place {
    let below = |slot, root: &str| path.strip_prefix(root).map(|name| Place::new(slot, name));
    let in_kernels = || below(PROC, "/proc/").or_else(|| below(SYS, "/sys/"));
    let goes_up = path.split('/').any(|part| part == "..");
    if goes_up { None } else { in_kernels() }.unwrap_or_else(|| Place::new(ROOT, path))
}

/// The path of `place` in the container.
pub(super) fn path_inside(place: &Place) -> String {
    let root = match place.base {
        PROC => "/proc/",
        SYS => "/sys/",
        DEV => "/dev/",
        _ => "/",
    };
    format!("{root}{}", place.path.to_string_lossy())
}

fn place(base: Slot, relative: &Path) -> Place {
    Place { base, path: path(relative) }
}

fn path(path: &Path) -> CString {
    c_string(path.as_os_str().as_bytes())
}

fn text(text: &str) -> CString {
    c_string(text.as_bytes())
}

/// Parsed text has no NUL; one that came through all the same ends the string, as the kernel would.
fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests;
