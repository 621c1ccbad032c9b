//! From what was asked for to what is to be: a [`Request`] and what it is based on become a [`Blueprint`] and the record
//! that is kept. Reads nothing but the host's mount table and the sources of bind mounts.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub mod ids;
mod mounts;
mod process;
pub mod resources;
mod volumes;

pub(super) use self::mounts::{is_reserved, normal, refuse_own_state};
use self::resources::{SHM_SIZE, Share};
use super::accounts::Accounts;
use super::base::Base;
use super::environment::DEFAULT_PATH;
use super::request::{
    Access, Init, PortRequest, Removal, Request, RootfsSource, SeccompChoice, SecretRequest, Stdin, Terminal,
};
use super::user::ContainerUser;
use super::{devices, hardening, host_view, joined, network_files};
use crate::failure::{Explain, Failure};
use crate::host::{kernel, program};
use crate::identity::choice::{Choice, Ids};
use crate::identity::map::Caller;
use crate::identity::passwd;
use crate::lsm::capability::{self, Sets};
use crate::name::capability::CapabilitySet;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::port::ExposedPorts;
use crate::name::process::namespace_mode::{IpcMode, NamespaceMode};
use crate::name::storage_driver::Driver;
use crate::name::volume_options::OptionRefused;
use crate::net::plan::{self as network, NetworkPlan};
use crate::rootfs::view::View;
use crate::runtime::blueprint::{Blueprint, IdMaps, Process, Rootfs, WindowSize};
use crate::seccomp::table::Arch;
use crate::seccomp::{Filter, ForeignAbi, KernelVersion};
use crate::state::layout::Layout;
use crate::state::schema::container::{
    ContainerRecord, DeviceRecord, IdsRecord, ImageOrigin, ProcessRecord, Timestamp,
};
use crate::state::schema::image::RunDefaults;
use crate::volume::VolumeError;

/// What is known beside the request.
pub struct Surroundings<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// How root file systems are made of layers.
    pub driver: Driver,
    /// Who asks.
    pub caller: Caller,
    /// What the container is made from.
    pub base: &'a Base,
    /// The user that it runs as, looked up.
    pub user: ContainerUser,
    /// What its files of users and groups lack.
    pub accounts: Accounts,
    /// The files that it is made from.
    pub view: View,
    /// Whether `/sys/fs/cgroup` of the host is a cgroup v2 hierarchy.
    pub cgroup2: bool,
    /// The running kernel's version.
    pub kernel: KernelVersion,
    /// The size of the caller's terminal.
    pub window: WindowSize,
    /// Whether the image lacks files that are mounted on.
    pub lacks_mount_targets: bool,
    /// Whether it has programs for the 32-bit interface of our processor.
    pub has_32_bit_programs: bool,
}

/// The signal that has systemd shut a container down (systemd(1)).
const SYSTEMD_STOP: &str = "SIGRTMIN+3";

/// The layer of mount targets, relative to the store ([`Layout::mount_targets`]).
const MOUNT_TARGETS: &str = "targets";

/// Linux 5.14 counts processes per user namespace.
pub(super) const PER_NAMESPACE_PROCESS_COUNT: KernelVersion = KernelVersion { major: 5, minor: 14 };

/// Why a request cannot become a container.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nothing to run.
    #[error("there is no command to run: neither the command line nor the image names one")]
    NoCommand,
    /// A NUL in an argument or variable.
    #[error("an argument or environment variable contains a NUL byte")]
    Nul,
    /// A bind mount's source.
    #[error("mounting {} into the container", path.display())]
    Source {
        /// The path on the host.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// A bind mount of our own state.
    #[error("mounting {} into the container: it belongs to coracle's own store", path.display())]
    OwnState {
        /// The path on the host.
        path: PathBuf,
    },
    /// A mount over what the runtime mounts itself.
    #[error("mounting on {0} in the container: that place is coracle's own")]
    Reserved(String),
    /// A path below a volume.
    #[error("mounting {} into the container", path.display())]
    Subpath {
        /// The path in the store.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// Options of a volume.
    #[error(transparent)]
    Option(#[from] OptionRefused),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A limit of size where there can be none.
    #[error("--storage-opt size=: {0} cannot limit what is written")]
    NoSizeLimit(&'static str),
    /// No host mount can come in.
    #[error("mounting {} as a slave: it lies on no mount that is shared", .0.display())]
    NotShared(PathBuf),
    /// `O` on what cannot have it.
    #[error("mounting on {0} in the container: O is for directories, and for whole volumes")]
    NoOverlay(String),
    /// Two mounts on one place.
    #[error("two mounts on {0} in the container")]
    Twice(String),
}

impl Explain for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoCommand | Self::Nul | Self::Twice(_) | Self::NotShared(_) | Self::NoOverlay(_) => "E_CONFIG",
            Self::Source { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => "E_NOTFOUND",
            Self::Subpath { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => "E_NOTFOUND",
            Self::Subpath { .. } => "E_PATH_ESCAPE",
            Self::Source { .. } => "E_DIR",
            Self::OwnState { .. } => "E_PATH_ESCAPE",
            Self::Reserved(_) => "E_MOUNT_TARGET",
            Self::NoSizeLimit(_) => "E_UNSUPPORTED",
            Self::Volume(error) => error.code(),
            Self::Option(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand => Some("name a command after the image, or one with --entrypoint".into()),
            Self::Source { path, cause } if cause.kind() == std::io::ErrorKind::NotFound => {
                Some(format!("make it first: mkdir -p {}", path.display()))
            }
            Self::NotShared(path) => {
                Some(format!("leave the option out, or have root share it: mount --make-rshared {}", path.display()))
            }
            Self::OwnState { .. } => Some("a container that could write there could change other images".into()),
            Self::Subpath { .. } => {
                Some("subpath names what is in the volume or image already, and no symbolic link leads to it".into())
            }
            Self::Volume(error) => error.hint(),
            Self::NoSizeLimit(_) => Some("the storage driver fuse can, for containers of images".into()),
            Self::Option(error) => error.hint(),
            Self::Reserved(_) => Some("choose a directory below it, or another one".into()),
            _ => None,
        }
    }
}

/// The blueprint and the record of a container with this identity.
pub fn translate(
    request: &Request,
    surroundings: &Surroundings<'_>,
    id: &ContainerId,
    name: &ContainerName,
) -> Result<(Blueprint, ContainerRecord), Failure> {
    let defaults = match surroundings.base {
        Base::Image(image) => image.defaults.clone(),
        Base::Directory(_) => RunDefaults::default(),
    };
    process::check_namespaces(request)?;
    let hostname = match request.process.uts {
        NamespaceMode::Host => process::host_name(),
        NamespaceMode::Of(_) => {
            joined::host_name(surroundings.layout, &request.process).unwrap_or_else(process::host_name)
        }
        NamespaceMode::Private => request.hostname.clone().unwrap_or_else(|| id.short().to_owned()),
    };
    let per_namespace = surroundings.kernel >= PER_NAMESPACE_PROCESS_COUNT;
    let systemd = arguments(request, &defaults).first().is_some_and(|word| request.process.systemd.prepares(word));
    let limit_request = if systemd { resources::for_systemd(&request.limits) } else { request.limits.clone() };
    let Share { group, limits, .. } = resources::share(&limit_request, id, per_namespace)?;
    let choice = ids::choice(request, surroundings, &limits)?;
    let mut edits = devices::resolve(request)?;
    let is_kernels = |place: &str| is_reserved(place) || place.starts_with("/sys/");
    if let Some(device) = edits.devices.iter().find(|device| is_kernels(&normal(&device.destination))) {
        return Err(Refused::Reserved(device.destination.clone()).into());
    }
    let notes = process::notes(request, &defaults)?;
    edits.env.extend(notes.map(|path| format!("NOTIFY_SOCKET={path}")));
    // systemd's machine id, for this container (machine-id(5)).
    edits.env.extend(systemd.then(|| format!("container_uuid={}", &id.as_str()[..32])));
    let (process, argv) = process(request, surroundings, &defaults, (&hostname, &edits.env), limits, choice.ids)?;
    let mut mounts = mounts::mounts(request, (&edits.mounts, systemd), surroundings.layout, id)?;
    if request.privileged {
        mounts.extend(mounts::nested_store(&mounts, &surroundings.user.home, id)?);
    }
    let described =
        Described { hostname: &hostname, process: &process, ids: choice, argv, devices: edits.records, systemd };
    let record = record(request, surroundings, id, name, &defaults, &described);
    let exposed = exposed_ports(request, &defaults);
    let host = network::Host { find: program::find, is_of_users_below: joined::is_of_users_below };
    let network = NetworkPlan::new(&request.network, &request.ports, &exposed, host)?;
    let host_network = !network.is_own();
    let shares_users = network.shares_users() || joined::shares_users(&request.process)?;
    let mut files =
        network_files::given(&network, &request.resolution, (&hostname, name.as_str()), &surroundings.view)?;
    files.extend(process::time_zone(request, &surroundings.view)?);
    let writes_to_files =
        request.rootfs_access == Access::ReadWrite && !writes_through(request) && owns_accounts(surroundings);
    let lines = match writes_to_files {
        true => process::account_lines(&surroundings.accounts),
        false => {
            files.extend(process::account_files(&surroundings.accounts, &surroundings.view)?);
            Vec::new()
        }
    };
    let targets: Vec<&str> = mounts
        .iter()
        .map(|mount| mount.destination.as_str())
        .chain(files.iter().map(|file| file.destination))
        .chain(request.secrets.iter().filter_map(SecretRequest::path))
        .chain(edits.devices.iter().map(|device| device.destination.as_str()))
        .chain(request.workdir.as_deref())
        .collect();
    let ids = ids::maps(choice.ids, surroundings);
    let groups = match &ids {
        IdMaps::Single { gid, .. } => (*gid, *gid),
        IdMaps::Ranges { .. } => (0, 65_534),
    };
    let blueprint = Blueprint {
        store: surroundings.layout.data().to_owned(),
        mountpoint: relative(id, "work"),
        rootfs: rootfs(request, surroundings, id, &targets)?,
        driver: surroundings.driver,
        falls_back: surroundings.layout.storage_driver().is_none(),
        read_only: request.rootfs_access == Access::ReadOnly,
        ids,
        network,
        shares_users,
        hostname,
        mounts,
        files,
        lines,
        notes,
        systemd,
        cgroup2: surroundings.cgroup2 && !host_network,
        group,
        group_namespace: request.limits.namespace,
        ipc: request.process.ipc.clone(),
        proc_options: request.security.proc_options.clone(),
        host_queues: request.process.ipc == IpcMode::Host && Path::new("/dev/mqueue").exists(),
        pid: request.process.pid.clone(),
        uts: request.process.uts.clone(),
        shm_size: request.limits.shm_size.unwrap_or(SHM_SIZE),
        devices: hardening::DEVICES
            .iter()
            .map(|&(name, major, minor)| (name, libc::makedev(major as u32, minor as u32)))
            .collect(),
        host_devices: edits.devices,
        secrets: Vec::new(),
        privileged: request.privileged,
        masked: [
            hardening::masked_paths(&request.security, host_network),
            hardening::thermal_throttle_paths(&request.security),
        ]
        .concat(),
        read_only_paths: hardening::read_only_paths(&request.security),
        sysctls: process::sysctls(request, groups)?,
        virtual_ids: (choice.ids == Ids::Emulate).then(|| ids::draft(request, surroundings, id, &process.capabilities)),
        process,
        reaper: request.init == Init::Reaper,
    };
    Ok((blueprint, record))
}

/// Whether what the container writes to its root reaches a directory of the host.
fn writes_through(request: &Request) -> bool {
    matches!(&request.rootfs, RootfsSource::Directory { writes: super::request::DirectoryWrites::Through, .. })
}

fn relative(id: &ContainerId, name: &str) -> String {
    format!("containers/{id}/{name}")
}

pub(super) fn c_string(bytes: impl Into<Vec<u8>>) -> Result<CString, Refused> {
    CString::new(bytes).map_err(|_| Refused::Nul)
}

/// `targets` are paths in the container where something is mounted or made.
fn rootfs(
    request: &Request,
    surroundings: &Surroundings<'_>,
    id: &ContainerId,
    targets: &[&str],
) -> Result<Rootfs, Failure> {
    use super::request::DirectoryWrites;
    let path = match surroundings.base {
        Base::Image(image) => {
            let layer = |diff_id: &crate::oci::digest::DiffId| c_string(format!("layers/{}/tree", diff_id.hex()));
            let lower = image.layers.iter().rev().map(layer).collect::<Result<Vec<_>, _>>()?;
            // An image without layers has nothing but the targets.
            let targets = (lower.is_empty() || surroundings.lacks_mount_targets).then(|| c_string(MOUNT_TARGETS));
            let lower = lower.into_iter().map(Ok).chain(targets).collect::<Result<Vec<_>, _>>()?;
            let upper = (c_string(relative(id, "upper"))?, c_string(relative(id, "work"))?);
            let unlimited = match surroundings.driver {
                Driver::Overlay => Some("the kernel's overlay"),
                Driver::Copy => Some("a copy of the layers"),
                Driver::Fuse => None,
            };
            if let (Some(what), Some(_)) = (unlimited, request.size_limit) {
                return Err(Refused::NoSizeLimit(what).into());
            }
            let volatile = request.removal == Removal::AtExit;
            return Ok(Rootfs::Overlay { lower, upper, volatile, limit: request.size_limit });
        }
        Base::Directory(_) if request.size_limit.is_some() => {
            return Err(Refused::NoSizeLimit("a root file system that is a directory").into());
        }
        Base::Directory(path) => path,
    };
    let stat = std::fs::metadata(path).map_err(|cause| Refused::Source { path: path.clone(), cause })?;
    match &request.rootfs {
        RootfsSource::Directory { writes: DirectoryWrites::Discarded, .. } => {
            let targets: Vec<_> = targets.iter().map(|target| path.join(target.trim_start_matches('/'))).collect();
            Ok(Rootfs::Discarded {
                path: path.clone(),
                mode: stat.mode() & 0o7777,
                inner: host_view::made_beforehand(path, &targets),
                entries: host_view::survey(path, &targets),
                scratch: relative(id, "upper"),
                in_memory: surroundings.layout.data().starts_with(path),
            })
        }
        _ => Ok(Rootfs::Directory { path: path.clone(), inode: (stat.dev(), stat.ino()) }),
    }
}

fn process(
    request: &Request,
    surroundings: &Surroundings<'_>,
    defaults: &RunDefaults,
    (hostname, of_devices): (&str, &[String]),
    limits: Vec<(u32, u64, u64)>,
    ids: Ids,
) -> Result<(Process, Vec<OsString>), Failure> {
    let argv = arguments(request, defaults);
    let program = argv.first().filter(|program| !program.is_empty()).ok_or(Refused::NoCommand)?;
    let environment = process::environment(request, surroundings, defaults, (hostname, of_devices));
    let candidates = candidates(program, environment.get("PATH"))?;
    let workdir = request.workdir.as_deref().unwrap_or(&defaults.working_dir);
    let user = &surroundings.user;
    let bounding = capability::resolve(&request.capabilities, CapabilitySet::all())?;
    let capabilities = Sets::for_user(bounding, &request.capabilities, user.uid);
    // Without any capability to gain there is nothing that set-user-ID programs are needed for.
    let no_new_privileges = request.security.no_new_privileges.unwrap_or(bounding == CapabilitySet::EMPTY);
    let process = Process {
        candidates,
        argv: argv.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<_, _>>()?,
        envp: environment.entries().map(|entry| c_string(entry.into_vec())).collect::<Result<_, _>>()?,
        cwd: if workdir.is_empty() { "/".into() } else { workdir.to_owned() },
        uid: user.uid,
        gid: user.gid,
        groups: user.groups.clone(),
        capabilities,
        no_new_privileges,
        ids: ids::of_process(
            ids,
            &request.security.seccomp,
            surroundings.has_32_bit_programs,
            ids::first_limit(surroundings),
        )?,
        filter: filter(&request.security.seccomp, surroundings.has_32_bit_programs, surroundings.kernel, bounding)?,
        limits,
        oom_score_adj: request.limits.oom_score_adj.map(resources::oom_score_adj),
        apparmor: request.security.apparmor.as_deref().map(c_string).transpose()?,
        umask: request.process.umask.0,
        personality: request.process.personality.number(),
        new_keyring: !request.process.shares_keyring,
        terminal: (request.terminal == Terminal::New).then_some(surroundings.window),
    };
    Ok((process, argv))
}

/// `socketcall` of the 32-bit interface hides the address family from filters: where the kernel has one that is refused, it
/// makes no sockets.
fn foreign_abi(has_32_bit_programs: bool) -> ForeignAbi {
    match has_32_bit_programs {
        false => ForeignAbi::Killed,
        true if kernel::has_refused_socket_families() => ForeignAbi::AllowedWithoutSocketcall,
        true => ForeignAbi::Allowed,
    }
}

/// The seccomp filter of a process with `capabilities` in its bounding set.
pub(super) fn filter(
    choice: &SeccompChoice,
    has_32_bit_programs: bool,
    kernel: KernelVersion,
    capabilities: CapabilitySet,
) -> Result<Option<Filter>, Failure> {
    match choice {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Default => {
            let foreign = foreign_abi(has_32_bit_programs);
            Ok(Some(crate::seccomp::default_filter(capabilities, Arch::NATIVE, foreign)))
        }
        SeccompChoice::File(path) => {
            let json = std::fs::read(path).map_err(|cause| {
                Failure::new("E_SECCOMP", format!("reading the seccomp profile {}: {cause}", path.display()))
                    .with_hint("for example --security-opt seccomp=/usr/share/containers/seccomp.json")
            })?;
            let profile = crate::seccomp::load_profile(&json);
            let filter = profile.and_then(|profile| profile.compile(capabilities, kernel));
            let place = format!("--security-opt seccomp={}", path.display());
            Ok(Some(filter.map_err(|error| Failure::from(error).in_place(&place))?))
        }
    }
}

/// Whether the container may write to its files of users, as far as they are there: those of a directory may be somebody else's.
fn owns_accounts(surroundings: &Surroundings<'_>) -> bool {
    let Base::Directory(root) = surroundings.base else { return true };
    let is_ours = |path: &str| {
        let owner = std::fs::metadata(root.join(path.trim_start_matches('/'))).map(|metadata| metadata.uid());
        surroundings.caller.ranges.is_some() || owner.is_ok_and(|owner| owner == surroundings.caller.uid)
    };
    [passwd::PASSWD, passwd::GROUP].into_iter().all(is_ours)
}

/// Entrypoint and command: an entrypoint given on the command line also replaces the image's command.
fn arguments(request: &Request, defaults: &RunDefaults) -> Vec<OsString> {
    let (entrypoint, inherited) = match &request.entrypoint {
        Some(given) => (&given[..], &[][..]),
        None => (defaults.entrypoint.as_deref().unwrap_or_default(), defaults.cmd.as_deref().unwrap_or_default()),
    };
    let command = request.command.iter().cloned();
    let inherited = inherited.iter().filter(|_| request.command.is_empty()).map(OsString::from);
    entrypoint.iter().map(OsString::from).chain(command).chain(inherited).collect()
}

/// Where to look for `program`: execvp(3).
pub(super) fn candidates(program: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>, Refused> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.as_bytes())?]);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    let join = |directory: &[u8]| {
        let directory = if directory.is_empty() { b"." } else { directory };
        c_string([directory, b"/", program.as_bytes()].concat())
    };
    path.split(|&b| b == b':').map(join).collect()
}

struct Described<'a> {
    hostname: &'a str,
    process: &'a Process,
    ids: Choice,
    argv: Vec<OsString>,
    devices: Vec<DeviceRecord>,
    systemd: bool,
}

fn record(
    request: &Request,
    surroundings: &Surroundings<'_>,
    id: &ContainerId,
    name: &ContainerName,
    defaults: &RunDefaults,
    described: &Described<'_>,
) -> ContainerRecord {
    let (image, rootfs) = match surroundings.base {
        Base::Image(image) => (Some(image), None),
        Base::Directory(path) => (None, Some(path.clone())),
    };
    let mut labels = defaults.labels.clone();
    labels.extend(request.labels.clone());
    let overlay = image.is_some()
        || matches!(&request.rootfs, RootfsSource::Directory { writes, .. } if *writes == super::request::DirectoryWrites::Discarded);
    ContainerRecord {
        id: id.clone(),
        name: name.clone(),
        created: Timestamp::now(),
        image: image.map(|image| ImageOrigin { id: image.id.clone(), name: image.name.clone() }),
        rootfs,
        layers: image.map(|image| image.layers.clone()).unwrap_or_default(),
        driver: if overlay { "overlay" } else { "directory" }.into(),
        remove_at_exit: request.removal == Removal::AtExit,
        process: process_record(request, surroundings, defaults, described),
        hostname: described.hostname.to_owned(),
        network: request.network.to_string(),
        mounts: mounts::records(request, surroundings.layout),
        devices: described.devices.clone(),
        privileged: request.privileged,
        secrets: request.secrets.iter().map(|secret| secret.name.clone()).collect(),
        secret_variables: super::secrets::variables(request),
        labels,
        read_only: request.rootfs_access == Access::ReadOnly,
        init: request.init == Init::Reaper || request.process.pid != NamespaceMode::Private,
        security: security_words(request),
        restart: request.restart.to_string(),
        stop_timeout: request.stop_timeout,
        health: request.health.settle(defaults.healthcheck.as_ref()),
        request: None,
        log: request.log.clone(),
        limits: request.limits.clone(),
        ids: Some(IdsRecord { mode: described.ids.ids.mode(), reason: described.ids.reason() }),
        asked: request.process.clone(),
        ports: PortRequest { exposed: exposed_ports(request, defaults), ..request.ports.clone() },
    }
}

/// Those of the image, then those of the command line, each once. What an image says that is no port is left out.
fn exposed_ports(request: &Request, defaults: &RunDefaults) -> Vec<ExposedPorts> {
    let of_image = defaults.exposed_ports.iter().filter_map(|text| text.parse().ok());
    let mut ports: Vec<ExposedPorts> = Vec::new();
    for exposed in of_image.chain(request.ports.exposed.iter().copied()) {
        if !ports.contains(&exposed) {
            ports.push(exposed);
        }
    }
    ports
}

fn process_record(
    request: &Request,
    surroundings: &Surroundings<'_>,
    defaults: &RunDefaults,
    described: &Described<'_>,
) -> ProcessRecord {
    let process = described.process;
    let names = |set: CapabilitySet| set.iter().map(|capability| capability.to_string()).collect();
    let entrypoint = request.entrypoint.clone().unwrap_or_else(|| defaults.entrypoint.clone().unwrap_or_default());
    let command = described.argv.iter().skip(entrypoint.len()).map(|arg| arg.to_string_lossy().into_owned()).collect();
    ProcessRecord {
        entrypoint,
        command,
        env: process.envp.iter().map(|entry| entry.to_string_lossy().into_owned()).collect(),
        workdir: process.cwd.clone(),
        user: surroundings.user.asked.clone(),
        ids: (process.uid, process.gid),
        terminal: process.terminal.is_some(),
        stdin: request.stdin == Stdin::Open,
        effective: names(process.capabilities.effective),
        bounding: names(process.capabilities.bounding),
        no_new_privileges: process.no_new_privileges,
        seccomp: match &request.security.seccomp {
            SeccompChoice::Default => "default".into(),
            SeccompChoice::Unconfined => "unconfined".into(),
            SeccompChoice::File(path) => path.display().to_string(),
        },
        stop_signal: request
            .stop_signal
            .map(|signal| signal.to_string())
            .or_else(|| defaults.stop_signal.clone())
            .unwrap_or_else(|| if described.systemd { SYSTEMD_STOP } else { "SIGTERM" }.into()),
        systemd: described.systemd,
    }
}

fn security_words(request: &Request) -> Vec<String> {
    let security = &request.security;
    let mut words = Vec::new();
    match &security.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => words.push("seccomp=unconfined".into()),
        SeccompChoice::File(path) => words.push(format!("seccomp={}", path.display())),
    }
    words.extend(security.no_new_privileges.map(|on| format!("no-new-privileges={on}")));
    words.extend(security.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    let options: Vec<_> = security.proc_options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    words.extend((!options.is_empty()).then(|| format!("proc-opts={}", options.join(","))));
    words.extend(security.mask.iter().map(|path| format!("mask={path}")));
    words.extend(security.unmask.iter().map(|unmask| match unmask {
        super::request::Unmask::All => "unmask=ALL".to_owned(),
        super::request::Unmask::Pattern(pattern) => format!("unmask={pattern}"),
    }));
    words
}

/// The directory of `path` if it is one, for a `--rootfs` argument: absolute, links resolved.
pub fn rootfs_directory(path: &Path) -> Result<PathBuf, Refused> {
    let refused = |cause| Refused::Source { path: path.to_owned(), cause };
    let real = std::fs::canonicalize(path).map_err(refused)?;
    if !std::fs::metadata(&real).map_err(refused)?.is_dir() {
        return Err(refused(std::io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    let access = nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::X_OK;
    nix::unistd::access(&real, access).map_err(|errno| refused(errno.into()))?;
    Ok(real)
}
