//! A container's `/etc/resolv.conf` that follows the host's: a laptop changes its networks more often than its containers.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use super::network_files::{self, RESOLV_CONF};
use super::request::NameResolution;
use crate::net::plan::NetworkPlan;

/// How often the host's file is looked at: one call. Watching it would take one of the few that a user may watch
/// (inotify(7), max_user_instances).
const INTERVAL: Duration = Duration::from_secs(5);

/// Which file it was, and when it was written.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The container's file, and what it was made from.
pub struct NameServers {
    file: File,
    network: NetworkPlan,
    wanted: NameResolution,
    content: String,
    seen: Stamp,
    due: Instant,
}

impl NameServers {
    /// That of a container which has just been started.
    pub fn new(file: OwnedFd, network: &NetworkPlan, wanted: &NameResolution) -> Self {
        let mut content = String::new();
        let file = File::from(file);
        let length = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        let mut bytes = vec![0; length as usize];
        if file.read_exact_at(&mut bytes, 0).is_ok() {
            content = String::from_utf8_lossy(&bytes).into_owned();
        }
        // What has changed since it was written is seen at the first look.
        Self {
            file,
            network: network.clone(),
            wanted: wanted.clone(),
            content,
            seen: None,
            due: Instant::now() + INTERVAL,
        }
    }

    /// When there is something to do.
    pub fn deadline(&self) -> Instant {
        self.due
    }

    /// Looks whether the host's file has changed.
    pub fn turn(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + INTERVAL;
        let now = stamp();
        if now.is_none() || now == self.seen {
            return;
        }
        self.seen = now;
        let content = network_files::name_servers(&self.network, &self.wanted);
        if content == self.content || !self.is_as_written() {
            return;
        }
        // A reader in between sees one or the other, or the new one with an end of the old one.
        let written = self.file.write_all_at(content.as_bytes(), 0);
        if written.and_then(|()| self.file.set_len(content.len() as u64)).is_ok() {
            self.content = content;
        }
    }

    /// What somebody in the container has written stays.
    fn is_as_written(&self) -> bool {
        let mut bytes = vec![0; self.content.len()];
        let is_as_long = self.file.metadata().is_ok_and(|metadata| metadata.len() == bytes.len() as u64);
        is_as_long && self.file.read_exact_at(&mut bytes, 0).is_ok() && bytes == self.content.as_bytes()
    }
}

fn stamp() -> Stamp {
    let metadata = fs::metadata(RESOLV_CONF).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}
