//! Scopes of systemd's user manager (org.freedesktop.systemd1(5)).
//!
//! A scope is made for the container's monitor, which is its first process: within it, groups and the moving of processes are
//! ours (`Delegate=yes`). The scope ends with the last process in it.

use std::io;
use std::path::{Path, PathBuf};

use super::dbus::{Body, Connection, Incoming, Method};
use super::error::CgroupError;
use crate::host::cgroup::{Manager, ROOT, unified_path};

const NAME: &str = "org.freedesktop.systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";

/// The group, within the scope, of the monitor and of commands that start processes in the container.
pub const MONITORS: &str = "monitor";

/// The scope's name for a container's group.
pub fn unit(group: &str) -> String {
    format!("{group}.scope")
}

/// Puts this process into a new scope, in `slice` if one is named; the scope's directory. It may be in the scope already.
pub fn enter(manager: &Manager, unit: &str, slice: Option<&str>) -> Result<PathBuf, CgroupError> {
    if let Some(directory) = scope_around(unit) {
        return Ok(directory);
    }
    let mut caller = Caller::connect(manager).map_err(CgroupError::Bus)?;
    let mut body = Body::default();
    body.text(unit);
    body.text("fail");
    body.array(8, |properties| {
        properties.property("Description", "s", |value| value.text("a container of coracle"));
        properties.property("PIDs", "au", |value| value.array(4, |pids| pids.number(std::process::id())));
        properties.property("Delegate", "b", |value| value.number(1));
        properties.property("CollectMode", "s", |value| value.text("inactive-or-failed"));
        if let Some(slice) = slice {
            properties.property("Slice", "s", |value| value.text(slice));
        }
    });
    body.array(8, |_| {});
    caller.run_job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)?;
    let directory =
        scope_around(unit).ok_or_else(|| CgroupError::Systemd(format!("{unit} was made without this process")))?;
    move_aside(&directory)?;
    Ok(directory)
}

/// Puts this process into the scope of a container that runs.
pub fn join(manager: &Manager, unit: &str) -> Result<(), CgroupError> {
    if scope_around(unit).is_some() {
        return Ok(());
    }
    let mut caller = Caller::connect(manager).map_err(CgroupError::Bus)?;
    let mut body = Body::default();
    body.text(unit);
    body.text(&format!("/{MONITORS}"));
    body.array(4, |pids| pids.number(std::process::id()));
    caller.ask("AttachProcessesToUnit", "ssau", body).map(drop)
}

/// The directory of the scope that this process is in, if it is of that name.
fn scope_around(unit: &str) -> Option<PathBuf> {
    let own = unified_path(&std::fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let directory = Path::new(ROOT).join(own.trim_start_matches('/'));
    directory.ancestors().find(|ancestor| ancestor.file_name().is_some_and(|name| name == unit)).map(Path::to_owned)
}

/// Leaves the scope's own group, which may not have processes if its controllers are to be used below it.
fn move_aside(scope: &Path) -> Result<(), CgroupError> {
    let group = scope.join(MONITORS);
    match std::fs::create_dir(&group) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            return Err(CgroupError::io("making the group", &group)(cause));
        }
        _ => {}
    }
    let processes = group.join("cgroup.procs");
    std::fs::write(&processes, "0").map_err(CgroupError::io("writing to", &processes))
}

struct Caller {
    connection: Connection,
    is_bus: bool,
}

impl Caller {
    fn connect(manager: &Manager) -> io::Result<Self> {
        let mut connection = Connection::open(&manager.socket)?;
        if manager.is_bus {
            // Their answers are not waited for: they come before those that matter.
            let bus = |member| Method { destination: Some(BUS), path: "/org/freedesktop/DBus", interface: BUS, member };
            connection.call(&bus("Hello"), "", Body::default())?;
            let mut rule = Body::default();
            rule.text(&format!("type='signal',interface='{INTERFACE}',member='JobRemoved'"));
            connection.call(&bus("AddMatch"), "s", rule)?;
        }
        let mut caller = Self { connection, is_bus: manager.is_bus };
        caller.send("Subscribe", "", Body::default())?;
        Ok(caller)
    }

    fn send(&mut self, member: &str, signature: &str, body: Body) -> io::Result<u32> {
        let destination = self.is_bus.then_some(NAME);
        let method = Method { destination, path: "/org/freedesktop/systemd1", interface: INTERFACE, member };
        self.connection.call(&method, signature, body)
    }

    /// The answer to a call.
    fn ask(&mut self, member: &str, signature: &str, body: Body) -> Result<Option<String>, CgroupError> {
        let serial = self.send(member, signature, body).map_err(CgroupError::Bus)?;
        loop {
            match self.connection.receive().map_err(CgroupError::Bus)? {
                Incoming::Answer(to, answer) if to == serial => return Ok(answer),
                Incoming::Refusal(to, reason) if to == serial => return Err(CgroupError::Systemd(reason)),
                _ => {}
            }
        }
    }

    /// Asks for a job and waits for its end: `JobRemoved(u id, o job, s unit, s result)`. It is told after the job was
    /// answered for.
    fn run_job(&mut self, member: &str, signature: &str, body: Body) -> Result<(), CgroupError> {
        let job = self.ask(member, signature, body)?;
        loop {
            let Incoming::Signal(name, mut body) = self.connection.receive().map_err(CgroupError::Bus)? else {
                continue;
            };
            if name != "JobRemoved" {
                continue;
            }
            let mut read = || {
                body.read_number()?;
                let job = body.read_text()?;
                body.read_text()?;
                Ok((job, body.read_text()?))
            };
            let (ended, result) = read().map_err(CgroupError::Bus)?;
            if Some(&ended) == job.as_ref() {
                return if result == "done" {
                    Ok(())
                } else {
                    Err(CgroupError::Systemd(format!("its job ended so: {result}")))
                };
            }
        }
    }
}
