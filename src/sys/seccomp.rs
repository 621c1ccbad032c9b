//! seccomp(2).

#![allow(unsafe_code)]

use libc::sock_filter;
use nix::errno::Errno;

/// Puts `filter` upon this thread, on top of any it has (SECCOMP_SET_MODE_FILTER); it stays for good, over fork and
/// execve. `flags` are `SECCOMP_FILTER_FLAG_*`.
///
/// EACCES: neither no_new_privs is set nor has the thread CAP_SYS_ADMIN in its user namespace. EINVAL: not a program, or
/// longer than 4096 instructions. Async-signal-safe: allocates nothing.
pub fn install(filter: &[sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which is that long and is not written to.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, libc::c_ulong::from(flags), &raw const program)
    };
    Errno::result(result).map(drop)
}
