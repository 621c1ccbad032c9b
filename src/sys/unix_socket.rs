//! Listening at a path and connecting to it, with messages that are kept apart (unix(7), SOCK_SEQPACKET).

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, socket};
use nix::sys::stat::Mode;

/// Listens at `path`. What a dead process has left there is replaced.
pub fn listen_at(path: &Path) -> Result<OwnedFd, Errno> {
    let listener = new_socket()?;
    let _ = fs::remove_file(path);
    with_address(path, |address| bind(listener.as_raw_fd(), address))?;
    listen(&listener, Backlog::new(16)?)?;
    Ok(listener)
}

/// Connects to whoever listens at `path`.
pub fn connect_to(path: &Path) -> Result<OwnedFd, Errno> {
    let client = new_socket()?;
    with_address(path, |address| connect(client.as_raw_fd(), address))?;
    Ok(client)
}

/// A socket of datagrams that others reach at a new path below a directory.
pub fn bind_below(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let listener = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name.to_bytes()].concat();
    bind(listener.as_raw_fd(), &UnixAddr::new(path.as_slice())?)?;
    Ok(listener)
}

fn new_socket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// An address holds 107 bytes of a path (unix(7)), less than a runtime directory may have: the directory is named by a
/// descriptor.
fn with_address(path: &Path, use_it: impl Fn(&UnixAddr) -> Result<(), Errno>) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::EINVAL) };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = nix::fcntl::open(parent, flags, Mode::empty())?;
    let mut short = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    short.extend_from_slice(name.as_bytes());
    use_it(&UnixAddr::new(short.as_slice())?)
}

/// The next who connects.
pub fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel has just made this descriptor for us.
    accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
