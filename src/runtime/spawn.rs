//! The fork boundary: the only caller of clone3 for containers. It takes a proof that the process has one thread.

use std::cell::{Ref, RefCell};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::init::{self, Given};
use super::launch_error::LaunchError;
use super::plan::{ChildMemory, Execution, LaunchPlan};
use super::step::Step;
use super::sync::{CONNECTED, Detail, FromInit, ID_MAPS_WRITTEN, MESSAGE_LEN, SERVED, START, StepFailed};
use crate::cgroup::group::Group;
use crate::host::processes;
use crate::identity::keeper::{Handles, Keeper};
use crate::net::error::NetworkError;
use crate::rootfs::fuse;
use crate::sys::clone::{Child, NoChild, fork_into, fork_within, spawn_sharing_memory};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{memory, pidfd, process, socket};

/// A container whose process runs.
#[derive(Debug)]
pub struct Running {
    /// Pid 1 of the container, as a child of ours.
    pub child: Child,
    /// The master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// Its control group, if it has one of its own.
    pub group: Option<Group>,
    /// What it has sent for the supervisor of virtual ids, until that has it.
    pub handles: Sent,
    /// The supervisor, if its ids are virtual.
    pub ids: Option<RefCell<Keeper>>,
    /// Its `/etc/resolv.conf`, if that is to follow the host's.
    pub name_servers: Option<OwnedFd>,
    /// Its mount namespace, where nothing ends with its first process by itself.
    pub mounts: Option<OwnedFd>,
    /// The socket on which its processes tell how it is, if they do.
    pub notes: Option<OwnedFd>,
    /// What serves its root file system, if that is served.
    pub servers: Servers,
    /// Where an init that waits before the program is told to go on.
    waiting: Option<OwnedFd>,
}

/// Who connects a container's network while its init goes on.
pub trait Connect {
    /// Begins to connect the namespace.
    fn begin(&mut self, namespace: OwnedFd) -> Result<(), NetworkError>;

    /// Waits until it is connected: what is sent from then on is not lost.
    fn finish(&mut self) -> Result<(), NetworkError>;
}

/// Namespaces of somebody else that a container is made in.
#[derive(Debug)]
pub struct Membership {
    /// The user namespace; the container makes its own where absent.
    pub users: Option<OwnedFd>,
    /// Other namespaces, and of which kind each is (`CLONE_NEW*`).
    pub namespaces: Vec<(OwnedFd, CloneFlags)>,
    /// User and group that we are to be in that user namespace.
    pub ids: (u32, u32),
    /// The mount of `/dev/shm` that belongs to a namespace of shared memory among them.
    pub shared_memory: Option<OwnedFd>,
    /// How readily the kernel kills the container when memory is short; as us where absent.
    pub oom_score_adj: Option<i16>,
    /// The profile of AppArmor that its program is executed under.
    pub apparmor: Option<CString>,
    /// The code of a failure to join them.
    pub code: &'static str,
    /// What others see as the command line of its first process until it executes a program.
    pub title: String,
}

/// What of entering namespaces has failed.
const OOM_SCORE: u8 = 0;
const PROFILE: u8 = 1;
const NAMESPACES: u8 = 2;

impl Membership {
    /// In a process of its own. Who is among processes of others may not write its own attributes: it must hide from them from
    /// the beginning, since its root directory is still the host's (CVE-2016-9962).
    fn enter(&self) -> Result<(), (u8, Errno)> {
        memory::set_command_line(&self.title);
        // Hiding is a property of the memory, and the monitor, of which this is a copy, may have hidden.
        process::show_to_ptrace().map_err(|errno| (NAMESPACES, errno))?;
        if let Some(score) = self.oom_score_adj {
            init::set_oom_score(score).map_err(|errno| (OOM_SCORE, errno))?;
        }
        if let Some(profile) = &self.apparmor {
            init::set_apparmor_profile(profile).map_err(|errno| (PROFILE, errno))?;
        }
        self.enter_namespaces().map_err(|errno| (NAMESPACES, errno))
    }

    fn enter_namespaces(&self) -> Result<(), Errno> {
        process::hide_from_ptrace()?;
        if let Some(users) = &self.users {
            nix::sched::setns(users, CloneFlags::CLONE_NEWUSER)?;
            // To get new capabilities makes the kernel forget it (PR_SET_DUMPABLE(2const)).
            process::hide_from_ptrace()?;
            if (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()) != self.ids {
                return Err(Errno::EUSERS);
            }
        }
        self.namespaces.iter().try_for_each(|(namespace, kind)| nix::sched::setns(namespace, *kind))
    }
}

/// Who has a part in a launch.
#[derive(Default)]
pub struct Company<'a> {
    /// Has something to say when the launch is to be given up.
    pub interrupt: Option<BorrowedFd<'a>>,
    /// Connects the network, where the plan wants that.
    pub connect: Option<&'a mut dyn Connect>,
    /// Whose namespaces it is made in, where the plan wants that.
    pub membership: Option<&'a Membership>,
}

impl Running {
    /// Kills it.
    pub fn kill(&self) {
        let _ = pidfd::send_signal(self.child.pidfd.as_fd(), libc::SIGKILL);
        if let Some(group) = &self.group {
            group.let_die();
        }
    }

    /// Whether the program waits for [`Self::release`].
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Lets a program that waits be executed, and returns once it has been or could not be. `plan` is the one it was launched by.
    pub fn release(&mut self, plan: &LaunchPlan) -> Result<(), LaunchError> {
        let Some(channel) = self.waiting.take() else { return Ok(()) };
        let told = socket::send(channel.as_fd(), &START, None).map_err(LaunchError::Channel);
        let mut heard = Heard::default();
        told.and_then(|()| hear(plan, &channel, &self.child, Company::default(), &mut heard))
            .map(drop)
            .inspect_err(|_| end(&self.child))
    }
}

/// Processes that serve a file system, our children: they end by themselves once it is mounted nowhere.
#[derive(Debug)]
pub struct Servers(RefCell<Vec<Child>>);

/// How long they may take for that, with what was still to be written.
const LAST_WRITES: Duration = Duration::from_secs(60);

impl Servers {
    fn new(servers: Vec<Child>) -> Self {
        Self(RefCell::new(servers))
    }

    /// Those that have not been seen ending.
    pub fn alive(&self) -> Ref<'_, [Child]> {
        Ref::map(self.0.borrow(), Vec::as_slice)
    }

    /// Takes away the one of this index, which has ended: whether it did so by itself, and not before its time.
    pub fn take_ended(&self, index: usize) -> bool {
        let server = self.0.borrow_mut().remove(index);
        matches!(pidfd::wait(server.pidfd.as_fd()), Ok(WaitStatus::Exited(_, 0)))
    }

    /// Waits until all have ended: then everything is on disk that was written.
    pub fn finish(&self) {
        let deadline = Instant::now() + LAST_WRITES;
        for server in self.0.borrow_mut().drain(..) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_millis() as i32).unwrap_or(PollTimeout::ZERO);
            // Somebody may be copying files in a mount namespace of the container's; not for ever.
            if !matches!(poll(&mut [PollFd::new(server.pidfd.as_fd(), PollFlags::POLLIN)], timeout), Ok(1..)) {
                let _ = pidfd::send_signal(server.pidfd.as_fd(), libc::SIGKILL);
            }
            let _ = pidfd::wait(server.pidfd.as_fd());
        }
    }
}

/// Forks, lets the child execute `plan`, and returns once the container's process has been executed or could not be; or, where
/// it is executed when told, once it waits for that. Signals are expected to be blocked: the child resets them.
///
/// Where it is made among processes of others, which may stop and kill the child, the wait ends when it has been stopped for a
/// second, or when `company.interrupt` has something to say, too, with the child's life.
pub fn launch(
    proof: &SingleThreaded,
    plan: &LaunchPlan,
    given: &Given,
    company: Company<'_>,
) -> Result<Running, LaunchError> {
    let kept: Vec<RawFd> = given.descriptors().map(AsRawFd::as_raw_fd).collect();
    let memory = match (given.execution, &given.group) {
        (Execution::AtOnce, None) => plan.child_memory(),
        _ => ChildMemory::Own,
    };
    let run_init = |channel: BorrowedFd<'_>| init::run(&plan.steps, channel, given);
    let group = given.group.as_ref().map(AsFd::as_fd);
    let (child, heard) = fork(proof, plan, (c"coracle-init", memory, group), &kept, run_init, company)?;
    // The end of the report is the program's execution, or the child's death.
    if plan.joined().is_some() && !processes::has_executed(child.pid.as_raw()) {
        end(&child);
        return Err(LaunchError::Killed);
    }
    let Heard { terminal, handles, name_servers, mounts, notes, servers, waiting } = heard;
    let servers = Servers::new(servers);
    Ok(Running { child, terminal, group: None, handles, ids: None, name_servers, mounts, notes, servers, waiting })
}

/// Leaves nothing behind of a child that may be gone already.
fn end(child: &Child) {
    let _ = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = pidfd::wait(child.pidfd.as_fd());
}

/// Forks, lets the child execute the plan, which names no program, and then `work`, which gets the mounts that the plan made
/// and returns the exit status. Returns once the plan is done. The child has memory of its own, and of our descriptors the
/// standard ones and `kept`.
pub fn visit(
    proof: &SingleThreaded,
    plan: &LaunchPlan,
    kept: &[RawFd],
    work: impl FnOnce(Vec<Option<OwnedFd>>) -> u8,
) -> Result<(Child, Vec<Child>), LaunchError> {
    let prepare = |channel: BorrowedFd<'_>| match init::prepare(&plan.steps, channel) {
        Some(mounts) => {
            // The parent waits for this.
            process::close_inherited(&channel);
            work(mounts)
        }
        None => crate::failure::EXIT_OWN_FAILURE,
    };
    let company = Company::default();
    fork(proof, plan, (c"coracle-visit", plan.child_memory(), None), kept, prepare, company)
        .map(|(child, heard)| (child, heard.servers))
}

/// Forks, and returns once there is nothing more to hear from the child, which closes the channel over which it reports or waits.
fn fork(
    proof: &SingleThreaded,
    plan: &LaunchPlan,
    (name, memory, group): (&CStr, ChildMemory, Option<BorrowedFd<'_>>),
    kept: &[RawFd],
    execute: impl FnOnce(BorrowedFd<'_>) -> u8,
    company: Company<'_>,
) -> Result<(Child, Heard), LaunchError> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(LaunchError::Channel)?;
    // The locks of the store and of the container are the parent's. Nothing is allocated where memory may be shared.
    let own = [Some(theirs.as_fd()), plan.joined()];
    let mut kept: Vec<RawFd> = own.iter().flatten().map(AsRawFd::as_raw_fd).chain(kept.iter().copied()).collect();
    kept.sort_unstable();
    let run = || {
        process::reset_signals();
        process::set_name(name);
        process::close_others(&kept);
        execute(theirs.as_fd())
    };
    let child = match (memory, company.membership) {
        (_, Some(membership)) => fork_within(proof, || membership.enter(), plan.namespaces, group, run),
        (ChildMemory::Shared, None) => spawn_sharing_memory(proof, plan.namespaces, run).map_err(NoChild::Fork),
        (ChildMemory::Own, None) => fork_into(proof, plan.namespaces, group, run).map_err(NoChild::Fork),
    };
    let child = child.map_err(|no_child| match (group, no_child) {
        (Some(_), NoChild::Fork(errno @ (Errno::EACCES | Errno::EBUSY | Errno::ENODEV | Errno::EOPNOTSUPP))) => {
            LaunchError::EnterGroup(errno)
        }
        (_, NoChild::Fork(errno)) => LaunchError::Fork(errno),
        (_, NoChild::Enter(OOM_SCORE, errno)) => LaunchError::OomScore(errno),
        (_, NoChild::Enter(PROFILE, errno)) => {
            let profile = company.membership.and_then(|membership| membership.apparmor.clone());
            LaunchError::step(&[Step::SetAppArmorProfile(profile.unwrap_or_default())], 0, Detail::None, errno)
        }
        (_, NoChild::Enter(_, errno)) => {
            LaunchError::Join { code: company.membership.map_or("E_NAMESPACE", |membership| membership.code), errno }
        }
    })?;
    drop(theirs);
    match start(plan, ours, &child, company) {
        Ok(heard) => Ok((child, heard)),
        Err(error) => {
            end(&child);
            Err(error)
        }
    }
}

/// What init has sent for the supervisor of virtual ids.
#[derive(Debug, Default)]
pub struct Sent {
    /// Where system calls come from.
    pub listener: Option<OwnedFd>,
    user: Option<OwnedFd>,
    mount: Option<OwnedFd>,
}

impl Sent {
    /// All of it, if it is all there.
    pub fn take(&mut self) -> Option<Handles> {
        let Self { listener, user, mount } = std::mem::take(self);
        Some(Handles { listener: listener?, namespaces: [user?, mount?] })
    }
}

/// What init has said.
#[derive(Default)]
struct Heard {
    /// The master of the terminal that it has opened.
    terminal: Option<OwnedFd>,
    /// What it has sent for the supervisor.
    handles: Sent,
    /// The file `/etc/resolv.conf`.
    name_servers: Option<OwnedFd>,
    /// The mount namespace, for the monitor.
    mounts: Option<OwnedFd>,
    /// The socket on which it is listened to.
    notes: Option<OwnedFd>,
    /// The processes that were started to serve its file systems.
    servers: Vec<Child>,
    /// The channel, if it waits before the program.
    waiting: Option<OwnedFd>,
}

fn start(plan: &LaunchPlan, channel: OwnedFd, child: &Child, company: Company<'_>) -> Result<Heard, LaunchError> {
    if let Some((uid_map, gid_map)) = &plan.id_maps {
        write_id_maps(child.pid, uid_map, gid_map).map_err(LaunchError::IdMaps)?;
        socket::send(channel.as_fd(), &ID_MAPS_WRITTEN, None).map_err(LaunchError::Channel)?;
    }
    let mut heard = Heard::default();
    match hear(plan, &channel, child, company, &mut heard) {
        Ok(Told::Ready) => heard.waiting = Some(channel),
        Ok(Told::Everything) => {}
        Err(error) => {
            // What they serve is gone with the child.
            heard.servers.iter().for_each(end);
            return Err(error);
        }
    }
    Ok(heard)
}

/// What there is to hear from init.
enum Told {
    /// Something more, once it was answered.
    Ready,
    /// Nothing more.
    Everything,
}

/// Listens to init until there is nothing more to hear for now.
fn hear(
    plan: &LaunchPlan,
    channel: &OwnedFd,
    child: &Child,
    mut company: Company<'_>,
    heard: &mut Heard,
) -> Result<Told, LaunchError> {
    let mut descriptors = Vec::new();
    let among_others = plan.joined().is_some() || company.membership.is_some();
    loop {
        await_message(channel, company.interrupt, among_others.then_some(child))?;
        let mut message = [0; MESSAGE_LEN];
        let (len, fd) = match socket::receive(channel.as_fd(), &mut message) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(LaunchError::Channel)?,
        };
        match FromInit::decode(&message[..len]) {
            Some(FromInit::Terminal) => heard.terminal = fd,
            Some(FromInit::Listener) => heard.handles.listener = fd,
            Some(FromInit::UserNamespace) => heard.handles.user = fd,
            Some(FromInit::MountNamespace) => heard.handles.mount = fd,
            Some(FromInit::NameServers) => heard.name_servers = fd,
            Some(FromInit::Notes) => heard.notes = fd,
            Some(FromInit::OwnMounts) => heard.mounts = fd,
            Some(FromInit::Namespace) => match (&mut company.connect, fd) {
                (Some(connect), Some(namespace)) => connect.begin(namespace)?,
                _ => return Err(LaunchError::Channel(Errno::EPROTO)),
            },
            Some(FromInit::Unconnected) => {
                if let Some(connect) = &mut company.connect {
                    connect.finish()?;
                }
                socket::send(channel.as_fd(), &CONNECTED, None).map_err(LaunchError::Channel)?;
            }
            Some(FromInit::Descriptor) => descriptors.extend(fd),
            Some(FromInit::Serve(step)) => {
                heard.servers.push(serve(plan, usize::from(step), std::mem::take(&mut descriptors))?);
                socket::send(channel.as_fd(), &SERVED, None).map_err(LaunchError::Channel)?;
            }
            Some(FromInit::Failed(StepFailed { step, detail, errno })) => {
                return Err(LaunchError::step(&plan.steps, usize::from(step), detail, errno));
            }
            Some(FromInit::Ready) => return Ok(Told::Ready),
            // The channel is closed by execve, and by nothing else that succeeds.
            None if len == 0 => return Ok(Told::Everything),
            None => return Err(LaunchError::Channel(Errno::EPROTO)),
        }
    }
}

/// Starts what serves the file system of a step.
fn serve(plan: &LaunchPlan, step: usize, descriptors: Vec<OwnedFd>) -> Result<Child, LaunchError> {
    let upper = match plan.steps.get(step) {
        Some(Step::Overlay { upper, .. }) => upper.as_ref(),
        Some(Step::OverlayDirectory { upper, .. }) => Some(upper),
        _ => return Err(LaunchError::Channel(Errno::EPROTO)),
    };
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or(LaunchError::Channel(Errno::EPROTO));
    let order = fuse::Order {
        device: next()?,
        namespace: Some(next()?),
        upper: upper.map(|_| Ok::<_, LaunchError>((next()?, next()?))).transpose()?,
        lower: descriptors.collect(),
        limit: upper.and_then(|upper| upper.limit),
        volatile: upper.is_some_and(|upper| upper.volatile),
    };
    order.start().map_err(LaunchError::Serve)
}

/// How often is looked whether a child among others' processes was stopped, in milliseconds.
const LOOK: u16 = 500;

/// Returns when there is something to hear. `child` is given where others can stop it.
fn await_message(
    channel: &OwnedFd,
    interrupt: Option<BorrowedFd<'_>>,
    child: Option<&Child>,
) -> Result<(), LaunchError> {
    if interrupt.is_none() && child.is_none() {
        return Ok(());
    }
    let timeout = child.map_or(PollTimeout::NONE, |_| LOOK.into());
    let mut was_stopped = false;
    loop {
        let fds = [Some(channel.as_fd()), interrupt];
        let mut fds: Vec<_> = fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(LaunchError::Channel(errno)),
            Ok(0) => {
                let is_stopped = child.is_some_and(|child| pidfd::is_stopped(child.pidfd.as_fd()));
                // Twice: a container may be frozen for a moment, and so what is in it.
                if is_stopped && was_stopped {
                    return Err(LaunchError::Stopped);
                }
                was_stopped = is_stopped;
            }
            Ok(_) if fds[0].any().unwrap_or(true) => return Ok(()),
            Ok(_) => return Err(LaunchError::Interrupted),
        }
    }
}

fn write_id_maps(pid: Pid, uid_map: &str, gid_map: &str) -> Result<(), std::io::Error> {
    use std::io::Write;
    // The child is ours and not yet reaped: its number cannot have been given to another process.
    for (name, content) in [("uid_map", uid_map), ("gid_map", gid_map)] {
        let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/{name}"))?;
        file.write_all(content.as_bytes())?;
    }
    Ok(())
}
