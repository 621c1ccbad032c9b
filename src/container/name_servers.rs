//! A container's `/etc/resolv.conf` that follows the host's, and the container's own networks: a laptop changes its networks more
//! often than its containers.

use std::fs::{self, File};
use std::net::IpAddr;
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
    /// Tells the resolver of the container's networks that have names, as they are now.
    resolver: Box<dyn Fn() -> Option<IpAddr>>,
    wanted: NameResolution,
    content: String,
    seen: Stamp,
    due: Instant,
}

impl NameServers {
    /// That of a container which has just been started.
    pub fn new(
        file: OwnedFd,
        network: &NetworkPlan,
        wanted: &NameResolution,
        resolver: impl Fn() -> Option<IpAddr> + 'static,
    ) -> Self {
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
            resolver: Box::new(resolver),
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

    /// Looks whether the host's file, or the container's networks, have changed.
    pub fn turn(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + INTERVAL;
        let now = stamp();
        let is_new = now.is_some() && now != self.seen;
        if !self.has_moved() && !is_new {
            return;
        }
        self.seen = now;
        self.update(network_files::name_servers(&self.network, &self.wanted));
    }

    /// Whether the container is in other networks than before, and so has another resolver.
    fn has_moved(&mut self) -> bool {
        let NetworkPlan::Named(plan) = &mut self.network else { return false };
        // In none there is nobody to ask.
        let Some(resolver) = (self.resolver)() else { return false };
        plan.resolver.replace(resolver) != Some(resolver)
    }

    fn update(&mut self, content: String) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_inside_stays() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"nameserver 192.0.2.53\n").unwrap();
        let shown = file.try_clone().unwrap();
        let read = || {
            let mut bytes = vec![0; shown.metadata().unwrap().len() as usize];
            shown.read_exact_at(&mut bytes, 0).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let mut followed = NameServers::new(file.into(), &NetworkPlan::Host, &NameResolution::default(), || None);
        for content in ["nameserver 192.0.2.1\nnameserver 192.0.2.2\n", "nameserver 192.0.2.3\n", ""] {
            followed.update(content.to_owned());
            assert_eq!(read(), content);
        }
        shown.write_all_at(b"nameserver 192.0.2.99\n", 0).unwrap();
        followed.update("nameserver 192.0.2.4\n".to_owned());
        assert_eq!(read(), "nameserver 192.0.2.99\n");
    }
}
