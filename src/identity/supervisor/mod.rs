//! The supervisor of virtual ids: a process beside a container's monitor that answers the system calls in which ids show.
//!
//! ```text
//!   container's process -- call --> kernel -- notification --> supervisor: one worker, or more where one is stuck
//!   monitor: has a copy of each listener, watches the supervisor, starts another when it is killed
//! ```
//!
//! It lives in the container's user and mount namespaces, outside of its pid namespace, and may do there with files what the
//! container's root may, and look at its processes. Its root directory is the container's, its working directory the host's
//! `/proc`, where it finds them; it has no other directory of the host, and opens no path of it. What it does with a path it does as
//! the caller would: it fools whoever changes the path meanwhile, and nobody else.

mod access;
mod create;
mod exec;
mod files;
mod ids;
mod owner;
mod peer;
mod process;
mod stat;
mod worker;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::CloneFlags;
use nix::sys::eventfd::EventFd;
use nix::sys::stat::Mode;

use super::credentials::FileCapabilities;
use super::ownership::Owner;
use super::table::Table;
use crate::name::capability::{Capability, CapabilitySet};
use crate::state::schema::layer::Ownership;
use crate::state::schema::owners::FileKey;
use crate::sys::credentials::ThreadCapabilities;
use crate::sys::notification::{self, Notification, PLACE, Place};
use crate::sys::shared_words::SharedWords;
use crate::sys::syscall::{Arch, Syscall};
use crate::sys::{credentials, memory, process as own_process, socket};
use files::Files;
use worker::Worker;

/// Whose the files of a mount are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The container's: what cannot carry its owner is in the journal of this index.
    Own(usize),
    /// The caller's: nothing is written beside them.
    Callers,
}

/// A mount that is known from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRule {
    /// Where it is, absolute. Mounts below it are like it.
    pub destination: String,
    /// Whose.
    pub rule: Rule,
}

/// What a container's supervisor is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// What its root may do.
    pub bounding: CapabilitySet,
    /// Whose the caller's files are shown to be.
    pub user: Owner,
    /// The mounts that the user asked for.
    pub mounts: Vec<MountRule>,
    /// Whether its processes may have other mounts than its first one.
    pub views_vary: bool,
}

/// What one supervisor starts with, which comes after another if that was killed.
pub struct Setup<'a> {
    /// What is to be known.
    pub surroundings: &'a Surroundings,
    /// What it takes to answer; without, it comes over `control` first.
    pub handles: Option<Handles>,
    /// The monitor's entries of the table, and the supervisor's.
    pub entries: [OwnedFd; 2],
    /// A memory file with what supervisors say to each other and to the monitor.
    pub words: BorrowedFd<'a>,
    /// Where more listeners come from; its end is ours.
    pub control: OwnedFd,
    /// The journals, the container's first.
    pub journals: Vec<OwnedFd>,
    /// Tells what layers know of files that do not say it themselves, once the container's files are there.
    pub recorded: &'a dyn Fn() -> Recorded,
}

/// What it takes to answer a container's calls.
pub struct Handles {
    /// Where they come from.
    pub listeners: Vec<OwnedFd>,
    /// The container's user and mount namespaces.
    pub namespaces: [OwnedFd; 2],
}

impl Handles {
    /// Those that the container's init sends, in this order; nothing if it does not get so far.
    fn receive(control: BorrowedFd<'_>) -> Option<Self> {
        let next = || loop {
            match socket::receive(control, &mut [0; MOST_TOLD]) {
                Err(Errno::EINTR) => {}
                received => return received.ok()?.1,
            }
        };
        let namespaces = [next()?, next()?];
        Some(Self { listeners: vec![next()?], namespaces })
    }
}

/// Bytes of a message beside a descriptor, at most; they say nothing that the descriptor does not.
const MOST_TOLD: usize = 8;

/// What is known of files of layers that do not say it themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Owners of what cannot carry them.
    pub owners: Vec<(FileKey, Ownership)>,
    /// Capabilities of programs.
    pub capabilities: Vec<(FileKey, FileCapabilities)>,
}

/// Words that are shared between supervisors of a container, and with its monitor.
pub mod words {
    use crate::sys::notification::PLACE;
    use crate::sys::shared_words::SharedWords;

    /// 1 once other ids were needed.
    pub const NEEDED: usize = 0;
    /// How many supervisors there have been.
    pub const SUPERVISORS: usize = 1;
    /// Where the calls are that workers have: a place for each.
    pub const CALLS: usize = PLACE;
    /// Workers that can have one.
    pub const SLOTS: usize = 192;

    const _: () = assert!(CALLS + SLOTS * PLACE <= SharedWords::COUNT);
}

/// Memory of a thread's stack: handlers are shallow, and keep buffers of a few pages.
const STACK: usize = 256 << 10;

/// After this time, in milliseconds, with one call a worker is taken to be stuck.
const STUCK: u16 = 50;

/// After this time without a call, in milliseconds, memory is given back.
const IDLE: u16 = 1000;

/// What all workers share.
struct Shared {
    table: Table,
    files: Files,
    views_vary: bool,
    own_roots: AtomicBool,
    words: SharedWords,
    /// System calls by number, of our interface and of the 32-bit one.
    calls: [Vec<Option<Syscall>>; 2],
    /// The container's root directory, and the host's `/proc`.
    root: OwnedFd,
    proc: OwnedFd,
    /// When each worker began with its call, in milliseconds since `born`; 0 while it has none.
    begun: [AtomicU64; words::SLOTS],
    born: Instant,
    watched: AtomicBool,
    alarm: EventFd,
    /// How many workers there are.
    workers: AtomicUsize,
    /// Which slots are taken.
    slots: Mutex<[bool; words::SLOTS]>,
}

impl Shared {
    /// The call, if it is one that can be answered.
    fn decode(&self, note: &Notification) -> Option<(Syscall, Arch)> {
        let arch = [Some(Arch::NATIVE), Arch::NATIVE.compat()];
        let which = arch.iter().position(|arch| arch.is_some_and(|arch| arch.audit() == note.arch))?;
        let call = self.calls[which].get(usize::try_from(note.number).ok()?)?;
        Some(((*call)?, arch[which]?))
    }

    /// A slot that nobody has.
    fn take_slot(&self) -> Option<usize> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let free = slots.iter().position(|taken| !taken)?;
        slots[free] = true;
        Some(free)
    }

    fn leave_slot(&self, slot: Option<usize>) {
        if let Some(slot) = slot {
            self.slots.lock().unwrap_or_else(PoisonError::into_inner)[slot] = false;
        }
    }

    /// A worker is done. With the last one everything is.
    fn retire(&self, slot: Option<usize>) {
        self.leave_slot(slot);
        if self.workers.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = self.alarm.write(1);
        }
    }

    /// The place in which the kernel writes the call that a worker gets.
    fn place(&self, slot: usize) -> Option<&Place> {
        self.words.words()[words::CALLS + slot * PLACE..].first_chunk()
    }

    fn begin(&self, slot: Option<usize>) {
        let Some(slot) = slot else { return };
        self.begun[slot].store(self.now(), Ordering::Relaxed);
        if !self.watched.swap(true, Ordering::Relaxed) {
            let _ = self.alarm.write(1);
        }
    }

    fn end(&self, slot: Option<usize>) {
        let Some(slot) = slot else { return };
        self.begun[slot].store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        1 + self.born.elapsed().as_millis() as u64
    }

    /// Whether other ids were needed.
    fn needs(&self) -> &AtomicU64 {
        &self.words.words()[words::NEEDED]
    }

    fn note_own_root(&self) {
        self.own_roots.store(true, Ordering::Release);
    }

    fn some_have_own_root(&self) -> bool {
        self.own_roots.load(Ordering::Acquire)
    }
}

/// Holds a thread in another root directory.
struct Within<'a>(&'a Shared);

/// Takes the calling thread into another root directory, where it stays until the guard is dropped.
fn chroot_to<'a>(shared: &'a Shared, root: BorrowedFd<'_>) -> Result<Within<'a>, Errno> {
    let within = Within(shared);
    nix::unistd::fchdir(root)?;
    nix::unistd::chroot(c".")?;
    Ok(within)
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        let back = nix::unistd::fchdir(&self.0.root)
            .and_then(|()| nix::unistd::chroot(c"."))
            .and_then(|()| nix::unistd::fchdir(&self.0.proc));
        if back.is_err() {
            // A thread that is somewhere else must not go on.
            own_process::exit_now(1);
        }
    }
}

/// The supervisor's whole life, in a process of its own with one thread; its exit status.
pub fn run(setup: Setup<'_>) -> u8 {
    u8::from(serve(setup).is_err())
}

fn serve(setup: Setup<'_>) -> Result<(), Errno> {
    own_process::die_with_parent()?;
    nix::unistd::setsid()?;
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = nix::fcntl::open(c"/proc", directory, Mode::empty())?;
    let Setup { surroundings, handles, entries: [of_monitor, own], words, control, journals, recorded } = setup;
    let table = Table::new(of_monitor, own).ok_or(Errno::EINVAL)?;
    let words = SharedWords::of(words)?;
    let calls = [Some(Arch::NATIVE), Arch::NATIVE.compat()].map(|arch| arch.map(numbered).unwrap_or_default());
    let alarm = EventFd::new()?;
    // Up to here it is done while the container is made.
    let Some(handles) = handles.or_else(|| Handles::receive(control.as_fd())) else { return Ok(()) };
    let Handles { listeners, namespaces: [user, mount] } = handles;
    let recorded = recorded();
    nix::sched::setns(user, CloneFlags::CLONE_NEWUSER)?;
    // New credentials undo both.
    own_process::hide_from_ptrace()?;
    own_process::die_with_parent()?;
    nix::sched::setns(mount, CloneFlags::CLONE_NEWNS)?;
    limit_capabilities(surroundings.bounding)?;
    let root = nix::fcntl::open(c"/", directory, Mode::empty())?;
    nix::unistd::fchdir(&proc)?;
    nix::sys::stat::umask(Mode::empty());
    let status = crate::sys::status::Status::of_file(&root)?;
    let shared = Arc::new(Shared {
        table,
        files: Files::new(surroundings.mounts.clone(), &status, surroundings.user, journals, recorded),
        views_vary: surroundings.views_vary,
        // One that was killed may have seen some.
        own_roots: AtomicBool::new(true),
        words,
        calls,
        root,
        proc,
        begun: [const { AtomicU64::new(0) }; words::SLOTS],
        born: Instant::now(),
        watched: AtomicBool::new(false),
        alarm,
        workers: AtomicUsize::new(0),
        slots: Mutex::new([false; words::SLOTS]),
    });
    let listeners: Vec<Arc<OwnedFd>> = listeners.into_iter().map(Arc::new).collect();
    let is_first = shared.words.words()[words::SUPERVISORS].fetch_add(1, Ordering::AcqRel) == 0;
    shared.own_roots.store(!is_first, Ordering::Release);
    let mut left = if is_first { Vec::new() } else { left_behind(&shared) };
    for listener in &listeners {
        let (of_this, others) =
            left.into_iter().partition(|(_, note)| notification::is_valid(listener.as_fd(), note.id));
        left = others;
        begin_listening(&shared, listener, of_this);
    }
    // Whose threads are gone, or which were answered just before the end.
    for (slot, _) in left {
        shared.leave_slot(Some(slot));
    }
    drop(shared.files.learn_mounts());
    watch(&shared, listeners, &control)
}

/// By number.
fn numbered(arch: Arch) -> Vec<Option<Syscall>> {
    let mut calls = Vec::with_capacity(512);
    for &call in Syscall::ALL {
        // Numbers of 32-bit Arm's own calls are far away from all others, and none of them is asked about.
        if let Some(number) = call.number(arch).map(|number| number as usize).filter(|&number| number < 1024) {
            if calls.len() <= number {
                calls.resize(number + 1, None);
            }
            calls[number] = Some(call);
        }
    }
    calls
}

/// Calls that a supervisor has taken and not answered: it was killed. The kernel tells of a call once; this one answers them as
/// its own. What such a call changes may have been changed already, and then is changed to the same again; only of what is made
/// anew may it be said that it is there.
fn left_behind(shared: &Shared) -> Vec<(usize, Notification)> {
    let mut slots = shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
    let left = (0..words::SLOTS).filter_map(|slot| Some((slot, notification::read(shared.place(slot)?)?)));
    left.inspect(|&(slot, _)| slots[slot] = true).collect()
}

/// What the container's root may do with files, and what it takes to look at its processes, and to follow them into roots of
/// their own.
fn limit_capabilities(bounding: CapabilitySet) -> Result<(), Errno> {
    let of_files = [Capability::DacOverride, Capability::DacReadSearch, Capability::Fowner, Capability::Fsetid];
    let kept = CapabilitySet::of(&of_files).intersection(bounding);
    let kept = kept.with(Capability::SysPtrace).with(Capability::SysChroot).bits();
    credentials::limit_bounding_set(kept)?;
    credentials::set_capabilities(ThreadCapabilities { effective: kept, permitted: kept, inheritable: 0 })
}

fn begin_listening(shared: &Arc<Shared>, listener: &Arc<OwnedFd>, left: Vec<(usize, Notification)>) {
    // Before Linux 6.6 every answer costs several times as much, and is right all the same.
    let _ = notification::wake_synchronously(listener.as_fd());
    add_worker(shared, listener, left);
}

/// Adds a worker to a listener, which begins with what another one has left. Without another thread the others go on.
fn add_worker(shared: &Arc<Shared>, listener: &Arc<OwnedFd>, left: Vec<(usize, Notification)>) {
    let slot = shared.take_slot();
    let worker = Worker::new(shared.clone(), listener.clone(), slot, left);
    shared.workers.fetch_add(1, Ordering::Relaxed);
    let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || worker.serve());
    if spawned.is_err() {
        shared.retire(slot);
    }
}

/// Waits for more listeners, and for workers that are stuck, until the monitor is gone, or nobody is left to ask.
fn watch(shared: &Arc<Shared>, mut listeners: Vec<Arc<OwnedFd>>, control: &OwnedFd) -> Result<(), Errno> {
    let mut most_stuck = 0;
    let mut is_idle = false;
    loop {
        // Its working directory is the host's /proc.
        let is_watching = shared.watched.load(Ordering::Relaxed);
        let mut fds = [control.as_fd(), shared.alarm.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let waited = match is_idle && !is_watching {
            true => memory::wait_lightly(&mut fds, None, Path::new(".")).map(|()| 1),
            false => poll(&mut fds, if is_watching { STUCK } else { IDLE }),
        };
        match waited {
            Err(Errno::EINTR) => continue,
            other => is_idle = other? == 0 && !is_watching,
        };
        let happened = fds.map(|fd| fd.any().unwrap_or(false));
        if happened[1] {
            let _ = shared.alarm.read();
            if shared.workers.load(Ordering::Relaxed) == 0 {
                return Ok(());
            }
        }
        if happened[0] {
            match socket::receive(control.as_fd(), &mut [0; MOST_TOLD]) {
                Ok((_, Some(listener))) => {
                    let listener = Arc::new(listener);
                    begin_listening(shared, &listener, Vec::new());
                    listeners.push(listener);
                }
                Ok((0, None)) => return Ok(()),
                _ => {}
            }
            continue;
        }
        if is_watching {
            look_after(shared, &listeners, &mut most_stuck);
        }
    }
}

/// Adds workers when more are stuck than ever before, as long as there are slots.
fn look_after(shared: &Arc<Shared>, listeners: &[Arc<OwnedFd>], most_stuck: &mut usize) {
    let now = shared.now();
    let (mut busy, mut stuck) = (false, 0);
    for begun in &shared.begun {
        match begun.load(Ordering::Relaxed) {
            0 => {}
            since if now.saturating_sub(since) >= STUCK.into() => stuck += 1,
            _ => busy = true,
        }
    }
    if stuck > *most_stuck {
        *most_stuck = stuck;
        // Which listener they have is not known: each gets one more.
        for listener in listeners {
            add_worker(shared, listener, Vec::new());
        }
    }
    if stuck == 0 && !busy {
        shared.watched.store(false, Ordering::Relaxed);
    }
}
