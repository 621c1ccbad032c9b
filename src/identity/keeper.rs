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
    /// Nothing once it has ended with those whose calls it answers.
    child: Option<Child>,
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
    /// Starts the supervisor of a container that is about to be started: beside its init, which has to send it something
    /// ([`Self::supervisor`]) before it can answer.
    pub fn start(proof: &SingleThreaded, draft: Rc<Draft>) -> Result<Self, Errno> {
        let entries = Entries::of_monitor(table::new_file(c"credentials")?);
        for credentials in &draft.credentials {
            entries.value_of(credentials.clone())?;
        }
        let own_entries = table::new_file(c"credentials")?;
        let words = table::new_file(c"supervisor")?;
        nix::unistd::ftruncate(&words, (SharedWords::COUNT * size_of::<u64>()) as i64)?;
        let shared = SharedWords::of(words.as_fd())?;
        let parts = Parts { handles: None, entries: [entries.file(), own_entries.as_fd()], words: words.as_fd() };
        let (child, control) = fork(proof, &draft, &parts)?;
        Ok(Self {
            draft,
            child: Some(child),
            control,
            listeners: Vec::new(),
            namespaces: None,
            entries,
            own_entries,
            words,
            shared,
            deaths: Vec::new(),
        })
    }

    /// Where the container's init sends the user and mount namespaces and the listener, each as one message, in this order.
    pub fn supervisor(&self) -> Result<OwnedFd, Errno> {
        self.control.try_clone().map_err(errno_of)
    }

    /// Keeps for the next supervisor what the first one got from init; without it there will be no next one.
    pub fn keep(&mut self, handles: Option<Handles>) {
        if let Some(Handles { listener, namespaces }) = handles {
            self.listeners.push(listener);
            self.namespaces = Some(namespaces);
        }
    }

    /// Becomes ready to read when the supervisor has ended.
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.child.as_ref().map(|child| child.pidfd.as_fd())
    }

    /// Starts another supervisor in the place of one that has ended, if there is still somebody to ask it. EAGAIN: that has
    /// happened too often.
    pub fn revive(&mut self, proof: &SingleThreaded) -> Result<(), Errno> {
        self.reap();
        self.listeners.retain(|listener| !has_hung_up(listener.as_fd()));
        if self.listeners.is_empty() {
            return Ok(());
        }
        let (times, within) = PATIENCE;
        self.deaths.retain(|death| death.elapsed() < within);
        self.deaths.push(Instant::now());
        if self.deaths.len() > times {
            return Err(Errno::EAGAIN);
        }
        let listeners: Vec<BorrowedFd<'_>> = self.listeners.iter().map(AsFd::as_fd).collect();
        let [user, mount] = self.namespaces.as_ref().ok_or(Errno::ESRCH)?;
        let parts = Parts {
            handles: Some((&listeners, [user.as_fd(), mount.as_fd()])),
            entries: [self.entries.file(), self.own_entries.as_fd()],
            words: self.words.as_fd(),
        };
        let (child, control) = fork(proof, &self.draft, &parts)?;
        (self.child, self.control) = (Some(child), control);
        Ok(())
    }

    fn reap(&mut self) {
        if let Some(child) = self.child.take() {
            let _ = pidfd::wait(child.pidfd.as_fd());
        }
    }

    /// Has the calls of another process that joins the container answered, too: whether there is a supervisor that was told.
    pub fn listen(&mut self, listener: OwnedFd) -> bool {
        self.listeners.retain(|listener| !has_hung_up(listener.as_fd()));
        // One that has just ended is not told, and the next one gets it with the others.
        let _ = socket::send(self.control.as_fd(), b"listen", Some(listener.as_fd()));
        self.listeners.push(listener);
        self.child.is_some()
    }

    /// The limit that gives a process that joins the container these credentials.
    pub fn limit_of(&self, credentials: Credentials) -> Result<u64, Errno> {
        self.entries.value_of(credentials)
    }

    /// Ends the supervisor, and goes on once it is gone, and with it what it holds of the container.
    pub fn end(&mut self) {
        if let Some(child) = &self.child {
            let _ = pidfd::send_signal(child.pidfd.as_fd(), libc::SIGKILL);
        }
        self.reap();
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
    /// Listeners, and the user and mount namespaces: the first supervisor gets them from init.
    handles: Option<(&'a [BorrowedFd<'a>], [BorrowedFd<'a>; 2])>,
    entries: [BorrowedFd<'a>; 2],
    words: BorrowedFd<'a>,
}

fn fork(proof: &SingleThreaded, draft: &Draft, parts: &Parts<'_>) -> Result<(Child, OwnedFd), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let journals = draft.journals.iter().map(open_journal).collect::<Result<Vec<File>, _>>();
    let journals = journals.map_err(errno_of)?;
    let child = fork_into(proof, CloneFlags::empty(), None, || {
        process::reset_signals();
        process::set_name(c"coracle-ids");
        crate::sys::memory::set_command_line("coracle-ids");
        let handles = parts.handles.iter().flat_map(|(listeners, namespaces)| listeners.iter().chain(namespaces));
        let mut kept: Vec<i32> = [parts.words.as_raw_fd(), theirs.as_raw_fd()]
            .into_iter()
            .chain(handles.chain(&parts.entries).map(AsRawFd::as_raw_fd))
            .chain(journals.iter().map(AsRawFd::as_raw_fd))
            .collect();
        kept.sort_unstable();
        process::close_others(&kept);
        let copy = |fd: &BorrowedFd<'_>| fd.try_clone_to_owned().ok();
        let copies = |(listeners, [user, mount]): (&[BorrowedFd<'_>], [BorrowedFd<'_>; 2])| {
            let listeners = listeners.iter().map(copy).collect::<Option<_>>()?;
            Some(supervisor::Handles { listeners, namespaces: [copy(&user)?, copy(&mount)?] })
        };
        let setup = || {
            let handles = match parts.handles {
                Some(handles) => Some(copies(handles)?),
                None => None,
            };
            Some(Setup {
                surroundings: &draft.surroundings,
                handles,
                entries: [copy(&parts.entries[0])?, copy(&parts.entries[1])?],
                words: parts.words,
                control: copy(&theirs.as_fd())?,
                journals: journals.iter().map(|journal| copy(&journal.as_fd())).collect::<Option<_>>()?,
                recorded: &*draft.recorded,
            })
        };
        setup().map_or(1, supervisor::run)
    })?;
    Ok((child, ours))
}

fn errno_of(cause: io::Error) -> Errno {
    Errno::from_raw(cause.raw_os_error().unwrap_or(libc::EIO))
}

fn open_journal(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}
