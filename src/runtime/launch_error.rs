//! The story of a launch that failed: from `(step, errno)` to what was tried, on what, why, and the cure.

use nix::errno::Errno;

use super::plan::path_inside;
use super::step::{Place, Step, TargetKind};
use super::sync::Detail;
use crate::failure::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN_FAILURE, Explain};
use crate::host::userns;
use crate::name::storage_driver::Driver;
use crate::net::error::NetworkError;

/// Why a container could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The socket between monitor and init.
    #[error("talking to the container's init process")]
    Channel(#[source] Errno),
    /// The fork into new namespaces.
    #[error("making the container's namespaces")]
    Fork(#[source] Errno),
    /// The fork into a control group.
    #[error("entering the container's control group")]
    EnterGroup(#[source] Errno),
    /// The maps of the user namespace.
    #[error("writing the id maps of the container's user namespace")]
    IdMaps(#[source] std::io::Error),
    /// There are threads where there must be none.
    #[error("starting the container's first process")]
    Threads(#[from] crate::sys::single_threaded::NotSingleThreaded),
    /// The process that serves the root file system.
    #[error("starting the process that serves the root file system")]
    Serve(#[source] std::io::Error),
    /// Somebody killed the process while it was being set up.
    #[error("starting a process in the container: it was killed before its program was executed")]
    Killed,
    /// Somebody stopped it, and did not let it go on.
    #[error(
        "starting a process among those of a container: one of them has stopped it before its program was executed"
    )]
    Stopped,
    /// We were asked to end while it was being set up.
    #[error("starting a process in the container: interrupted")]
    Interrupted,
    /// Namespaces of somebody else.
    #[error("joining namespaces of somebody else")]
    Join {
        /// Stable code.
        code: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// How readily the kernel is to kill it.
    #[error("setting the oom score of the container's process")]
    OomScore(#[source] Errno),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A step of the plan.
    #[error("{what}")]
    Step {
        /// Its index.
        step: usize,
        /// What was tried, on what.
        what: String,
        /// Stable code.
        code: &'static str,
        /// The cure.
        hint: Option<String>,
        /// Exit code.
        exit_code: u8,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
}

impl Explain for LaunchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Fork(Errno::EAGAIN | Errno::ENOMEM) => "E_NOPROC",
            Self::Fork(Errno::ENOSYS) => "E_KERNEL",
            Self::Fork(_) | Self::IdMaps(_) => "E_USERNS_DISABLED",
            Self::EnterGroup(_) => "E_CGROUP",
            Self::Channel(_) | Self::Threads(_) => "E_IO",
            Self::Serve(_) => "E_HELPER_DIED",
            Self::Killed | Self::Stopped | Self::Interrupted => "E_STATE",
            Self::Join { code, .. } => code,
            Self::OomScore(_) => "E_CGROUP",
            Self::Network(error) => error.code(),
            Self::Step { code, .. } => code,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fork(Errno::EAGAIN | Errno::ENOMEM) => {
                Some("too many processes or too little memory: see ulimit -u".into())
            }
            Self::Fork(Errno::ENOSYS) => Some("coracle needs Linux 5.12 or newer (clone3, mount_setattr)".into()),
            Self::Fork(errno) => Some(userns::cure(*errno)),
            Self::IdMaps(_) => Some(userns::cure(Errno::EPERM)),
            Self::Stopped => Some("something in the container sends SIGSTOP to processes that it does not know".into()),
            Self::Killed => Some("the container ends, or something in it kills new processes".into()),
            Self::EnterGroup(_) => {
                Some("the group around this process and the container's is not ours: see coracle info".into())
            }
            Self::Serve(_) | Self::Channel(_) | Self::Threads(_) | Self::Interrupted => None,
            Self::Join { errno: Errno::EUSERS, .. } => {
                Some("the container's user must be the one that made that namespace: choose it with --user".into())
            }
            Self::Join { errno: Errno::EPERM, .. } => {
                Some("it is another user's, or root's, or of a container in other networks".into())
            }
            Self::Join { .. } | Self::OomScore(_) => None,
            Self::Network(error) => error.hint(),
            Self::Step { hint, .. } => hint.clone(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Step { exit_code, .. } => *exit_code,
            _ => EXIT_OWN_FAILURE,
        }
    }
}

/// Code, hint and exit code of a story, the defaults being those of an unexpected failure.
struct Story {
    what: String,
    code: &'static str,
    hint: Option<String>,
    exit_code: u8,
}

impl LaunchError {
    /// The error for the step of this index, which failed.
    pub fn step(steps: &[Step], index: usize, detail: Detail, errno: Errno) -> Self {
        let step = steps.get(index);
        let story =
            step.map_or_else(|| Story::plain("an unknown step".into(), "E_STATE"), |step| tell(step, detail, errno));
        let Story { what, code, hint, exit_code } = story;
        let hint = hint.or_else(|| general_hint(errno));
        Self::Step { step: index, what, code, hint, exit_code, errno }
    }
}

impl Story {
    fn plain(what: String, code: &'static str) -> Self {
        Self { what, code, hint: None, exit_code: EXIT_OWN_FAILURE }
    }

    fn hinted(what: String, code: &'static str, hint: &str) -> Self {
        Self { hint: Some(hint.into()), ..Self::plain(what, code) }
    }
}

fn general_hint(errno: Errno) -> Option<String> {
    let hint = match errno {
        Errno::ENOSPC => {
            "the disk is full, or a limit on mounts (fs.mount-max) or on the size of a file system is reached"
        }
        Errno::ENOSYS => "coracle needs Linux 5.12 or newer",
        Errno::EMFILE | Errno::ENFILE => "raise the limit on open files: ulimit -n",
        Errno::ENOMEM => "there is too little memory",
        _ => return None,
    };
    Some(hint.into())
}

fn tell(step: &Step, detail: Detail, errno: Errno) -> Story {
    match step {
        Step::MapOwnIds { .. } | Step::AwaitIdMaps => {
            let what = "writing the id maps of the container's user namespace".into();
            Story { hint: Some(userns::cure(errno)), ..Story::plain(what, "E_USERNS_DISABLED") }
        }
        Step::Join { .. } => Story::plain("entering the container's namespaces".into(), "E_STATE"),
        Step::HoldTerminals { .. } | Step::OpenTerminal { .. } => Story::hinted(
            "making a terminal in the container".into(),
            "E_MOUNT_TARGET",
            "the container's own processes have put something else in the place of /dev/pts: leave -t out",
        ),
        Step::JoinGroup(_) | Step::NewGroupNamespace => {
            Story::plain("entering the container's control group".into(), "E_CGROUP")
        }
        Step::SetAppArmorProfile(name) => Story::hinted(
            format!("taking the AppArmor profile {}", name.to_string_lossy()),
            "E_APPARMOR",
            "the profile must be loaded (aa-status, as root, lists them), and allow this change",
        ),
        Step::BeginNetwork if errno == Errno::EAGAIN => Story::hinted(
            "making the container's network namespace".into(),
            "E_NOPROC",
            "too many processes: raise --pids-limit, or see ulimit -u",
        ),
        Step::BeginNetwork | Step::EnterNetwork { .. } => {
            let what = "making the container's network namespace".into();
            Story { hint: Some(userns::cure(errno)), ..Story::plain(what, "E_USERNS_DISABLED") }
        }
        Step::EnterStore(path) => Story::plain(format!("entering the store {}", path.to_string_lossy()), "E_DIR"),
        Step::NewFilesystem { fstype, .. } => tell_filesystem(&fstype.to_string_lossy(), errno),
        Step::Overlay { driver, lower, .. } => tell_overlay(*driver, lower.len(), errno),
        Step::OverlayDirectory { driver: driver @ (Driver::Fuse | Driver::Copy), .. } => {
            tell_overlay(*driver, 1, errno)
        }
        Step::Changes { .. } | Step::Settle { .. } => {
            Story::plain("comparing the container's copy of its layers with them".into(), io_code(errno))
        }
        Step::OverlayDirectory { lower, .. } => {
            Story::plain(format!("showing {} in the container", lower.to_string_lossy()), "E_MOUNT_TARGET")
        }
        Step::CloneHost { path, .. } => {
            let what = format!("mounting {} into the container", path.to_string_lossy());
            match detail {
                Detail::Changed => {
                    Story::hinted(what, "E_PATH_ESCAPE", "the path was replaced while the container started")
                }
                _ => Story::plain(what, if errno == Errno::ENOENT { "E_NOTFOUND" } else { "E_MOUNT_TARGET" }),
            }
        }
        Step::WriteSecret { .. } => Story::plain("writing a secret into the container's memory".into(), "E_IO"),
        Step::CloneBelow { path, .. } => Story::plain(
            format!("mounting {} of a volume into the container", path.to_string_lossy()),
            "E_MOUNT_TARGET",
        ),
        Step::FillVolume { from, .. } => {
            let what = format!("filling a volume with what the image has in {}", path_inside(from));
            match errno {
                Errno::ENOSPC => Story::hinted(what, "E_NOSPACE", "make room, for example with `coracle rmi`"),
                Errno::EDQUOT => Story::hinted(what, "E_QUOTA", "make room within your disk quota"),
                _ => Story::plain(what, "E_IO"),
            }
        }
        Step::Attach { on, kind, .. } => tell_attach(on, *kind, detail),
        Step::Mask { place, .. } => Story::plain(format!("masking {}", path_inside(place)), "E_MASK_FAILED"),
        Step::MakeReadOnly(place) => Story::plain(format!("making {} read-only", path_inside(place)), "E_MASK_FAILED"),
        Step::WriteSetting { at, value } => {
            let what = format!("setting {} to {value:?}", path_inside(at));
            match errno {
                Errno::EACCES | Errno::EPERM => Story::hinted(
                    what,
                    "E_SYSCTL_DENIED",
                    "the kernel lets only user 0 of the container, or nobody in a namespace, change this setting",
                ),
                Errno::EINVAL => Story::hinted(what, "E_SYSCTL_DENIED", "the kernel does not take this value"),
                Errno::ENOENT => Story::hinted(what, "E_SYSCTL_DENIED", "this kernel has no such setting"),
                _ => Story::plain(what, "E_SYSCTL_DENIED"),
            }
        }
        Step::EnterDirectory { place, .. } => tell_directory(place, detail),
        Step::NewKeyring => Story::hinted(
            "making the container's session keyring".into(),
            "E_QUOTA",
            "the quota of keys is used up: sysctl kernel.keys.maxkeys (as root) raises it",
        ),
        Step::CarryCredentials(_) => Story::hinted(
            "setting the limit that carries virtual ids".into(),
            "E_IDS",
            "choose --ids=native or --ids=fake",
        ),
        Step::InstallListener { .. } => {
            let hint = match errno {
                Errno::EBUSY => "this is a container whose ids are emulated: choose --ids=native or --ids=fake in it",
                Errno::EINVAL => "emulated ids need Linux 5.19: choose --ids=native or --ids=fake",
                _ => "choose --ids=native or --ids=fake",
            };
            Story::hinted("installing the filter of emulated ids".into(), "E_IDS", hint)
        }
        Step::InstallFilter(_) => Story::hinted(
            "installing the container's seccomp filter".into(),
            "E_SECCOMP",
            "--security-opt seccomp=unconfined runs without one",
        ),
        Step::Execute { argv, .. } => {
            tell_execute(argv.strings().first().map(|arg| arg.to_string_lossy()), detail, errno)
        }
        other => Story::plain(format!("setting up the container ({})", name_of(other)), "E_KERNEL"),
    }
}

fn tell_filesystem(fstype: &str, errno: Errno) -> Story {
    let what = format!("making the container's {fstype} file system");
    match (fstype, errno) {
        ("proc" | "sysfs", Errno::EPERM) => Story::hinted(
            what,
            "E_PROC_MASKED",
            "parts of /proc or /sys are hidden here, as inside another container: start the outer one with \
             --security-opt unmask=ALL",
        ),
        (_, Errno::EPERM | Errno::EACCES) => {
            Story { hint: Some(userns::cure(errno)), ..Story::plain(what, "E_USERNS_DISABLED") }
        }
        _ => Story::plain(what, "E_KERNEL"),
    }
}

fn tell_overlay(driver: Driver, layers: usize, errno: Errno) -> Story {
    let how = match driver {
        Driver::Overlay => "kernel overlay",
        Driver::Fuse => return tell_fuse(layers, errno),
        Driver::Copy => return tell_copy(layers, errno),
    };
    let what = format!("mounting the root file system ({layers} layers, {how})");
    match errno {
        Errno::EPERM | Errno::EACCES => {
            Story { hint: Some(userns::cure(errno)), ..Story::plain(what, "E_USERNS_DISABLED") }
        }
        Errno::ENODEV => {
            Story::hinted(what, "E_KERNEL", "the kernel has no overlay file system: modprobe overlay (as root)")
        }
        Errno::EINVAL => Story::hinted(
            what,
            "E_STORE_FS",
            "the file system that holds the store cannot be part of an overlay: put the store elsewhere with --root or \
             XDG_DATA_HOME (coracle info says which file system it is)",
        ),
        _ => Story::plain(what, "E_STORE_FS"),
    }
}

fn tell_fuse(layers: usize, errno: Errno) -> Story {
    let what = format!("mounting the root file system ({layers} layers, FUSE overlay)");
    match errno {
        Errno::ENOENT | Errno::ENXIO => Story::hinted(
            what,
            "E_KERNEL",
            "there is no /dev/fuse here: modprobe fuse (as root), or give it to the container that this runs in",
        ),
        Errno::EPERM | Errno::EACCES => Story::hinted(
            what,
            "E_PERMISSION",
            "/dev/fuse must be readable and writable for everybody, and the kernel must let user namespaces mount",
        ),
        Errno::ENODEV => Story::hinted(what, "E_KERNEL", "the kernel has no FUSE: modprobe fuse (as root)"),
        _ => Story::plain(what, "E_STORE_FS"),
    }
}

fn tell_copy(layers: usize, errno: Errno) -> Story {
    let what = format!("copying the root file system ({layers} layers)");
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => Story::hinted(
            what,
            "E_NOSPACE",
            "without an overlay each container has a copy of its image: make room, or see what `coracle info` says of overlays",
        ),
        _ => Story::plain(what, io_code(errno)),
    }
}

fn io_code(errno: Errno) -> &'static str {
    crate::state::record::io_code(&errno.into())
}

fn tell_attach(on: &Place, kind: TargetKind, detail: Detail) -> Story {
    let what = format!("mounting on {} in the container", show(on));
    let wanted = match kind {
        TargetKind::Directory => "a directory",
        TargetKind::File => "a file",
    };
    match detail {
        Detail::WrongTarget => {
            let what = format!("{what}: it must be {wanted}, and no link");
            Story::hinted(what, "E_MOUNT_TARGET", "the image has something else in that place")
        }
        _ => Story::plain(what, "E_MOUNT_TARGET"),
    }
}

fn tell_directory(place: &Place, detail: Detail) -> Story {
    let what = format!("entering the working directory /{}", show(place).trim_start_matches("./"));
    match detail {
        Detail::OutsideRoot => Story::hinted(
            what,
            "E_CWD_OUTSIDE",
            "it does not lead to a directory inside the container: choose one with -w",
        ),
        _ => Story::plain(what, "E_DIR"),
    }
}

fn tell_execute(program: Option<std::borrow::Cow<'_, str>>, detail: Detail, errno: Errno) -> Story {
    let program = program.unwrap_or_default();
    let what = format!("executing {program:?} in the container");
    match (errno, detail) {
        (_, Detail::NoInterpreter) => Story {
            exit_code: EXIT_NOT_FOUND,
            ..Story::hinted(
                format!("{what}: it is there, but its interpreter is not"),
                "E_NOTFOUND",
                "the image lacks the program's dynamic loader, or the script's first line names a program it does not have",
            )
        },
        (Errno::ENOENT | Errno::ENOTDIR, _) => Story {
            exit_code: EXIT_NOT_FOUND,
            ..Story::hinted(what, "E_NOTFOUND", "the image has no such program in its PATH")
        },
        (Errno::ENOEXEC, _) => Story {
            exit_code: EXIT_NOT_EXECUTABLE,
            ..Story::hinted(what, "E_PLATFORM", "it was built for another platform, or is a script without a #! line")
        },
        _ => Story {
            exit_code: EXIT_NOT_EXECUTABLE,
            ..Story::hinted(
                what,
                "E_PERMISSION",
                "it may not be executed: see its permissions and those of its directories",
            )
        },
    }
}

fn show(place: &Place) -> String {
    place.path.to_string_lossy().into_owned()
}

fn name_of(step: &Step) -> String {
    let debug = format!("{step:?}");
    debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}
