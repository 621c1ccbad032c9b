//! Waiting until there is more in a log, or its container has ended.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::unistd::Pid;

use super::files::Identity;
use super::{Kind, Reading, Selection, Source};
use crate::container::status::{self, Status};
use crate::failure::Failure;
use crate::state::layout::Layout;
use crate::sys::{pidfd, process};

/// How long a log that is between two files is waited for, in milliseconds, at first and at most: its writer is about to make
/// the second one, unless somebody has removed the file.
const BETWEEN_FILES: (u16, u16) = (5, 1000);

/// How often a container is looked at whose monitor is not known, in milliseconds.
const UNKNOWN_MONITOR: u16 = 100;

/// Notices changes of several logs, and the end of their containers.
pub struct Follower {
    inotify: Inotify,
    /// By the place of the source.
    watches: BTreeMap<usize, (Identity, WatchDescriptor)>,
    monitors: BTreeMap<usize, OwnedFd>,
    /// How long a log between two files is waited for next.
    patience: u16,
}

impl Follower {
    /// One that notices nothing yet.
    pub fn new() -> Result<Self, Failure> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| {
            Failure::new("E_FILES", format!("watching the log: {errno}"))
                .with_hint("the limits are in /proc/sys/fs/inotify")
        })?;
        Ok(Self { inotify, watches: BTreeMap::new(), monitors: BTreeMap::new(), patience: BETWEEN_FILES.0 })
    }

    /// Watches the file that each source reads, and its monitor.
    pub fn watch(&mut self, layout: &Layout, sources: &[Source]) {
        for (index, source) in sources.iter().enumerate() {
            self.watch_file(index, source);
            if !self.monitors.contains_key(&index)
                && let Ok(Status::Running(processes) | Status::Initialized(processes)) = status::of(layout, &source.id)
                && let Ok(monitor) = pidfd::open(Pid::from_raw(processes.monitor))
            {
                // Whether this is still the monitor is seen by asking for the status once more, which comes next.
                self.monitors.insert(index, monitor);
            }
        }
    }

    fn watch_file(&mut self, index: usize, source: &Source) {
        let Kind::File(reader) = &source.source else { return };
        let (Some(identity), Some(file)) = (reader.current(), reader.file()) else { return };
        if self.watches.get(&index).is_some_and(|(watched, _)| *watched == identity) {
            return;
        }
        if let Some((_, watch)) = self.watches.remove(&index) {
            // The kernel has removed it already if the file is gone.
            let _ = self.inotify.rm_watch(watch);
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ATTRIB;
        if let Ok(watch) = self.inotify.add_watch(&path, flags) {
            self.watches.insert(index, (identity, watch));
        }
    }

    /// Waits until there may be something to read or to end for, or nobody reads our standard output any more.
    pub fn wait(&mut self, sources: &[Source], selection: &Selection) -> Result<Reading, Failure> {
        let timeout = self.timeout(sources, selection);
        let stdout = process::standard_fd(1);
        let mut fds =
            vec![PollFd::new(stdout, PollFlags::empty()), PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.monitors.values().map(|monitor| PollFd::new(monitor.as_fd(), PollFlags::POLLIN)));
        for source in sources {
            if let Kind::Journal(reader) = &source.source {
                fds.extend(reader.output().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            }
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::new("E_IO", format!("waiting for the log: {errno}"))),
        }
        let is_closed = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        let ended = fds[2..].iter().take(self.monitors.len()).map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>();
        // An ended monitor is noticed once.
        let mut ended = ended.into_iter();
        self.monitors.retain(|_, _| !ended.next().unwrap_or(false));
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        Ok(if is_closed { Reading::Over } else { Reading::On })
    }

    fn timeout(&mut self, sources: &[Source], selection: &Selection) -> PollTimeout {
        let (mut limits, mut is_between) = (Vec::new(), false);
        for (index, source) in sources.iter().enumerate() {
            if let Kind::File(reader) = &source.source {
                let watched = self.watches.get(&index).map(|(identity, _)| *identity);
                if watched != reader.current() {
                    // It was changed for its successor, which has not been looked at under a watch.
                    return PollTimeout::ZERO;
                }
                is_between |= reader.is_replaced();
            }
            limits.extend((!self.monitors.contains_key(&index)).then_some(UNKNOWN_MONITOR));
        }
        limits.extend(is_between.then_some(self.patience));
        self.patience = if is_between { (self.patience * 2).min(BETWEEN_FILES.1) } else { BETWEEN_FILES.0 };
        if let Some(until) = selection.until {
            let left = until.duration_since(Timestamp::now()).as_millis().clamp(0, 60_000);
            limits.push(u16::try_from(left + 1).unwrap_or(u16::MAX));
        }
        limits.into_iter().min().map_or(PollTimeout::NONE, PollTimeout::from)
    }
}
