//! seccomp(2).

#![allow(unsafe_code)]

use nix::errno::Errno;

const SECCOMP_SET_MODE_FILTER: u32 = 1;

/// Installs `filter` on this thread and all it starts. Needs no_new_privs or CAP_SYS_ADMIN.
pub fn install(filter: &[libc::sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions through `program`, writes nothing, and both outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}
