//! What a service manager is told of a container (sd_notify(3)): by us, or by the container through us.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::host::env;
use crate::sys::socket;

/// Where a container finds the socket of its monitor.
pub const SOCKET: &str = "/run/notify/notify.sock";

/// What a container may say of itself. Process ids are those of its own namespace, and descriptors are not ours to pass on.
const SAYINGS: &[&str] = &[
    "READY",
    "STATUS",
    "RELOADING",
    "STOPPING",
    "MONOTONIC_USEC",
    "ERRNO",
    "EXTEND_TIMEOUT_USEC",
    "WATCHDOG",
    "WATCHDOG_USEC",
];

/// A message is a few lines; a longer one is cut, as the manager would.
const LONGEST: usize = 4096;

/// The service manager that has started this command, or waits for it.
#[derive(Clone, Debug)]
pub struct Manager(SocketAddr);

impl Manager {
    /// That of the environment; none where there is none, or it is not to be reached.
    pub fn of_caller() -> Option<Self> {
        let name = env::get(&env::NOTIFY_SOCKET)?;
        match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            [b'/', ..] => SocketAddr::from_pathname(&name).ok(),
            _ => None,
        }
        .map(Self)
    }

    /// Tells it. A manager that does not listen is none of the container's business.
    pub fn tell(&self, lines: &str) {
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(lines.as_bytes(), &self.0));
    }
}

/// Passes on what a container says.
#[derive(Debug)]
pub struct Relay {
    manager: Manager,
    socket: OwnedFd,
}

impl Relay {
    /// From the socket that the container has.
    pub fn new(manager: Manager, socket: OwnedFd) -> Self {
        Self { manager, socket }
    }

    /// That socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Passes on what has come. Descriptors are closed: whoever waits for that (sd_notify_barrier(3)) has waited for it.
    pub fn turn(&mut self) {
        let mut message = [0; LONGEST];
        while let Ok((length, _closed)) = socket::receive_now(self.socket(), &mut message) {
            let said = passed_on(&message[..length]);
            if !said.is_empty() {
                self.manager.tell(&said);
            }
        }
    }
}

/// The lines of a message that may be passed on.
fn passed_on(message: &[u8]) -> String {
    let lines = message.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let may_pass = |line: &&str| line.split_once('=').is_some_and(|(key, _)| SAYINGS.contains(&key));
    lines.filter(may_pass).collect::<Vec<_>>().join("\n")
}

/// Whether somebody waits to be told.
pub fn is_awaited() -> bool {
    env::get(&env::NOTIFY_SOCKET).is_some_and(|name| name != OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_speaks_for_itself_only() {
        let message = b"READY=1\nMAINPID=1\nSTATUS=up and running\nFDSTORE=1\nX\nBARRIER=1\nSTOPPING=1";
        assert_eq!(passed_on(message), "READY=1\nSTATUS=up and running\nSTOPPING=1");
        assert_eq!(passed_on(b"MAINPID=7"), "");
        assert_eq!(passed_on(b"STATUS=\xff\nREADY=1"), "READY=1");
    }
}
