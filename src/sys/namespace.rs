//! Namespaces of this process: making them, mapping their ids, and leaving everything but one directory behind.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

/// New user, mount, network and IPC namespaces for this process, which must have one thread (unshare(2)).
pub fn unshare_parser() -> Result<(), Errno> {
    let flags =
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    nix::sched::unshare(flags)
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

// linux/mount.h; libc does not have these for glibc.
const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const MOUNT_ATTR_NODEV: u64 = 0x4;
const MOUNT_ATTR_NOEXEC: u64 = 0x8;

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes `dir` all that this process can see: it becomes the root, mounted nosuid, nodev and noexec, and everything else
/// is detached. Needs a mount namespace of its own and CAP_SYS_ADMIN in it.
pub fn confine_to(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    use nix::mount::{MntFlags, MsFlags};
    // Nothing that happens here may propagate to the namespace we came from.
    nix::mount::mount(None::<&CStr>, c"/", None::<&CStr>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&CStr>)?;
    let root = clone_mount(dir)?;
    restrict(root.as_fd())?;
    nix::unistd::fchdir(dir)?;
    attach_at_cwd(root.as_fd())?;
    nix::unistd::fchdir(&root)?;
    nix::unistd::pivot_root(c".", c".")?;
    nix::mount::umount2(c".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir(c"/")
}

fn clone_mount(dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    // SAFETY: the path is the empty C string.
    let result = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), c"".as_ptr(), flags) };
    // SAFETY: the kernel has just made this descriptor for us.
    Errno::result(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn restrict(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    let attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let attr = MountAttr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let fd = mount.as_raw_fd();
    // SAFETY: the path is the empty C string; `attr` is read for its whole size and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

fn attach_at_cwd(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: both paths are C strings that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            c".".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
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
