//! Published ports of one container: a process, `coracle-ports`, that is in the container's network namespace and passes on what comes
//! to listeners which were made, and are kept, outside ([`super::relay`]).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ipnet::IpNet;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::link;
use super::netlink::Netlink;
use super::ports::{Published, Source};
use super::relay::{self, Face, Way};
use crate::sys::clone::{Child, fork_into};
use crate::sys::credentials::{self, ThreadCapabilities};
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{memory, namespace, pidfd, process};

/// The mark of connections that are for us under the address of somebody else, in the container's network namespace.
const MARK: u32 = 0x636f_7261;

/// To have such addresses (CAP_NET_ADMIN, CAP_NET_RAW).
const CAPABILITIES: u64 = 1 << 12 | 1 << 13;

/// The process at work. Dropped, it is killed.
#[derive(Debug)]
pub struct Forwarder {
    child: Child,
    /// Where it says that it is ready, and is told to begin.
    channel: OwnedFd,
    has_begun: bool,
}

impl Forwarder {
    /// Starts it beside a container, whose own address is `address`. What comes is let wait until [`Self::begin`].
    pub fn start(
        proof: &SingleThreaded,
        network: BorrowedFd<'_>,
        ports: &[(Published, Source)],
        address: IpNet,
    ) -> io::Result<Self> {
        let (channel, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let users = namespace::owner(network)?;
        let parent = nix::unistd::getpid();
        let child = fork_into(proof, CloneFlags::empty(), None, || {
            process::reset_signals();
            process::set_name(c"coracle-ports");
            memory::set_command_line("coracle-ports");
            let named = [network, users.as_fd(), theirs.as_fd()];
            let sources = ports.iter().map(|(_, source)| source.as_fd());
            let mut kept: Vec<i32> = named.into_iter().chain(sources).map(|fd| fd.as_raw_fd()).collect();
            kept.sort_unstable();
            process::close_others(&kept);
            let work = || -> io::Result<()> {
                let face = prepare(network, users.as_fd(), address)?;
                if nix::unistd::getppid() != parent {
                    return Err(Errno::ESRCH.into());
                }
                let ways = ports.iter().map(|(port, source)| way(port, source, address.addr(), &face));
                let ways = ways.collect::<io::Result<Vec<_>>>()?;
                nix::unistd::write(&theirs, &[0])?;
                if nix::unistd::read(&theirs, &mut [0])? == 1 {
                    relay::pass_on(ways)?;
                }
                Ok(())
            };
            work().err().map_or(0, |cause| cause.raw_os_error().and_then(|errno| u8::try_from(errno).ok()).unwrap_or(1))
        })?;
        Ok(Self { child, channel, has_begun: false })
    }

    /// Waits until it is ready, and lets it begin.
    pub fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        loop {
            match nix::unistd::read(&self.channel, &mut [0]) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Err(self.failure()),
                Err(errno) => return Err(errno.into()),
                Ok(_) => break,
            }
        }
        nix::unistd::write(&self.channel, &[0])?;
        Ok(())
    }

    /// Readable when it has ended.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        poll(&mut [PollFd::new(self.process(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Why it ended.
    pub fn failure(&self) -> io::Error {
        match pidfd::wait(self.process()) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => io::Error::from_raw_os_error(code),
            Ok(nix::sys::wait::WaitStatus::Signaled(_, signal, _)) => {
                io::Error::other(format!("its process was killed by {signal}"))
            }
            _ => io::Error::other("its process has ended"),
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = pidfd::send_signal(self.process(), libc::SIGKILL);
        // What it has of the host is free then.
        let _ = pidfd::wait(self.process());
    }
}

/// Enters the namespaces, and keeps of what may be done there only what is needed. Under whose addresses the container is spoken to.
fn prepare(network: BorrowedFd<'_>, users: BorrowedFd<'_>, address: IpNet) -> io::Result<Face> {
    nix::unistd::setsid()?;
    // Who is root of the host, or of a user namespace above, is not kept out, and has nothing to enter.
    if namespace::enter_network(network).is_err() {
        nix::sched::setns(users, CloneFlags::CLONE_NEWUSER)?;
        namespace::enter_network(network)?;
    }
    // New credentials undo both.
    process::hide_from_ptrace()?;
    process::die_with_parent()?;
    let face = match lend() {
        Ok(()) => Face::Clients { but: vec![address.trunc()], mark: Some(MARK) },
        // Some kernels cannot do this; all else works without.
        Err(_) => Face::Ours,
    };
    credentials::limit_bounding_set(CAPABILITIES)?;
    let kept = ThreadCapabilities { effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: 0 };
    credentials::set_capabilities(kept)?;
    credentials::set_no_new_privileges()?;
    Ok(face)
}

/// Lets a connection that was made with our mark keep it, so that what is answered stays in this namespace (ip-sysctl,
/// tcp_fwmark_accept): nothing is asked about other packets.
fn lend() -> io::Result<()> {
    let netlink = Netlink::open()?;
    let loopback = link::find(&netlink, "lo")?.ok_or(Errno::ENODEV)?;
    std::fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")?;
    Ok(link::keep_marked(&netlink, loopback, MARK)?)
}

fn way(port: &Published, source: &Source, address: IpAddr, face: &Face) -> io::Result<Way> {
    let (source, face) = match source {
        Source::Tcp(listener) => (Source::Tcp(listener.try_clone()?), face.clone()),
        // An answer is a datagram of its own, which knows of no mark.
        Source::Udp(socket) => (Source::Udp(socket.try_clone()?), Face::Ours),
    };
    Ok(Way { source, target: SocketAddr::new(address, port.container_port), face })
}
