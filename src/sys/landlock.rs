//! landlock(7): restrictions that a thread puts upon itself, and cannot take off again.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

// linux/landlock.h; libc does not have these.
const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
const NET_BIND_TCP: u64 = 1 << 0;
const NET_CONNECT_TCP: u64 = 1 << 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// Version of the kernel's Landlock interface (landlock_create_ruleset(2)); 0 where it has none, or has it turned off.
pub fn abi() -> u32 {
    // SAFETY: with this flag the call takes a null pointer and the size 0, and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, CREATE_RULESET_VERSION) };
    Errno::result(result).map_or(0, |version| version as u32)
}

/// What may be done with files (`LANDLOCK_ACCESS_FS_*`), as a bit mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAccess(u64);

impl FileAccess {
    /// Files are opened for writing.
    pub const WRITE_FILE: Self = Self(1 << 1);
    /// Directories are opened and listed.
    pub const READ_DIR: Self = Self(1 << 3);
    /// Directories are removed.
    pub const REMOVE_DIR: Self = Self(1 << 4);
    /// Anything else is removed.
    pub const REMOVE_FILE: Self = Self(1 << 5);
    /// Character devices are made.
    pub const MAKE_CHAR: Self = Self(1 << 6);
    /// Directories are made.
    pub const MAKE_DIR: Self = Self(1 << 7);
    /// Regular files are made.
    pub const MAKE_REG: Self = Self(1 << 8);
    /// Named pipes are made.
    pub const MAKE_FIFO: Self = Self(1 << 10);
    /// Symbolic links are made.
    pub const MAKE_SYM: Self = Self(1 << 12);
    /// Files are linked and moved from one directory to another.
    pub const REFER: Self = Self(1 << 13);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Everything that the interface can forbid. The first version is left out: it forbids [`Self::REFER`] and cannot
    /// allow it.
    const fn known_to(abi: u32) -> u64 {
        let bits = match abi {
            0 | 1 => 0,
            2 => 14,
            3 | 4 => 15,
            _ => 16,
        };
        (1 << bits) - 1
    }
}

/// `struct landlock_ruleset_attr`. Kernels that know less of it than we do take it as long as the rest is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

impl Ruleset {
    /// Everything that version `abi` of the interface can forbid.
    const fn all(abi: u32) -> Self {
        Self {
            handled_access_fs: FileAccess::known_to(abi),
            handled_access_net: if abi >= 4 { NET_BIND_TCP | NET_CONNECT_TCP } else { 0 },
            scoped: if abi >= 6 { SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL } else { 0 },
        }
    }
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// Leaves this thread, as far as the kernel can, with nothing but `allowed` below `directory`: no other file access, no
/// TCP, no signals and no abstract sockets of processes that are not restricted with it. Mounts cannot be changed any
/// more either. Descriptors that are open keep what they can do. Kernels before Linux 5.19 restrict nothing.
///
/// EPERM: no_new_privs is not set.
pub fn restrict_to(directory: BorrowedFd<'_>, allowed: FileAccess) -> Result<(), Errno> {
    let abi = abi();
    let ruleset = Ruleset::all(abi);
    if ruleset.handled_access_fs == 0 {
        return Ok(());
    }
    // SAFETY: the kernel reads a structure of the size given.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, std::mem::size_of::<Ruleset>(), 0)
    };
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = Errno::result(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })?;
    let allowed_access = allowed.0 & ruleset.handled_access_fs;
    let rule = PathBeneath { allowed_access, parent_fd: directory.as_raw_fd() };
    // SAFETY: the kernel reads a structure of the type that RULE_PATH_BENEATH stands for.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, fd.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0) };
    Errno::result(result)?;
    // SAFETY: the call takes a descriptor and flags, and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0) };
    match Errno::result(result) {
        // As many restrictions as a thread can have (16) are on us already.
        Err(Errno::E2BIG) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn each_version_forbids_what_it_can() {
        let forbidden = |abi| {
            let Ruleset { handled_access_fs, handled_access_net, scoped } = Ruleset::all(abi);
            (handled_access_fs, handled_access_net, scoped)
        };
        assert_eq!(forbidden(0), (0, 0, 0));
        assert_eq!(forbidden(1), (0, 0, 0));
        assert_eq!(forbidden(2), (0x3fff, 0, 0));
        assert_eq!(forbidden(3), (0x7fff, 0, 0));
        assert_eq!(forbidden(4), (0x7fff, 3, 0));
        assert_eq!(forbidden(5), (0xffff, 3, 0));
        assert_eq!(forbidden(6), (0xffff, 3, 3));
        assert_eq!(forbidden(100), forbidden(6));
    }

    /// On a thread of its own, which alone is restricted.
    #[test]
    fn a_restricted_thread_keeps_one_directory() {
        let allowed = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(allowed.path().join("old"), "old").unwrap();
        let directory = std::fs::File::open(allowed.path()).unwrap();
        let parent = nix::unistd::getppid();
        let abi = abi();
        let restricted = || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            restrict_to(directory.as_fd(), FileAccess::WRITE_FILE.and(FileAccess::MAKE_REG)).unwrap();
            let is_refused = |result: std::io::Result<()>| match result {
                Err(error) => {
                    let errno = Errno::from_raw(error.raw_os_error().unwrap());
                    assert!(matches!(errno, Errno::EACCES | Errno::EPERM), "{errno}");
                    true
                }
                Ok(()) => false,
            };
            std::fs::write(allowed.path().join("new"), "new").unwrap();
            assert_eq!(is_refused(std::fs::write(other.path().join("new"), "new")), abi >= 2);
            assert_eq!(is_refused(std::fs::read(allowed.path().join("old")).map(drop)), abi >= 2);
            assert_eq!(is_refused(std::fs::create_dir(allowed.path().join("directory"))), abi >= 2);
            assert_eq!(is_refused(std::net::TcpListener::bind("127.0.0.1:0").map(drop)), abi >= 4);
            assert_eq!(is_refused(nix::sys::signal::kill(parent, None).map_err(Into::into)), abi >= 6);
        };
        std::thread::scope(|scope| scope.spawn(restricted).join()).unwrap();
    }
}
