//! The memory, limits and descriptors of another process that we may trace.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Reads from the memory of a process (process_vm_readv(2)): how many bytes. EFAULT if none can be read.
pub fn read(pid: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes into `into`; the other address is never used by us.
    let result = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    Errno::result(result).map(|count| count as usize)
}

/// Reads all of `into`, or fails with EFAULT.
pub fn read_exactly(pid: i32, address: u64, into: &mut [u8]) -> Result<(), Errno> {
    match read(pid, address, into)? {
        count if count == into.len() => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Writes all of `bytes` into the memory of a process (process_vm_writev(2)), or fails with EFAULT.
pub fn write(pid: i32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the kernel reads `bytes.len()` bytes from `bytes`; the other address is never used by us.
    let result = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    match Errno::result(result)? {
        count if count as usize == bytes.len() => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// A limit of a process as (soft, hard) (prlimit(2)).
pub fn limit(pid: i32, resource: u32) -> Result<(u64, u64), Errno> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit64 into `limit` and reads nothing.
    Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, 0, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets a limit of a process.
pub fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one rlimit64 and writes nothing.
    Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, 0) }).map(drop)
}

/// A copy of a process's descriptor (pidfd_getfd(2), Linux 5.6).
pub fn descriptor(process: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    let fd = Errno::result(result)? as i32;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
