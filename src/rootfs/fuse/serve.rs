//! The process that serves an overlay: this program again, under the name [`ROLE_NAME`]. It has the descriptors that it was
//! started with, an empty root directory, and threads; it ends with its mount.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use fuser::{Config, Session, SessionACL};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::overlay::{Overlay, Parts};
use crate::sys::clone::Child;
use crate::sys::mount::{self, FsContext, MountAttrs};
use crate::sys::{pidfd, process};

/// `argv[0]` of the process.
pub const ROLE_NAME: &str = "coracle-fuse";

/// Said once requests are answered.
const READY: u8 = b'+';

/// What is to be served.
#[derive(Debug)]
pub struct Order {
    /// What `/dev/fuse` was opened as by who made the mount.
    pub device: OwnedFd,
    /// The user namespace that the mount belongs to, if that is not ours.
    pub namespace: Option<OwnedFd>,
    /// `upperdir` and `workdir`.
    pub upper: Option<(OwnedFd, OwnedFd)>,
    /// Layers, topmost first.
    pub lower: Vec<OwnedFd>,
    /// Bytes that the upper directory may take.
    pub limit: Option<u64>,
    /// Whether it is lost with the container: nothing is synced.
    pub volatile: bool,
}

/// The same, in the argument of the process: descriptors by number.
#[derive(Debug, Serialize, Deserialize)]
struct Argument {
    device: i32,
    namespace: Option<i32>,
    upper: Option<(i32, i32)>,
    lower: Vec<i32>,
    limit: Option<u64>,
    volatile: bool,
}

impl Order {
    /// Starts a process that serves it, and returns once it does. Our copies of the descriptors are closed: the mount ends with
    /// those of the process.
    pub fn start(self) -> std::io::Result<Child> {
        let number = |fd: &OwnedFd| fd.as_raw_fd();
        let argument = Argument {
            device: number(&self.device),
            namespace: self.namespace.as_ref().map(number),
            upper: self.upper.as_ref().map(|(upper, work)| (number(upper), number(work))),
            lower: self.lower.iter().map(number).collect(),
            limit: self.limit,
            volatile: self.volatile,
        };
        let upper = self.upper.iter().flat_map(|(upper, work)| [upper, work]);
        for fd in [&self.device].into_iter().chain(&self.namespace).chain(upper).chain(&self.lower) {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let mut command = Command::new("/proc/self/exe");
        command.arg0(ROLE_NAME).arg(serde_json::to_string(&argument)?).env_clear().current_dir("/");
        // The keys of a terminal are for the container.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut started = command.spawn()?;
        drop(self);
        let pid = Pid::from_raw(started.id() as i32);
        let child = Child { pid, pidfd: pidfd::open(pid)? };
        let mut answer = Vec::new();
        if let Some(stdout) = started.stdout.take() {
            use std::io::Read;
            stdout.take(256).read_to_end(&mut answer)?;
        }
        match answer.split_first() {
            Some((&READY, _)) => Ok(child),
            Some(_) => {
                let _ = pidfd::wait(child.pidfd.as_fd());
                let text = String::from_utf8_lossy(&answer).into_owned();
                Err(text.parse().map_or_else(|_| std::io::Error::other(text), std::io::Error::from_raw_os_error))
            }
            None => {
                let _ = pidfd::wait(child.pidfd.as_fd());
                Err(std::io::Error::other("the process that is to serve the file system ended"))
            }
        }
    }
}

/// Serves what its only argument says; the exit status. To be called first thing by a program of one thread whose `argv[0]` is
/// [`ROLE_NAME`].
pub fn role_main() -> u8 {
    let answer = std::io::stdout().as_fd().try_clone_to_owned();
    let Ok(null) = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) else { return 1 };
    let result = prepare().and_then(|session| {
        // Whoever waits for it to be ready reads to the end.
        process::duplicate_onto(null.as_fd(), 1)?;
        Ok(session)
    });
    let mut answer = match answer {
        Ok(answer) => std::fs::File::from(answer),
        Err(_) => return 1,
    };
    match result {
        Ok(session) => {
            let told = answer.write_all(&[READY]);
            drop(answer);
            match told.and_then(|()| session.run()) {
                Ok(()) => 0,
                Err(_) => 1,
            }
        }
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = answer.write_all(error.raw_os_error().unwrap_or(libc::EIO).to_string().as_bytes());
            1
        }
    }
}

fn prepare() -> std::io::Result<Session<Overlay>> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let argument: Argument = serde_json::from_str(&argument)?;
    let adopt = |number: i32| match number {
        3.. => process::adopt_fd(number).ok_or(Errno::EBADF),
        _ => Err(Errno::EBADF),
    };
    let device = adopt(argument.device)?;
    let namespace = argument.namespace.map(adopt).transpose()?;
    let upper = argument.upper.map(|(upper, work)| Ok::<_, Errno>((adopt(upper)?, adopt(work)?))).transpose()?;
    let lower = argument.lower.into_iter().map(adopt).collect::<Result<Vec<_>, _>>()?;
    process::close_on_exec_from(3)?;
    process::hide_from_ptrace()?;
    nix::sys::stat::umask(Mode::empty());
    if let Some(namespace) = namespace {
        nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER)?;
    }
    leave_host()?;
    let descriptors = raise_descriptor_limit();
    let parts = Parts { upper, lower, limit: argument.limit, volatile: argument.volatile };
    let overlay = Overlay::new(parts, descriptors)?;
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8));
    Session::from_fd(overlay, device, SessionACL::All, config)
}

/// Makes an empty directory all that can be reached by a path.
fn leave_host() -> Result<(), Errno> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?;
    use nix::mount::MsFlags;
    let none = None::<&std::ffi::CStr>;
    nix::mount::mount(none, c"/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    let context = FsContext::open(c"tmpfs")?;
    context.set(c"mode", Some(c"0555"))?;
    context.set(c"size", Some(c"4k"))?;
    let attributes = MountAttrs::RDONLY.and(MountAttrs::NOSUID).and(MountAttrs::NODEV).and(MountAttrs::NOEXEC);
    let empty = context.mount(attributes)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // Any directory will do.
    let on = nix::fcntl::open(c"/proc", flags, Mode::empty())?;
    mount::attach(empty.as_fd(), on.as_fd())?;
    mount::pivot_to(empty.as_fd())
}

/// How many descriptors may be kept open.
fn raise_descriptor_limit() -> usize {
    let (_, hard) = process::rlimit(libc::RLIMIT_NOFILE).unwrap_or((256, 256));
    let _ = process::set_rlimit(libc::RLIMIT_NOFILE, hard, hard);
    // Some are in use at any time, and there are those of the layers.
    usize::try_from(hard / 2).unwrap_or(usize::MAX).clamp(32, 8192)
}
