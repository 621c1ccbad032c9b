//! Plans as data: what every plan keeps to, whatever was asked for, and one plan in full.

use super::*;
use crate::lsm::capability::{DEFAULT, Sets};
use crate::name::capability::CapabilitySet;
use crate::name::capability_change::CapabilityChanges;
use crate::runtime::blueprint::{GivenFile, WindowSize};
use crate::runtime::blueprint::{Mount, MountSource};
use crate::seccomp::table::Arch;
use crate::seccomp::{ForeignAbi, default_filter};
use std::ffi::CStr;

fn single() -> IdMaps {
    IdMaps::Single { uid: 0, gid: 0, host_uid: 1000, host_gid: 1000 }
}

fn ranges() -> IdMaps {
    IdMaps::Ranges { uid_map: "0 0 4294967295\n".into(), gid_map: "0 0 4294967295\n".into() }
}

fn overlay() -> Rootfs {
    let upper = (c"containers/x/upper".into(), c"containers/x/work".into());
    Rootfs::Overlay {
        limit: None,
        lower: vec![c"layers/b/tree".into(), c"layers/a/tree".into()],
        upper,
        volatile: true,
    }
}

fn blueprint() -> Blueprint {
    Blueprint {
        store: "/store".into(),
        mountpoint: "containers/x/work".into(),
        rootfs: overlay(),
        driver: crate::name::storage_driver::Driver::Overlay,
        falls_back: true,
        read_only: false,
        ids: single(),
        network: NetworkPlan::None,
        shares_users: false,
        hostname: "box".into(),
        mounts: Vec::new(),
        files: vec![GivenFile {
            name: "hosts",
            content: "hosts".into(),
            destination: "/etc/hosts",
            required: false,
            shared: false,
        }],
        lines: Vec::new(),
        notes: None,
        systemd: false,
        cgroup2: false,
        group: None,
        group_namespace: GroupNamespace::Private,
        ipc: Default::default(),
        host_queues: false,
        proc_options: Vec::new(),
        pid: Default::default(),
        uts: Default::default(),
        shm_size: Bound::At(64 << 20),
        devices: vec![("null", 259), ("zero", 261)],
        host_devices: Vec::new(),
        secrets: Vec::new(),
        privileged: false,
        masked: vec!["/proc/kcore".into()],
        read_only_paths: vec!["/proc/sys".into()],
        sysctls: vec![("net/ipv4/ip_unprivileged_port_start".into(), "0".into())],
        process: Process {
            candidates: vec![c"/bin/true".into()],
            argv: vec![c"true".into()],
            envp: vec![c"PATH=/bin".into()],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: Some(vec![4]),
            capabilities: Sets::for_user(DEFAULT, &CapabilityChanges::default(), 0),
            no_new_privileges: false,
            ids: ProcessIds::Kernels,
            filter: Some(default_filter(DEFAULT, Arch::NATIVE, ForeignAbi::Killed)),
            limits: vec![(libc::RLIMIT_CORE, 0, 0)],
            oom_score_adj: None,
            apparmor: None,
            umask: 0o022,
            personality: 0,
            new_keyring: true,
            terminal: None,
        },
        virtual_ids: None,
        reaper: false,
    }
}

fn bind(destination: &str) -> Mount {
    let source = MountSource::Bind {
        path: "/srv".into(),
        inode: (1, 2),
        directory: true,
        recursive: true,
        propagation: Propagation::Private,
        writable_below: false,
    };
    Mount { destination: destination.into(), source, read_only: true, exec: true }
}

/// Every combination of what changes the order of steps.
fn combinations() -> Vec<Blueprint> {
    let mut all = Vec::new();
    for bits in 0..512_u32 {
        let on = |bit: u32| bits & 1 << bit != 0;
        let mut blueprint = blueprint();
        blueprint.read_only = on(0);
        blueprint.ids = if on(1) { ranges() } else { single() };
        blueprint.network = if on(2) { NetworkPlan::Host } else { NetworkPlan::None };
        blueprint.process.terminal = on(3).then(WindowSize::default);
        blueprint.process.no_new_privileges = on(4);
        blueprint.reaper = on(5);
        blueprint.cgroup2 = on(6);
        if on(7) {
            blueprint.mounts = vec![bind("/a/b"), bind("/a")];
        }
        if on(8) {
            blueprint.rootfs = Rootfs::Directory { path: "/tree".into(), inode: (1, 2) };
        }
        all.push(blueprint);
    }
    all
}

fn position(steps: &[Step], matches: impl Fn(&Step) -> bool) -> Option<usize> {
    steps.iter().position(matches)
}

#[test]
fn nothing_of_the_host_is_named_after_the_root_is_entered() {
    for blueprint in combinations() {
        let plan = LaunchPlan::new(blueprint);
        let entered = position(&plan.steps, |step| matches!(step, Step::EnterRoot { .. })).unwrap();
        for (index, step) in plan.steps.iter().enumerate() {
            let names_host = matches!(
                step,
                Step::CloneHost { .. }
                    | Step::Overlay { .. }
                    | Step::OverlayDirectory { .. }
                    | Step::AttachOnHost { .. }
                    | Step::MakeHostDirectories(_)
                    | Step::EnterStore(_)
            );
            assert!(!names_host || index < entered, "{step:?}");
            let is_inside = matches!(step, Step::Attach { .. } | Step::Mask { .. } | Step::MakeReadOnly(_));
            assert!(!is_inside || index > entered, "{step:?}");
        }
    }
}

#[test]
fn privileges_go_before_the_program_comes() {
    for blueprint in combinations() {
        let (limited, reaper) = (blueprint.process.no_new_privileges, blueprint.reaper);
        let plan = LaunchPlan::new(blueprint);
        let at = |matches: fn(&Step) -> bool| position(&plan.steps, matches);
        let filter = at(|step| matches!(step, Step::InstallFilter(_))).unwrap();
        let bounding = at(|step| matches!(step, Step::LimitBoundingSet(_))).unwrap();
        let sets = at(|step| matches!(step, Step::SetCapabilities(_))).unwrap();
        let masked = at(|step| matches!(step, Step::Mask { .. })).unwrap();
        let streams = at(|step| matches!(step, Step::TakeStreams)).unwrap();
        let no_new_privileges = at(|step| matches!(step, Step::SetNoNewPrivileges));
        // Without no_new_privs the filter needs CAP_SYS_ADMIN, which goes with the sets.
        match no_new_privileges {
            Some(set) => assert!(limited && sets < set && set < filter),
            None => assert!(!limited && bounding < filter && filter < sets),
        }
        assert!(masked < streams && streams < bounding && bounding < sets);
        let last = plan.steps.len() - 1;
        assert!(matches!(plan.steps[last], Step::Execute { .. }));
        assert_eq!(matches!(plan.steps[last - 1], Step::Reap), reaper);
        assert_eq!(plan.child_memory() == ChildMemory::Own, reaper || plan.id_maps.is_some());
    }
}

#[test]
fn every_mount_that_is_made_is_attached_and_every_slot_is_filled_once() {
    for blueprint in combinations() {
        let plan = LaunchPlan::new(blueprint);
        let (mut made, mut attached) = (Vec::new(), Vec::new());
        for step in &plan.steps {
            match step {
                Step::NewFilesystem { slot, .. } | Step::Overlay { slot, .. } | Step::CloneHost { slot, .. } => {
                    assert!(!made.contains(&slot.0), "slot {} is filled twice", slot.0);
                    made.push(slot.0);
                }
                Step::Attach { slot, .. } | Step::EnterRoot { slot, .. } | Step::AttachOnHost { slot, .. } => {
                    assert!(made.contains(&slot.0), "slot {} is attached before it is filled", slot.0);
                    attached.push(slot.0);
                }
                Step::Mask { empty, .. } => attached.push(empty.0),
                _ => {}
            }
        }
        // A cgroup file system has no place in a /sys of the host.
        made.retain(|slot| !attached.contains(slot) && *slot != CGROUP.0);
        assert!(made.is_empty(), "never attached: {made:?}");
    }
}

#[test]
fn parents_are_mounted_before_what_lies_below_them() {
    let mut blueprint = blueprint();
    blueprint.mounts = vec![bind("/a/b/c"), bind("/a"), bind("/a/b")];
    let plan = LaunchPlan::new(blueprint);
    let places: Vec<&[u8]> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Attach { on, links: Links::Follow, kind: TargetKind::Directory, .. } => Some(on.path.to_bytes()),
            _ => None,
        })
        .collect();
    assert_eq!(places, [&b"a"[..], b"a/b", b"a/b/c"]);
}

#[test]
fn mounts_of_users_grant_nothing() {
    let mut blueprint = blueprint();
    blueprint.mounts = vec![bind("/a")];
    let plan = LaunchPlan::new(blueprint);
    let attrs = plan.steps.iter().find_map(|step| match step {
        Step::CloneHost { path, attrs, expect, .. } if path.as_c_str() == c"/srv" => Some((*attrs, *expect)),
        _ => None,
    });
    let expected = NOSUID_NODEV.and(MountAttrs::RDONLY);
    assert_eq!(attrs, Some((expected, Some(Expect::Inode { device: 1, inode: 2 }))));
}

/// A read-only volume that is new can be written to until it is filled, and not when the container gets it.
#[test]
fn a_new_volume_is_filled_then_sealed_then_attached() {
    let mut blueprint = blueprint();
    let source = MountSource::Volume { path: c"volumes/v/data".into(), subpath: None, fill: Some(c"volumes/v".into()) };
    blueprint.mounts = vec![Mount { destination: "/v".into(), source, read_only: true, exec: true }];
    let steps = LaunchPlan::new(blueprint).steps;
    let slot_of = |path: &CStr| {
        steps.iter().find_map(|step| match step {
            Step::CloneHost { slot, path: cloned, attrs, .. } if cloned.as_c_str() == path => Some((*slot, *attrs)),
            _ => None,
        })
    };
    let (files, attrs) = slot_of(c"volumes/v/data").unwrap();
    assert_eq!(attrs, NOSUID_NODEV);
    let (marks, _) = slot_of(c"volumes/v").unwrap();
    let filled = position(
        &steps,
        |step| matches!(step, Step::FillVolume { into, marks: beside, .. } if (*into, *beside) == (files, marks)),
    );
    let sealed = position(&steps, |step| matches!(step, Step::SealMount(slot) if *slot == files));
    let attached = position(&steps, |step| matches!(step, Step::Attach { slot, .. } if *slot == files));
    assert!(filled.is_some() && filled < sealed && sealed < attached, "{filled:?} {sealed:?} {attached:?}");
    assert!(!steps.iter().any(|step| matches!(step, Step::Attach { slot, .. } if *slot == marks)), "for no container");
}

#[test]
fn an_empty_bounding_set_is_kept_empty() {
    let mut blueprint = blueprint();
    blueprint.process.capabilities = Sets::default();
    let plan = LaunchPlan::new(blueprint);
    let limited =
        plan.steps.iter().any(|step| matches!(step, Step::LimitBoundingSet(set) if *set == CapabilitySet::EMPTY));
    assert!(limited);
}

/// One plan in full: a change of it is seen in review.
#[test]
fn the_plan_of_an_ordinary_run() {
    let plan = LaunchPlan::new(blueprint());
    let lines: Vec<String> = plan.steps.iter().map(|step| format!("{step:?}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// A process that joins a container makes nothing, opens nothing before it is inside, and gives up what it may do as others do.
#[test]
fn joining_makes_nothing() {
    let joined = |ids: IdMaps, terminal: Option<WindowSize>| {
        let member = std::fs::File::open("/dev/null").unwrap().into();
        let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC;
        let process = Process { terminal, ..blueprint().process };
        LaunchPlan::joining(join::Joined { member, namespaces, ids, group: None }, process)
    };
    let names = |plan: &LaunchPlan| -> Vec<String> {
        let name = |step: &Step| format!("{step:?}").split([' ', '(', '{']).next().unwrap().to_owned();
        plan.steps.iter().map(name).collect()
    };
    let plan = joined(single(), None);
    assert!(plan.namespaces.is_empty() && plan.id_maps.is_none() && plan.joined().is_some());
    assert_eq!(plan.child_memory(), ChildMemory::Own);
    assert_eq!(names(&plan)[..6], ["TieToMonitor", "Join", "HoldRoot", "EnterDirectory", "NewSession", "TakeStreams"]);
    let own = LaunchPlan::new(blueprint());
    let from_streams =
        |names: Vec<String>| names.into_iter().skip_while(|name| name != "TakeStreams").collect::<Vec<_>>();
    assert_eq!(from_streams(names(&plan)), from_streams(names(&own)));
    let plan = joined(ranges(), Some(WindowSize { rows: 24, columns: 80 }));
    assert!(names(&plan).contains(&"BecomeUser".to_owned()));
    assert!(plan.steps.iter().any(|step| matches!(step, Step::OpenTerminal { console: None, .. })));
    let refuses = |step: &Step| matches!(step, Step::EnterDirectory { missing: Missing::Refuse, .. });
    assert!(plan.steps.iter().any(refuses), "a directory that is missing is not made");
}

/// A visitor works beside its parent.
#[test]
fn a_plan_without_a_program_needs_memory_of_its_own() {
    let mut plan = LaunchPlan::new(blueprint());
    assert_eq!(plan.child_memory(), ChildMemory::Shared);
    plan.steps.pop();
    assert_eq!(plan.child_memory(), ChildMemory::Own);
    let visiting = LaunchPlan::visiting(std::fs::File::open("/dev/null").unwrap().into());
    assert_eq!(visiting.child_memory(), ChildMemory::Own);
}

#[test]
fn paths_of_the_kernel_are_restricted_from_the_roots_of_their_file_systems() {
    for (path, base, below) in [
        ("/proc/keys", PROC, "keys"),
        ("/sys/devices/virtual/dmi", SYS, "devices/virtual/dmi"),
        ("/proc", ROOT, "proc"),
        ("/procedures/x", ROOT, "procedures/x"),
        ("/proc/../etc/shadow", ROOT, "proc/../etc/shadow"),
    ] {
        let place = restricted_place(path);
        assert_eq!((place.base, place.path.to_str().unwrap()), (base, below), "{path}");
    }
}

fn in_group(ids: IdMaps, namespace: GroupNamespace) -> LaunchPlan {
    let directories = [("pids".to_owned(), "/sys/fs/cgroup/pids/mine/x".into())].into();
    let group = Some(Draft::of(Group::Legacy { directories }));
    LaunchPlan::new(Blueprint { group, ids, group_namespace: namespace, ..blueprint() })
}

/// The group is entered by who may: the user it belongs to. Who makes the namespace is in it by then.
#[test]
fn a_group_is_entered_before_it_becomes_the_root() {
    for ids in [single(), ranges()] {
        let is_single = ids == single();
        let plan = in_group(ids, GroupNamespace::Private);
        assert!(!plan.namespaces.contains(CloneFlags::CLONE_NEWCGROUP));
        let join = position(&plan.steps, |step| matches!(step, Step::JoinGroup(_))).unwrap();
        let root = position(&plan.steps, |step| matches!(step, Step::NewGroupNamespace)).unwrap();
        let network = position(&plan.steps, |step| matches!(step, Step::BeginNetwork)).unwrap();
        assert!(join < root && (network < join) == is_single);
    }
    let plan = in_group(single(), GroupNamespace::Host);
    assert_eq!(position(&plan.steps, |step| matches!(step, Step::NewGroupNamespace)), None);
    assert!(LaunchPlan::new(blueprint()).namespaces.contains(CloneFlags::CLONE_NEWCGROUP));
}
