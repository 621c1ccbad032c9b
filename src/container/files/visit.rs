//! A process of ours in a container's root: how it gets there, and how it is heard of.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use super::made::Made;
use super::pack::Owners;
use super::recorded::Recorded;
use crate::container::driver;
use crate::failure::Failure;
use crate::host::boot::process_start;
use crate::identity::map::{Caller, Ranges};
use crate::name::capability::CapabilitySet;
use crate::name::ids::IdsMode;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::spawn;
use crate::runtime::step::Step;
use crate::state::layout::Layout;
use crate::state::schema::container::{ContainerRecord, ProcessesRecord};
use crate::state::temporary::{self, Kind};
use crate::sys::clone::Child;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{credentials, pidfd};

/// A failure of ours that no user can cause.
pub fn internal(doing: &str, cause: impl std::fmt::Display) -> Failure {
    Failure::new("E_IO", format!("{doing}: {cause}"))
}

/// Who asks, and may map what.
pub fn caller() -> Result<Caller, Failure> {
    let capabilities = credentials::capabilities().map_err(|errno| internal("reading our capabilities", errno))?;
    Ok(Caller::current(CapabilitySet::from_bits(capabilities.effective)))
}

/// The plan that enters namespaces of its own, then does `steps`, which end in the root. Paths are relative to the store.
pub fn fresh(layout: &Layout, steps: Vec<Step>) -> Result<LaunchPlan, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let caller = caller()?;
    let store = std::ffi::CString::new(layout.data().as_os_str().as_bytes()).unwrap_or_default();
    let (identity, id_maps) = match caller.ranges {
        Some(ranges) => (Step::AwaitIdMaps, Some((ranges.uid_map, ranges.gid_map))),
        None => {
            let (uid_map, gid_map) = (format!("0 {} 1\n", caller.uid), format!("0 {} 1\n", caller.gid));
            (Step::MapOwnIds { uid_map, gid_map }, None)
        }
    };
    let begin = [Step::SetUmask(0), identity, Step::TieToMonitor, Step::EnterStore(store)];
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let falls_back = layout.storage_driver().is_none();
    let steps = begin.into_iter().chain(steps).collect();
    Ok(LaunchPlan { namespaces, id_maps, falls_back, ..LaunchPlan::without_namespaces(steps) })
}

/// The plan that enters a running container; nothing if its process is gone.
pub fn join(processes: &ProcessesRecord) -> Option<LaunchPlan> {
    let member = pidfd::open(nix::unistd::Pid::from_raw(processes.init)).ok()?;
    // Looked at after the descriptor was opened: a number that was given anew has another start.
    if process_start(processes.init) != Some(processes.init_start) {
        return None;
    }
    Some(LaunchPlan::visiting(member))
}

/// Where the visitor is.
pub struct Inside {
    /// The root directory.
    pub root: OwnedFd,
    /// Mounts that the plan made.
    pub mounts: Vec<Option<OwnedFd>>,
}

/// How the owners of a container's files are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// By the file system: it has several ids.
    Real(Ranges),
    /// By what is recorded. What has no record belongs to 0:0.
    Recorded,
    /// By what is recorded, but the container records nothing: it has one id, which is its user's and group's.
    One(u32, u32),
}

impl Ids {
    /// Those of the container, as far as its record and our privileges tell.
    pub fn of(record: &ContainerRecord) -> Result<Self, Failure> {
        let (uid, gid) = record.process.ids;
        let mode = record.ids.as_ref().map(|ids| ids.mode);
        Ok(match (mode, caller()?.ranges) {
            (Some(IdsMode::Emulate), _) => Self::Recorded,
            (Some(IdsMode::Native | IdsMode::Fake), _) | (_, None) => Self::One(uid, gid),
            (_, Some(ranges)) => Self::Real(ranges),
        })
    }

    /// Those of a volume, into which containers of any kind may have written.
    pub fn of_volume() -> Result<Self, Failure> {
        Ok(caller()?.ranges.map_or(Self::Recorded, Self::Real))
    }

    /// Whose files without a record are; nothing where the file system says it.
    pub fn unrecorded(&self) -> Option<(u32, u32)> {
        match self {
            Self::Real(_) => None,
            Self::Recorded => Some((0, 0)),
            Self::One(uid, gid) => Some((*uid, *gid)),
        }
    }

    /// Owners of its files as they are packed.
    pub fn owners(&self) -> Owners {
        match self {
            Self::Real(ranges) => Owners::Real(ranges.clone()),
            Self::Recorded | Self::One(..) => Owners::Recorded { uid: 0, gid: 0 },
        }
    }

    /// Whose files without a record are, where only the container itself can be looked at: all that it sees are its user's.
    pub fn owners_from_inside(&self) -> Owners {
        match self {
            Self::One(uid, gid) => Owners::Recorded { uid: *uid, gid: *gid },
            _ => self.owners(),
        }
    }

    /// Whether it has to be known what the container has made to know whose that is.
    pub fn need_layers(&self, recorded: &Recorded) -> bool {
        matches!(self, Self::One(uid, gid) if recorded.has_others || (*uid, *gid) != (0, 0))
    }

    /// What says so, where the visitor's plan holds the container's own layer and what is below it.
    pub fn made(&self, inside: &Inside) -> Result<Option<Made>, Failure> {
        match self {
            Self::One(uid, gid) => Made::new(inside, (*uid, *gid)).map(Some),
            _ => Ok(None),
        }
    }
}

/// A visitor at work. Dropped before it is finished, it is killed.
pub struct Visitor {
    child: Child,
    /// What serves the root that it is in.
    servers: Vec<Child>,
    /// Where it leaves what nobody needs once it is gone.
    scratch: Option<PathBuf>,
    report: File,
    waited: bool,
}

/// Starts a visitor that does `work`, which gets its end of the pipe `data`. Its result is bytes, few of them.
pub fn start(
    plan: &mut LaunchPlan,
    data: BorrowedFd<'_>,
    work: impl FnOnce(Inside, File) -> Result<Vec<u8>, Failure>,
) -> Result<Visitor, Failure> {
    let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
    let (report, reporter) = io::pipe().map_err(|cause| internal("making a pipe", cause))?;
    // It is done in the child's memory: here it stays to be done.
    let mut work = Some(work);
    let (child, servers) = loop {
        let visit = |mounts| {
            let result = inside(mounts).and_then(|inside| {
                let data = data.try_clone_to_owned().map_err(|cause| internal("taking the pipe", cause))?;
                let work = work.take().ok_or_else(|| internal("visiting", "it was done before"))?;
                work(inside, File::from(data))
            });
            let (code, report) = match result {
                Ok(bytes) => (0, [&[OK][..], &bytes].concat()),
                Err(failure) => (crate::failure::EXIT_OWN_FAILURE, [&[FAILED][..], &failure.to_report()].concat()),
            };
            // Nobody is left to tell if this fails.
            let _ = (&reporter).write_all(&report);
            code
        };
        match spawn::visit(&proof, plan, &[data.as_raw_fd(), reporter.as_raw_fd()], visit) {
            Ok(visitor) => break visitor,
            Err(error) if driver::next(plan, &error).is_some() => {}
            Err(error) => return Err(error.into()),
        }
    };
    drop(reporter);
    let scratch = plan.scratch();
    Ok(Visitor { child, servers, scratch, report: File::from(OwnedFd::from(report)), waited: false })
}

const OK: u8 = b'0';
const FAILED: u8 = b'1';
/// A report is a list of names at most.
const MAX_REPORT: u64 = 16 << 20;

fn inside(mounts: Vec<Option<OwnedFd>>) -> Result<Inside, Failure> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = nix::fcntl::open(c"/", flags, Mode::empty());
    let root = root.map_err(|errno| internal("opening the container's root", errno))?;
    // A deep tree is gone through with a descriptor for each level.
    if let Ok((_, hard)) = crate::sys::process::rlimit(libc::RLIMIT_NOFILE) {
        let _ = crate::sys::process::set_rlimit(libc::RLIMIT_NOFILE, hard, hard);
    }
    Ok(Inside { root, mounts })
}

impl Visitor {
    /// Waits for the visitor's end; what it has to say.
    pub fn finish(mut self) -> Result<Vec<u8>, Failure> {
        let mut report = Vec::new();
        let read = (&self.report).take(MAX_REPORT).read_to_end(&mut report);
        read.map_err(|cause| internal("hearing of the container's files", cause))?;
        self.wait();
        match report.split_first() {
            Some((&OK, result)) => Ok(result.to_vec()),
            Some((&FAILED, failure)) if let Some(failure) = Failure::from_report(failure) => Err(failure),
            _ => Err(Failure::new("E_HELPER_DIED", "the process that visits the container's files has died")),
        }
    }

    /// Waits until it is gone, and what served it: then all that was written is there.
    fn wait(&mut self) {
        for child in std::iter::once(&self.child).chain(&self.servers) {
            let _ = pidfd::wait(child.pidfd.as_fd());
        }
        if let Some(scratch) = self.scratch.take() {
            let _ = temporary::collect(&scratch, &[Kind::Trash], temporary::remove);
        }
        self.waited = true;
    }

    /// The visitor's own failure, where it has one, else `failure`: what went wrong here is mostly its consequence. Our end of
    /// the pipe must be closed: the visitor may still be writing.
    pub fn explain(self, failure: Failure) -> Failure {
        match self.finish() {
            Err(theirs) if theirs.code() != "E_HELPER_DIED" => theirs,
            _ => failure,
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if !self.waited {
            let _ = pidfd::send_signal(self.child.pidfd.as_fd(), libc::SIGKILL);
            self.wait();
        }
    }
}
