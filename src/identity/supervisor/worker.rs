//! One thread of the supervisor: takes a call, finds out who makes it, and answers.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use super::{Shared, access as may, chroot_to, create, exec, ids, owner, peer};
use crate::identity::credentials::Credentials;
use crate::identity::table;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::notification::{self, Notification, Place};
use crate::sys::remote;
use crate::sys::syscall::{Arch, Syscall};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel makes it.
    Proceed,
    /// It returns this.
    Value(i64),
}

/// Success without a value.
pub const DONE: Answer = Answer::Value(0);

/// Longest path, with its end (PATH_MAX).
pub const PATH_ROOM: usize = 4096;

/// One thread.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    listener: Arc<OwnedFd>,
    /// Which of the shared slots says what it is doing.
    slot: Option<usize>,
    /// What another supervisor has taken and not answered, and the slots that say so.
    left: Vec<(usize, Notification)>,
}

/// A call, and what is known of who makes it.
pub(super) struct Call<'a> {
    pub(super) worker: &'a Worker,
    pub note: Notification,
    pub call: Syscall,
    pub arch: Arch,
}

/// Where a path leads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The working directory, for one that is not absolute.
    Cwd,
    /// A descriptor of this number.
    Fd(i32),
}

impl From {
    /// The argument of a call that has one.
    pub fn argument(value: u64) -> Self {
        match value as i32 {
            libc::AT_FDCWD => Self::Cwd,
            number => Self::Fd(number),
        }
    }
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        listener: Arc<OwnedFd>,
        slot: Option<usize>,
        left: Vec<(usize, Notification)>,
    ) -> Self {
        Self { shared, listener, slot, left }
    }

    /// Answers until there is nobody left to ask.
    pub fn serve(&self) {
        self.answer_all();
        self.shared.retire(self.slot);
    }

    fn answer_all(&self) {
        // Its own working directory, root and mask: they are changed for the sake of single calls.
        if nix::sched::unshare(CloneFlags::CLONE_FS).is_err() {
            return;
        }
        for &(slot, note) in &self.left {
            self.answer(note, Some(slot));
            if let Some(place) = self.shared.place(slot) {
                notification::clear(place);
            }
            self.shared.leave_slot(Some(slot));
        }
        let listener = self.listener.as_fd();
        // Who has no slot loses its call when it is killed.
        let own: Place = Default::default();
        let place = self.slot.and_then(|slot| self.shared.place(slot)).unwrap_or(&own);
        loop {
            match notification::receive(listener, place) {
                Ok(note) => self.answer(note, self.slot),
                Err(Errno::EINTR) => {}
                // Its thread was killed, or all are gone.
                Err(Errno::ENOENT) if !has_hung_up(listener) => {}
                Err(_) => return notification::clear(place),
            }
        }
    }

    fn answer(&self, note: Notification, slot: Option<usize>) {
        let listener = self.listener.as_fd();
        let Some((call, arch)) = self.shared.decode(&note) else {
            let _ = notification::proceed(listener, note.id);
            return;
        };
        self.shared.begin(slot);
        let call = Call { worker: self, note, call, arch };
        let _ = match call.decide() {
            Ok(Answer::Proceed) => notification::proceed(listener, note.id),
            Ok(Answer::Value(value)) => notification::answer(listener, note.id, value),
            Err(errno) => notification::fail(listener, note.id, errno),
        };
        self.shared.end(slot);
    }
}

fn has_hung_up(listener: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(listener, PollFlags::POLLIN)];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_err() || fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

impl Call<'_> {
    fn decide(&self) -> Result<Answer, Errno> {
        use Syscall::*;
        let answer = match self.call {
            getuid | geteuid | getgid | getegid | getresuid | getresgid | getgroups | getuid32 | geteuid32
            | getgid32 | getegid32 | getresuid32 | getresgid32 | getgroups32 => ids::get(self),
            setuid | setgid | setreuid | setregid | setresuid | setresgid | setfsuid | setfsgid | setgroups
            | setuid32 | setgid32 | setreuid32 | setregid32 | setresuid32 | setresgid32 | setfsuid32 | setfsgid32
            | setgroups32 => ids::set(self),
            capget | capset => ids::capabilities(self),
            prctl => ids::process_control(self),
            chroot | pivot_root | landlock_restrict_self => ids::mark(self),
            stat | lstat | fstat | newfstatat | statx | stat64 | lstat64 | fstat64 | fstatat64 => {
                super::stat::answer(self)
            }
            chown | lchown | fchown | fchownat | chown32 | lchown32 | fchown32 => owner::change_owner(self),
            chmod | fchmod | fchmodat | fchmodat2 => owner::change_mode(self),
            open | creat | openat | openat2 => create::open(self),
            mkdir | mkdirat | mknod | mknodat | symlink | symlinkat => create::make(self),
            bind => create::bind(self),
            access | faccessat | faccessat2 => may::answer(self),
            execve | execveat => exec::answer(self),
            getsockopt => peer::answer(self),
            _ => Ok(Answer::Proceed),
        };
        match answer {
            // A process that hides from everybody is ours, on its way to its program: the kernel's answers are the right ones.
            // One that is gone gets none.
            Err(Refusal::Unreachable) => Ok(Answer::Proceed),
            Err(Refusal::Errno(errno)) => Err(errno),
            Ok(answer) => Ok(answer),
        }
    }

    /// An argument.
    pub fn argument(&self, index: usize) -> u64 {
        match self.arch.is_32_bit() {
            true => self.note.arguments[index] & 0xffff_ffff,
            false => self.note.arguments[index],
        }
    }

    /// An argument of type `int`.
    pub fn number(&self, index: usize) -> i32 {
        self.note.arguments[index] as i32
    }

    pub fn pid(&self) -> i32 {
        self.note.pid
    }

    /// The limits that carry the credentials.
    fn limits(&self) -> Result<(u64, u64), Refusal> {
        remote::limit(self.pid(), table::RESOURCE).map_err(|_| Refusal::Unreachable)
    }

    /// Who makes it.
    pub fn credentials(&self) -> Result<Arc<Credentials>, Refusal> {
        Ok(self.worker.shared.table.credentials(self.limits()?.0))
    }

    /// Gives its process other credentials.
    pub fn set_credentials(&self, credentials: Credentials) -> Result<(), Refusal> {
        let limit = self.worker.shared.table.limit(credentials)?;
        let (old, hard) = self.limits()?;
        if limit != old {
            self.check()?;
            remote::set_limit(self.pid(), table::RESOURCE, limit, hard).map_err(|_| Refusal::Unreachable)?;
        }
        Ok(())
    }

    /// That it still waits: everything that was found under its thread's number is that thread's.
    pub fn check(&self) -> Result<(), Refusal> {
        match notification::is_valid(self.worker.listener.as_fd(), self.note.id) {
            true => Ok(()),
            false => Err(Refusal::Unreachable),
        }
    }

    /// Reads from its memory. Nothing may be changed for what was read before [`Self::check`].
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Refusal> {
        remote::read_exactly(self.pid(), address, into).map_err(unreadable)
    }

    /// Writes into its memory.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.check()?;
        remote::write(self.pid(), address, bytes).map_err(unreadable)
    }

    /// The path at an address of its memory, as [`Self::read`].
    pub fn path(&self, address: u64) -> Result<CString, Refusal> {
        let mut room = [0; PATH_ROOM];
        let mut length = 0;
        loop {
            // Up to the end of a page first: the next one need not be there.
            let at = address.wrapping_add(length as u64);
            let to_end = 4096 - (at % 4096) as usize;
            let part = if length == 0 { to_end.min(256) } else { to_end };
            let end = (length + part).min(PATH_ROOM);
            let count = remote::read(self.pid(), at, &mut room[length..end]).map_err(unreadable)?;
            if let Some(found) = room[length..length + count].iter().position(|&byte| byte == 0) {
                return CString::new(&room[..length + found]).map_err(|_| Refusal::Errno(Errno::EFAULT));
            }
            length += count;
            if length >= PATH_ROOM {
                return Err(Errno::ENAMETOOLONG.into());
            }
            if count == 0 {
                return Err(Errno::EFAULT.into());
            }
        }
    }

    /// Gives its thread a descriptor of `file`, as the call's value.
    pub fn give(&self, file: BorrowedFd<'_>, close_on_exec: bool) -> Result<Answer, Refusal> {
        let given = notification::give(self.worker.listener.as_fd(), self.note.id, file, close_on_exec);
        Ok(Answer::Value(given?.into()))
    }

    /// Whether its process sees other files under the same names than we do.
    pub fn has_own_view(&self, credentials: &Credentials) -> bool {
        credentials.has_own_root || (self.worker.shared.views_vary && self.is_elsewhere())
    }

    fn is_elsewhere(&self) -> bool {
        let own = std::fs::read_link("self/ns/mnt").ok();
        let other = std::fs::read_link(format!("{}/ns/mnt", self.pid())).ok();
        own != other
    }

    /// The path by which we reach what the caller calls `path`, for calls that change nothing and need no more certainty than
    /// theirs: relative to the host's `/proc`, where we are. Nothing where the caller has its own view.
    pub fn nearby(&self, from: From, path: &CStr) -> Option<CString> {
        let pid = self.pid();
        let bytes = path.to_bytes();
        let own = |rest: &[u8]| join(format!("{pid}").as_bytes(), rest);
        match bytes {
            [b'/', ..] => match of_its_own(bytes) {
                Some(rest) => own(&rest),
                None => Some(path.to_owned()),
            },
            _ => match from {
                From::Cwd => own(&[b"/cwd/", bytes].concat()),
                From::Fd(number) if bytes.is_empty() => own(format!("/fd/{number}").as_bytes()),
                From::Fd(number) => own(&[format!("/fd/{number}/").as_bytes(), bytes].concat()),
            },
        }
    }

    /// What a path that is not absolute leads from, relative to the host's `/proc`.
    pub fn directory(&self, from: From) -> String {
        match from {
            From::Cwd => format!("{}/cwd", self.pid()),
            From::Fd(number) => format!("{}/fd/{number}", self.pid()),
        }
    }

    /// Opens what the caller calls `path`, as it would find it, but through no link of `/proc` other than those of itself.
    pub fn locate(&self, credentials: &Credentials, from: From, path: &CStr, flags: OFlag) -> Result<OwnedFd, Refusal> {
        let bytes = path.to_bytes();
        let flags = flags | OFlag::O_CLOEXEC;
        let own = |name: String| {
            let opened = nix::fcntl::open(name.as_str(), flags & !OFlag::O_NOFOLLOW, Mode::empty());
            opened.map_err(Refusal::Errno)
        };
        let pid = self.pid();
        if bytes.is_empty() {
            return own(self.directory(from));
        }
        if let Some(rest) = of_its_own(bytes) {
            let path = join(format!("{pid}").as_bytes(), &rest).ok_or(Errno::ENAMETOOLONG)?;
            return Ok(nix::fcntl::open(path.as_c_str(), flags, Mode::empty())?);
        }
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let base = (bytes[0] != b'/').then(|| self.directory(from));
        let base = base.map(|base| nix::fcntl::open(base.as_str(), directory, Mode::empty())).transpose()?;
        if self.has_own_view(credentials) {
            let root = nix::fcntl::open(format!("{pid}/root").as_str(), directory, Mode::empty())?;
            let _within = chroot_to(&self.worker.shared, root.as_fd())?;
            return self.open_from(base.as_ref(), path, flags);
        }
        self.open_from(base.as_ref(), path, flags)
    }

    fn open_from(&self, base: Option<&OwnedFd>, path: &CStr, flags: OFlag) -> Result<OwnedFd, Refusal> {
        use nix::fcntl::{AT_FDCWD, OpenHow, ResolveFlag, openat2};
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let open = || match base {
            Some(base) => openat2(base, path, how),
            None => openat2(AT_FDCWD, path, how),
        };
        for _ in 0..16 {
            match open() {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                other => return Ok(other?),
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// The directory in which `path` names something, and that name. EEXIST where that is the directory itself.
    pub fn locate_parent<'p>(
        &self,
        credentials: &Credentials,
        from: From,
        path: &'p CStr,
    ) -> Result<(OwnedFd, &'p [u8]), Refusal> {
        let bytes = path.to_bytes();
        let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let trimmed = &bytes[..end];
        let (parent, name) = match trimmed.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&trimmed[..=slash], &trimmed[slash + 1..]),
            None => (&b"."[..], trimmed),
        };
        if name.is_empty() || matches!(name, b"." | b"..") {
            return Err(Errno::EEXIST.into());
        }
        let parent = CString::new(parent).map_err(|_| Errno::EINVAL)?;
        let directory = self.locate(credentials, from, &parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok((directory, name))
    }

    /// Opens `name` in a directory of the caller's as it is, a link itself included.
    pub fn look(&self, directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        open_below(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, Resolve::NoSymlinks)
    }

    /// One of the needs for which ids are emulated was met.
    pub fn count_need(&self) {
        self.worker.shared.needs().store(1, Ordering::Relaxed);
    }
}

/// What follows the process in a path that leads through the caller's own links: `/proc/self/fd/3`, and what `/dev` has for
/// that.
fn of_its_own(path: &[u8]) -> Option<Vec<u8>> {
    // That would lead to the host's processes, which we see and the caller does not.
    if path.split(|&byte| byte == b'/').any(|part| part == b"..") {
        return None;
    }
    for prefix in [&b"/proc/self/"[..], b"/proc/thread-self/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            return Some([b"/", rest].concat());
        }
    }
    if let Some(rest) = path.strip_prefix(b"/dev/fd/") {
        return Some([b"/fd/", rest].concat());
    }
    match path {
        b"/dev/stdin" => Some(b"/fd/0".to_vec()),
        b"/dev/stdout" => Some(b"/fd/1".to_vec()),
        b"/dev/stderr" => Some(b"/fd/2".to_vec()),
        _ => None,
    }
}

fn join(first: &[u8], rest: &[u8]) -> Option<CString> {
    let joined = [first, rest].concat();
    (joined.len() < PATH_ROOM).then(|| CString::new(joined).ok()).flatten()
}

/// Why a call is not answered with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It fails.
    Errno(Errno),
    /// Its process cannot be looked at.
    Unreachable,
}

impl std::convert::From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// What it means that memory cannot be read or written.
fn unreadable(errno: Errno) -> Refusal {
    match errno {
        Errno::EPERM | Errno::ESRCH => Refusal::Unreachable,
        _ => Refusal::Errno(Errno::EFAULT),
    }
}
