//! The mount API that works on descriptors (Linux 5.2; mount_setattr 5.12): fsopen(2), fsconfig(2), fsmount(2),
//! open_tree(2), move_mount(2), mount_setattr(2), and pivot_root(2).

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

// linux/mount.h; libc does not have these.
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

/// Mount attributes (`MOUNT_ATTR_*`), as a bit mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MountAttrs(u64);

impl MountAttrs {
    /// No attribute.
    pub const NONE: Self = Self(0);
    /// Read-only.
    pub const RDONLY: Self = Self(0x1);
    /// Set-user-ID, set-group-ID and file capabilities do nothing.
    pub const NOSUID: Self = Self(0x2);
    /// Device files do not open.
    pub const NODEV: Self = Self(0x4);
    /// Nothing can be executed.
    pub const NOEXEC: Self = Self(0x8);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A file system being configured: what fsopen(2) returns.
#[derive(Debug)]
pub struct FsContext(OwnedFd);

fn own(result: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel has just made this descriptor for us.
    Errno::result(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

impl FsContext {
    /// Begins a file system of type `fstype`.
    pub fn open(fstype: &CStr) -> Result<Self, Errno> {
        // SAFETY: `fstype` is a C string that outlives the call.
        own(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) }).map(Self)
    }

    fn config(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> Result<(), Errno> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        let fd = self.0.as_raw_fd();
        // SAFETY: key and value are null or C strings that outlive the call.
        let result = unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, pointer(key), pointer(value), 0) };
        Errno::result(result).map(drop)
    }

    /// Sets `key`, to `value` if there is one. A value is at most 255 bytes (fsconfig(2)).
    pub fn set(&self, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
        let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
        self.config(command, Some(key), value)
    }

    /// Makes the file system and a mount of it that is attached nowhere.
    pub fn mount(self, attrs: MountAttrs) -> Result<OwnedFd, Errno> {
        self.config(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: takes integers only.
        own(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attrs.0) })
    }
}

/// How much of a tree is cloned or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// One mount.
    Single,
    /// It and all mounts below it.
    Recursive,
}

/// A copy, attached nowhere, of the mount at `path` below `dir` (open_tree(2) with OPEN_TREE_CLONE). An empty `path` means
/// `dir` itself. The last component is not followed if it is a symbolic link.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, depth: Depth) -> Result<OwnedFd, Errno> {
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) as u32;
    if depth == Depth::Recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: `path` is a C string that outlives the call.
    own(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Attaches the mount `mount` on what `target` refers to (move_mount(2)): both ends are descriptors, no path is resolved.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are the empty C string.
    let result = unsafe {
        libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), c"".as_ptr(), target.as_raw_fd(), c"".as_ptr(), flags)
    };
    Errno::result(result).map(drop)
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds `attrs` to `mount`, and with [`Depth::Recursive`] to all mounts below it, and makes them private, so that mounts
/// of the host do not appear in them later (mount_setattr(2)).
pub fn restrict(mount: BorrowedFd<'_>, attrs: MountAttrs, depth: Depth) -> Result<(), Errno> {
    set_attributes(
        mount,
        &MountAttr { attr_set: attrs.0, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 },
        depth,
    )
}

/// The same, and they cannot be bind-mounted.
pub fn restrict_and_unbind(mount: BorrowedFd<'_>, attrs: MountAttrs, depth: Depth) -> Result<(), Errno> {
    set_attributes(
        mount,
        &MountAttr { attr_set: attrs.0, attr_clr: 0, propagation: libc::MS_UNBINDABLE, userns_fd: 0 },
        depth,
    )
}

/// Adds `attrs` to `mount`, and with [`Depth::Recursive`] to all mounts below it, and leaves everything else as it is.
pub fn add_attributes(mount: BorrowedFd<'_>, attrs: MountAttrs, depth: Depth) -> Result<(), Errno> {
    set_attributes(mount, &MountAttr { attr_set: attrs.0, attr_clr: 0, propagation: 0, userns_fd: 0 }, depth)
}

fn set_attributes(mount: BorrowedFd<'_>, attr: &MountAttr, depth: Depth) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if depth == Depth::Recursive { libc::AT_RECURSIVE } else { 0 };
    let fd = mount.as_raw_fd();
    // SAFETY: the path is the empty C string; `attr` is read for its whole size and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Makes `root`, a mount attached in our namespace, the root of this process and detaches everything that was mounted
/// before (pivot_root(2), NOTES: `pivot_root(".", ".")`).
pub fn pivot_to(root: BorrowedFd<'_>) -> Result<(), Errno> {
    nix::unistd::fchdir(root.as_fd())?;
    nix::unistd::pivot_root(c".", c".")?;
    nix::mount::umount2(c".", nix::mount::MntFlags::MNT_DETACH)?;
    nix::unistd::chdir(c"/")
}

/// Mounts an overlay at `target` by mount(2): before Linux 6.5 overlayfs takes its layers only as one string, which
/// fsconfig(2) limits to 255 bytes and mount(2) to one page. `target` is a path of our own store.
pub fn mount_overlay_by_path(target: &CStr, options: &CStr) -> Result<(), Errno> {
    use nix::mount::MsFlags;
    nix::mount::mount(Some(c"overlay"), target, Some(c"overlay"), MsFlags::empty(), Some(options))
}
