//! stat(2) and statx(2): files whose owner is another one than the kernel says.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::process;
use super::worker::{Answer, Call, DONE, From, Refusal};
use crate::state::schema::layer::{FileKind, Ownership};
use crate::sys::status::{self, Status};
use crate::sys::syscall::{Arch, Syscall};

/// Flags of the `at` calls that say how a path is resolved.
const RESOLVING: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;

/// What is asked.
struct Question {
    from: From,
    path: CString,
    flags: i32,
    /// Where the answer goes.
    into: u64,
    /// With statx(2), what it is to contain.
    mask: Option<u32>,
}

fn question(call: &Call<'_>) -> Result<Option<Question>, Refusal> {
    let at_path = |index: usize| match call.argument(index) {
        0 => Ok(CString::default()),
        address => call.path(address),
    };
    let (from, path, flags, into, mask) = match call.call {
        Syscall::fstat | Syscall::fstat64 => {
            (From::Fd(call.number(0)), CString::default(), libc::AT_EMPTY_PATH, call.argument(1), None)
        }
        Syscall::stat | Syscall::stat64 => (From::Cwd, call.path(call.argument(0))?, 0, call.argument(1), None),
        Syscall::lstat | Syscall::lstat64 => {
            (From::Cwd, call.path(call.argument(0))?, libc::AT_SYMLINK_NOFOLLOW, call.argument(1), None)
        }
        Syscall::statx => {
            let mask = call.argument(3) as u32;
            (From::argument(call.argument(0)), at_path(1)?, call.number(2), call.argument(4), Some(mask))
        }
        _ => (From::argument(call.argument(0)), at_path(1)?, call.number(3), call.argument(2), None),
    };
    // The kernel refuses an empty path without the flag, and flags that it does not know.
    let known = RESOLVING | libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;
    let is_refused = flags & !known != 0 || (path.is_empty() && flags & libc::AT_EMPTY_PATH == 0);
    Ok((!is_refused).then_some(Question { from, path, flags, into, mask }))
}

/// Answers where the kernel's answer would be wrong.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    // Old forms, whose programs are as old.
    if call.arch.is_32_bit() && matches!(call.call, Syscall::stat | Syscall::lstat | Syscall::fstat) {
        return Ok(Answer::Proceed);
    }
    let Some(question) = question(call)? else { return Ok(Answer::Proceed) };
    let Some((mut found, owner)) = look(call, &question)? else { return Ok(Answer::Proceed) };
    call.count_need();
    disguise(&mut found, owner);
    match question.mask {
        Some(_) => call.write(question.into, found.bytes())?,
        None => call.write(question.into, &in_form(call.arch, &found))?,
    }
    Ok(DONE)
}

/// What there is, if its owner is not the one that the kernel knows. Whatever goes wrong goes wrong in the kernel, too.
fn look(call: &Call<'_>, question: &Question) -> Result<Option<(Status, Ownership)>, Refusal> {
    let shared = &call.worker.shared;
    let may_see_otherwise = shared.views_vary || shared.some_have_own_root();
    let credentials = may_see_otherwise.then(|| call.credentials()).transpose()?;
    let own_view = credentials.filter(|credentials| call.has_own_view(credentials));
    let nofollow = question.flags & libc::AT_SYMLINK_NOFOLLOW != 0;
    let flags = OFlag::O_PATH | if nofollow { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    let mask = question.mask.unwrap_or(0) | status::USUAL;
    if let Some(credentials) = own_view
        && !question.path.is_empty()
    {
        let Ok(file) = call.locate(&credentials, question.from, &question.path, flags) else { return Ok(None) };
        let Ok(found) = Status::of(&file, c"", libc::AT_EMPTY_PATH, mask) else { return Ok(None) };
        let owner = owner(call, &found, || Ok(file));
        return Ok(owner.map(|owner| (found, owner)));
    }
    let Some(path) = call.nearby(question.from, &question.path) else { return Ok(None) };
    // A descriptor's own link is never what is asked about.
    let resolving = if question.path.is_empty() { 0 } else { question.flags };
    let Ok(found) = Status::of_path(&path, resolving & !libc::AT_EMPTY_PATH, mask) else { return Ok(None) };
    let open = || {
        let flags = if question.path.is_empty() { OFlag::O_PATH } else { flags };
        nix::fcntl::open(path.as_c_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
    };
    Ok(owner(call, &found, open).map(|owner| (found, owner)))
}

fn owner(call: &Call<'_>, found: &Status, open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Option<Ownership> {
    let files = &call.worker.shared.files;
    if files.is_of_processes(found, call.pid()) {
        return of_process(call, found, open);
    }
    files.owner(found, call.pid(), open)
}

/// A process's directory belongs to its user.
fn of_process(call: &Call<'_>, found: &Status, open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Option<Ownership> {
    let mode = u32::from(found.0.stx_mode);
    if mode & libc::S_IFMT != libc::S_IFDIR {
        return None;
    }
    let directory = open().ok()?;
    let limits = nix::fcntl::openat(&directory, c"limits", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    std::fs::File::from(limits).take(4096).read_to_string(&mut text).ok()?;
    let credentials = call.worker.shared.table.credentials(process::limit_in(&text)?);
    let (uid, gid) = (credentials.users.effective, credentials.groups.effective);
    let is_roots = (uid, gid) == (0, 0) || found.0.stx_uid != 0;
    (!is_roots).then_some(Ownership { uid, gid, mode: mode & 0o7777, kind: FileKind::Dir })
}

/// Shows the owner, and what a placeholder stands for.
fn disguise(found: &mut Status, owner: Ownership) {
    (found.0.stx_uid, found.0.stx_gid) = (owner.uid, owner.gid);
    let is_placeholder = u32::from(found.0.stx_mode) & libc::S_IFMT == libc::S_IFREG;
    let (kind, major, minor) = match owner.kind {
        FileKind::Char { major, minor } if is_placeholder => (libc::S_IFCHR, major, minor),
        FileKind::Block { major, minor } if is_placeholder => (libc::S_IFBLK, major, minor),
        _ => return,
    };
    found.0.stx_mode = (kind | u32::from(found.0.stx_mode) & 0o7777) as u16;
    (found.0.stx_rdev_major, found.0.stx_rdev_minor) = (major, minor);
}

/// The answer in the form that stat(2) has on `arch`.
fn in_form(arch: Arch, found: &Status) -> Vec<u8> {
    let statx = &found.0;
    let device = libc::makedev(statx.stx_dev_major, statx.stx_dev_minor);
    let special = libc::makedev(statx.stx_rdev_major, statx.stx_rdev_minor);
    if arch.is_32_bit() {
        return in_32_bit_form(arch, found, device, special);
    }
    let mut stat = status::empty_stat();
    stat.st_dev = device;
    stat.st_ino = statx.stx_ino;
    stat.st_nlink = statx.stx_nlink as _;
    stat.st_mode = statx.stx_mode.into();
    stat.st_uid = statx.stx_uid;
    stat.st_gid = statx.stx_gid;
    stat.st_rdev = special;
    stat.st_size = statx.stx_size as _;
    stat.st_blksize = statx.stx_blksize as _;
    stat.st_blocks = statx.stx_blocks as _;
    (stat.st_atime, stat.st_atime_nsec) = (statx.stx_atime.tv_sec, statx.stx_atime.tv_nsec.into());
    (stat.st_mtime, stat.st_mtime_nsec) = (statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec.into());
    (stat.st_ctime, stat.st_ctime_nsec) = (statx.stx_ctime.tv_sec, statx.stx_ctime.tv_nsec.into());
    status::stat_bytes(&stat).to_vec()
}

/// `struct stat64`: that of 32-bit Arm aligns what has 64 bits, that of x86 does not (`asm/stat.h` of each).
fn in_32_bit_form(arch: Arch, found: &Status, device: u64, special: u64) -> Vec<u8> {
    let statx = &found.0;
    let mut bytes = Vec::with_capacity(104);
    bytes.extend(device.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend((statx.stx_ino as u32).to_ne_bytes());
    for word in [u32::from(statx.stx_mode), statx.stx_nlink, statx.stx_uid, statx.stx_gid] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(special.to_ne_bytes());
    bytes.extend([0; 4]);
    let align = |bytes: &mut Vec<u8>| {
        if arch == Arch::Arm {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
    };
    align(&mut bytes);
    bytes.extend(statx.stx_size.to_ne_bytes());
    bytes.extend(statx.stx_blksize.to_ne_bytes());
    align(&mut bytes);
    bytes.extend(statx.stx_blocks.to_ne_bytes());
    for time in [statx.stx_atime, statx.stx_mtime, statx.stx_ctime] {
        bytes.extend((time.tv_sec as u32).to_ne_bytes());
        bytes.extend(time.tv_nsec.to_ne_bytes());
    }
    bytes.extend(statx.stx_ino.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_the_sizes_that_their_programs_know() {
        let found = Status::of_path(c"/proc/self/exe", 0, status::USUAL).unwrap();
        assert_eq!(in_form(Arch::X86, &found).len(), 96);
        assert_eq!(in_form(Arch::Arm, &found).len(), 104);
        let native = nix::sys::stat::stat(c"/proc/self/exe").unwrap();
        assert_eq!(
            in_form(Arch::NATIVE, &found),
            status::stat_bytes(&{
                let mut same = status::empty_stat();
                same.st_dev = native.st_dev;
                same.st_ino = native.st_ino;
                same.st_nlink = native.st_nlink;
                same.st_mode = native.st_mode;
                same.st_uid = native.st_uid;
                same.st_gid = native.st_gid;
                same.st_rdev = native.st_rdev;
                same.st_size = native.st_size;
                same.st_blksize = native.st_blksize;
                same.st_blocks = native.st_blocks;
                (same.st_atime, same.st_atime_nsec) = (native.st_atime, native.st_atime_nsec);
                (same.st_mtime, same.st_mtime_nsec) = (native.st_mtime, native.st_mtime_nsec);
                (same.st_ctime, same.st_ctime_nsec) = (native.st_ctime, native.st_ctime_nsec);
                same
            })
        );
    }

    #[test]
    fn placeholders_show_what_they_stand_for() {
        let mut found = Status::of_path(c"/proc/self/exe", 0, status::USUAL).unwrap();
        let kind = FileKind::Char { major: 1, minor: 3 };
        disguise(&mut found, Ownership { uid: 5, gid: 6, mode: 0o600, kind });
        assert_eq!(u32::from(found.0.stx_mode) & libc::S_IFMT, libc::S_IFCHR);
        assert_eq!((found.0.stx_uid, found.0.stx_rdev_major, found.0.stx_rdev_minor), (5, 1, 3));
    }
}
