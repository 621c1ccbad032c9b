//! The jail's side: what the process named [`ROLE_NAME`](super::ROLE_NAME) does.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;

use super::apply::{Ids, apply};
use super::error::{ReportLine, UnpackError};
use super::limits::{LOGICAL, Limits};
use super::{IDENTITY, READY, SINGLE};
use crate::sys::landlock::{self, FileAccess};
use crate::sys::{namespace, seccomp};

/// Files open at once: the standard ones, the tree's root, its parents, and some to spare.
const OPEN_FILES: u64 = 64;
/// Memory, in bytes: more than anything that is kept, much less than a machine has.
const ADDRESS_SPACE: u64 = 1 << 30;

/// Unpacks the tar on standard input into the current directory, which becomes all that this process sees.
///
/// To be called first thing by a program of one thread whose `argv[0]` is [`ROLE_NAME`](super::ROLE_NAME) and whose only
/// argument is the JSON of [`Limits`]. Returns the exit status: 0, with the layer's manifest on standard output, or 1, with
/// one line of JSON on standard error.
///
/// `filter` is what remains of the system calls once the process is shut in: it is installed with the last restriction.
pub fn role_main(filter: &[libc::sock_filter]) -> u8 {
    let Err(error) = run(filter) else { return 0 };
    if let Ok(mut line) = serde_json::to_vec(&ReportLine::of(&error)) {
        line.push(b'\n');
        // Nobody is left to be told if this fails.
        let _ = std::io::stderr().write_all(&line);
    }
    1
}

fn run(filter: &[libc::sock_filter]) -> Result<(), UnpackError> {
    namespace::close_from(3).map_err(confining("closing inherited files"))?;
    let limits = limits_argument()?;
    let mut tar = duplicate(std::io::stdin().as_fd())?;
    let mut report = duplicate(std::io::stdout().as_fd())?;
    let (root, ids) = confine(&mut tar, &mut report)?;
    restrain(root.as_fd(), filter)?;
    let manifest = apply(root, ids, tar, &limits)?;
    let json = serde_json::to_vec(&manifest).map_err(|error| channel("writing the report")(error.into()))?;
    report.write_all(&json).map_err(channel("writing the report"))
}

fn confining(action: &'static str) -> impl FnOnce(Errno) -> UnpackError {
    move |source| UnpackError::Confine { action, source }
}

fn channel(action: &'static str) -> impl FnOnce(std::io::Error) -> UnpackError {
    move |source| UnpackError::Channel { action, source }
}

fn limits_argument() -> Result<Limits, UnpackError> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    serde_json::from_str(&argument).map_err(|error| channel("reading the limits")(error.into()))
}

/// A standard stream without the buffer that the library puts before it.
fn duplicate(stream: BorrowedFd<'_>) -> Result<File, UnpackError> {
    stream.try_clone_to_owned().map(File::from).map_err(channel("opening the standard streams"))
}

/// Leaves everything behind but the current directory, which is returned.
fn confine(orders: &mut File, report: &mut File) -> Result<(OwnedFd, Ids), UnpackError> {
    namespace::unshare_parser().map_err(confining("making namespaces"))?;
    // Whoever started us has the lock on this directory: after its death others may remove it.
    crate::sys::process::die_with_parent().map_err(confining("tying itself to its parent"))?;
    report.write_all(&[READY]).map_err(channel("asking for ids"))?;
    let mut order = [0];
    orders.read_exact(&mut order).map_err(channel("waiting for ids"))?;
    let ids = match order[0] {
        SINGLE => Ids::Single,
        IDENTITY => Ids::Many,
        _ => return Err(confining("waiting for ids")(Errno::EPROTO)),
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let target = nix::fcntl::open(c".", flags, Mode::empty()).map_err(confining("opening the layer's directory"))?;
    namespace::confine_to(target.as_fd()).map_err(confining("leaving the host's files"))?;
    // Not `target`: that is on the mount which has just been detached.
    let root = nix::fcntl::open(c"/", flags, Mode::empty()).map_err(confining("opening the layer's directory"))?;
    Ok((root, ids))
}

/// What the jail has to do with files: it writes some and reads none.
const FILLING: FileAccess = FileAccess::WRITE_FILE
    .and(FileAccess::READ_DIR)
    .and(FileAccess::REMOVE_DIR)
    .and(FileAccess::REMOVE_FILE)
    .and(FileAccess::MAKE_CHAR)
    .and(FileAccess::MAKE_DIR)
    .and(FileAccess::MAKE_REG)
    .and(FileAccess::MAKE_FIFO)
    .and(FileAccess::MAKE_SYM)
    .and(FileAccess::REFER);

/// Gives up all that filling `root` does not take. Nothing of it can be had again.
fn restrain(root: BorrowedFd<'_>, filter: &[libc::sock_filter]) -> Result<(), UnpackError> {
    nix::sys::prctl::set_no_new_privs().map_err(confining("giving up privileges"))?;
    nix::sys::stat::umask(Mode::empty());
    // Blocked, the signal leaves a failed write behind instead of a dead process.
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().map_err(confining("blocking SIGXFSZ"))?;
    lower(Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    lower(Resource::RLIMIT_AS, ADDRESS_SPACE)?;
    // What the tar may have is counted; files with holes may be longer.
    lower(Resource::RLIMIT_FSIZE, LOGICAL)?;
    lower(Resource::RLIMIT_NPROC, 0)?;
    lower(Resource::RLIMIT_CORE, 0)?;
    landlock::restrict_to(root, FILLING).map_err(confining("keeping to the layer's directory"))?;
    seccomp::install(filter, 0).map_err(|source| UnpackError::Filter { source })
}

fn lower(resource: Resource, limit: u64) -> Result<(), UnpackError> {
    let set = getrlimit(resource).and_then(|(soft, hard)| setrlimit(resource, soft.min(limit), hard.min(limit)));
    set.map_err(confining("setting resource limits"))
}
