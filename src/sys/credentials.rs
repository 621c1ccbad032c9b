//! Who a process is and what it may do: ids, capabilities, no_new_privs.

#![allow(unsafe_code)]

use nix::errno::Errno;

use crate::name::capability::{Capability, CapabilitySet};

// linux/capability.h: version 3 has 64 bits, as two 32-bit halves.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets the permitted and effective sets to `set` and clears the inheritable and ambient ones (capset(2), prctl(2)).
pub fn set_capabilities(set: CapabilitySet) -> Result<(), Errno> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |bits: u64| CapData { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let data = [half(set.bits()), half(set.bits() >> 32)];
    // SAFETY: the kernel reads one header and, for version 3, two data elements; both outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    // SAFETY: takes integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }).map(drop)
}

/// Drops every capability from the bounding set that is not in `set`, unknown ones included (PR_CAPBSET_DROP).
pub fn limit_bounding_set(set: CapabilitySet) -> Result<(), Errno> {
    for number in 0..64 {
        if set.bits() & 1 << number != 0 {
            continue;
        }
        // SAFETY: takes integers only.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) }) {
            Ok(_) => {}
            // The first number that the kernel does not know: there are none above it.
            Err(Errno::EINVAL) if number as usize >= Capability::ALL.len() || number > 35 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sets no_new_privs, which is inherited and cannot be unset (PR_SET_NO_NEW_PRIVS).
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: takes integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Becomes user `uid` and group `gid`, real, effective and saved. By system call, so that it concerns this thread only and
/// runs no code of the C library.
pub fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `groups.len()` ids from `groups`, which outlives the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// This process's effective capabilities (capget(2)).
pub fn effective_capabilities() -> Result<CapabilitySet, Errno> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: the kernel reads one header and, for version 3, writes two data elements.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    Ok(CapabilitySet::from_bits(u64::from(data[0].effective) | u64::from(data[1].effective) << 32))
}
