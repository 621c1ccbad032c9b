//! System calls that are handed to a supervisor (seccomp_unotify(2)).

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use libc::sock_filter;
use nix::errno::Errno;

/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): who waits is woken on the processor of who wakes it.
const SYNC_WAKE_UP: u64 = 1;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// Names the call, for as long as it waits.
    pub id: u64,
    /// The thread that makes it, in our pid namespace.
    pub pid: i32,
    /// Its number.
    pub number: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Puts `filter` upon this thread as [`super::seccomp::install`] does, and gives the listener of its notifications. A call that
/// a supervisor has taken waits on, whatever signal comes that does not kill (WAIT_KILLABLE_RECV, Linux 5.19).
///
/// EBUSY: a filter of this thread has a listener already. EINVAL: the kernel does not know the flag.
pub fn install_with_listener(filter: &[sock_filter]) -> Result<OwnedFd, Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the kernel copies `len` instructions from `filter`, which is that long and is not written to.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let listener = Errno::result(result)? as i32;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Makes wake-ups of this listener synchronous. EINVAL: Linux before 6.6, where every answer costs several times as much.
pub fn wake_synchronously(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request takes its flags as a number.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, SYNC_WAKE_UP) };
    Errno::result(result).map(drop)
}

/// Where the kernel writes a call: memory that may be shared, so that another process finds the call when this one is killed,
/// however early.
pub type Place = [AtomicU64; PLACE];

/// Words of a [`Place`]: ten of a `seccomp_notif`, and room for what a newer kernel may write behind them.
pub const PLACE: usize = 16;

/// Waits for a call, which is then in `place` until [`clear`] is called. ENOENT: the one that was there has gone (its thread was
/// killed), or there is nobody left who could make one; poll(2) then says POLLHUP.
pub fn receive(listener: BorrowedFd<'_>, place: &Place) -> Result<Notification, Errno> {
    const { assert!(size_of::<libc::seccomp_notif>() <= size_of::<Place>()) };
    // The kernel wants zeroes.
    clear(place);
    let room = place.as_ptr().cast_mut();
    // SAFETY: the kernel writes one seccomp_notif into memory that is as large, aligned for it and, being atomic words, may be
    // written to through a shared reference.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, room) };
    Errno::result(result)?;
    read(place).ok_or(Errno::ENOENT)
}

/// The call in `place`, if there is one.
pub fn read(place: &Place) -> Option<Notification> {
    let [id, pid, data, _, arguments @ ..] = &place.each_ref().map(|word| word.load(Ordering::Acquire));
    // `struct seccomp_notif`: id, pid and flags, and a `struct seccomp_data`: number and interface, the instruction, arguments.
    let halves = |word: u64| {
        let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
        (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
    };
    let ((pid, _), (number, arch)) = (halves(*pid), halves(*data));
    let arguments = *arguments.first_chunk()?;
    (*id != 0).then_some(Notification { id: *id, pid: pid as i32, number: number as i32, arch, arguments })
}

/// Forgets the call in `place`.
pub fn clear(place: &Place) {
    place.iter().for_each(|word| word.store(0, Ordering::Release));
}

/// Whether the call still waits: what was found under the thread's number until now was that thread's.
pub fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one u64.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) };
    result == 0
}

fn respond(listener: BorrowedFd<'_>, id: u64, value: i64, error: i32, flags: u32) -> Result<(), Errno> {
    let response = libc::seccomp_notif_resp { id, val: value, error, flags };
    // SAFETY: the kernel reads one seccomp_notif_resp.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    Errno::result(result).map(drop)
}

/// The call returns `value`. ENOENT, here and below: it waits no more.
pub fn answer(listener: BorrowedFd<'_>, id: u64, value: i64) -> Result<(), Errno> {
    respond(listener, id, value, 0, 0)
}

/// The call fails.
pub fn fail(listener: BorrowedFd<'_>, id: u64, errno: Errno) -> Result<(), Errno> {
    respond(listener, id, 0, -(errno as i32), 0)
}

/// The kernel makes the call as if there were no supervisor.
pub fn proceed(listener: BorrowedFd<'_>, id: u64) -> Result<(), Errno> {
    respond(listener, id, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
}

/// Gives the thread a descriptor of `file`, under the lowest number that is free there: that number (Linux 5.9).
pub fn give(listener: BorrowedFd<'_>, id: u64, file: BorrowedFd<'_>, close_on_exec: bool) -> Result<i32, Errno> {
    let request = libc::seccomp_notif_addfd {
        id,
        flags: 0,
        srcfd: file.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: the kernel reads one seccomp_notif_addfd.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD as _, &raw const request) };
    Errno::result(result)
}
