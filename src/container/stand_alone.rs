//! A process that stands alone: nobody's child, in a session of its own, it outlives the command that forks it.
//!
//! ```text
//!   command                            process
//!      | -- (fork, fork) -----------------> |
//!      | <-- report: started, or failure -- |
//!      | <=== frames of a client, if any => |
//! ```

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use nix::sys::stat::Mode;

use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{clone, pidfd, process, socket};

/// What is reported of a start; anything else is a failure.
const STARTED: &[u8] = b"started";

/// A failure is a few lines.
const REPORT_LIMIT: usize = 64 << 10;

/// The process's end of its connection with the command.
#[derive(Debug)]
pub struct Command(OwnedFd);

/// Forks a process that does `work`, which reports its start or failure and returns the exit status. Returns what a started one
/// is connected by: a client's socket.
pub fn fork(proof: &SingleThreaded, work: impl FnOnce(Command) -> u8) -> Result<OwnedFd, Failure> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = pair.map_err(|errno| internal("making a socket", errno))?;
    let middle = clone::fork_or_child(proof, CloneFlags::empty()).map_err(|errno| internal("forking", errno))?;
    let Some(middle) = middle else {
        process::exit_now(match clone::fork(proof) {
            Ok(None) => {
                // Who keeps the other end does not see when it is closed.
                drop(ours);
                work(Command(theirs))
            }
            Ok(Some(_)) => 0,
            Err(_) => EXIT_OWN_FAILURE,
        })
    };
    drop((theirs, work));
    let _ = pidfd::wait(middle.pidfd.as_fd());
    let mut report = vec![0; REPORT_LIMIT];
    let length = receive(&ours, &mut report).map_err(|errno| internal("waiting for a start", errno))?;
    match report.get(..length) {
        Some(STARTED) => Ok(ours),
        report => Err(report.and_then(Failure::from_report).unwrap_or_else(|| {
            Failure::new("E_HELPER_DIED", "the process that serves the container ended before anything was started")
        })),
    }
}

fn receive(socket: &OwnedFd, report: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match recv(socket.as_raw_fd(), report, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

impl Command {
    /// Reports a start; what is left is a client. One that is gone learns nothing.
    pub fn report_start(self) -> OwnedFd {
        let _ = socket::send(self.0.as_fd(), STARTED, None);
        self.0
    }

    /// Reports a failure; the exit status.
    pub fn report_failure(self, failure: &Failure) -> u8 {
        let _ = socket::send(self.0.as_fd(), &failure.to_report(), None);
        EXIT_OWN_FAILURE
    }
}

/// Has something to say when the command is gone.
impl AsFd for Command {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Leaves the caller's session, directory and streams; what stands for these now.
pub fn leave_session() -> Result<OwnedFd, Failure> {
    let left = nix::unistd::setsid().and_then(|_| nix::unistd::chdir("/"));
    left.map_err(|errno| internal("leaving the session", errno))?;
    let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    let null = null.map_err(|errno| internal("opening /dev/null", errno))?;
    for number in 0..3 {
        process::duplicate_onto(null.as_fd(), number).map_err(|errno| internal("closing the streams", errno))?;
    }
    Ok(null)
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}
