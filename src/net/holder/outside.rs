//! The program that connects a network with the network of the host: slirp4netns, or pasta.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::error::HolderError;
use super::inside::{MTU, OUTSIDE};
use crate::host::program;
use crate::name::network::NetworkName;
use crate::net::slirp_ipv6;
use crate::sys::{pidfd, process};

/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it may do in our user namespace: enter the network's namespace and make a device there. Both programs drop it then.
const CAPABILITIES: &[u8] = &[CAP_NET_ADMIN, CAP_SYS_ADMIN];
const CAP_NET_ADMIN: u8 = 12;
const CAP_SYS_ADMIN: u8 = 21;

/// The program at work.
#[derive(Debug)]
pub struct Outside {
    child: Child,
    pidfd: OwnedFd,
    /// Closed, it ends.
    _life: OwnedFd,
}

impl Outside {
    /// Starts it, and waits until it is ready. `namespace` is the network's.
    pub fn start(network: &NetworkName, namespace: BorrowedFd<'_>, has_ipv6: bool) -> Result<Self, HolderError> {
        let (name, path) = ["slirp4netns", "pasta"]
            .into_iter()
            .find_map(|name| program::find(name).map(|path| (name, path)))
            .ok_or_else(|| HolderError::NoProgram(network.clone()))?;
        let failed = |cause| HolderError::Start { network: network.clone(), program: name, cause };
        let (ready, says_ready) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let (ends, life) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env_clear();
        match name {
            "slirp4netns" => {
                command.args(["--configure", &format!("--mtu={MTU}"), "--disable-host-loopback"]);
                command.args(["--enable-seccomp", "--ready-fd=4", "--exit-fd=5", "--netns-type=path"]);
                command.args(if has_ipv6 { &["--enable-ipv6"][..] } else { &[] });
                command.args(["/proc/self/fd/3", OUTSIDE]);
            }
            _ => {
                // It closes what it inherits, so the namespace is named through us.
                let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
                command.args(["--config-net", "--netns-only", "--netns", &path, "--ns-ifname", OUTSIDE]);
                command.args(["--no-map-gw", "--quiet", "--foreground", "-t", "none", "-u", "none"]);
                command.args(["-T", "none", "-U", "none", "--mtu", &MTU.to_string()]);
                command.args(if has_ipv6 { &[][..] } else { &["--ipv4-only"] });
            }
        }
        let given = [namespace, says_ready.as_fd(), ends.as_fd()];
        let mut child = process::spawn_with_capabilities(&mut command, CAPABILITIES, &given).map_err(failed)?;
        // With them go all other ends: the program's death is heard.
        drop((command, says_ready, ends));
        let pidfd = pidfd::open(Pid::from_raw(child.id() as i32)).map_err(|errno| failed(errno.into()))?;
        let is_ready = match name {
            "slirp4netns" => match await_word(&ready) {
                Ok(true) if has_ipv6 => configure_ipv6(namespace).map(|()| true),
                other => other,
            },
            _ => await_device(namespace, &pidfd),
        };
        if is_ready.map_err(failed)? {
            return Ok(Self { child, pidfd, _life: life });
        }
        let mut said = String::new();
        let _ = child.kill();
        let _ = child.wait();
        if let Some(errors) = &mut child.stderr {
            // A child of its own may live on and keep the other end.
            let _ = nix::fcntl::fcntl(&*errors, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK));
            let _ = errors.take(4096).read_to_string(&mut said);
        }
        let said = said.trim().replace('\n', "; ");
        Err(HolderError::Ended { network: network.clone(), program: name, said })
    }

    /// Has something to say when the program has ended.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// slirp4netns writes a byte when it is ready; it closes the pipe when it dies.
fn await_word(ready: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let is_there = loop {
        match poll(&mut fds, limit) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other? > 0,
        }
    };
    if !is_there {
        return Ok(false);
    }
    let mut word = [0; 1];
    Ok(matches!(nix::unistd::read(ready.as_fd(), &mut word), Ok(1)))
}

fn configure_ipv6(namespace: BorrowedFd<'_>) -> io::Result<()> {
    let configure = || -> io::Result<()> {
        crate::sys::namespace::enter_network(namespace)?;
        Ok(slirp_ipv6::configure(OUTSIDE)?)
    };
    std::thread::scope(|scope| scope.spawn(configure).join()).unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// pasta in the foreground tells nobody when it is ready: its device does.
fn await_device(namespace: BorrowedFd<'_>, pidfd: &OwnedFd) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let wait = || -> io::Result<bool> {
        crate::sys::namespace::enter_network(namespace)?;
        let netlink = crate::net::netlink::Netlink::open()?;
        loop {
            let routed = crate::net::link::default_route(&netlink)?;
            if routed.is_some() {
                return Ok(true);
            }
            let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            // The kernel would tell over netlink, but only of what comes after the question.
            let ended = poll(&mut fds, PollTimeout::from(2_u8)).is_ok_and(|count| count > 0);
            if ended || Instant::now() > deadline {
                return Ok(false);
            }
        }
    };
    std::thread::scope(|scope| scope.spawn(wait).join()).unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}
