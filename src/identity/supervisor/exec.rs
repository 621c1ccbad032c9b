//! execve(2): set-user-id programs, saved ids, capabilities, also those of files.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::access::may_execute;
use super::files::path_of;
use super::owner::Found;
use super::process;
use super::worker::{Answer, Call, From, Refusal};
use crate::identity::credentials::{Credentials, FileCapabilities, Ids, Program};
use crate::sys::status::Status;
use crate::sys::syscall::Syscall::execve;
use crate::sys::xattr;

/// Gives the process the credentials that it has once the kernel has executed the program. Whether the kernel will is looked
/// at before, as far as that can be seen.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    let credentials = call.credentials()?;
    let (from, path, flags) = match call.call {
        execve => (From::Cwd, call.path(call.argument(0))?, 0),
        _ => {
            let path = if call.argument(1) == 0 { CString::default() } else { call.path(call.argument(1))? };
            (From::argument(call.argument(0)), path, call.number(4))
        }
    };
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Ok(Answer::Proceed);
    }
    let nofollow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    let Ok(file) = call.locate(&credentials, from, &path, OFlag::O_PATH | nofollow) else {
        return Ok(Answer::Proceed);
    };
    let status = Status::of_file(&file)?;
    let mode = u32::from(status.0.stx_mode);
    if mode & libc::S_IFMT != libc::S_IFREG || mode & 0o111 == 0 {
        return Ok(Answer::Proceed);
    }
    let sets_group = mode & (libc::S_ISGID | libc::S_IXGRP) == libc::S_ISGID | libc::S_IXGRP;
    let sets_user = mode & libc::S_ISUID != 0;
    // Root gains nothing by its capabilities, and may execute whatever anybody may.
    let is_root = credentials.users == Ids::default() && credentials.securebits == 0 && credentials.ambient == 0;
    let program = match sets_user || sets_group || !is_root {
        true => {
            let found = Found::of(call, file)?;
            if !may_execute(&found, &credentials) {
                return Err(Errno::EACCES.into());
            }
            program(call, &found, sets_user, sets_group)?
        }
        false => Program::default(),
    };
    if program.capabilities.is_some_and(|capabilities| capabilities.are_refused_to(&credentials)) {
        // The kernel refuses it, too, if it knows of them.
        return Ok(Answer::Proceed);
    }
    let new = credentials.executing(program);
    if new != *credentials {
        note_need(call, &new);
        call.set_credentials(new)?;
    }
    Ok(Answer::Proceed)
}

fn program(call: &Call<'_>, found: &Found, sets_user: bool, sets_group: bool) -> Result<Program, Refusal> {
    use nix::sys::statvfs::{FsFlags, fstatvfs};
    let capabilities = if found.is_foreign() || found.is_kernels { None } else { capabilities(call, found) };
    if !sets_user && !sets_group && capabilities.is_none() {
        return Ok(Program::default());
    }
    let is_ignored = found.is_foreign()
        || fstatvfs(&found.file)?.flags().contains(FsFlags::ST_NOSUID)
        || process::gains_nothing(call.pid())?
        || is_script(found);
    if is_ignored {
        return Ok(Program::default());
    }
    Ok(Program {
        user: sets_user.then_some(found.owner.uid),
        group: sets_group.then_some(found.owner.gid),
        capabilities,
    })
}

/// What the file carries, or else what the image's layer says of it.
fn capabilities(call: &Call<'_>, found: &Found) -> Option<FileCapabilities> {
    match xattr::get_at(&path_of(found.file.as_fd()), c"security.capability", &mut [0; 256]) {
        Ok(value) => FileCapabilities::parse(value),
        Err(_) => call.worker.shared.files.capabilities(&found.status, call.pid()),
    }
}

/// The interpreter of a script is executed without its bits.
fn is_script(found: &Found) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path_of(found.file.as_fd()).as_c_str(), flags, Mode::empty());
    let mut start = [0; 2];
    opened.is_ok_and(|file| std::fs::File::from(file).read_exact(&mut start).is_ok()) && start == *b"#!"
}

fn note_need(call: &Call<'_>, new: &Credentials) {
    if !new.makes_files_of_root() {
        call.count_need();
    }
}
