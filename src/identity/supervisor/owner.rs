//! chown(2) and chmod(2).

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{self, FchmodatFlags, Mode};

use super::files::{Record, path_of};
use super::worker::{Answer, Call, DONE, From, Refusal};
use crate::identity::credentials::UNCHANGED;
use crate::identity::ownership::{self, Owner};
use crate::name::capability::Capability;
use crate::state::schema::layer::{FileKind, Ownership};
use crate::sys::status::Status;
use crate::sys::syscall::Syscall::{chmod, chown, chown32, fchmod, fchmodat, fchown, fchown32, lchown, lchown32};

/// What the kernel shows of an owner that is nobody in the container.
const NOBODY: u32 = 65_534;

/// A file whose owner is to be looked at, or changed.
pub(super) struct Found {
    pub file: OwnedFd,
    pub status: Status,
    pub owner: Owner,
    /// What it stands for, if that is something else.
    pub kind: Option<FileKind>,
    /// Whether it carries an owner.
    pub is_owned: bool,
    /// Whether it is the kernel's, as those of `/proc` are.
    pub is_kernels: bool,
}

impl Found {
    /// What `file` has open.
    pub(super) fn of(call: &Call<'_>, file: OwnedFd) -> Result<Self, Refusal> {
        let status = Status::of_file(&file)?;
        let known = call.worker.shared.files.owner(&status, call.pid(), || file.try_clone().map_err(|_| Errno::EMFILE));
        Ok(Self {
            owner: owner_of(&status, known),
            kind: known
                .map(|known| known.kind)
                .filter(|kind| matches!(kind, FileKind::Char { .. } | FileKind::Block { .. }) && is_regular(&status)),
            is_owned: known.is_some(),
            is_kernels: call.worker.shared.files.is_kernels(&status, call.pid()),
            status,
            file,
        })
    }

    /// Its permissions.
    pub fn mode(&self) -> u32 {
        u32::from(self.status.0.stx_mode) & 0o7777
    }

    /// Whether it belongs to somebody of the host whom the container does not have.
    pub fn is_foreign(&self) -> bool {
        self.status.0.stx_uid != 0
    }

    /// Sets its permissions.
    pub fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let path = path_of(self.file.as_fd());
        stat::fchmodat(AT_FDCWD, path.as_c_str(), Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)
    }
}

/// The owner that a process of the container sees.
pub fn owner_of(status: &Status, known: Option<Ownership>) -> Owner {
    match known {
        Some(Ownership { uid, gid, .. }) => Owner { uid, gid },
        None => Owner {
            uid: if status.0.stx_uid == 0 { 0 } else { NOBODY },
            gid: if status.0.stx_gid == 0 { 0 } else { NOBODY },
        },
    }
}

fn is_regular(status: &Status) -> bool {
    u32::from(status.0.stx_mode) & libc::S_IFMT == libc::S_IFREG
}

/// chown(2) and its like.
pub(super) fn change_owner(call: &Call<'_>) -> Result<Answer, Refusal> {
    let id = |index: usize| match call.note.arguments[index] as u32 {
        // 16 bits (chown16).
        value if call.arch.is_32_bit() && matches!(call.call, chown | lchown | fchown) => match value as u16 {
            u16::MAX => UNCHANGED,
            value => u32::from(value),
        },
        value => value,
    };
    let nofollow = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let at = |index| call.path(call.argument(index));
    let (from, path, flags, uid, gid) = match call.call {
        chown | chown32 => (From::Cwd, at(0)?, OFlag::O_PATH, id(1), id(2)),
        lchown | lchown32 => (From::Cwd, at(0)?, nofollow, id(1), id(2)),
        fchown | fchown32 => (From::Fd(call.number(0)), CString::default(), OFlag::O_PATH, id(1), id(2)),
        _ => {
            let flags = call.number(4);
            let path = if call.argument(1) == 0 { CString::default() } else { at(1)? };
            let is_refused = flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0;
            if is_refused || (path.is_empty() && flags & libc::AT_EMPTY_PATH == 0) {
                return Ok(Answer::Proceed);
            }
            let open = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { nofollow } else { OFlag::O_PATH };
            (From::argument(call.argument(0)), path, open, id(2), id(3))
        }
    };
    if path.is_empty() && matches!(call.call, chown | lchown | chown32 | lchown32) {
        return Ok(Answer::Proceed);
    }
    let credentials = call.credentials()?;
    let Ok(file) = call.locate(&credentials, from, &path, flags) else {
        // The kernel knows why.
        return Ok(Answer::Proceed);
    };
    let found = Found::of(call, file)?;
    let new = ownership::given(&credentials, found.owner, uid, gid)?;
    if (uid, gid) != (UNCHANGED, UNCHANGED) && found.is_foreign() && new != found.owner {
        return Err(Errno::EPERM.into());
    }
    call.check()?;
    let is_directory = u32::from(found.status.0.stx_mode) & libc::S_IFMT == libc::S_IFDIR;
    let mode = ownership::mode_once_given(found.mode(), is_directory);
    if mode != found.mode() && is_regular(&found.status) {
        found.set_mode(mode)?;
    }
    if new != found.owner || (found.is_owned && mode != found.mode()) {
        if new != Owner::default() {
            call.count_need();
        }
        call.worker.shared.files.give(
            found.file.as_fd(),
            &found.status,
            call.pid(),
            Record { owner: new, kind: found.kind, mode },
        )?;
    }
    Ok(DONE)
}

/// chmod(2) and its like.
pub(super) fn change_mode(call: &Call<'_>) -> Result<Answer, Refusal> {
    let at = |index| call.path(call.argument(index));
    let (from, path, flags, mode) = match call.call {
        chmod => (From::Cwd, at(0)?, 0, call.number(1)),
        fchmod => (From::Fd(call.number(0)), CString::default(), libc::AT_EMPTY_PATH, call.number(1)),
        fchmodat => (From::argument(call.argument(0)), at(1)?, 0, call.number(2)),
        _ => (From::argument(call.argument(0)), at(1)?, call.number(3), call.number(2)),
    };
    let is_refused = flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0;
    if is_refused || (path.is_empty() && flags & libc::AT_EMPTY_PATH == 0) {
        return Ok(Answer::Proceed);
    }
    let credentials = call.credentials()?;
    let nofollow = flags & libc::AT_SYMLINK_NOFOLLOW != 0;
    let open = OFlag::O_PATH | if nofollow { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    let Ok(file) = call.locate(&credentials, from, &path, open) else { return Ok(Answer::Proceed) };
    let found = Found::of(call, file)?;
    let is_link = u32::from(found.status.0.stx_mode) & libc::S_IFMT == libc::S_IFLNK;
    if is_link || found.is_foreign() {
        return Ok(Answer::Proceed);
    }
    let mode = ownership::permitted_mode(&credentials, found.owner, mode as u32)?;
    let is_all = mode == call.mode_argument() && credentials.can(Capability::Fowner);
    if !found.is_owned && is_all {
        return Ok(Answer::Proceed);
    }
    call.check()?;
    found.set_mode(mode)?;
    if found.is_owned {
        call.worker.shared.files.give(
            found.file.as_fd(),
            &found.status,
            call.pid(),
            Record { owner: found.owner, kind: found.kind, mode },
        )?;
    }
    Ok(DONE)
}

impl Call<'_> {
    fn mode_argument(&self) -> u32 {
        let index = if matches!(self.call, chmod | fchmod) { 1 } else { 2 };
        self.number(index) as u32 & 0o7777
    }
}
