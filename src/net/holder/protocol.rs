//! What is said to the process that holds a network, and what it answers: one message each, over a socket that keeps messages
//! apart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::error::HolderError;
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::name::network::NetworkName;
use crate::state::schema::network::{LeaseRecord, NetworkRecord};
use crate::sys::socket;

/// A message is a record and a little more.
const LONGEST: usize = 128 << 10;

/// What is asked of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Attach a container. With it come its network namespace, and a process whose end is its own.
    Join(Box<LeaseRecord>),
    /// Let a container go.
    Leave(ContainerId),
    /// The network has changed.
    Reload(Box<NetworkRecord>),
    /// Give the network's namespace.
    Namespace,
}

/// What it answers. With [`Request::Namespace`] the namespace comes with it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// A container is attached, by the device of this name.
    Attached(String),
    /// A report of a failure ([`Failure::to_report`]).
    Failed(String),
}

/// Sends what is asked.
pub fn ask(socket: BorrowedFd<'_>, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(request).map_err(|_| Errno::EINVAL)?;
    socket::send_with(socket, &bytes, fds)
}

/// What was asked; nothing when the other end is gone, or says what nobody understands.
pub fn hear(socket: BorrowedFd<'_>) -> Option<(Request, Vec<OwnedFd>)> {
    let (bytes, fds) = receive(socket).ok()?;
    Some((serde_json::from_slice(&bytes).ok()?, fds))
}

/// Answers.
pub fn answer(socket: BorrowedFd<'_>, reply: &Reply, fd: Option<BorrowedFd<'_>>) {
    if let Ok(bytes) = serde_json::to_vec(reply) {
        // Who is gone learns nothing.
        let _ = socket::send_with(socket, &bytes, fd.as_slice());
    }
}

fn receive(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut bytes = vec![0; LONGEST];
    loop {
        match socket::receive_several(socket, &mut bytes) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok((0, _)) => return Err(Errno::ECONNRESET),
            Ok((length, fds)) => {
                bytes.truncate(length);
                return Ok((bytes, fds));
            }
        }
    }
}

/// A connection with the process that holds a network.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    network: NetworkName,
}

impl Connection {
    /// Connects with the one that listens at `path`; nothing if there is none.
    pub fn open(path: &Path, network: &NetworkName) -> Option<Self> {
        let socket = crate::sys::unix_socket::connect_to(path).ok()?;
        Some(Self { socket, network: network.clone() })
    }

    /// Keeps it open for what this process executes, too.
    pub fn outlive_us(self) -> Result<(), Errno> {
        use std::os::fd::IntoRawFd;

        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(&self.socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        // Nobody closes it any more: it ends with the process.
        let _ = self.socket.into_raw_fd();
        Ok(())
    }

    /// Asks, and waits for the answer.
    pub fn ask(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(Reply, Option<OwnedFd>), Failure> {
        self.begin(request, fds)?;
        self.answer()
    }

    /// Asks.
    pub fn begin(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let mute = |_| HolderError::Mute(self.network.clone());
        Ok(ask(self.socket.as_fd(), request, fds).map_err(mute)?)
    }

    /// Waits for the answer to what was asked.
    pub fn answer(&self) -> Result<(Reply, Option<OwnedFd>), Failure> {
        let mute = |_| HolderError::Mute(self.network.clone());
        let (bytes, fds) = receive(self.socket.as_fd()).map_err(mute)?;
        match serde_json::from_slice(&bytes).map_err(|_| HolderError::Mute(self.network.clone()))? {
            Reply::Failed(report) => Err(Failure::from_report(report.as_bytes())
                .unwrap_or_else(|| HolderError::Mute(self.network.clone()).into())),
            reply => Ok((reply, fds.into_iter().next())),
        }
    }
}
