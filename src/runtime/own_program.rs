//! Our own program, out of the reach of a container that is joined (SECURITY.md R8, CVE-2019-5736).
//!
//! Whoever gets a container to execute `/proc/self/exe` while this program is about to become the container's has this
//! program's file open: by that name, or as the interpreter of a script. If the file is the user's own it could then be
//! overwritten. A file on a read-only mount cannot be, whoever has it open.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlink};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use crate::failure::Failure;
use crate::host::env;
use crate::sys::exec::{StringVector, execute_file};
use crate::sys::mount::{self, Depth, MountAttrs};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{clone, pidfd, socket};

const PROGRAM: &str = "/proc/self/exe";

/// Returns if this process's program cannot be changed by us, who are those in a container outside of it. Else this process
/// starts over from a read-only mount of the program, where it comes here again.
pub fn protect(proof: &SingleThreaded) -> Result<(), Failure> {
    restart_if_changeable(proof).map_err(|errno| {
        let message = format!("putting coracle's own program out of the container's reach: {errno}");
        Failure::new("E_USERNS_DISABLED", message)
            .with_hint("a program that its users cannot write to, as a package installs it, needs no protection")
    })
}

fn restart_if_changeable(proof: &SingleThreaded) -> Result<(), Errno> {
    let program = nix::fcntl::open(PROGRAM, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    if !is_changeable(&program)? {
        return Ok(());
    }
    let clone = read_only_clone(proof, &program)?;
    let vector = |strings: Vec<Vec<u8>>| -> Result<StringVector, Errno> {
        let strings = strings.into_iter().map(std::ffi::CString::new).collect::<Result<_, _>>();
        strings.map(StringVector::new).map_err(|_| Errno::EINVAL)
    };
    let argv = vector(std::env::args_os().map(|argument| argument.as_bytes().to_vec()).collect())?;
    let variable =
        |(name, value): (std::ffi::OsString, std::ffi::OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    let envp = vector(env::all().map(variable).collect())?;
    Err(execute_file(clone.as_fd(), &argv, &envp))
}

/// Whether our user could write to the file through the mount that this process has it from. A file that has no name left
/// is executed by nobody later.
fn is_changeable(program: &OwnedFd) -> Result<bool, Errno> {
    let stat = fstat(program)?;
    if stat.st_nlink == 0 || fstatvfs(program)?.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(false);
    }
    let user = geteuid();
    Ok(user.is_root() || stat.st_uid == user.as_raw() || access(PROGRAM, AccessFlags::W_OK).is_ok())
}

/// A mount of nothing but the program, read-only and attached nowhere. Making one takes a mount namespace of one's own: that of
/// a child, which is gone afterwards.
fn read_only_clone(proof: &SingleThreaded, program: &OwnedFd) -> Result<OwnedFd, Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let mut namespaces = CloneFlags::CLONE_NEWNS;
    if !geteuid().is_root() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    let child = clone::spawn_sharing_memory(proof, namespaces, || {
        let sent =
            clone_program(program).and_then(|clone| socket::send(theirs.as_fd(), b"program", Some(clone.as_fd())));
        sent.map_or_else(|errno| errno as u8, |()| 0)
    })?;
    drop(theirs);
    let (_, clone) = socket::receive(ours.as_fd(), &mut [0; 8])?;
    match (pidfd::wait(child.pidfd.as_fd())?, clone) {
        (_, Some(clone)) => Ok(clone),
        (nix::sys::wait::WaitStatus::Exited(_, errno), None) => Err(Errno::from_raw(errno)),
        _ => Err(Errno::EIO),
    }
}

/// In the child, whose mounts are copies: the program has to be found by its name among them.
fn clone_program(program: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = readlink(PROGRAM)?;
    let named = nix::fcntl::open(path.as_os_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let clone = mount::clone_tree(named.as_fd(), c"", Depth::Single)?;
    let identity = |file: &OwnedFd| fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    if identity(&clone)? != identity(program)? {
        return Err(Errno::ESTALE);
    }
    mount::restrict(clone.as_fd(), MountAttrs::RDONLY, Depth::Single)?;
    Ok(clone)
}
