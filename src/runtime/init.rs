//! The child's side of the fork: executes the steps of a plan, in order, and reports the first that fails.
//!
//! It logs nothing and decides nothing. It is single-threaded and its memory is its own, so it may allocate.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::sys::statfs::{FsType, fstatfs};

use super::blueprint::WindowSize;
use super::copy_mount;
use super::copy_up;
use super::fuse_mount;
use super::overlay_mount;
use super::plan::{Execution, OVERFLOW_ID};
use super::reaper;
use super::step::{Expect, Links, Missing, Otherwise, Place, Slot, Step, TargetKind, Upper};
use super::sync::{CONNECTED, Detail, FromInit, ID_MAPS_WRITTEN, MESSAGE_LEN, START, StepFailed};
use crate::identity::{passwd, table};
use crate::lsm::capability::Sets;
use crate::name::mount::Propagation;
use crate::name::storage_driver::Driver;
use crate::net::slirp_ipv6;
use crate::seccomp::{Filter, Key};
use crate::sys::credentials::{KeepCapabilities, ThreadCapabilities};
use crate::sys::exec::StringVector;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::mount::{self, Depth, FsContext, MountAttrs};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{
    credentials, exec, keyring, namespace, network_namespace, notification, process, seccomp, socket, tty, unix_socket,
};

/// Length of a chain of dangling links that is followed to make a mount's target.
const LINK_LIMIT: usize = 8;

/// What the container's process gets beside what the plan says.
#[derive(Debug, Default)]
pub struct Given {
    /// Standard input, output and error; with a terminal there are none.
    pub streams: Option<[OwnedFd; 3]>,
    /// Others, under the numbers that they have.
    pub preserved: Vec<OwnedFd>,
    /// When it is executed.
    pub execution: Execution,
    /// The v2 control group in which it begins.
    pub group: Option<OwnedFd>,
    /// The mount of `/dev/shm` that it shares with another container.
    pub shared_memory: Option<OwnedFd>,
    /// The supervisor of its ids, which is sent its namespaces and the listener.
    pub supervisor: Option<OwnedFd>,
    /// Whether it is among processes of others from the beginning, and hides from them to the end.
    pub is_among_others: bool,
}

impl Given {
    /// All descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.streams.iter().flatten().chain(&self.preserved).chain(&self.shared_memory).chain(&self.supervisor)
    }
}

/// A mount that init holds.
struct Held {
    fd: OwnedFd,
    attached: bool,
}

/// Why a step failed.
struct Cause {
    errno: Errno,
    detail: Detail,
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self { errno, detail: Detail::None }
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)).into()
    }
}

struct Init<'a> {
    channel: BorrowedFd<'a>,
    given: &'a Given,
    /// The pseudo-terminal's slave, once it is open.
    terminal: Option<OwnedFd>,
    /// The network namespace that is being made.
    network: Option<network_namespace::Making>,
    slots: Vec<Option<Held>>,
    /// The proof for the fork of the reaper's child, from before there was a filter: what stat(2) says is asked about then.
    proof: Option<SingleThreaded>,
    /// What the filter of virtual ids lets pass, once that is installed.
    key: Key,
    /// Of the step that is executed.
    index: u16,
}

/// Writes into a file of the host, by one call.
fn write_file(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let file = nix::fcntl::open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, content).map(drop)
}

/// Executes `steps`. Returns only when one failed, which the monitor has been told, or, with [`Step::Reap`], in the reaper
/// once the container's process is gone: the exit status for this process.
pub fn run(steps: &[Step], channel: BorrowedFd<'_>, given: &Given) -> u8 {
    let mut init =
        Init { channel, given, terminal: None, network: None, slots: Vec::new(), proof: None, index: 0, key: [0; 2] };
    let mut execution = given.execution;
    for (index, step) in steps.iter().enumerate() {
        init.index = index as u16;
        let mut waited = Ok(());
        if execution == Execution::WhenTold && matches!(step, Step::Reap | Step::Execute { .. }) {
            execution = Execution::AtOnce;
            waited = init.await_start();
        }
        match waited.and_then(|()| init.execute(step)) {
            Ok(Next::Step) => {}
            Ok(Next::ReapChild(child)) => {
                drop(init);
                return reaper::reap(child);
            }
            Err(cause) => {
                init.report(index, cause);
                return crate::failure::EXIT_OWN_FAILURE;
            }
        }
    }
    crate::failure::EXIT_OWN_FAILURE
}

/// Executes `steps` that do not end in a program; returns the mounts they made, by the numbers of their slots. Nothing if one
/// failed, which the other end of the channel has been told.
pub fn prepare(steps: &[Step], channel: BorrowedFd<'_>) -> Option<Vec<Option<OwnedFd>>> {
    let given = Given::default();
    let mut init = Init {
        channel,
        given: &given,
        terminal: None,
        network: None,
        slots: Vec::new(),
        proof: None,
        index: 0,
        key: [0; 2],
    };
    for (index, step) in steps.iter().enumerate() {
        init.index = index as u16;
        if let Err(cause) = init.execute(step) {
            init.report(index, cause);
            return None;
        }
    }
    Some(init.slots.into_iter().map(|held| held.map(|held| held.fd)).collect())
}

enum Next {
    Step,
    ReapChild(nix::unistd::Pid),
}

impl Init<'_> {
    fn report(&self, index: usize, Cause { errno, detail }: Cause) {
        let failed = StepFailed { step: index as u16, detail, errno };
        // Nobody is left to tell if the monitor is gone.
        let _ = socket::send(self.channel, &FromInit::Failed(failed).encode(), None);
    }

    fn execute(&mut self, step: &Step) -> Result<Next, Cause> {
        match step {
            Step::TieToMonitor => {
                process::die_with_parent()?;
                process::hide_from_ptrace()?;
                self.check_monitor()?;
            }
            Step::Join { member, namespaces } => namespace::join(member.as_fd(), *namespaces)?,
            Step::HoldRoot(slot) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                self.hold(*slot, nix::fcntl::open(c"/", flags, Mode::empty())?, true);
            }
            Step::HoldTerminals { slot, at } => self.hold_terminals(*slot, at)?,
            Step::MapOwnIds { uid_map, gid_map } => map_own_ids(uid_map, gid_map)?,
            Step::AwaitIdMaps => self.await_id_maps()?,
            Step::EnterStore(path) => nix::unistd::chdir(path.as_c_str())?,
            Step::NewFilesystem { slot, fstype, options, attrs } => {
                self.new_filesystem(*slot, fstype, options, *attrs)?
            }
            Step::Overlay { driver, slot, lower, upper, mountpoint } => {
                let fd = self.overlay(*driver, lower, upper.as_ref(), mountpoint)?;
                self.hold(*slot, fd, false);
            }
            Step::OverlayDirectory { driver, slot, lower, upper, mountpoint, otherwise } => {
                let fd = self.overlay_directory(*driver, lower, upper, mountpoint, *otherwise)?;
                self.hold(*slot, fd, false);
            }
            Step::Changes { slot, container, lower } => {
                let fd = copy_mount::changes_of(container, lower)?;
                self.hold(*slot, fd, false);
            }
            Step::Settle { container, lower } => copy_mount::settle(container, lower)?,
            Step::AttachOnHost { slot, on } => attach_on_host(self.slot(*slot)?, on)?,
            Step::MakeHostDirectories(paths) => {
                for (path, mode) in paths {
                    nix::unistd::mkdir(path.as_c_str(), Mode::from_bits_truncate(*mode))?;
                }
            }
            Step::CloneHost { slot, path, expect, depth, attrs, propagation } => {
                self.clone_host(*slot, (path, *expect), *depth, (*attrs, *propagation))?
            }
            Step::EnterRoot { slot, mountpoint } => self.enter_root(*slot, mountpoint)?,
            Step::Attach { slot, on, kind, links, missing } => self.attach(*slot, on, *kind, *links, *missing)?,
            Step::MakeDirectory { at, mode } => self.make_directory(at, *mode)?,
            Step::MakeLink { at, target } => {
                nix::unistd::symlinkat(target.as_c_str(), self.slot(at.base)?, at.path.as_c_str())?;
            }
            Step::WriteFile { at, content, shared } => {
                let path = at.path.as_c_str();
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
                let file = openat(self.slot(at.base)?, path, flags, Mode::from_bits_truncate(0o644))?;
                let mut file = File::from(file);
                file.write_all(content.as_bytes())?;
                if *shared {
                    socket::send(self.channel, &FromInit::NameServers.encode(), Some(file.as_fd()))?;
                }
            }
            Step::Listen { at } => {
                let socket = unix_socket::bind_below(self.slot(at.base)?, &at.path)?;
                socket::send(self.channel, &FromInit::Notes.encode(), Some(socket.as_fd()))?;
            }
            Step::WriteSecret { at, content, mode, owner } => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
                let path = at.path.as_c_str();
                let file = openat(self.slot(at.base)?, path, flags, Mode::from_bits_truncate(*mode))?;
                if let Some((uid, gid)) = *owner {
                    nix::unistd::fchown(&file, Some(uid.into()), Some(gid.into()))?;
                }
                File::from(file).write_all(content.reveal())?;
            }
            Step::AddLine { at, line } => self.add_line(at, line)?,
            Step::CloneBelow { slot, directory, path, depth, attrs } => {
                self.clone_below(*slot, (directory, path), *depth, *attrs)?;
            }
            Step::CopyUp { into, from, keep_mode } => self.copy_up(*into, from, *keep_mode)?,
            Step::FillVolume { into, marks, from } => {
                if let Some(source) = self.covered(from)? {
                    copy_up::fill_volume(source.as_fd(), self.slot(*into)?, self.slot(*marks)?)?;
                }
            }
            Step::WriteSetting { at, value } => self.write_setting(at, value)?,
            Step::JoinGroup(entrances) => {
                for entrance in entrances {
                    write_file(entrance, b"0")?;
                }
            }
            Step::NewGroupNamespace => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)?,
            Step::SetOomScore(score) => set_oom_score(*score)?,
            Step::SetAppArmorProfile(name) => set_apparmor_profile(name)?,
            Step::BeginNetwork => self.network = Some(network_namespace::begin()?),
            Step::EnterNetwork { shared } => {
                let namespace = self.network.take().ok_or(Errno::EBADF)?.enter()?;
                if *shared {
                    socket::send(self.channel, &FromInit::Namespace.encode(), Some(namespace.as_fd()))?;
                }
            }
            Step::AwaitNetwork { slirp_ipv6: device } => {
                self.await_network()?;
                if let Some(device) = device {
                    slirp_ipv6::configure(device)?;
                }
            }
            Step::SetHostname(name) => nix::unistd::sethostname(OsStr::from_bytes(name.to_bytes()))?,
            Step::SetDomainName(name) => process::set_domain_name(name.to_bytes())?,
            Step::Mask { place, null, empty, spare_refused } => self.mask(place, *null, *empty, *spare_refused)?,
            Step::MakeReadOnly(place) => self.make_read_only(place)?,
            Step::SealMount(slot) => mount::add_attributes(self.slot(*slot)?, MountAttrs::RDONLY, Depth::Single)?,
            Step::AddAttributes(slot, attrs) => mount::add_attributes(self.slot(*slot)?, *attrs, Depth::Single)?,
            Step::OpenTerminal { devpts, console, size } => self.open_terminal(*devpts, console.as_ref(), *size)?,
            Step::NewSession => drop(nix::unistd::setsid()?),
            Step::TakeStreams => self.take_streams()?,
            Step::NewKeyring => new_keyring()?,
            Step::Limit { resource, soft, hard } => limit(*resource, *soft, *hard)?,
            Step::SetPersonality(number) => {
                let persona = nix::sys::personality::Persona::from_bits_retain(*number as i32);
                nix::sys::personality::set(persona)?;
            }
            Step::SetUmask(mask) => drop(nix::sys::stat::umask(Mode::from_bits_truncate(*mask))),
            Step::EnterDirectory { place, missing } => self.enter_directory(place, *missing)?,
            Step::SetNoNewPrivileges => credentials::set_no_new_privileges()?,
            Step::CarryCredentials(value) => carry_credentials(*value)?,
            Step::InstallListener { filter, key, proc } => self.install_listener(filter, *key, *proc)?,
            Step::InstallFilter(filter) => seccomp::install(filter.instructions(), filter.flags)?,
            Step::LimitBoundingSet(set) => credentials::limit_bounding_set(set.bits())?,
            Step::BecomeUser { uid, gid, groups } => become_user(*uid, *gid, groups.as_deref())?,
            Step::SetCapabilities(set) => set_capabilities(set, self.key)?,
            Step::AdoptOrphans(proc) => {
                nix::sys::prctl::set_child_subreaper(true)?;
                self.send_namespace(*proc, c"self/ns/mnt", FromInit::OwnMounts)?;
            }
            Step::TakeSharedMemory(slot) => {
                let mount = self.given.shared_memory.as_ref().ok_or(Errno::EBADF)?;
                self.hold(*slot, mount.try_clone()?, false);
            }
            Step::Reap => return self.fork_payload(),
            Step::Execute { candidates, argv, envp } => return Err(execute(candidates, argv, envp, self.key)),
        }
        Ok(Next::Step)
    }

    fn hold(&mut self, slot: Slot, fd: OwnedFd, attached: bool) {
        if self.slots.len() <= slot.0 {
            self.slots.resize_with(slot.0 + 1, || None);
        }
        self.slots[slot.0] = Some(Held { fd, attached });
    }

    fn slot(&self, slot: Slot) -> Result<BorrowedFd<'_>, Errno> {
        self.slots.get(slot.0).and_then(Option::as_ref).map(|held| held.fd.as_fd()).ok_or(Errno::EBADF)
    }

    /// A monitor that died before it could be died with has closed its end.
    fn check_monitor(&self) -> Result<(), Errno> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.channel, PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO)?;
        match fds[0].revents() {
            Some(events) if events.contains(PollFlags::POLLHUP) => Err(Errno::EPIPE),
            _ => Ok(()),
        }
    }

    fn await_id_maps(&self) -> Result<(), Errno> {
        let mut message = [0; MESSAGE_LEN];
        let (len, _) = socket::receive(self.channel, &mut message)?;
        if message[..len] != ID_MAPS_WRITTEN {
            return Err(Errno::EPIPE);
        }
        credentials::become_user(0, 0)
    }

    fn await_network(&self) -> Result<(), Errno> {
        socket::send(self.channel, &FromInit::Unconnected.encode(), None)?;
        let mut message = [0; MESSAGE_LEN];
        let (len, _) = socket::receive(self.channel, &mut message)?;
        if message[..len] == CONNECTED { Ok(()) } else { Err(Errno::EPIPE) }
    }

    /// Waits before the program. Whoever copies files meanwhile joins our namespaces, which a process that hides does not
    /// allow; nothing of the container is there yet to look at us. Only read(2) and write(2) are sure to pass its filter.
    fn await_start(&self) -> Result<(), Cause> {
        let is_shown = !self.given.is_among_others && process::show_to_ptrace().is_ok();
        nix::unistd::write(self.channel, &FromInit::Ready.encode())?;
        let mut message = [0; MESSAGE_LEN];
        let len = loop {
            match nix::unistd::read(self.channel, &mut message) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        if message[..len] != START {
            return Err(Errno::EPIPE.into());
        }
        if is_shown {
            process::hide_from_ptrace()?;
        }
        Ok(())
    }

    fn new_filesystem(
        &mut self,
        slot: Slot,
        fstype: &CStr,
        options: &[(CString, Option<CString>)],
        attrs: MountAttrs,
    ) -> Result<(), Errno> {
        let context = FsContext::open(fstype)?;
        for (key, value) in options {
            context.set(key, value.as_deref())?;
        }
        let fd = context.mount(attrs)?;
        self.hold(slot, fd, false);
        Ok(())
    }

    fn clone_host(
        &mut self,
        slot: Slot,
        (path, expect): (&CStr, Option<Expect>),
        depth: Depth,
        (attrs, propagation): (MountAttrs, Propagation),
    ) -> Result<(), Cause> {
        // The parser made the path absolute, so the descriptor it is relative to is not used; links on the way are the
        // user's own and are followed.
        let source = nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        let clone = mount::clone_tree(source.as_fd(), c"", depth)?;
        if !expect.is_none_or(|expect| is_expected(&clone, expect)) {
            return Err(Cause { errno: Errno::ESTALE, detail: Detail::Changed });
        }
        match propagation {
            Propagation::Private => mount::restrict(clone.as_fd(), attrs, depth)?,
            // Our namespace belongs to another user namespace than the host's: what is shared there is a slave here.
            Propagation::Slave => mount::add_attributes(clone.as_fd(), attrs, depth)?,
            Propagation::Unbindable => mount::restrict_and_unbind(clone.as_fd(), attrs, depth)?,
        }
        self.hold(slot, clone, false);
        Ok(())
    }

    fn clone_below(
        &mut self,
        slot: Slot,
        (directory, path): (&CStr, &CStr),
        depth: Depth,
        attrs: MountAttrs,
    ) -> Result<(), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(directory, flags | OFlag::O_DIRECTORY, Mode::empty())?;
        let source = open_below(directory.as_fd(), path, flags, Resolve::NoSymlinks)?;
        let clone = mount::clone_tree(source.as_fd(), c"", depth)?;
        mount::restrict(clone.as_fd(), attrs, depth)?;
        self.hold(slot, clone, false);
        Ok(())
    }

    fn overlay(
        &self,
        driver: Driver,
        lower: &[CString],
        upper: Option<&Upper>,
        mountpoint: &CStr,
    ) -> Result<OwnedFd, Errno> {
        match driver {
            Driver::Overlay => overlay_mount::mount(lower, upper, mountpoint),
            Driver::Fuse => fuse_mount::mount(self.channel, self.index, lower, upper),
            Driver::Copy => copy_mount::mount(lower, upper),
        }
    }

    fn overlay_directory(
        &self,
        driver: Driver,
        lower: &CStr,
        upper: &Upper,
        mountpoint: &CStr,
        otherwise: Otherwise,
    ) -> Result<OwnedFd, Errno> {
        let source = nix::fcntl::open(lower, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let overlaid = mount::clone_tree(source.as_fd(), c"", Depth::Single).and_then(|clone| {
            attach_on_host(clone.as_fd(), mountpoint)?;
            self.overlay(driver, &[mountpoint.to_owned()], Some(upper), &upper.workdir)
        });
        match (overlaid, otherwise) {
            (Err(_), Otherwise::ReadOnly) => {
                let clone = mount::clone_tree(source.as_fd(), c"", Depth::Recursive)?;
                mount::restrict(clone.as_fd(), MountAttrs::RDONLY.and(MountAttrs::NODEV), Depth::Recursive)?;
                Ok(clone)
            }
            (other, _) => other,
        }
    }

    fn enter_root(&mut self, slot: Slot, mountpoint: &CStr) -> Result<(), Errno> {
        attach_on_host(self.slot(slot)?, mountpoint)?;
        mount::pivot_to(self.slot(slot)?)
    }

    fn attach(
        &mut self,
        slot: Slot,
        on: &Place,
        kind: TargetKind,
        links: Links,
        missing: Missing,
    ) -> Result<(), Cause> {
        let base = self.slot(on.base)?;
        let target = match target(base, &on.path, kind, links) {
            Ok(target) => target,
            Err(cause) if missing == Missing::CreateOrSkip && is_skippable(cause.errno) => return Ok(()),
            Err(cause) => return Err(cause),
        };
        mount::attach(self.slot(slot)?, target.as_fd())?;
        if let Some(held) = self.slots.get_mut(slot.0).and_then(Option::as_mut) {
            held.attached = true;
        }
        Ok(())
    }

    fn make_directory(&self, at: &Place, mode: u32) -> Result<(), Cause> {
        let base = self.slot(at.base)?;
        let is_one_name = !at.path.to_bytes().contains(&b'/');
        if is_one_name && mkdirat(base, at.path.as_c_str(), Mode::from_bits_truncate(mode)).is_ok() {
            return Ok(());
        }
        if let Err(Errno::ENOENT) = open_below(base, &at.path, OFlag::O_PATH, Resolve::InRoot) {
            make_target(base, &at.path, TargetKind::Directory, mode, LINK_LIMIT)?;
        }
        Ok(())
    }

    fn copy_up(&self, into: Slot, from: &Place, keep_mode: bool) -> Result<(), Cause> {
        let Some(source) = self.covered(from)? else { return Ok(()) };
        let into = self.slot(into)?;
        let mode = Mode::from_bits_truncate(fstat(into)?.st_mode & 0o7777);
        copy_up::copy_tree(source.as_fd(), into)?;
        if keep_mode {
            nix::sys::stat::fchmodat(into, c".", mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
        }
        Ok(())
    }

    /// The directory that a mount is about to cover, if there is one whose files are the container's.
    fn covered(&self, place: &Place) -> Result<Option<OwnedFd>, Cause> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        match open_below(self.slot(place.base)?, &place.path, flags, Resolve::InRoot) {
            // A link of the rootfs has led into a file system of the kernel's: nothing there is the image's to copy, and what
            // is to be masked is not masked yet.
            Ok(source) if is_kernels(source.as_fd())? => Ok(None),
            Ok(source) => Ok(Some(source)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What is added to the container's own file by us is what it could add itself: it is looked up as it would look it up.
    fn add_line(&self, at: &Place, line: &str) -> Result<(), Cause> {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut file = match open_below(self.slot(at.base)?, &at.path, flags, Resolve::InRoot) {
            Ok(file) => File::from(file),
            Err(errno) if errno == Errno::ENOENT || is_skippable(errno) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if !file.metadata()?.is_file() || is_kernels(file.as_fd())? {
            return Ok(());
        }
        let mut text = Vec::new();
        (&mut file).take(passwd::MAX_FILE as u64).read_to_end(&mut text)?;
        if !text.split(|&byte| byte == b'\n').any(|own| own == line.as_bytes()) {
            let end = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
            file.write_all(format!("{end}{line}\n").as_bytes())?;
        }
        Ok(())
    }

    fn write_setting(&self, at: &Place, value: &str) -> Result<(), Cause> {
        let file = open_below(self.slot(at.base)?, &at.path, OFlag::O_WRONLY, Resolve::NoSymlinks)?;
        File::from(file).write_all(value.as_bytes())?;
        Ok(())
    }

    fn mask(&mut self, place: &Place, null: Slot, empty: Slot, spare_refused: bool) -> Result<(), Cause> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let target = match open_below(self.slot(place.base)?, &place.path, flags, Resolve::NoSymlinks) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            other => other?,
        };
        let stat = fstat(&target)?;
        if spare_refused && !is_directory(&stat) && stat.st_uid == OVERFLOW_ID && stat.st_mode & 0o077 == 0 {
            return Ok(());
        }
        let cover = if is_directory(&stat) { empty } else { null };
        // The first cover is the mount itself; once attached, it can be cloned (before Linux 6.15 a detached mount
        // cannot).
        let held = self.slots.get_mut(cover.0).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        if held.attached {
            let clone = mount::clone_tree(held.fd.as_fd(), c"", Depth::Single)?;
            mount::attach(clone.as_fd(), target.as_fd())?;
        } else {
            mount::attach(held.fd.as_fd(), target.as_fd())?;
            held.attached = true;
        }
        Ok(())
    }

    fn make_read_only(&self, place: &Place) -> Result<(), Cause> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let target = match open_below(self.slot(place.base)?, &place.path, flags, Resolve::NoSymlinks) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            other => other?,
        };
        let clone = mount::clone_tree(target.as_fd(), c"", Depth::Recursive)?;
        mount::restrict(clone.as_fd(), MountAttrs::RDONLY, Depth::Recursive)?;
        Ok(mount::attach(clone.as_fd(), target.as_fd())?)
    }

    fn hold_terminals(&mut self, slot: Slot, at: &Place) -> Result<(), Cause> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = open_below(self.slot(at.base)?, &at.path, flags, Resolve::NoSymlinks)?;
        if fstatfs(&directory)?.filesystem_type() != FsType(libc::DEVPTS_SUPER_MAGIC) {
            return Err(Cause { errno: Errno::ENOTTY, detail: Detail::WrongTarget });
        }
        self.hold(slot, directory, true);
        Ok(())
    }

    fn open_terminal(&mut self, devpts: Slot, console: Option<&Place>, size: WindowSize) -> Result<(), Cause> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
        let master = open_below(self.slot(devpts)?, c"ptmx", flags, Resolve::NoSymlinks)?;
        tty::unlock(master.as_fd())?;
        let slave = tty::open_peer(master.as_fd())?;
        tty::set_size(slave.as_fd(), &tty::window(size.rows, size.columns))?;
        socket::send(self.channel, &FromInit::Terminal.encode(), Some(master.as_fd()))?;
        if let Some(console) = console {
            let target = target(self.slot(console.base)?, &console.path, TargetKind::File, Links::Refuse)?;
            let clone = mount::clone_tree(slave.as_fd(), c"", Depth::Single)?;
            mount::attach(clone.as_fd(), target.as_fd())?;
        }
        tty::make_controlling(slave.as_fd())?;
        for stream in 0..3 {
            process::duplicate_onto(slave.as_fd(), stream)?;
        }
        self.terminal = Some(slave);
        Ok(())
    }

    /// What is sent is received once the program is executed: there is room for it.
    fn install_listener(&mut self, filter: &Filter, key: Key, proc: Option<Slot>) -> Result<(), Errno> {
        if let Some(proc) = proc {
            self.send_namespace(proc, c"self/ns/user", FromInit::UserNamespace)?;
            self.send_namespace(proc, c"self/ns/mnt", FromInit::MountNamespace)?;
        }
        self.proof = SingleThreaded::prove().ok();
        let listener = notification::install_with_listener(filter.instructions())?;
        self.key = key;
        self.send_handle(FromInit::Listener, listener.as_fd())
    }

    fn send_namespace(&self, proc: Slot, path: &CStr, message: FromInit) -> Result<(), Errno> {
        let namespace = openat(self.slot(proc)?, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        self.send_handle(message, namespace.as_fd())
    }

    /// To the monitor, which keeps it, and to the supervisor at once: it answers calls from the next one on.
    fn send_handle(&self, message: FromInit, handle: BorrowedFd<'_>) -> Result<(), Errno> {
        if let Some(supervisor) = &self.given.supervisor {
            // If it is dead, the monitor starts another.
            let _ = socket::send(supervisor.as_fd(), &message.encode(), Some(handle));
        }
        socket::send(self.channel, &message.encode(), Some(handle))
    }

    fn take_streams(&mut self) -> Result<(), Errno> {
        for (number, stream) in self.given.streams.iter().flatten().enumerate() {
            process::duplicate_onto(stream.as_fd(), number as i32)?;
        }
        process::close_on_exec_from(3)?;
        self.given.preserved.iter().try_for_each(|fd| process::duplicate_onto(fd.as_fd(), fd.as_raw_fd()))
    }

    fn enter_directory(&self, place: &Place, missing: Missing) -> Result<(), Cause> {
        let base = self.slot(place.base)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = match open_below(base, &place.path, flags, Resolve::InRoot) {
            Err(Errno::ENOENT) if missing != Missing::Refuse => {
                make_target(base, &place.path, TargetKind::Directory, 0o755, LINK_LIMIT)
                    .map_err(|cause| Cause { detail: outside_if_kernels(&place.path), ..cause })?
            }
            other => other.map_err(|errno| Cause {
                errno,
                detail: match errno {
                    Errno::ELOOP => Detail::OutsideRoot,
                    Errno::ENOENT => outside_if_kernels(&place.path),
                    _ => Detail::None,
                },
            })?,
        };
        nix::unistd::fchdir(&directory)?;
        // The kernel prefixes a directory that our root does not contain with "(unreachable)".
        match nix::unistd::getcwd() {
            Ok(path) if path.is_absolute() => Ok(()),
            Ok(_) | Err(Errno::ENOENT) => Err(Cause { errno: Errno::EXDEV, detail: Detail::OutsideRoot }),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The container's process is a child in a process group of its own, in the foreground of the terminal if there is one.
    fn fork_payload(&mut self) -> Result<Next, Cause> {
        let proof = self.proof.take().map_or_else(SingleThreaded::prove, Ok).map_err(|_| Errno::EBUSY)?;
        match reaper::fork(&proof, self.terminal.as_ref().map(AsFd::as_fd))? {
            Some(child) => Ok(Next::ReapChild(child)),
            None => Ok(Next::Step),
        }
    }
}

/// Sets how readily the kernel kills this process when memory is short. Whoever hides may not.
pub(super) fn set_oom_score(score: i16) -> Result<(), Errno> {
    write_file(c"/proc/self/oom_score_adj", score.to_string().as_bytes())
}

/// Has the next program executed under a profile of AppArmor. Whoever hides may not write its own attributes.
pub(super) fn set_apparmor_profile(name: &CStr) -> Result<(), Errno> {
    process::show_to_ptrace()?;
    let word = [b"exec ", name.to_bytes()].concat();
    match write_file(c"/proc/self/attr/apparmor/exec", &word) {
        // Before Linux 5.1 the file is not AppArmor's alone.
        Err(Errno::ENOENT) if !is_there(c"/proc/self/attr/apparmor") => write_file(c"/proc/self/attr/exec", &word),
        other => other,
    }
}

fn map_own_ids(uid_map: &str, gid_map: &str) -> Result<(), Cause> {
    // Whoever hides may not open its own maps, and hiding is a property of the memory, which may be the monitor's: it has
    // hidden in an earlier life of the container. Nothing of the container is there yet to look at us.
    process::show_to_ptrace()?;
    // setgroups must be denied before an unprivileged process may write its gid_map (user_namespaces(7), CVE-2018-7169).
    for (path, content) in [(c"uid_map", uid_map), (c"setgroups", "deny"), (c"gid_map", gid_map)] {
        let path = [b"/proc/self/", path.to_bytes()].concat();
        let file = nix::fcntl::open(path.as_slice(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        File::from(file).write_all(content.as_bytes())?;
    }
    Ok(())
}

/// Attaches `mount` on a directory of the store, in our own mount namespace.
fn attach_on_host(mount: BorrowedFd<'_>, on: &CStr) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = nix::fcntl::open(on, flags, Mode::empty())?;
    mount::attach(mount, target.as_fd())
}

fn is_expected(clone: &OwnedFd, expect: Expect) -> bool {
    fstat(clone).is_ok_and(|stat| match expect {
        Expect::Inode { device, inode } => stat.st_dev == device && stat.st_ino == inode,
        Expect::CharacterDevice(number) => kind_of(&stat) == SFlag::S_IFCHR && stat.st_rdev == number,
        Expect::BlockDevice(number) => kind_of(&stat) == SFlag::S_IFBLK && stat.st_rdev == number,
    })
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn is_directory(stat: &FileStat) -> bool {
    kind_of(stat) == SFlag::S_IFDIR
}

/// Whether a file is the kernel's own: of proc, sysfs or a control group.
fn is_kernels(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    use nix::sys::statfs::{self, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC};
    let kind = statfs::fstatfs(file)?.filesystem_type();
    Ok([PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&kind))
}

fn is_skippable(errno: Errno) -> bool {
    matches!(errno, Errno::EROFS | Errno::EACCES | Errno::EPERM | Errno::ELOOP | Errno::ENOTDIR | Errno::EISDIR)
}

/// What a mount is attached on, made if it is missing.
fn target(base: BorrowedFd<'_>, path: &CStr, kind: TargetKind, links: Links) -> Result<OwnedFd, Cause> {
    let wrong = |errno| Cause { errno, detail: Detail::WrongTarget };
    let (resolve, nofollow) = match links {
        Links::Follow => (Resolve::InRoot, OFlag::empty()),
        Links::Refuse => (Resolve::NoSymlinks, OFlag::O_NOFOLLOW),
    };
    let found = match open_below(base, path, OFlag::O_PATH | nofollow, resolve) {
        Err(Errno::ENOENT) if links == Links::Refuse => make_target(base, path, kind, 0o755, 0)?,
        Err(Errno::ENOENT) => make_target(base, path, kind, 0o755, LINK_LIMIT)?,
        Err(errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV)) => return Err(wrong(errno)),
        other => other?,
    };
    let stat = fstat(&found)?;
    match (kind, is_directory(&stat)) {
        (TargetKind::Directory, false) => Err(wrong(Errno::ENOTDIR)),
        (TargetKind::File, true) => Err(wrong(Errno::EISDIR)),
        // A link opened with O_PATH | O_NOFOLLOW is the link itself.
        (TargetKind::File, false) if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK => {
            Err(wrong(Errno::ELOOP))
        }
        _ => Ok(found),
    }
}

/// Makes `path` and its missing parents, each by its parent's descriptor and a single component. A dangling link is
/// followed within `base` at most `links` times.
fn make_target(base: BorrowedFd<'_>, path: &CStr, kind: TargetKind, mode: u32, links: usize) -> Result<OwnedFd, Cause> {
    let text = path.to_bytes();
    let trimmed = &text[..text.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1)];
    let (parent, name) = match trimmed.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&trimmed[..slash], &trimmed[slash + 1..]),
        None => (&b"."[..], trimmed),
    };
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    let (parent_path, name_c) = (c_string(if parent.is_empty() { b"." } else { parent })?, c_string(name)?);
    let resolve = if links == 0 { Resolve::NoSymlinks } else { Resolve::InRoot };
    let open_parent = || open_below(base, &parent_path, OFlag::O_PATH | OFlag::O_DIRECTORY, resolve);
    let opened = match parent {
        b"." => None,
        _ => match open_parent() {
            Err(Errno::ENOENT) => Some(make_target(base, &parent_path, TargetKind::Directory, 0o755, links)?),
            other => Some(other?),
        },
    };
    let parent_fd = opened.as_ref().map_or(base, AsFd::as_fd);
    let made = match kind {
        TargetKind::Directory => mkdirat(parent_fd, name_c.as_c_str(), Mode::from_bits_truncate(mode))
            .and_then(|()| open_below(parent_fd, &name_c, OFlag::O_PATH | OFlag::O_NOFOLLOW, Resolve::NoSymlinks)),
        TargetKind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
            openat(parent_fd, name_c.as_c_str(), flags, Mode::from_bits_truncate(0o644))
        }
    };
    match made {
        Ok(made) => Ok(made),
        Err(Errno::EEXIST) if links > 0 => {
            let link = readlinkat(parent_fd, name_c.as_c_str())?;
            let joined = match link.as_bytes() {
                absolute @ [b'/', ..] => absolute.to_vec(),
                relative => [parent, b"/", relative].concat(),
            };
            let joined: Vec<u8> = joined.iter().copied().skip_while(|&b| b == b'/').collect();
            make_target(base, &c_string(&joined)?, kind, mode, links - 1)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// A directory that is missing in the kernel's own file systems cannot be made: what is meant is not in the root.
fn outside_if_kernels(path: &CStr) -> Detail {
    let kernels = [&b"proc/"[..], b"sys/", b"dev/"].iter().any(|prefix| path.to_bytes().starts_with(prefix));
    if kernels { Detail::OutsideRoot } else { Detail::None }
}

fn new_keyring() -> Result<(), Errno> {
    match keyring::new_session() {
        // A kernel without keyrings has none to share.
        Err(Errno::ENOSYS) => Ok(()),
        other => other,
    }
}

fn limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let (_, ceiling) = process::rlimit(resource)?;
    let hard = hard.min(ceiling);
    process::set_rlimit(resource, soft.min(hard), hard)
}

fn carry_credentials(value: u64) -> Result<(), Errno> {
    let (_, hard) = process::rlimit(table::RESOURCE)?;
    process::set_rlimit(table::RESOURCE, value, hard)
}

/// The bounding set has been cut before: inheritable must be set while CAP_SETPCAP may still be effective.
fn set_capabilities(sets: &Sets, key: Key) -> Result<(), Errno> {
    let wanted = ThreadCapabilities {
        effective: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
    };
    credentials::set_capabilities_unasked(wanted, key)?;
    credentials::clear_ambient_set(key[1])?;
    sets.ambient.iter().try_for_each(|capability| credentials::raise_ambient(capability as u8, key[1]))
}

fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<(), Errno> {
    if let Some(groups) = groups {
        credentials::set_groups(groups)?;
    }
    credentials::keep_capabilities_over_setuid(KeepCapabilities::Yes)?;
    credentials::become_user(uid, gid)?;
    // A change of user makes the kernel forget it (PR_SET_PDEATHSIG(2const)).
    process::die_with_parent()
}

/// Not by access(2), about which somebody may be asked who cannot answer yet.
fn is_there(path: &CStr) -> bool {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).is_ok()
}

/// Tries the candidates in order, as execvp(3) does: one that is not there does not end the search, nor does one that may
/// not be executed, but the latter is remembered.
fn execute(candidates: &[CString], argv: &StringVector, envp: &StringVector, key: Key) -> Cause {
    let mut verdict = Cause { errno: Errno::ENOENT, detail: Detail::None };
    for path in candidates {
        match exec::execve(path, argv, envp, key) {
            Errno::ENOENT if is_there(path) => {
                return Cause { errno: Errno::ENOENT, detail: Detail::NoInterpreter };
            }
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => verdict = Errno::EACCES.into(),
            errno => return errno.into(),
        }
    }
    verdict
}
