//! Namespaces of another container, or of whoever keeps one at a path: `container:NAME` and `ns:PATH` of `--network`, `--ipc`,
//! `--pid` and `--uts`.
//!
//! A namespace of a user belongs to a user namespace, and only who is in that may enter it: a container that joins one is made in
//! the user namespace of its owner. Whose namespaces they are is found out anew for each life of the container.

use std::borrow::Cow;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

use super::list;
use super::live::Live;
use super::request::{NetworkMode, Request};
use super::translate::resources;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::container::ContainerId;
use crate::name::ids::IdsMode;
use crate::name::process::ProcessRequest;
use crate::name::process::namespace_mode::{IpcMode, NamespaceMode, Owner};
use crate::net::error::NetworkError;
use crate::net::plan::{self, JoinPlan, NetworkPlan};
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::spawn::{self, Membership};
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::mount::{self, Depth};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{namespace, pidfd, socket};

/// What is joined, and what is different from kind to kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Network,
    Ipc,
    Pid,
    Uts,
}

impl Kind {
    fn flag(self) -> &'static str {
        match self {
            Self::Network => "--network",
            Self::Ipc => "--ipc",
            Self::Pid => "--pid",
            Self::Uts => "--uts",
        }
    }

    /// Its name in `/proc/PID/ns`.
    fn file(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Pid => "pid",
            Self::Uts => "uts",
        }
    }

    fn clone_flag(self) -> CloneFlags {
        match self {
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::Pid => CloneFlags::CLONE_NEWPID,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
        }
    }

    fn code(self) -> &'static str {
        if self == Self::Network { "E_NETWORK" } else { "E_NAMESPACE" }
    }

    /// Whether a container with this record has the host's.
    fn is_hosts(self, record: &ContainerRecord) -> bool {
        match self {
            Self::Network => record.network == "host",
            Self::Ipc => record.asked.ipc == IpcMode::Host,
            Self::Pid => record.asked.pid == NamespaceMode::Host,
            Self::Uts => record.asked.uts == NamespaceMode::Host,
        }
    }
}

fn owner_of(mode: &NamespaceMode) -> Option<&Owner> {
    match mode {
        NamespaceMode::Of(owner) => Some(owner),
        _ => None,
    }
}

/// Those of `--ipc`, `--pid` and `--uts`.
fn asked(process: &ProcessRequest) -> impl Iterator<Item = (Kind, &Owner)> {
    let ipc = match &process.ipc {
        IpcMode::Of(owner) => Some((Kind::Ipc, owner)),
        _ => None,
    };
    let others = [(Kind::Pid, owner_of(&process.pid)), (Kind::Uts, owner_of(&process.uts))];
    ipc.into_iter().chain(others.into_iter().filter_map(|(kind, owner)| Some((kind, owner?))))
}

/// The request with the containers that are joined named by their identifiers: names change.
pub fn settled<'r>(layout: &Layout, request: Cow<'r, Request>) -> Result<Cow<'r, Request>, Failure> {
    let joins_network = matches!(request.network, NetworkMode::Container(_));
    if !joins_network && asked(&request.process).next().is_none() {
        return Ok(request);
    }
    let mut settled = request.into_owned();
    if let NetworkMode::Container(name) = &mut settled.network {
        *name = list::find(layout, name)?.to_string();
    }
    let settle = |owner: &mut Owner| match owner {
        Owner::Container(name) => list::find(layout, name).map(|id| *name = id.to_string()),
        Owner::Path(_) => Ok(()),
    };
    if let IpcMode::Of(owner) = &mut settled.process.ipc {
        settle(owner)?;
    }
    for mode in [&mut settled.process.pid, &mut settled.process.uts] {
        if let NamespaceMode::Of(owner) = mode {
            settle(owner)?;
        }
    }
    Ok(Cow::Owned(settled))
}

/// Whether a container that joins these is made in the user namespace of somebody else.
pub fn shares_users(process: &ProcessRequest) -> Result<bool, Failure> {
    for (kind, owner) in asked(process) {
        match owner {
            Owner::Container(_) => return Ok(true),
            Owner::Path(path) => {
                if is_of_users_below(path).map_err(|cause| unusable(kind, path, &cause))? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// The host name of a container that joins that of another; nothing where it does not, or nobody knows.
pub fn host_name(layout: &Layout, process: &ProcessRequest) -> Option<String> {
    let NamespaceMode::Of(Owner::Container(id)) = &process.uts else { return None };
    let id: ContainerId = id.parse().ok()?;
    record::read::<ContainerRecord>(&layout.container_record(&id)).ok()?.map(|record| record.hostname)
}

/// The namespaces that a container with this plan and record is made in, if it joins any.
pub fn open(layout: &Layout, plan: &LaunchPlan, record: &ContainerRecord) -> Result<Option<Membership>, Failure> {
    let network = match &plan.network {
        NetworkPlan::Join(JoinPlan { of: plan::Owner::Container(id), .. }) => Some(Owner::Container(id.clone())),
        NetworkPlan::Join(JoinPlan { of: plan::Owner::Path(path), .. }) => Some(Owner::Path(path.clone())),
        _ => None,
    };
    let network = network.as_ref().map(|owner| (Kind::Network, owner));
    let wanted: Vec<_> = network.into_iter().chain(asked(&record.asked)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut namespaces = Vec::with_capacity(wanted.len());
    let mut shared_memory = None;
    for &(kind, owner) in &wanted {
        let namespace = match owner {
            Owner::Path(path) => open_namespace(path).map_err(|cause| refused(kind, path, cause))?,
            Owner::Container(id) => {
                let live = joinable(layout, kind, id, record)?;
                if kind == Kind::Ipc {
                    shared_memory = Some(shared_memory_of(&live)?);
                }
                of_container(&live, kind)?
            }
        };
        namespaces.push((namespace, kind.clone_flag()));
    }
    let users = if plan.shares_users { Some(common_owner(&wanted, &namespaces)?) } else { None };
    let profile = record.security.iter().find_map(|word| word.strip_prefix("apparmor="));
    Ok(Some(Membership {
        users,
        namespaces,
        ids: mapped(record),
        shared_memory,
        oom_score_adj: record.limits.oom_score_adj.map(resources::oom_score_adj),
        apparmor: profile.and_then(|name| CString::new(name).ok()),
        code: if wanted.iter().all(|&(kind, _)| kind == Kind::Network) { "E_NETWORK" } else { "E_NAMESPACE" },
        title: format!("coracle-init {}", record.id.short()),
    }))
}

/// The user namespace to which all of them belong.
fn common_owner(wanted: &[(Kind, &Owner)], namespaces: &[(OwnedFd, CloneFlags)]) -> Result<OwnedFd, Failure> {
    let inode = |file: BorrowedFd<'_>| nix::sys::stat::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let mut common: Option<(OwnedFd, (u64, u64))> = None;
    for (&(kind, owner), (namespace, _)) in wanted.iter().zip(namespaces) {
        let users =
            namespace::owner(namespace.as_fd()).map_err(|errno| unusable(kind, &place(owner), &errno.into()))?;
        let found = inode(users.as_fd()).map_err(|errno| unusable(kind, &place(owner), &errno.into()))?;
        match &common {
            None => common = Some((users, found)),
            Some((_, first)) if *first == found => {}
            Some(_) => {
                let message = format!(
                    "{} {owner}: it belongs to another user namespace than {} {}, and nobody is in two",
                    kind.flag(),
                    wanted[0].0.flag(),
                    wanted[0].1
                );
                let hint = "share namespaces of one container; others of them can be shared with that one";
                return Err(Failure::new(kind.code(), message).with_hint(hint));
            }
        }
    }
    common.map(|(users, _)| users).ok_or_else(|| Failure::new("E_STATE", "nothing is joined"))
}

fn place(owner: &Owner) -> PathBuf {
    match owner {
        Owner::Path(path) => path.clone(),
        Owner::Container(_) => owner.to_string().into(),
    }
}

fn unusable(kind: Kind, path: &Path, cause: &io::Error) -> Failure {
    let message =
        format!("{} {}: looking for the user namespace that it belongs to: {cause}", kind.flag(), path.display());
    Failure::new(kind.code(), message).with_hint("name a namespace that this user, or a container, has made")
}

fn refused(kind: Kind, path: &Path, cause: io::Error) -> Failure {
    match kind {
        Kind::Network => NetworkError::Namespace { path: path.to_owned(), cause }.into(),
        _ => {
            let code = if cause.kind() == io::ErrorKind::NotFound { "E_NOTFOUND" } else { kind.code() };
            let message = format!("{} ns:{}: opening the namespace: {cause}", kind.flag(), path.display());
            Failure::new(code, message).with_hint("for example /proc/PID/ns/ with a process of your own")
        }
    }
}

/// User and group that the kernel knows in the user namespace of a container of a user: where ids are emulated, it knows root.
fn mapped(record: &ContainerRecord) -> (u32, u32) {
    match record.ids.as_ref().map(|ids| ids.mode) {
        Some(IdsMode::Emulate) => (0, 0),
        _ => record.process.ids,
    }
}

/// The container of this identifier, if a container with `record` can join it.
fn joinable(layout: &Layout, kind: Kind, id: &str, record: &ContainerRecord) -> Result<Live, Failure> {
    let id: ContainerId = id.parse().or_else(|_| list::find(layout, id))?;
    let live = Live::find(layout, &id).map_err(|failure| match failure.code() {
        "E_STATE" => failure.in_place(&format!("{} container:{}", kind.flag(), id.short())),
        _ => failure,
    })?;
    let what = format!("{} container:{}", kind.flag(), id.short());
    let (theirs, ours) = (mapped(&live.record), mapped(record));
    // A user namespace of a user has one id, and so have all containers in it.
    if theirs != ours && !nix::unistd::geteuid().is_root() {
        let message = format!(
            "{what}: it runs as user {}:{}, this one as {}:{}, and both have one id, the same",
            theirs.0, theirs.1, ours.0, ours.1
        );
        let hint = format!("give both the same user: --user {}:{}", theirs.0, theirs.1);
        return Err(Failure::new(kind.code(), message).with_hint(hint));
    }
    if kind.is_hosts(&live.record) {
        let message = format!("{what}: that is the host's");
        return Err(Failure::new(kind.code(), message).with_hint(format!("{} host", kind.flag())));
    }
    if kind == Kind::Ipc && matches!(live.record.asked.ipc, IpcMode::Private | IpcMode::None) {
        let message = format!("{what}: it was made with --ipc {}, which nobody joins", live.record.asked.ipc);
        return Err(Failure::new(kind.code(), message).with_hint("make it with --ipc shareable, which is the default"));
    }
    Ok(live)
}

fn of_container(live: &Live, kind: Kind) -> Result<OwnedFd, Failure> {
    // A reaper hides its own.
    let (number, _member) = live.member()?;
    let path = format!("/proc/{number}/ns/{}", kind.file());
    let namespace = open_namespace(Path::new(&path)).map_err(|cause| refused(kind, Path::new(&path), cause))?;
    // What was opened is the container's if that still runs.
    live.check()?;
    Ok(namespace)
}

/// The mount of a container's `/dev/shm`, which is its shared memory as much as its namespace is: cloned by a process of ours in
/// the container's mount namespace, since nobody clones a mount of another one.
fn shared_memory_of(live: &Live) -> Result<OwnedFd, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        let message = format!("sharing /dev/shm of container {}: {cause}", live.record.id.short());
        Failure::new("E_NAMESPACE", message)
            .with_hint("its own processes may have put something else there: restart it")
    };
    let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = pair.map_err(|errno| failed(&errno))?;
    let (_, member) = live.member()?;
    let plan = LaunchPlan::visiting(member);
    let visit = |_| {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let cloned = nix::fcntl::open(c"/", flags, nix::sys::stat::Mode::empty()).and_then(|root| {
            let directory = open_below(root.as_fd(), c"dev/shm", flags, Resolve::NoSymlinks)?;
            if fstatfs(&directory)?.filesystem_type() != TMPFS_MAGIC {
                return Err(nix::errno::Errno::ENOTDIR);
            }
            mount::clone_tree(directory.as_fd(), c"", Depth::Single)
        });
        match cloned {
            Ok(mount) => u8::from(socket::send(theirs.as_fd(), b"mount", Some(mount.as_fd())).is_err()),
            Err(errno) => {
                let _ = socket::send(theirs.as_fd(), &(errno as i32).to_le_bytes(), None);
                EXIT_OWN_FAILURE
            }
        }
    };
    let (child, _) = spawn::visit(&proof, &plan, &[theirs.as_raw_fd()], visit)?;
    drop(theirs);
    let mut message = [0; 5];
    let heard = socket::receive(ours.as_fd(), &mut message);
    let _ = pidfd::wait(child.pidfd.as_fd());
    match heard {
        Ok((_, Some(mount))) => Ok(mount),
        Ok((4, None)) => {
            let [a, b, c, d, _] = message;
            Err(failed(&nix::errno::Errno::from_raw(i32::from_le_bytes([a, b, c, d])).desc()))
        }
        Ok(_) => Err(failed(&"the process that looks for it has died")),
        Err(errno) => Err(failed(&errno.desc())),
    }
}

fn open_namespace(path: &Path) -> io::Result<OwnedFd> {
    File::open(path).map(OwnedFd::from)
}

/// Whether the namespace at `path` belongs to a user namespace below ours.
pub fn is_of_users_below(path: &Path) -> io::Result<bool> {
    let namespace = open_namespace(path)?;
    let users = match namespace::owner(namespace.as_fd()) {
        Ok(users) => File::from(users),
        Err(nix::errno::Errno::EPERM) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    };
    let (theirs, ours) = (users.metadata()?, std::fs::metadata("/proc/self/ns/user")?);
    Ok((theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()))
}
