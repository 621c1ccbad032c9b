//! Removing containers, and what dead commands left of them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::create::{Owned, Taken};
use super::list::{self, Listed};
use super::status::{self, Status};
use super::{connection, event, group, name_link, spare, stop, volumes};
use crate::failure::{Explain, Failure};
use crate::name::container::{ContainerId, ContainerName};
use crate::state::journal::ContainerEvent;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::ContainerRecord;
use crate::state::temporary::{self, Kind, TemporaryDirectory};

/// Why a container could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It runs, and `--force` was not given.
    #[error("removing container {}: it is running", .0.short())]
    Running(ContainerId),
    /// It was ended, and another command has it.
    #[error("removing container {}: another command keeps starting it", .0.short())]
    Taken(ContainerId),
    /// The file system refused.
    #[error("removing {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

impl Explain for RemoveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Running(_) | Self::Taken(_) => "E_BUSY",
            Self::Io { cause, .. } => record::io_code(cause),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Running(id) => Some(format!("coracle rm --force {} kills it first", id.short())),
            Self::Taken(_) => Some("end that command first".into()),
            Self::Io { cause, .. } => record::io_hint(cause),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            // As podman's rm: 2 for a container that runs.
            Self::Running(_) => 2,
            _ => crate::failure::EXIT_OWN_FAILURE,
        }
    }
}

/// What is done about a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRunning {
    /// It is left alone: an error.
    Refuse,
    /// It is asked to end by its stop signal, and killed if it has not ended within this time.
    End(Duration),
}

impl IfRunning {
    /// It is killed.
    pub const KILL: Self = Self::End(Duration::ZERO);
}

/// What becomes of the volumes that were made for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnVolumes {
    /// They stay.
    Keep,
    /// They go with it, unless another container has them.
    Remove,
}

/// Removes the container of this identifier.
pub fn execute(layout: &Layout, id: &ContainerId, if_running: IfRunning, volumes: OwnVolumes) -> Result<(), Failure> {
    let taken = match (Owned::take_idle(layout, id)?, if_running) {
        (Taken::Served, IfRunning::End(patience)) => end_and_take(layout, id, patience)?,
        // Nothing of it runs that would have to be spared.
        (Taken::Served, IfRunning::Refuse) if matches!(status::of(layout, id), Ok(Status::Initialized(_))) => {
            end_and_take(layout, id, Duration::ZERO)?
        }
        (taken, _) => taken,
    };
    let _owned = match taken {
        Taken::Owned(owned) => Some(owned),
        Taken::Served => return Err(RemoveError::Running(id.clone()).into()),
        // Its record may have been lost, and the rest of it be there.
        Taken::Gone => None,
    };
    // Known before it is gone.
    let container = list::load(layout, id).ok().flatten();
    if !delete(layout, id, volumes)? {
        return Err(list::NotFound::Unknown(id.to_string()).into());
    }
    if let Some(container) = container {
        event::note(layout, ContainerEvent::Remove, &container.record);
    }
    Ok(())
}

/// For so long others may start the container again and again before it is left to them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two attempts at what somebody else has just started.
const PAUSE: Duration = Duration::from_millis(2);

/// Ends the container and takes it, if it is not gone meanwhile.
fn end_and_take(layout: &Layout, id: &ContainerId, patience: Duration) -> Result<Taken, Failure> {
    let mut deadline = None;
    loop {
        let Some(container) = list::load(layout, id)? else { return Ok(Taken::Gone) };
        stop::stop(layout, &container, Some(patience))?;
        match Owned::take_idle(layout, id)? {
            Taken::Served if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) => {
                return Err(RemoveError::Taken(id.clone()).into());
            }
            Taken::Served => std::thread::sleep(PAUSE),
            taken => return Ok(taken),
        }
    }
}

/// Removes everything about a container that this process owns: first from sight, by one rename, then from the disk. Whether
/// there was anything.
pub fn delete(layout: &Layout, id: &ContainerId, volumes: OwnVolumes) -> Result<bool, Failure> {
    let record = record::read::<ContainerRecord>(&layout.container_record(id)).ok().flatten();
    if let Some(record) = &record {
        volumes::let_go(layout, record);
    }
    if let (Some(record), OwnVolumes::Remove) = (&record, volumes) {
        volumes::remove_own(layout, record)?;
    }
    match hide(layout, id, record.as_ref().map(|record| &record.name))? {
        Some(bin) => Ok(remove_from_disk(bin).map(|()| true)?),
        None => Ok(false),
    }
}

/// The same at the end of `run --rm`. Of a container in which nothing was written a few empty directories are left: they are
/// removed by the next run, while that waits for its own container ([`sweep`]). Nobody waits for a disk that discards each
/// freed block at once.
pub fn retire(layout: &Layout, record: &ContainerRecord) -> Result<(), Failure> {
    volumes::remove_own(layout, record)?;
    match hide(layout, &record.id, Some(&record.name))? {
        Some(bin) if is_untouched(bin.path()) => {
            bin.abandon();
            Ok(())
        }
        Some(bin) => Ok(remove_from_disk(bin)?),
        None => Ok(()),
    }
}

/// Removes what retired containers have left, and nothing that would take long; one is kept for the next run.
pub fn sweep(layout: &Layout) {
    let _ = temporary::collect(&layout.tmp(), &[Kind::Trash], |path| {
        strip_untouched(path)?;
        if spare::keep(layout, path) { Ok(()) } else { temporary::remove(path) }
    });
}

/// Takes a container and its name out of sight; nothing if it is not there.
fn hide(
    layout: &Layout,
    id: &ContainerId,
    name: Option<&ContainerName>,
) -> Result<Option<TemporaryDirectory>, RemoveError> {
    group::remove_left(layout, id);
    connection::forget_left(layout, id);
    let container = layout.container(id);
    let bin = match TemporaryDirectory::take(&container, &layout.tmp(), Kind::Trash) {
        Ok(bin) => Some(bin),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(RemoveError::Io { path: container, cause }),
    };
    for path in [
        layout.process_record(id),
        layout.attach_socket(id),
        layout.ids_socket(id),
        layout.stop_marker(id),
        layout.paused_marker(id),
        layout.health_record(id),
    ] {
        let _ = fs::remove_file(path);
    }
    // Read where nobody changes it any more.
    let renamed = bin.as_ref().and_then(|bin| list::new_name(&bin.path().join("name")));
    for name in name.into_iter().chain(&renamed) {
        let link = layout.container_name(name);
        if name_link::holder(&link).as_ref() == Some(id) {
            let _ = fs::remove_file(link);
        }
    }
    Ok(bin)
}

fn remove_from_disk(bin: TemporaryDirectory) -> Result<(), RemoveError> {
    let path = bin.path().to_owned();
    // First the short way, for which it mostly is enough.
    match remove_untouched(&path) {
        Ok(()) => {
            bin.abandon();
            Ok(())
        }
        Err(_) => bin.remove().map_err(|cause| RemoveError::Io { path, cause }),
    }
}

/// Removes what a mounted overlay leaves in its work directory and nobody needs any more: a directory that even its owner may
/// not enter, so that `rm -rf` of the store would fail.
pub fn tidy_work(layout: &Layout, id: &ContainerId) {
    let container = layout.container(id);
    // Without an overlay there is none.
    if open_work(&container).is_ok() {
        let _ = fs::remove_dir_all(container.join("work/work"));
    }
}

/// Removes what was written to mounts with a layer of their own, which goes with each life.
pub fn discard_overlays(layout: &Layout, id: &ContainerId) {
    let overlays = layout.container_overlays(id);
    if overlays.exists() {
        let _ = temporary::remove(&overlays);
    }
}

/// What an overlay leaves in its work directory lets nobody in, down to the mark of a volatile one.
fn open_work(container: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let open = |name| fs::set_permissions(container.join(name), fs::Permissions::from_mode(0o700));
    open("work/work")?;
    match open("work/work/incompat").and_then(|()| open("work/work/incompat/volatile")) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Whether nothing was written in a container's directory.
fn is_untouched(path: &Path) -> bool {
    let is_known = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| match entry.file_name().as_encoded_bytes() {
            b"record.json" | b"created" | b"upper" | b"work" => true,
            // The journal of owners.
            b"owners" => entry.metadata().is_ok_and(|metadata| metadata.len() == 0),
            _ => false,
        })
    };
    fs::read_dir(path).is_ok_and(|mut entries| entries.all(is_known))
        && fs::read_dir(path.join("upper")).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes a container's directory in which nothing was written in a few system calls. Fails as soon as there is more.
fn remove_untouched(path: &Path) -> io::Result<()> {
    strip_untouched(path)?;
    for (directory, _) in spare::DIRECTORIES {
        fs::remove_dir(path.join(directory))?;
    }
    fs::remove_dir(path)
}

/// Removes what a life has left in a container's directory in which nothing was written.
fn strip_untouched(path: &Path) -> io::Result<()> {
    open_work(path)?;
    fs::remove_file(path.join("work/work/incompat/volatile/dirty"))?;
    for directory in ["work/work/incompat/volatile", "work/work/incompat", "work/work"] {
        fs::remove_dir(path.join(directory))?;
    }
    // What it says is gone with the files.
    let _ = fs::remove_file(path.join("owners"));
    fs::remove_file(path.join("record.json"))
}

/// Removes what dead commands left behind: what they were making or removing, and containers that were to be removed at
/// their exit. Tells the containers that there are then, as [`list::execute`].
pub fn collect_leftovers(layout: &Layout) -> (Vec<Listed>, Vec<Failure>) {
    let _ = temporary::collect_abandoned(&layout.tmp());
    group::sweep(layout);
    let names = list::names(layout);
    let (mut listed, failures) = list::with_names(layout, &names);
    let known: HashSet<&ContainerId> = listed.iter().map(|container| &container.record.id).collect();
    if names.iter().any(|(id, names)| names.len() > 1 || !known.contains(id)) {
        collect_names(layout);
    }
    listed.retain(|container| {
        let is_left = container.record.remove_at_exit && matches!(container.status, Status::Stopped(_));
        !(is_left && Owned::take(layout, &container.record.id).is_ok_and(|_owned| collect(layout, container)))
    });
    (listed, failures)
}

/// Removes a container that its monitor should have removed; whether it is gone.
fn collect(layout: &Layout, container: &Listed) -> bool {
    let removed = delete(layout, &container.record.id, OwnVolumes::Remove);
    if removed.is_ok() {
        event::note(layout, ContainerEvent::Remove, &container.record);
    }
    removed.is_ok()
}

/// Removes names whose container is gone or has another, under the lock under which names are given.
fn collect_names(layout: &Layout) {
    let Ok(directory) = fs::File::open(layout.container_names()) else { return };
    let Ok(_guard) = Flock::lock(directory, FlockArg::LockExclusive) else { return };
    let mut holders: HashMap<ContainerId, PathBuf> = HashMap::new();
    for entry in fs::read_dir(layout.container_names()).into_iter().flatten().flatten() {
        let holder = name_link::holder(&entry.path());
        let Some(id) = holder.filter(|id| layout.container(id).exists()) else {
            let _ = fs::remove_file(entry.path());
            continue;
        };
        // Two names of one container: its renaming was interrupted.
        if let Some(other) = holders.insert(id.clone(), entry.path())
            && let Ok(Some(container)) = list::load(layout, &id)
        {
            let name = layout.container_name(&container.record.name);
            for link in [other, entry.path()].iter().filter(|link| **link != name) {
                let _ = fs::remove_file(link);
            }
        }
    }
}
