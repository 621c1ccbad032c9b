//! A helper at work: slirp4netns(1) or pasta(1), started beside the container's own start, confined by its own flags, and
//! gone with us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::error::NetworkError;
use super::plan::{Helper, UserPlan};
use super::ports::{self, Published};
use super::slirp_api;
use crate::sys::beside::{self, Beside};
use crate::sys::{namespace, pidfd};

/// How long a helper may take until it is ready: it is ready at once, or waits for something that does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is kept of what a helper says.
const WORDS: u64 = 600;

/// Removes what the helper of a container that ended without us has left.
pub fn forget_left(place: &Place) {
    for name in [ready_name(place), api_name(place)] {
        let _ = fs::remove_file(place.directory.join(name));
    }
}

/// Where a helper's files are: a directory of ours, and how their names begin.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory, which nobody but us may enter.
    pub directory: PathBuf,
    /// The beginning of names.
    pub name: String,
}

/// Who we are in the container's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Us {
    /// Its root.
    Root,
    /// Another user, and there is no root.
    User,
}

/// A helper that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    kind: Helper,
    child: Child,
    process: OwnedFd,
    /// Where it says that it is ready, until it has.
    ready: Option<OwnedFd>,
    /// What it says beside.
    words: File,
    place: Place,
    program: PathBuf,
}

impl Running {
    /// Starts the helper for a container's network namespace. It is ready when [`Self::await_ready`] says so.
    pub fn start(
        plan: &UserPlan,
        ports: &[Published],
        (namespace, us): (BorrowedFd<'_>, Us),
        place: Place,
    ) -> Result<Self, NetworkError> {
        let failed = |cause: io::Error| NetworkError::Start { program: plan.program.display().to_string(), cause };
        let users = namespace::owner(namespace).map_err(|errno| failed(errno.into()))?;
        let words = memfd_create(c"coracle-helper", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let words = File::from(words);
        let mut command = Command::new(&plan.program);
        // Names of files are short then: that of a socket has a limit (unix(7)).
        command.env_clear().current_dir(&place.directory).args(&plan.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words.try_clone().map_err(failed)?);
        let (child, ready) = match plan.helper {
            Helper::Slirp => start_slirp(command, plan, ports, (namespace, us, &users), &place).map_err(failed)?,
            Helper::Pasta => start_pasta(command, ports, namespace, users, &place).map_err(failed)?,
        };
        let process = pidfd::open(Pid::from_raw(child.id().cast_signed())).map_err(|errno| failed(errno.into()))?;
        let program = plan.program.clone();
        Ok(Self { kind: plan.helper, child, process, ready: Some(ready), words, place, program })
    }

    /// Waits until it is ready, and publishes what it cannot publish itself.
    pub fn await_ready(&mut self, plan: &UserPlan, ports: &[Published]) -> Result<(), NetworkError> {
        let Some(ready) = self.ready.take() else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut fds = [ready.as_fd(), self.process.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left.as_millis() as i32).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, left) {
                Ok(0) => return Err(self.told("is not ready after 20 seconds")),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(NetworkError::Ports(errno.into())),
            }
            let is_ready = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
            if is_ready {
                break;
            }
            if fds[1].any() == Some(true) {
                return Err(self.failure());
            }
        }
        self.forget_files(true);
        if self.kind == Helper::Slirp && !ports.is_empty() {
            let api = slirp_api::Api::new(&self.place.directory, &self.api_name());
            for port in ports {
                api.publish(port, plan.address.0)?;
            }
        }
        Ok(())
    }

    /// Readable when it has ended.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Why it ended.
    pub fn failure(&mut self) -> NetworkError {
        let status = self.child.wait().map_or_else(|_| "ended".into(), |status| format!("ended ({status})"));
        self.told(&status)
    }

    fn told(&mut self, what: &str) -> NetworkError {
        let mut words = Vec::new();
        let length = self.words.seek(SeekFrom::End(0)).unwrap_or(0);
        let _ = self.words.seek(SeekFrom::Start(length.saturating_sub(WORDS)));
        let _ = (&self.words).take(WORDS).read_to_end(&mut words);
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| tells(line)).collect();
        let hint = hint(&words, &self.program);
        let words = if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) };
        NetworkError::Helper { program: self.kind.name(), what: what.to_owned(), words, hint }
    }

    fn api_name(&self) -> String {
        api_name(&self.place)
    }

    /// Files that it leaves; some are needed while it lives.
    fn forget_files(&self, lives: bool) {
        let _ = fs::remove_file(self.place.directory.join(ready_name(&self.place)));
        if !lives {
            let _ = fs::remove_file(self.place.directory.join(self.api_name()));
        }
    }

    /// Kills it, and waits until it is gone with all that it had of the host.
    pub fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its device takes the kernel a while: nobody waits for that who does not need what it has.
        let _ = self.child.kill();
        let _ = self.child.try_wait();
        self.forget_files(false);
    }
}

/// Whether a line of a helper is about a failure.
fn tells(line: &str) -> bool {
    let chatter = [
        "sent tapfd",
        "received tapfd",
        "Starting slirp",
        "starting slirp",
        "* ",
        "WARNING: Support for seccomp",
        "Failed to send",
    ];
    !line.is_empty() && !chatter.iter().any(|start| line.starts_with(start))
}

fn hint(words: &str, program: &Path) -> Option<String> {
    if words.contains("/dev/net/tun") {
        return Some("the device /dev/net/tun is needed: as root, modprobe tun; chmod 666 /dev/net/tun".into());
    }
    if words.contains("unrecognized option") || words.contains("invalid option") || words.contains("Usage") {
        return Some(format!("{} does not know an option that it was given: {}", program.display(), version(program)));
    }
    if words.contains("routable interface") || words.contains("External interface not usable") {
        return Some("pasta needs a route to other hosts: --network slirp4netns does not".into());
    }
    None
}

/// The version of a program, asked for only once it has failed.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").env_clear().stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "its version is unknown".into(), |line| format!("it is {}", line.trim()))
}

fn ready_name(place: &Place) -> String {
    format!("{}.ready", place.name)
}

fn api_name(place: &Place) -> String {
    format!("{}.slirp", place.name)
}

/// slirp4netns is started in the container's user namespace where our user is root there: it may confine itself then. Else it
/// would lose what it may do with its execution, and enters by itself for as long as it makes the device. It is told the
/// namespaces as descriptors, and says on another that it is ready.
fn start_slirp(
    mut command: Command,
    plan: &UserPlan,
    ports: &[Published],
    (namespace, us, users): (BorrowedFd<'_>, Us, &OwnedFd),
    place: &Place,
) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    command.arg(format!("--ready-fd={}", theirs.as_raw_fd()));
    command.args(["--enable-seccomp", "--netns-type=path"]);
    match us {
        Us::Root => command.arg("--enable-sandbox"),
        Us::User => command.arg(format!("--userns-path=/proc/self/fd/{}", users.as_raw_fd())),
    };
    if !ports.is_empty() {
        let _ = fs::remove_file(place.directory.join(api_name(place)));
        command.arg(format!("--api-socket={}", api_name(place)));
    }
    command.args([format!("/proc/self/fd/{}", namespace.as_raw_fd()), plan.device.clone()]);
    let beside = Beside {
        users: (us == Us::Root).then(|| users.as_fd()),
        inherited: [namespace, theirs.as_fd(), users.as_fd()].map(Some),
    };
    Ok((beside::spawn(&mut command, beside)?, ours))
}

/// pasta closes all descriptors but the standard ones, and enters the user namespace by itself: it gets both namespaces as
/// standard input and output. That it is ready it says by writing its number, for which it gets a pipe with a name.
fn start_pasta(
    mut command: Command,
    ports: &[Published],
    namespace: BorrowedFd<'_>,
    users: OwnedFd,
    place: &Place,
) -> io::Result<(Child, OwnedFd)> {
    let ready = place.directory.join(ready_name(place));
    let _ = fs::remove_file(&ready);
    nix::unistd::mkfifo(&ready, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let ours = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&ready)?;
    if nix::unistd::geteuid().is_root() {
        // Else it becomes nobody, whose namespaces these are not.
        command.args(["--runas", "0:0"]);
    }
    for [flag, ports] in ports::pasta_words(ports) {
        command.args([flag, ports]);
    }
    let mut words: Vec<OsString> =
        ["--userns", "/proc/self/fd/1", "--netns", "/proc/self/fd/0", "--pid"].map(Into::into).into();
    words.push(ready_name(place).into());
    command.args(words).stdin(namespace.try_clone_to_owned()?).stdout(users);
    let child = beside::spawn(&mut command, Beside { users: None, inherited: [None; 3] })?;
    Ok((child, ours.into()))
}
