//! keyctl(2).

#![allow(unsafe_code)]

use nix::errno::Errno;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;

/// Gives this process a new, empty session keyring instead of the one inherited from the user's login.
///
/// ENOSYS where the kernel has no keyrings; EDQUOT where the user's quota (`kernel.keys.maxkeys`) is used up.
pub fn new_session() -> Result<(), Errno> {
    // SAFETY: a null name asks for an anonymous keyring; nothing else is read.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0) }).map(drop)
}
