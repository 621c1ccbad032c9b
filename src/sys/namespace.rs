//! Namespaces of this process: making them, mapping their ids, and leaving everything but one directory behind.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::sys::mount::{self, Depth, MountAttrs};

/// New user, mount, network and IPC namespaces for this process, which must have one thread (unshare(2)).
pub fn unshare_parser() -> Result<(), Errno> {
    let flags =
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    nix::sched::unshare(flags)
}

/// Enters those namespaces of a process that `which` names (setns(2) with a process descriptor, Linux 5.8): the user namespace
/// before all others, so that they are entered with what may be done in it. The pid namespace is that of children only.
pub fn join(process: BorrowedFd<'_>, which: CloneFlags) -> Result<(), Errno> {
    nix::sched::setns(process, which)
}

/// The user namespace that owns a namespace (ioctl_ns(2), NS_GET_USERNS). EPERM if it is above our own.
pub fn owner(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    /// linux/nsfs.h.
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument; the descriptor is open.
    let fd = Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a user namespace, and those of `others`, for this process, which must have one thread: our own user and group are 0
/// in it, and there is nothing else. From then on we may do with our own files what root may.
pub fn become_own_root(others: CloneFlags) -> std::io::Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | others)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))
}

/// Makes a user namespace for this process, which must have one thread: our own user and group have the same numbers in it, and
/// there is nobody else. From then on we may do with it, and with the namespaces that belong to it, what we like.
pub fn become_own_master() -> std::io::Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1\n"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1\n"))
}

/// A network namespace for this thread, which owns it with its user namespace.
pub fn new_network() -> Result<(), Errno> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET)
}

/// Enters a network namespace with this thread (setns(2)).
pub fn enter_network(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET)
}

/// Whether our own user namespace has other ids than 0.
pub fn has_many_ids() -> std::io::Result<bool> {
    Ok(identity_of("/proc/self/uid_map")?.trim() != "0 0 1")
}

/// What ids a new user namespace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMap {
    /// Our own user and group are 0 inside; there is nothing else.
    Single,
    /// Every id that we have ourselves, under its own number. Needs CAP_SETUID and CAP_SETGID.
    Identity,
}

/// Writes the maps of process `pid`, which has just made a user namespace (user_namespaces(7), "Defining user and group ID
/// mappings"). Fails with EPERM for [`IdMap::Identity`] without the privilege, and may then be called again.
pub fn write_id_maps(pid: u32, map: IdMap) -> std::io::Result<()> {
    let write = |file: &str, text: &str| {
        let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/{file}"))?;
        // One write: the kernel takes a map as a whole.
        file.write_all(text.as_bytes())
    };
    let (uid_map, gid_map) = match map {
        IdMap::Single => {
            // Without privilege a group map can only be written once setgroups(2) is off.
            write("setgroups", "deny")?;
            (format!("0 {} 1\n", nix::unistd::geteuid()), format!("0 {} 1\n", nix::unistd::getegid()))
        }
        IdMap::Identity => (identity_of("/proc/self/uid_map")?, identity_of("/proc/self/gid_map")?),
    };
    write("uid_map", &uid_map)?;
    write("gid_map", &gid_map)
}

/// The map that maps every id of the map in `file` to itself.
fn identity_of(file: &str) -> std::io::Result<String> {
    Ok(identity_map(&std::fs::read_to_string(file)?))
}

fn identity_map(own: &str) -> String {
    let mut map = String::new();
    for line in own.lines() {
        let mut fields = line.split_ascii_whitespace();
        if let (Some(inside), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next()) {
            map.push_str(&format!("{inside} {inside} {count}\n"));
        }
    }
    map
}

/// Makes `dir` all that this process can see: it becomes the root, mounted nosuid, nodev and noexec, and everything else
/// is detached. Needs a mount namespace of its own and CAP_SYS_ADMIN in it.
pub fn confine_to(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    use nix::mount::MsFlags;
    // Nothing that happens here may propagate to the namespace we came from.
    nix::mount::mount(None::<&CStr>, c"/", None::<&CStr>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&CStr>)?;
    let root = mount::clone_tree(dir, c"", Depth::Single)?;
    let attributes = MountAttrs::NOSUID.and(MountAttrs::NODEV).and(MountAttrs::NOEXEC);
    mount::restrict(root.as_fd(), attributes, Depth::Single)?;
    mount::attach(root.as_fd(), dir)?;
    mount::pivot_to(root.as_fd())
}

/// Closes every descriptor from `first` up (close_range(2), Linux 5.9). Only for a program that has just been
/// started and owns no descriptor yet but the standard ones.
pub fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: nothing in this process owns a descriptor from `first` up, as the caller states.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_we_have_is_mapped_to_itself() {
        let own = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(identity_map(own), "0 0 1\n1 1 65536\n");
    }
}
