//! Making our own overlay, from init: the mount is made here, and served by a process that the monitor starts.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::step::Upper;
use super::sync::{FromInit, MESSAGE_LEN, SERVED};
use crate::sys::mount::{FsContext, MountAttrs};
use crate::sys::socket;

/// A detached mount of the overlay that the step `index` is about, served.
pub fn mount(channel: BorrowedFd<'_>, index: u16, lower: &[CString], upper: Option<&Upper>) -> Result<OwnedFd, Errno> {
    let (mounted, device) = make()?;
    let send = |fd: OwnedFd| socket::send(channel, &FromInit::Descriptor.encode(), Some(fd.as_fd()));
    send(device)?;
    let namespace = nix::fcntl::open(c"/proc/self/ns/user", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    send(namespace)?;
    for directory in directories(lower, upper) {
        send(open_directory(directory)?)?;
    }
    socket::send(channel, &FromInit::Serve(index).encode(), None)?;
    let mut message = [0; MESSAGE_LEN];
    let (length, _) = loop {
        match socket::receive(channel, &mut message) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if message[..length] == SERVED { Ok(mounted) } else { Err(Errno::EPIPE) }
}

/// A detached mount that nobody serves yet, and what it is served through. It belongs to our user namespace: only there is
/// `/dev/fuse` accepted that was opened in it (`fuse_fill_super`).
pub fn make() -> Result<(OwnedFd, OwnedFd), Errno> {
    let device = nix::fcntl::open(c"/dev/fuse", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let context = FsContext::open(c"fuse")?;
    let number = |number: u32| CString::new(number.to_string()).map_err(|_| Errno::EINVAL);
    let set = |key, value: CString| context.set(key, Some(&value));
    context.set(c"source", Some(c"coracle"))?;
    set(c"fd", number(device.as_raw_fd() as u32)?)?;
    context.set(c"rootmode", Some(c"40000"))?;
    set(c"user_id", number(nix::unistd::geteuid().as_raw())?)?;
    set(c"group_id", number(nix::unistd::getegid().as_raw())?)?;
    // The kernel compares permissions, for whoever is in the namespace.
    context.set(c"default_permissions", None)?;
    context.set(c"allow_other", None)?;
    Ok((context.mount(MountAttrs::NODEV)?, device))
}

/// What the process gets beside the device and the namespace, in order.
pub fn directories<'a>(lower: &'a [CString], upper: Option<&'a Upper>) -> impl Iterator<Item = &'a CStr> {
    let upper = upper.into_iter().flat_map(|upper| [upper.upperdir.as_c_str(), upper.workdir.as_c_str()]);
    upper.chain(lower.iter().map(CString::as_c_str))
}

/// Opens a directory of the store, or of the host.
pub fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}
