//! The ids of a process that joins a container whose ids are virtual: its monitor knows which limit stands for them, and has the
//! process's system calls answered.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use crate::container::monitor::frame::Frame;
use crate::container::monitor::listener;
use crate::failure::Failure;
use crate::identity::credentials::Credentials;
use crate::identity::table;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;
use crate::sys::socket;

/// The container's monitor, which has been asked.
pub struct Supervision {
    monitor: OwnedFd,
    /// The limit that stands for the process's credentials.
    pub limit: u64,
}

/// Asks the monitor of a container for the limit that stands for `credentials`.
pub fn ask(layout: &Layout, id: &ContainerId, credentials: &Credentials) -> Result<Supervision, Failure> {
    let failed = |errno| failure("asking the container's monitor for the ids of a new process", errno);
    let monitor = listener::connect_to(&layout.attach_socket(id))
        .or_else(|_| listener::connect_to(&layout.ids_socket(id)))
        .map_err(failed)?;
    socket::send(monitor.as_fd(), &Frame::Credentials(&table::encode(credentials)).encode(), None).map_err(failed)?;
    loop {
        // What the container writes comes, too.
        let mut message = vec![0; crate::container::monitor::frame::FRAME_LIMIT];
        let (length, _) = match socket::receive(monitor.as_fd(), &mut message) {
            Err(Errno::EINTR) => continue,
            other => other.map_err(failed)?,
        };
        match Frame::decode(&message[..length]) {
            Some(Frame::Limit(limit)) if table::is_carried(limit) => return Ok(Supervision { monitor, limit }),
            Some(Frame::Limit(_)) => return Err(failed(Errno::EAGAIN)),
            None => return Err(failed(Errno::EPIPE)),
            Some(_) => {}
        }
    }
}

impl Supervision {
    /// Has the system calls answered that come from `listener`.
    pub fn hand_over(self, listener: &OwnedFd) -> Result<(), Failure> {
        let sent = socket::send(self.monitor.as_fd(), &Frame::Listener.encode(), Some(listener.as_fd()));
        sent.and_then(|()| socket::send(self.monitor.as_fd(), &Frame::Leave.encode(), None))
            .map_err(|errno| failure("handing the process's system calls to the container's supervisor", errno))
    }
}

fn failure(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}
