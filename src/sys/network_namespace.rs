//! A network namespace, made by a helper while its user goes on: the kernel takes longer for it than for all other
//! namespaces together.

#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::UnshareFlags;

/// Size of the helper's stack: a few system calls, in a build without optimisation.
const STACK: usize = 64 * 1024;

/// A helper at work. Dropped, it is waited for: it works in our memory.
#[derive(Debug)]
pub struct Making {
    /// The helper, until it has been waited for.
    helper: Option<Pid>,
    outcome: Box<AtomicI32>,
    _stack: Vec<u128>,
}

/// What the helper leaves: the namespace's descriptor, or the negative number of an error.
type Outcome = AtomicI32;

/// Begins to make a network namespace, with a loopback device that is up, owned by our user namespace.
pub fn begin() -> Result<Making, Errno> {
    extern "C" fn help(outcome: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `outcome` outlives this process: whoever made it waits for us before it frees it.
        let outcome = unsafe { &*outcome.cast::<Outcome>() };
        let made = make().map_or_else(|errno| -errno.raw_os_error(), IntoRawFd::into_raw_fd);
        outcome.store(made, Ordering::Release);
        0
    }
    // What it says if it is killed.
    let outcome = Box::new(AtomicI32::new(-libc::EIO));
    let mut stack = Vec::<u128>::with_capacity(STACK / size_of::<u128>());
    // SAFETY: one past the end of the allocation: stacks grow down.
    let top = unsafe { stack.as_mut_ptr().add(stack.capacity()) };
    // Its descriptors are ours, so that we get the one it makes. Its end raises no signal.
    let flags = libc::CLONE_VM | libc::CLONE_FILES;
    // SAFETY: the helper runs beside us in our memory. It touches its own stack, the outcome, which is atomic, and nothing
    // else: it does not allocate, and its system calls are rustix's, which do not write the errno that it shares with us.
    // Stack and outcome live until it is gone (`wait`), or, should we be killed, for ever.
    let result = unsafe { libc::clone(help, top.cast(), flags, (&raw const *outcome).cast_mut().cast()) };
    Ok(Making { helper: Some(Pid::from_raw(Errno::result(result)?)), outcome, _stack: stack })
}

fn make() -> Result<OwnedFd, rustix::io::Errno> {
    // SAFETY: a network namespace changes nothing that Rust's library or another thread relies on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq (netdevice(7)).
    unsafe { rustix::ioctl::ioctl(&socket, Setter::<{ libc::SIOCSIFFLAGS as Opcode }, _>::new(loopback_up())) }?;
    // SAFETY: SIOCGSKNS takes no argument.
    unsafe { rustix::ioctl::ioctl(&socket, NamespaceOfSocket) }
}

fn loopback_up() -> libc::ifreq {
    // SAFETY: ifreq is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    request
}

/// A descriptor of the namespace of a socket, closed on exec (`SIOCGSKNS`, Linux 4.9; needs CAP_NET_ADMIN over it).
struct NamespaceOfSocket;

/// `SIOCGSKNS` of linux/sockios.h.
const SIOCGSKNS: Opcode = 0x894c;

// SAFETY: the request has no argument, and its result is a descriptor that the kernel has just made.
unsafe impl Ioctl for NamespaceOfSocket {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        SIOCGSKNS
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut rustix::ffi::c_void) -> rustix::io::Result<OwnedFd> {
        // SAFETY: see above.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}

impl Making {
    /// Waits for the namespace and enters it (setns(2)).
    pub fn enter(mut self) -> Result<OwnedFd, Errno> {
        let namespace = self.take()?;
        nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNET).map(|()| namespace)
    }

    /// Waits for the helper, and takes what it made.
    fn take(&mut self) -> Result<OwnedFd, Errno> {
        let helper = self.helper.take().ok_or(Errno::ECHILD)?;
        // A child whose end raises no signal is waited for with __WALL.
        while let Err(Errno::EINTR) = waitpid(helper, Some(WaitPidFlag::__WALL)) {}
        match self.outcome.load(Ordering::Acquire) {
            // SAFETY: the helper made it in our table of descriptors, for us; there was a helper to take, so this is the only
            // time that it is taken.
            made if made >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
            errno => Err(Errno::from_raw(-errno)),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        drop(self.take());
    }
}
