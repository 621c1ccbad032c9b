//! Calls that make files: whoever is not root makes files of its own, and directories may hand down their group.
//!
//! The supervisor makes the file, with the caller's creation mask and under the caller's name, which it has read once, and
//! records the owner. What it makes, the container's root could make.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::socket::UnixAddr;
use nix::sys::stat::{self, Mode, SFlag};

use super::files::{Record, path_of};
use super::owner::Found;
use super::process;
use super::worker::{Answer, Call, DONE, From, Refusal};
use crate::identity::credentials::Credentials;
use crate::identity::ownership::{self, Owner};
use crate::name::capability::Capability;
use crate::state::schema::layer::FileKind;
use crate::sys::remote;
use crate::sys::status::{self, Status};
use crate::sys::syscall::Syscall::{creat, mkdir, mkdirat, mknod, mknodat, openat, openat2, symlink};

/// Dangling links that are followed to what is to be made.
const MOST_LINKS: usize = 8;

/// Where something is to be made, and by whom.
struct Making<'a> {
    call: &'a Call<'a>,
    credentials: Arc<Credentials>,
    directory: Found,
    name: CString,
}

impl<'a> Making<'a> {
    /// In the directory of `path`; nothing where the kernel does it right, or knows better what is wrong.
    fn begin(call: &'a Call<'a>, from: From, path: &CStr) -> Result<Option<Self>, Refusal> {
        let credentials = call.credentials()?;
        if credentials.is_confined {
            return Ok(None);
        }
        if credentials.makes_files_of_root() && !may_hand_down(call, &credentials, from, path) {
            return Ok(None);
        }
        let Ok((directory, name)) = call.locate_parent(&credentials, from, path) else { return Ok(None) };
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let directory = Found::of(call, directory)?;
        let is_roots =
            credentials.makes_files_of_root() && (directory.mode() & libc::S_ISGID == 0 || directory.owner.gid == 0);
        if is_roots || directory.is_foreign() {
            return Ok(None);
        }
        Ok(Some(Self { call, credentials, directory, name }))
    }

    /// Does `make`, which gets the directory and the mode, with the caller's mask in force.
    fn masked<T>(
        &self,
        mode: u32,
        is_directory: bool,
        make: impl FnOnce(BorrowedFd<'_>, u32) -> Result<T, Errno>,
    ) -> Result<(T, Owner), Refusal> {
        let Found { owner, .. } = self.directory;
        let (owner, mode) = ownership::new_file(&self.credentials, owner, self.directory.mode(), mode, is_directory);
        let mask = process::umask(self.call.pid())?;
        self.call.check()?;
        stat::umask(Mode::from_bits_truncate(mask));
        let made = make(self.directory.file.as_fd(), mode);
        stat::umask(Mode::empty());
        Ok((made?, owner))
    }

    /// Records the owner of what was made.
    fn own(&self, file: BorrowedFd<'_>, owner: Owner, kind: Option<FileKind>) -> Result<(), Refusal> {
        let status = Status::of_file(file)?;
        let mode = u32::from(status.0.stx_mode) & 0o7777;
        self.call.count_need();
        Ok(self.call.worker.shared.files.give(file, &status, self.call.pid(), Record { owner, kind, mode })?)
    }

    /// The same of what has no descriptor yet.
    fn own_named(&self, owner: Owner) -> Result<(), Refusal> {
        let file = self.call.look(self.directory.file.as_fd(), &self.name)?;
        self.own(file.as_fd(), owner, None)
    }
}

/// Whether root has to look closer at the directory of `path`: one that hands down its group.
fn may_hand_down(call: &Call<'_>, credentials: &Credentials, from: From, path: &CStr) -> bool {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let parent = match bytes[..end].iter().rposition(|&byte| byte == b'/') {
        Some(slash) => &bytes[..=slash],
        None => &b"."[..],
    };
    if call.has_own_view(credentials) {
        return true;
    }
    let parent = CString::new(parent).ok().and_then(|parent| call.nearby(from, &parent));
    parent
        .and_then(|parent| Status::of_path(&parent, 0, status::USUAL).ok())
        .is_some_and(|status| u32::from(status.0.stx_mode) & libc::S_ISGID != 0)
}

/// open(2) and its like, where they may make a file.
pub(super) fn open(call: &Call<'_>) -> Result<Answer, Refusal> {
    let (from, path, flags, mode) = match call.call {
        creat => (From::Cwd, call.argument(0), libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, call.number(1) as u32),
        openat => (From::argument(call.argument(0)), call.argument(1), call.number(2), call.number(3) as u32),
        openat2 => {
            let mut how = [0; 24];
            if call.argument(3) < 24 {
                return Ok(Answer::Proceed);
            }
            call.read(call.argument(2), &mut how)?;
            let word = |index: usize| {
                let bytes = &how[8 * index..];
                u64::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            };
            // How its path is resolved is the kernel's business: what it makes so is root's.
            if word(2) != 0 {
                return Ok(Answer::Proceed);
            }
            (From::argument(call.argument(0)), call.argument(1), word(0) as i32, word(1) as u32)
        }
        _ => (From::Cwd, call.argument(0), call.number(1), call.number(2) as u32),
    };
    let is_unnamed = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    if flags & libc::O_PATH != 0 || (flags & libc::O_CREAT == 0 && !is_unnamed) {
        return Ok(Answer::Proceed);
    }
    let path = call.path(path)?;
    if is_unnamed {
        return open_unnamed(call, from, &path, flags, mode);
    }
    if path.to_bytes().ends_with(b"/") {
        return Ok(Answer::Proceed);
    }
    let Some(mut making) = Making::begin(call, from, &path)? else { return Ok(Answer::Proceed) };
    let is_new = flags & libc::O_EXCL != 0;
    for _ in 0..=MOST_LINKS {
        // The descriptor is the caller's only if it insists on a new file; else it opens what is there now.
        let own = if is_new { flags & !libc::O_CLOEXEC } else { libc::O_WRONLY };
        let own = OFlag::from_bits_retain(own | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let made = making.masked(mode, false, |directory, mode| {
            nix::fcntl::openat(directory, making.name.as_c_str(), own, Mode::from_bits_truncate(mode))
        });
        match made {
            Ok((file, owner)) => {
                making.own(file.as_fd(), owner, None)?;
                return if is_new {
                    call.give(file.as_fd(), flags & libc::O_CLOEXEC != 0)
                } else {
                    Ok(Answer::Proceed)
                };
            }
            Err(Refusal::Errno(Errno::EEXIST)) if !is_new && flags & libc::O_NOFOLLOW == 0 => {
                match making.behind_link()? {
                    Some(next) => making = next,
                    None => return Ok(Answer::Proceed),
                }
            }
            // The kernel says the same, or knows better.
            Err(Refusal::Errno(_)) => return Ok(Answer::Proceed),
            Err(unreachable) => return Err(unreachable),
        }
    }
    Ok(Answer::Proceed)
}

impl Making<'_> {
    /// What a link in the place of what is to be made leads to, if that is not there yet either.
    fn behind_link(mut self) -> Result<Option<Self>, Refusal> {
        let directory = self.directory.file.as_fd();
        let Ok(link) = readlinkat(directory, self.name.as_c_str()) else { return Ok(None) };
        use std::os::unix::ffi::OsStrExt;
        let link = CString::new(link.as_bytes()).map_err(|_| Errno::EINVAL)?;
        // Links in the roots of others are rare, and what is made behind them is root's.
        if self.call.has_own_view(&self.credentials) {
            return Ok(None);
        }
        let bytes = link.to_bytes();
        let (parent, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&bytes[..=slash], &bytes[slash + 1..]),
            None => (&b"."[..], bytes),
        };
        if name.is_empty() || matches!(name, b"." | b"..") {
            return Ok(None);
        }
        let how = nix::fcntl::OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(nix::fcntl::ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let Ok(parent) = nix::fcntl::openat2(directory, parent, how) else { return Ok(None) };
        self.name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        self.directory = Found::of(self.call, parent)?;
        Ok(Some(self))
    }
}

/// A file without a name (O_TMPFILE), which may get one later.
fn open_unnamed(call: &Call<'_>, from: From, path: &CStr, flags: i32, mode: u32) -> Result<Answer, Refusal> {
    let credentials = call.credentials()?;
    if credentials.makes_files_of_root() || credentials.is_confined {
        return Ok(Answer::Proceed);
    }
    let directory = call.locate(&credentials, from, path, OFlag::O_PATH | OFlag::O_DIRECTORY);
    let Ok(directory) = directory else { return Ok(Answer::Proceed) };
    let directory = Found::of(call, directory)?;
    let making = Making { call, credentials, directory, name: CString::default() };
    let opened = making.masked(mode, false, |directory, mode| {
        let flags = OFlag::from_bits_retain(flags | libc::O_CLOEXEC);
        nix::fcntl::open(path_of(directory).as_c_str(), flags, Mode::from_bits_truncate(mode))
    });
    let (file, owner) = match opened {
        Err(Refusal::Errno(_)) => return Ok(Answer::Proceed),
        other => other?,
    };
    making.own(file.as_fd(), owner, None)?;
    call.give(file.as_fd(), flags & libc::O_CLOEXEC != 0)
}

/// mkdir(2), mknod(2), symlink(2).
pub(super) fn make(call: &Call<'_>) -> Result<Answer, Refusal> {
    let dir = |index| From::argument(call.argument(index));
    let (from, at) = match call.call {
        mkdir | mknod => (From::Cwd, 0),
        symlink => (From::Cwd, 1),
        mkdirat | mknodat => (dir(0), 1),
        _ => (dir(1), 2),
    };
    let mode = call.number(at + 1) as u32;
    if matches!(call.call, mknod | mknodat) {
        return make_node(call, from, at, mode);
    }
    let path = call.path(call.argument(at))?;
    let Some(making) = Making::begin(call, from, &path)? else { return Ok(Answer::Proceed) };
    let name = making.name.as_c_str();
    let owner = if matches!(call.call, mkdir | mkdirat) {
        making.masked(mode, true, |directory, mode| stat::mkdirat(directory, name, Mode::from_bits_truncate(mode)))?.1
    } else {
        let target = call.path(call.argument(0))?;
        if path.to_bytes().ends_with(b"/") {
            return Ok(Answer::Proceed);
        }
        making.masked(0o777, false, |directory, _| nix::unistd::symlinkat(target.as_c_str(), directory, name))?.1
    };
    making.own_named(owner)?;
    Ok(DONE)
}

fn make_node(call: &Call<'_>, from: From, at: usize, mode: u32) -> Result<Answer, Refusal> {
    let path = call.path(call.argument(at))?;
    let device = call.note.arguments[at + 2] as u32;
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let kind = match mode & libc::S_IFMT {
        // The kernel's own whiteout.
        libc::S_IFCHR if (major, minor) == (0, 0) => return Ok(Answer::Proceed),
        libc::S_IFCHR => Some(FileKind::Char { major, minor }),
        libc::S_IFBLK => Some(FileKind::Block { major, minor }),
        _ => None,
    };
    if kind.is_none() {
        let Some(making) = Making::begin(call, from, &path)? else { return Ok(Answer::Proceed) };
        let of_type = SFlag::from_bits_truncate(mode & libc::S_IFMT);
        let (_, owner) = making.masked(mode, false, |directory, mode| {
            stat::mknodat(directory, making.name.as_c_str(), of_type, Mode::from_bits_truncate(mode), 0)
        })?;
        making.own_named(owner)?;
        return Ok(DONE);
    }
    let credentials = call.credentials()?;
    if !credentials.can(Capability::Mknod) || credentials.is_confined {
        return Err(Errno::EPERM.into());
    }
    let (directory, name) = call.locate_parent(&credentials, from, &path)?;
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let making = Making { call, credentials, directory: Found::of(call, directory)?, name };
    // An empty file that says what it stands for.
    let (file, owner) = making.masked(mode, false, |directory, mode| {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(directory, making.name.as_c_str(), flags, Mode::from_bits_truncate(mode))
    })?;
    making.own(file.as_fd(), owner, kind)?;
    Ok(DONE)
}

/// bind(2) of a socket to a name in the file system.
pub(super) fn bind(call: &Call<'_>) -> Result<Answer, Refusal> {
    let credentials = call.credentials()?;
    let length = call.argument(2) as usize;
    if credentials.makes_files_of_root() || credentials.is_confined || !(3..=110).contains(&length) {
        return Ok(Answer::Proceed);
    }
    let mut address = [0; 110];
    call.read(call.argument(1), &mut address[..length])?;
    let family = u16::from_ne_bytes([address[0], address[1]]);
    let path: Vec<u8> = address[2..length].iter().copied().take_while(|&byte| byte != 0).collect();
    if i32::from(family) != libc::AF_UNIX || path.is_empty() {
        return Ok(Answer::Proceed);
    }
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let Some(making) = Making::begin(call, From::Cwd, &path)? else { return Ok(Answer::Proceed) };
    let socket = socket_of(call, call.number(0))?;
    let here = nix::fcntl::open(c".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let bound = making.masked(0o777, false, |directory, _| {
        // A name is short enough wherever the directory is.
        nix::unistd::fchdir(directory)?;
        let bound = UnixAddr::new(making.name.to_bytes())
            .and_then(|address| nix::sys::socket::bind(socket.as_raw_fd(), &address));
        nix::unistd::fchdir(&here)?;
        bound
    });
    let (_, owner) = bound?;
    making.own_named(owner)?;
    Ok(DONE)
}

/// The caller's socket.
pub(super) fn socket_of(call: &Call<'_>, number: i32) -> Result<OwnedFd, Refusal> {
    let leader = process::leader(call.pid())?;
    let process = crate::sys::pidfd::open(nix::unistd::Pid::from_raw(leader))?;
    call.check()?;
    Ok(remote::descriptor(process.as_fd(), number)?)
}
