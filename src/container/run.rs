//! `run`: make a container, launch it, serve it to its end.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::base::Base;
use super::create::{self, CreateError, Owned};
use super::monitor::log::LogTarget;
use super::monitor::streams::Outlet;
use super::monitor::{self, streams};
use super::request::{Attach, LogDriver, Removal, Request, Stdin, Terminal};
use super::translate::{Surroundings, translate};
use super::user::ContainerUser;
use super::{random_name, remove};
use crate::failure::Failure;
use crate::host::boot::{boot_id, process_start};
use crate::host::kernel;
use crate::identity::map::Caller;
use crate::name::capability::CapabilitySet;
use crate::name::container::{ContainerId, ContainerName};
use crate::rootfs::view::View;
use crate::runtime::blueprint::WindowSize;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::plan::LaunchPlan;
use crate::runtime::spawn::{self, Running};
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::{ContainerRecord, ExitRecord, ProcessesRecord, Timestamp};
use crate::sys::signal::SignalQueue;
use crate::sys::single_threaded::SingleThreaded;
use crate::sys::{clone, credentials, memory, process, random};

/// What came of it.
#[derive(Debug)]
pub enum Report {
    /// The container has ended with this exit code.
    Exited(u8),
    /// The container runs, detached.
    Detached(ContainerId),
}

/// Attempts at finding a name that is not in use.
const NAME_ATTEMPTS: u8 = 20;

/// Makes and runs the container. `release` is called once its record says what it is made from.
pub fn execute(layout: &Layout, request: &Request, base: &Base, release: impl FnOnce()) -> Result<Report, Failure> {
    let surroundings = surroundings(layout, request, base)?;
    let (owned, record, plan) = make(request, &surroundings)?;
    release();
    let launch = Launch { layout, request, record, plan, owned, launched: Cell::new(false) };
    let id = launch.record.id.clone();
    let result = write_cidfile(request, &id).and_then(|()| match request.attach {
        Attach::Foreground => launch.foreground().map(Report::Exited),
        // The monitor clears up after itself.
        Attach::Detached => launch.detached().map(|()| Report::Detached(id.clone())),
    });
    if result.is_err() && !launch.launched.get() {
        // Nothing of a container that never ran is left behind; what one wrote is not thrown away with an error.
        let _ = remove::delete(layout, &id);
    }
    result
}

/// The plan of a container that is not made.
pub fn plan(layout: &Layout, request: &Request, base: &Base) -> Result<LaunchPlan, Failure> {
    let id = ContainerId::from_random([0; 32]);
    let (blueprint, _) = translate(request, &surroundings(layout, request, base)?, &id, &name_from(&id))?;
    Ok(LaunchPlan::new(blueprint))
}

/// What is known beside the request.
fn surroundings<'a>(layout: &'a Layout, request: &Request, base: &'a Base) -> Result<Surroundings<'a>, Failure> {
    let capabilities = credentials::capabilities().map_err(|errno| internal("reading our capabilities", errno))?;
    let caller = Caller::current(CapabilitySet::from_bits(capabilities.effective));
    let view = View::new(match base {
        Base::Image(image) => image.layers.iter().rev().map(|diff_id| layout.layer(diff_id).join("tree")).collect(),
        Base::Directory(path) => vec![path.clone()],
    });
    let user = ContainerUser::look_up(request, base, &view)?;
    Ok(Surroundings {
        layout,
        caller,
        base,
        user,
        cgroup2: kernel::has_cgroup2(),
        kernel: kernel::version(),
        window: monitor::window_of_caller()
            .map_or_else(WindowSize::default, |window| WindowSize { rows: window.ws_row, columns: window.ws_col }),
        lacks_mount_targets: crate::store::TARGET_FILES.iter().any(|file| !view.contains(file)),
        has_32_bit_programs: view.contains(c"lib/ld-linux.so.2"),
    })
}

fn internal(doing: &str, errno: Errno) -> Failure {
    Failure::new("E_IO", format!("{doing}: {errno}"))
}

/// Makes the container under the name asked for, or under the first of some random ones that is free.
fn make(request: &Request, surroundings: &Surroundings<'_>) -> Result<(Owned, ContainerRecord, LaunchPlan), Failure> {
    let random = || random::bytes().map_err(|errno| internal("getting random bytes", errno));
    let id = ContainerId::from_random(random()?);
    let volumes = match surroundings.base {
        Base::Image(image) => image.defaults.volumes.len(),
        Base::Directory(_) => 0,
    };
    let mut attempt = 0;
    loop {
        let name = match &request.name {
            Some(name) => name.clone(),
            None => random_name::from_random(random()?, attempt).unwrap_or_else(|| name_from(&id)),
        };
        let (blueprint, record) = translate(request, surroundings, &id, &name)?;
        match create::create(surroundings.layout, &id, &name, &record, volumes) {
            Ok(owned) => return Ok((owned, record, LaunchPlan::new(blueprint))),
            Err(CreateError::NameInUse { .. }) if request.name.is_none() && attempt < NAME_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn name_from(id: &ContainerId) -> ContainerName {
    // A hexadecimal identifier is a name.
    id.short().parse().unwrap_or_else(|_| unreachable!("twelve hexadecimal digits are a name"))
}

fn write_cidfile(request: &Request, id: &ContainerId) -> Result<(), Failure> {
    let Some(path) = &request.cidfile else { return Ok(()) };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    written.and_then(|mut file| file.write_all(id.as_str().as_bytes())).map_err(|cause| {
        let failure =
            Failure::new(record::io_code(&cause), format!("writing the container's id to {}: {cause}", path.display()));
        failure.with_hint("--cidfile names a file that does not exist yet")
    })
}

/// A container that is made and not yet launched.
struct Launch<'a> {
    layout: &'a Layout,
    request: &'a Request,
    record: ContainerRecord,
    plan: LaunchPlan,
    owned: Owned,
    /// Whether the container's process was executed.
    launched: Cell<bool>,
}

impl Launch<'_> {
    fn foreground(&self) -> Result<u8, Failure> {
        let signals = self.signals()?;
        let mut channels = Vec::new();
        let mut given = None;
        if self.request.terminal == Terminal::None {
            let streams =
                streams::attached(self.request.stdin).map_err(|errno| internal("preparing the streams", errno))?;
            (given, channels) = (Some(streams.given), streams.channels);
        }
        let (running, started) = self.launch(given)?;
        if let Some(master) = &running.terminal {
            channels = streams::terminal(master, self.request.stdin)
                .map_err(|errno| internal("preparing the terminal", errno))?;
        }
        self.serve(&running, &signals, channels, started)
    }

    /// Forks a monitor that is nobody's child and outlives this command.
    fn detached(&self) -> Result<(), Failure> {
        if self.request.log.driver == LogDriver::Passthrough && streams::shows_on_terminal() {
            let message = "--log-driver passthrough: a detached container is not given the terminal";
            return Err(Failure::new("E_CONFIG", message).with_hint("redirect standard output and error"));
        }
        let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
        let (mut report, mut reporter) =
            std::io::pipe().map_err(|cause| Failure::new("E_IO", format!("making a pipe: {cause}")))?;
        let middle = clone::fork_into(&proof, nix::sched::CloneFlags::empty(), || {
            let monitor = SingleThreaded::prove().ok().and_then(|proof| clone::fork(&proof).ok());
            match monitor {
                Some(None) => self.monitor(&mut reporter),
                Some(Some(_)) => 0,
                None => crate::failure::EXIT_OWN_FAILURE,
            }
        });
        let middle = middle.map_err(|errno| internal("starting the container's monitor", errno))?;
        drop(reporter);
        let _ = crate::sys::pidfd::wait(middle.pidfd.as_fd());
        let mut story = Vec::new();
        report
            .read_to_end(&mut story)
            .map_err(|cause| Failure::new("E_IO", format!("waiting for the monitor: {cause}")))?;
        started(&story)
    }

    fn monitor(&self, reporter: &mut std::io::PipeWriter) -> u8 {
        process::set_name(c"coracle-monitor");
        let result = self.detach().and_then(|outlet| self.start_detached(outlet));
        match result {
            Ok((running, signals, channels, started)) => {
                let _ = reporter.write_all(STARTED);
                // The command waits for the end of the report.
                process::close_inherited(reporter);
                memory::set_command_line(&format!("coracle-monitor {}", self.owned.id.short()));
                self.serve(&running, &signals, channels, started).unwrap_or(crate::failure::EXIT_OWN_FAILURE)
            }
            Err(failure) => {
                let _ = reporter.write_all(&failure.to_report());
                let _ = remove::delete(self.layout, &self.owned.id);
                crate::failure::EXIT_OWN_FAILURE
            }
        }
    }

    /// Leaves the caller's session, directory and streams.
    fn detach(&self) -> Result<Outlet, Failure> {
        let passthrough = self.request.log.driver == LogDriver::Passthrough;
        let of_caller = passthrough.then(Outlet::of_caller).transpose();
        let of_caller = of_caller.map_err(|errno| internal("keeping the standard output", errno))?;
        let detached = nix::unistd::setsid().and_then(|_| nix::unistd::chdir("/"));
        detached.map_err(|errno| internal("leaving the session", errno))?;
        let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
        let null = null.map_err(|errno| internal("opening /dev/null", errno))?;
        for number in 0..3 {
            process::duplicate_onto(null.as_fd(), number).map_err(|errno| internal("closing the streams", errno))?;
        }
        match of_caller {
            Some(outlet) => Ok(outlet),
            None => LogTarget::open(self.layout, &self.record).map(Outlet::Log),
        }
    }

    #[allow(clippy::type_complexity, reason = "the parts of a running container, taken apart at once")]
    fn start_detached(
        &self,
        outlet: Outlet,
    ) -> Result<(Running, SignalQueue, Vec<monitor::Channel>, Timestamp), Failure> {
        let signals = self.signals()?;
        let prepare = |errno| internal("preparing the streams", errno);
        if self.request.terminal == Terminal::New {
            let (running, started) = self.launch(None)?;
            let channels = running.terminal.as_ref().map(|master| streams::terminal_log(master, &outlet)).transpose();
            return Ok((running, signals, channels.map_err(prepare)?.unwrap_or_default(), started));
        }
        let streams = streams::detached(outlet).map_err(prepare)?;
        let (running, started) = self.launch(Some(streams.given))?;
        Ok((running, signals, streams.channels, started))
    }

    fn signals(&self) -> Result<SignalQueue, Failure> {
        SignalQueue::new(monitor::is_forwarded).map_err(|errno| internal("blocking signals", errno))
    }

    fn launch(&self, streams: Option<[std::os::fd::OwnedFd; 3]>) -> Result<(Running, Timestamp), Failure> {
        let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
        let running = spawn::launch(&proof, &self.plan, streams)?;
        self.launched.set(true);
        let started = Timestamp::now();
        let processes = ProcessesRecord {
            boot_id: boot_id().unwrap_or_default(),
            monitor: std::process::id() as i32,
            init: running.child.pid.as_raw(),
            init_start: process_start(running.child.pid.as_raw()).unwrap_or(0),
            started,
        };
        // Only what others see of it depends on this record: a runtime directory that is gone does not end the container.
        let _ = record::write_volatile(&self.layout.process_record(&self.owned.id), &processes);
        Ok((running, started))
    }

    /// Serves the container to its end, and records that.
    fn serve(
        &self,
        running: &Running,
        signals: &SignalQueue,
        channels: Vec<monitor::Channel>,
        started: Timestamp,
    ) -> Result<u8, Failure> {
        if self.request.removal == Removal::AtExit {
            // There is time now.
            remove::sweep(self.layout);
        }
        let code = monitor::supervise(running, signals, channels)
            .map_err(|errno| internal("watching the container", errno))?;
        if self.request.removal == Removal::AtExit {
            // What cannot be removed now is removed by the next command that looks.
            let _ = remove::retire(self.layout, &self.owned.id, &self.record.name);
        } else {
            remove::tidy_work(self.layout, &self.owned.id);
            let exit = ExitRecord { code, started, finished: Timestamp::now() };
            // The code is told all the same: without a record, what is shown later is that the end was not seen.
            let _ = record::write_volatile(&self.layout.exit_record(&self.owned.id), &exit);
            let _ = std::fs::remove_file(self.layout.process_record(&self.owned.id));
        }
        Ok(code)
    }
}

/// What a monitor reports when its container runs; anything else is a failure.
const STARTED: &[u8] = b"started\n";

fn started(report: &[u8]) -> Result<(), Failure> {
    if report == STARTED {
        return Ok(());
    }
    Err(Failure::from_report(report).unwrap_or_else(|| {
        Failure::new("E_HELPER_DIED", "the container's monitor ended before the container was started")
    }))
}

/// Whether the caller asked for a terminal without having one to offer.
pub fn lacks_terminal(request: &Request) -> bool {
    request.terminal == Terminal::New
        && request.stdin == Stdin::Open
        && request.attach == Attach::Foreground
        && !nix::unistd::isatty(streams::standard(0)).unwrap_or(false)
}

/// Refuses a `--cidfile` that exists before anything is made.
pub fn check_cidfile(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        let failure = Failure::new("E_EXISTS", format!("the file {} for the container's id exists", path.display()));
        return Err(failure.with_hint("remove it, or name another one"));
    }
    Ok(())
}
