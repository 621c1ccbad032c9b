//! User and group ids, capabilities and the bits that go with them, of this thread.
//!
//! Raw calls throughout: the C library's set*id functions signal every thread of the process, which is neither needed nor
//! safe between fork and exec. Nothing here allocates.

#![allow(unsafe_code)]

use nix::errno::Errno;

/// The three sets that capget(2) and capset(2) deal in, as the kernel's bit masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ThreadCapabilities {
    /// What is used in permission checks.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What execve may keep.
    pub inheritable: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words for each set.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    /// 0: this thread.
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// This thread's capabilities (capget(2)).
pub fn capabilities() -> Result<ThreadCapabilities, Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut words = [Words::default(); 2];
    // SAFETY: version 3 writes two `Words` and, if it dislikes the version, the header: both are ours and that large.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) })?;
    let join = |of: fn(&Words) -> u32| u64::from(of(&words[1])) << 32 | u64::from(of(&words[0]));
    Ok(ThreadCapabilities {
        effective: join(|words| words.effective),
        permitted: join(|words| words.permitted),
        inheritable: join(|words| words.inheritable),
    })
}

/// Sets this thread's capabilities (capset(2)). EPERM: something is to be permitted that is not, or made inheritable that
/// is neither permitted nor inheritable nor, with CAP_SETPCAP, in the bounding set.
pub fn set_capabilities(wanted: ThreadCapabilities) -> Result<(), Errno> {
    set_capabilities_unasked(wanted, [0; 2])
}

/// The same with `key` in arguments that capset(2) does not have: a filter of ours may look for it.
pub fn set_capabilities_unasked(wanted: ThreadCapabilities, key: [u64; 2]) -> Result<(), Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let words = [0, 32].map(|shift| Words {
        effective: (wanted.effective >> shift) as u32,
        permitted: (wanted.permitted >> shift) as u32,
        inheritable: (wanted.inheritable >> shift) as u32,
    });
    let (header, words) = (&raw mut header, words.as_ptr());
    // SAFETY: version 3 reads two `Words` and may write the header's version: both outlive the call, which has two arguments.
    let result = unsafe { libc::syscall(libc::SYS_capset, header, words, 0_usize, 0_usize, key[0], key[1]) };
    Errno::result(result).map(drop)
}

/// Keeps in the bounding set only what is in `kept` (PR_CAPBSET_DROP for every other one the kernel has). What is not in
/// the set to begin with stays out.
pub fn limit_bounding_set(kept: u64) -> Result<(), Errno> {
    for number in (0..64_u32).filter(|number| kept >> number & 1 == 0) {
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) }) {
            // The kernel has no such capability, and none above.
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) if bounding_set() >> number & 1 == 1 => return Err(errno),
            _ => {}
        }
    }
    Ok(())
}

/// This thread's bounding set.
pub fn bounding_set() -> u64 {
    // SAFETY: PR_CAPBSET_READ takes a number and touches no memory.
    let contains = |number: u32| unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) };
    (0..64).filter(|&number| contains(number) == 1).fold(0, |set, number| set | 1 << number)
}

/// Empties the ambient set (PR_CAP_AMBIENT_CLEAR_ALL, Linux 4.3).
pub fn clear_ambient_set(key: u64) -> Result<(), Errno> {
    change_ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, key)
}

/// `key` is an argument that prctl(2) does not have: a filter of ours may look for it.
fn change_ambient(operation: i32, capability: u64, key: u64) -> Result<(), Errno> {
    let operation = libc::c_ulong::from(operation as u32);
    // SAFETY: these operations of PR_CAP_AMBIENT take numbers only.
    let result =
        unsafe { libc::syscall(libc::SYS_prctl, libc::PR_CAP_AMBIENT, operation, capability, 0_usize, 0_usize, key) };
    Errno::result(result).map(drop)
}

/// Puts one capability, by number, into the ambient set (PR_CAP_AMBIENT_RAISE). EPERM: it is not both permitted and
/// inheritable.
pub fn raise_ambient(number: u8, key: u64) -> Result<(), Errno> {
    change_ambient(libc::PR_CAP_AMBIENT_RAISE, number.into(), key)
}

/// Lets programs that this thread executes have all that it may do itself, though it is not root (capabilities(7), ambient set).
pub fn keep_all_capabilities() -> Result<(), Errno> {
    let own = capabilities()?;
    set_capabilities(ThreadCapabilities { inheritable: own.permitted, ..own })?;
    (0..64_u8).filter(|number| own.permitted >> number & 1 == 1).try_for_each(|number| raise_ambient(number, 0))
}

/// Whether a change from user id 0 to others keeps the permitted set, until the next execve (PR_SET_KEEPCAPS). The
/// effective set is emptied all the same.
pub fn keep_capabilities_over_setuid(keep: KeepCapabilities) -> Result<(), Errno> {
    // SAFETY: PR_SET_KEEPCAPS takes a number and touches no memory.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, keep as libc::c_ulong, 0, 0, 0) }).map(drop)
}

/// What becomes of permitted capabilities when user id 0 is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeepCapabilities {
    /// They go.
    No = 0,
    /// They stay.
    Yes = 1,
}

/// Sets the `SECBIT_*` flags (PR_SET_SECUREBITS, capabilities(7)). EPERM: no CAP_SETPCAP, or a locked bit would change.
pub fn set_securebits(bits: u32) -> Result<(), Errno> {
    // SAFETY: PR_SET_SECUREBITS takes a number and touches no memory.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, libc::c_ulong::from(bits), 0, 0, 0) }).map(drop)
}

/// No execve of this process or its children gains privileges any more (PR_SET_NO_NEW_PRIVS).
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers and touches no memory.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) }).map(drop)
}

/// Makes `uid` and `gid` the real, effective, saved and file system ids. EINVAL: one of them is not mapped in this user
/// namespace. Supplementary groups are not touched: set them before.
pub fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers and touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above; the group first, because giving up user 0 gives up the right to change it.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// The supplementary groups. EPERM in a user namespace whose `setgroups` file says `deny`.
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `groups.len()` ids of 32 bits from `groups`.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}
