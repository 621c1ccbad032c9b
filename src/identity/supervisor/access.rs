//! access(2): what a process may do with a file, by its virtual credentials. To the kernel all files belong to it.
//!
//! Only questions are answered so, and programs that are to be executed: who opens a file for which this says no gets it, since
//! to the kernel all users of the container are one.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlink};
use nix::sys::stat::Mode;

use super::files::path_of;
use super::owner::Found;
use super::worker::{Answer, Call, From, Refusal};
use crate::identity::credentials::Credentials;
use crate::identity::ownership::{Reader, permits};
use crate::name::capability::Capability;
use crate::sys::syscall::Syscall::{access, faccessat};

/// To be allowed to look up names in a directory.
const SEARCH: u32 = libc::X_OK as u32;

/// Refuses what the kernel allows and should not; the rest is the kernel's to answer.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    let (from, path, wanted, flags) = match call.call {
        access => (From::Cwd, call.argument(0), call.number(1), 0),
        faccessat => (From::argument(call.argument(0)), call.argument(1), call.number(2), 0),
        _ => (From::argument(call.argument(0)), call.argument(1), call.number(2), call.number(3)),
    };
    let credentials = call.credentials()?;
    let reader = match flags & libc::AT_EACCESS {
        0 => Reader::real(&credentials),
        _ => Reader::effective(&credentials),
    };
    if reader.capabilities.contains(Capability::DacOverride) {
        return Ok(Answer::Proceed);
    }
    let path = call.path(path)?;
    let nofollow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Ok(Answer::Proceed);
    }
    let Ok(file) = call.locate(&credentials, from, &path, OFlag::O_PATH | nofollow) else { return Ok(Answer::Proceed) };
    let found = Found::of(call, file)?;
    let wanted = wanted as u32 & 7;
    let is_allowed = may(&found, reader, wanted) && may_reach(call, &credentials, reader, from, &path, &found)?;
    if is_allowed { Ok(Answer::Proceed) } else { Err(Errno::EACCES.into()) }
}

/// Whether a file may be used so. The kernel's own are the kernel's to judge.
fn may(found: &Found, reader: Reader<'_>, wanted: u32) -> bool {
    found.is_foreign() || found.is_kernels || permits(reader, found.owner, found.status.0.stx_mode.into(), wanted)
}

/// Whether a program may be executed.
pub(super) fn may_execute(found: &Found, credentials: &Credentials) -> bool {
    may(found, Reader::effective(credentials), libc::X_OK as u32)
}

/// Whether names may be looked up in the directories that lead to a file: from the root, or from where its name begins.
fn may_reach(
    call: &Call<'_>,
    credentials: &Credentials,
    reader: Reader<'_>,
    from: From,
    path: &CString,
    found: &Found,
) -> Result<bool, Refusal> {
    // Where its root is does not show in the path that we see.
    if path.is_empty() || call.has_own_view(credentials) {
        return Ok(true);
    }
    let Ok(whole) = readlink(path_of(found.file.as_fd()).as_c_str()) else { return Ok(true) };
    let base = match path.to_bytes().starts_with(b"/") {
        true => None,
        false => readlink(call.directory(from).as_str()).ok(),
    };
    let whole = whole.as_bytes();
    let base = base.as_ref().map_or(&b""[..], |base| base.as_bytes().strip_suffix(b"/").unwrap_or(base.as_bytes()));
    let begin = if whole.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
        base.len()
    } else {
        0
    };
    for (end, _) in whole.iter().enumerate().skip(begin).filter(|(_, byte)| **byte == b'/') {
        let directory = if end == 0 { &b"/"[..] } else { &whole[..end] };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Ok(directory) = nix::fcntl::open(directory, flags, Mode::empty()) else { continue };
        if !may(&Found::of(call, directory)?, reader, SEARCH) {
            return Ok(false);
        }
    }
    Ok(true)
}
