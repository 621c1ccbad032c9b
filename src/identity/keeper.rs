//! The monitor's side of virtual ids: starts the supervisor, keeps what the next one needs, and starts that when the supervisor is
//! killed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::credentials::Credentials;
use super::supervisor::{self, Recorded, Setup, Surroundings, words};
use super::table::{self, Entries};
use crate::sys::clone::{Child, fork_into};
use crate::sys::shared_words::SharedWords;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{pidfd, process, socket};

/// How often a supervisor may die within how long: after that something is wrong that another one does not cure.
const PATIENCE: (usize, Duration) = (10, Duration::from_secs(10));

/// Reads what layers know.
pub type ReadRecorded = Box<dyn Fn() -> Recorded>;

/// What is known of a container whose ids are to be emulated, before it is started.
pub struct Draft {
    /// What its supervisor is to know.
    pub surroundings: Surroundings,
    /// The credentials of its root, and of the user that it runs as.
    pub credentials: [Credentials; 2],
    /// Files of the journals of owners, the container's first.
    pub journals: Vec<PathBuf>,
    /// What its layers know.
    pub recorded: ReadRecorded,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("surroundings", &self.surroundings)
            .field("credentials", &self.credentials)
            .field("journals", &self.journals)
            .finish_non_exhaustive()
    }
}

/// What comes from a container's init for its supervisor.
#[derive(Debug)]
pub struct Handles {
    /// Where its system calls come from.
    pub listener: OwnedFd,
    /// Its user and mount namespaces.
    pub namespaces: [OwnedFd; 2],
}

/// A container's supervisor, and what the next one needs.
#[derive(Debug)]
pub struct Keeper {
    draft: Rc<Draft>,
    child: Child,
    control: OwnedFd,
    listeners: Vec<OwnedFd>,
    /// Nothing once the container has ended: whoever has its mount namespace keeps what is mounted there.
    namespaces: Option<[OwnedFd; 2]>,
    entries: Entries,
    own_entries: OwnedFd,
    words: OwnedFd,
    shared: SharedWords,
    deaths: Vec<Instant>,
}

impl Keeper {
    /// Starts the supervisor of a container that has just been started.
    pub fn start(proof: &SingleThreaded, draft: Rc<Draft>, handles: Handles) -> Result<Self, Errno> {
        let Handles { listener, namespaces } = handles;
        let entries = Entries::of_monitor(table::new_file(c"credentials")?);
        for credentials in &draft.credentials {
            entries.value_of(credentials.clone())?;
        }
        let own_entries = table::new_file(c"credentials")?;
        let words = table::new_file(c"supervisor")?;
        nix::unistd::ftruncate(&words, (SharedWords::COUNT * size_of::<u64>()) as i64)?;
        let shared = SharedWords::of(words.as_fd())?;
        let parts = Parts {
            listeners: &[listener.as_fd()],
            namespaces: [namespaces[0].as_fd(), namespaces[1].as_fd()],
            entries: [entries.file(), own_entries.as_fd()],
            words: words.as_fd(),
        };
        let (child, control) = fork(proof, &draft, &parts)?;
        let listeners = vec![listener];
        Ok(Self {
            draft,
            child,
            control,
            listeners,
            namespaces: Some(namespaces),
            entries,
            own_entries,
            words,
            shared,
            deaths: Vec::new(),
        })
    }

    /// Becomes ready to read when the supervisor has died.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Starts another supervisor in the place of one that has died. EAGAIN: that has happened too often.
    pub fn revive(&mut self, proof: &SingleThreaded) -> Result<(), Errno> {
        let _ = pidfd::wait(self.child.pidfd.as_fd());
        let (times, within) = PATIENCE;
        self.deaths.retain(|death| death.elapsed() < within);
        self.deaths.push(Instant::now());
        if self.deaths.len() > times {
            return Err(Errno::EAGAIN);
        }
        self.listeners.retain(|listener| !has_hung_up(listener.as_fd()));
        let listeners: Vec<BorrowedFd<'_>> = self.listeners.iter().map(AsFd::as_fd).collect();
        let [user, mount] = self.namespaces.as_ref().ok_or(Errno::ESRCH)?;
        let parts = Parts {
            listeners: &listeners,
            namespaces: [user.as_fd(), mount.as_fd()],
            entries: [self.entries.file(), self.own_entries.as_fd()],
            words: self.words.as_fd(),
        };
        let (child, control) = fork(proof, &self.draft, &parts)?;
        (self.child, self.control) = (child, control);
        Ok(())
    }

    /// Has the calls of another process that joins the container answered, too.
    pub fn listen(&mut self, listener: OwnedFd) {
        self.listeners.retain(|listener| !has_hung_up(listener.as_fd()));
        // A supervisor that has just died is not told, and the next one gets it with the others.
        let _ = socket::send(self.control.as_fd(), b"listen", Some(listener.as_fd()));
        self.listeners.push(listener);
    }

    /// The limit that gives a process that joins the container these credentials.
    pub fn limit_of(&self, credentials: Credentials) -> Result<u64, Errno> {
        self.entries.value_of(credentials)
    }

    /// Ends the supervisor, and goes on once it is gone, and with it what it holds of the container.
    pub fn end(&mut self) {
        let _ = pidfd::send_signal(self.child.pidfd.as_fd(), libc::SIGKILL);
        let _ = pidfd::wait(self.child.pidfd.as_fd());
        self.namespaces = None;
    }

    /// Whether the container has needed other ids than the one that it has.
    pub fn was_needed(&self) -> bool {
        self.shared.words()[words::NEEDED].load(Ordering::Relaxed) != 0
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

fn has_hung_up(listener: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(listener, PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// What every supervisor of a container gets.
struct Parts<'a> {
    listeners: &'a [BorrowedFd<'a>],
    namespaces: [BorrowedFd<'a>; 2],
    entries: [BorrowedFd<'a>; 2],
    words: BorrowedFd<'a>,
}

fn fork(proof: &SingleThreaded, draft: &Draft, parts: &Parts<'_>) -> Result<(Child, OwnedFd), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let journals = draft.journals.iter().map(open_journal).collect::<Result<Vec<File>, _>>();
    let journals = journals.map_err(|cause| Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO)))?;
    let child = fork_into(proof, CloneFlags::empty(), None, || {
        process::reset_signals();
        process::set_name(c"coracle-ids");
        crate::sys::memory::set_command_line("coracle-ids");
        let mut kept: Vec<i32> = [parts.words.as_raw_fd(), theirs.as_raw_fd()]
            .into_iter()
            .chain(parts.listeners.iter().chain(&parts.namespaces).chain(&parts.entries).map(AsRawFd::as_raw_fd))
            .chain(journals.iter().map(AsRawFd::as_raw_fd))
            .collect();
        kept.sort_unstable();
        process::close_others(&kept);
        let copy = |fd: &BorrowedFd<'_>| fd.try_clone_to_owned().ok();
        let setup = || {
            Some(Setup {
                surroundings: &draft.surroundings,
                namespaces: parts.namespaces,
                listeners: parts.listeners.iter().map(copy).collect::<Option<_>>()?,
                entries: [copy(&parts.entries[0])?, copy(&parts.entries[1])?],
                words: parts.words,
                control: copy(&theirs.as_fd())?,
                journals: journals.iter().map(|journal| copy(&journal.as_fd())).collect::<Option<_>>()?,
                recorded: (draft.recorded)(),
            })
        };
        setup().map_or(1, supervisor::run)
    })?;
    Ok((child, ours))
}

fn open_journal(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}
