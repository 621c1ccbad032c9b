//! landlock(7).

#![allow(unsafe_code)]

use nix::errno::Errno;

const CREATE_RULESET_VERSION: u32 = 1;

/// Version of the kernel's Landlock interface (landlock_create_ruleset(2)); 0 where it has none, or has it turned off.
pub fn abi() -> u32 {
    // SAFETY: with this flag the call takes a null pointer and the size 0, and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, CREATE_RULESET_VERSION) };
    Errno::result(result).map_or(0, |version| version as u32)
}
