//! The journal: what happened to containers and images, one JSON object a line, appended by whoever did it.
//!
//! Nobody depends on it: a verb whose event cannot be written has succeeded all the same. One event is one write(2) to a
//! file opened with `O_APPEND`, so that lines of several processes do not mix. A journal that has become long is renamed,
//! and replaces the one that was renamed before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::{Deserialize, Serialize};

use crate::state::layout::Layout;
use crate::state::schema::container::Timestamp;

/// A journal of this many bytes is put away.
const LONG: u64 = 10 << 20;

/// What can happen to a container, in podman's words; those about its network are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are podman's")]
pub enum ContainerEvent {
    Attach,
    Checkpoint,
    Cleanup,
    Commit,
    Copy,
    Create,
    Died,
    Exec,
    ExecDied,
    Export,
    HealthStatus,
    Init,
    Kill,
    NetworkLost,
    NetworkRestored,
    Mount,
    Oom,
    Pause,
    Prune,
    Remove,
    Rename,
    Restart,
    Start,
    Stop,
    Unmount,
    Unpause,
}

impl ContainerEvent {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Checkpoint => "checkpoint",
            Self::Cleanup => "cleanup",
            Self::Commit => "commit",
            Self::Copy => "copy",
            Self::Create => "create",
            Self::Died => "died",
            Self::Exec => "exec",
            Self::ExecDied => "exec_died",
            Self::Export => "export",
            Self::HealthStatus => "health_status",
            Self::Init => "init",
            Self::Kill => "kill",
            Self::NetworkLost => "network_lost",
            Self::NetworkRestored => "network_restored",
            Self::Mount => "mount",
            Self::Oom => "oom",
            Self::Pause => "pause",
            Self::Prune => "prune",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Unmount => "unmount",
            Self::Unpause => "unpause",
        }
    }
}

/// What can happen to an image, in podman's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are podman's")]
pub enum ImageEvent {
    Build,
    Import,
    Load,
    Mount,
    Prune,
    Pull,
    Push,
    Remove,
    Save,
    Tag,
    Unmount,
    Untag,
}

impl ImageEvent {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Import => "import",
            Self::Load => "loadfromarchive",
            Self::Mount => "mount",
            Self::Prune => "prune",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Remove => "remove",
            Self::Save => "save",
            Self::Tag => "tag",
            Self::Unmount => "unmount",
            Self::Untag => "untag",
        }
    }
}

/// What can happen to a volume, in podman's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are podman's")]
pub enum VolumeEvent {
    Create,
    Export,
    Import,
    Prune,
    Remove,
}

impl VolumeEvent {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Export => "export",
            Self::Import => "import",
            Self::Prune => "prune",
            Self::Remove => "remove",
        }
    }
}

/// What can happen to a network, in podman's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are podman's")]
pub enum NetworkEvent {
    Connect,
    Create,
    Disconnect,
    Remove,
}

impl NetworkEvent {
    /// podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Create => "create",
            Self::Disconnect => "disconnect",
            Self::Remove => "remove",
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Identifier of what it happened to; empty for what has none.
    #[serde(rename = "ID")]
    pub id: String,
    /// The image of a container, else empty.
    pub image: String,
    /// Name of what it happened to.
    pub name: String,
    /// What happened.
    pub status: String,
    /// When: nanoseconds since the epoch.
    pub time: Timestamp,
    /// `container`, `image` or `system`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Labels, and more about what happened.
    pub attributes: BTreeMap<String, String>,
}

/// Notes in the journal what happened to an image.
pub fn note_image(layout: &Layout, happened: ImageEvent, id: &str, name: &str) {
    note(layout, "image", happened.as_str(), id, name);
}

/// Notes in the journal what happened to a volume.
pub fn note_volume(layout: &Layout, happened: VolumeEvent, name: &str) {
    note(layout, "volume", happened.as_str(), "", name);
}

/// Notes in the journal what happened to a network.
pub fn note_network(layout: &Layout, happened: NetworkEvent, name: &str) {
    note(layout, "network", happened.as_str(), "", name);
}

/// Notes in the journal what was done to all of coracle, for example `prune` or `renumber`.
pub fn note_system(layout: &Layout, happened: &str) {
    note(layout, "system", happened, "", "");
}

/// Notes that containers that did not run were removed, and how many bytes that freed.
pub fn note_prune(layout: &Layout, freed: u64) {
    let attributes = [("reclaimed".to_owned(), freed.to_string())].into();
    append(layout, &[Event { attributes, ..event("container", ContainerEvent::Prune.as_str(), "", "") }]);
}

fn note(layout: &Layout, kind: &str, status: &str, id: &str, name: &str) {
    append(layout, &[event(kind, status, id, name)]);
}

fn event(kind: &str, status: &str, id: &str, name: &str) -> Event {
    Event {
        id: id.into(),
        image: String::new(),
        name: name.into(),
        status: status.into(),
        time: Timestamp::now(),
        kind: kind.into(),
        attributes: BTreeMap::new(),
    }
}

/// Appends events, all by one write. What cannot be written is lost.
pub fn append(layout: &Layout, events: &[Event]) {
    let _ = try_append(layout, events, LONG);
}

fn try_append(layout: &Layout, events: &[Event], long: u64) -> io::Result<()> {
    let mut lines = Vec::with_capacity(512 * events.len());
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    let path = layout.journal();
    let mut journal = open(&path)?;
    if journal.metadata()?.len() >= long {
        put_away(layout, journal);
        journal = open(&path)?;
    }
    journal.write_all(&lines)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Renames a long journal, unless somebody else does or has done so.
fn put_away(layout: &Layout, journal: File) {
    let Ok(journal) = Flock::lock(journal, FlockArg::LockExclusiveNonblock) else { return };
    if is_at(&journal, &layout.journal()) {
        let _ = std::fs::rename(layout.journal(), layout.old_journal());
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let named = std::fs::symlink_metadata(path).map(identity).ok();
    named.is_some() && named == file.metadata().map(identity).ok()
}

/// A journal that is being read.
#[derive(Debug)]
struct Tail {
    file: File,
    /// The beginning of a line whose end was not there yet.
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> Option<Self> {
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
        Some(Self { file, rest: Vec::new() })
    }

    /// The events since the last time. A line that is none is left out: a full disk may have cut it.
    fn read(&mut self, into: &mut Vec<Event>) {
        let _ = self.file.read_to_end(&mut self.rest);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        into.extend(lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
    }
}

/// All events that are kept, oldest first.
pub fn read_all(layout: &Layout) -> Vec<Event> {
    let mut events = Vec::new();
    for path in [layout.old_journal(), layout.journal()] {
        if let Some(mut tail) = Tail::open(&path) {
            tail.read(&mut events);
        }
    }
    events
}

/// Follows the journal, from one file to the next.
#[derive(Debug)]
pub struct Follower<'a> {
    layout: &'a Layout,
    changes: Inotify,
    /// The file before the current one: who had it open may still write to it.
    previous: Option<Tail>,
    current: Option<Tail>,
}

/// Which events a [`Follower`] begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// All that are kept.
    AtFirst,
    /// Those that are yet to come.
    Now,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There may be new events.
    Changed,
    /// The time is over.
    Elapsed,
    /// Nobody reads what is written any more.
    ReaderGone,
}

impl<'a> Follower<'a> {
    /// Begins to follow.
    pub fn new(layout: &'a Layout, from: Begin) -> io::Result<Self> {
        std::fs::create_dir_all(layout.runtime())?;
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let kinds = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE;
        changes.add_watch(layout.runtime(), kinds)?;
        let mut follower = Self { layout, changes, previous: None, current: None };
        match from {
            Begin::AtFirst => follower.previous = Tail::open(&layout.old_journal()),
            Begin::Now => {
                follower.new_events();
            }
        }
        Ok(follower)
    }

    /// The events since the last time.
    pub fn new_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while self.changes.read_events().is_ok_and(|changes| !changes.is_empty()) {}
        loop {
            for tail in [&mut self.previous, &mut self.current].into_iter().flatten() {
                tail.read(&mut events);
            }
            let path = self.layout.journal();
            if self.current.as_ref().is_some_and(|current| is_at(&current.file, &path)) {
                return events;
            }
            let Some(new) = Tail::open(&path) else { return events };
            if let Some(old) = self.current.replace(new) {
                self.previous = Some(old);
            }
        }
    }

    /// Waits until there may be new events, `output`'s reader has gone, or so many milliseconds have passed.
    pub fn wait(&self, output: BorrowedFd<'_>, milliseconds: Option<u64>) -> Woken {
        let limit = milliseconds.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time.min(i32::MAX as u64)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(self.changes.as_fd(), PollFlags::POLLIN), PollFd::new(output, PollFlags::empty())];
        match poll(&mut fds, limit) {
            Ok(0) => Woken::Elapsed,
            Ok(_) if fds[1].any() == Some(true) => Woken::ReaderGone,
            _ => Woken::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(root: &Path) -> Layout {
        Layout::discover(Some(root.join("data")), Some(root.to_owned())).unwrap()
    }

    fn event(name: &str) -> Event {
        Event { time: Timestamp(1), ..super::event("image", "pull", "1", name) }
    }

    fn names(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.name.as_str()).collect()
    }

    #[test]
    fn a_follower_sees_every_event_across_rotations() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(root.path());
        append(&layout, &[event("before")]);
        let mut follower = Follower::new(&layout, Begin::Now).unwrap();
        assert_eq!(follower.new_events(), []);
        let mut seen = Vec::new();
        for number in 0..50 {
            try_append(&layout, &[event(&number.to_string())], 1).unwrap();
            seen.extend(follower.new_events());
        }
        assert_eq!(names(&seen), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&read_all(&layout)), ["48", "49"], "the journal and the one before it are kept");
        let mut late = Follower::new(&layout, Begin::AtFirst).unwrap();
        assert_eq!(names(&late.new_events()), ["48", "49"]);
    }

    #[test]
    fn a_journal_that_appears_later_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(root.path());
        let mut follower = Follower::new(&layout, Begin::Now).unwrap();
        append(&layout, &[event("first"), event("second")]);
        assert_eq!(names(&follower.new_events()), ["first", "second"]);
    }

    #[test]
    fn damaged_and_unfinished_lines_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(root.path());
        append(&layout, &[event("good")]);
        let mut journal = open(&layout.journal()).unwrap();
        journal.write_all(b"{\"ID\":\n{\"unfinished").unwrap();
        assert_eq!(names(&read_all(&layout)), ["good"]);
    }
}
