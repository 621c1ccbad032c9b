//! The maps that the caller may write for a user namespace. `newuidmap` is never used.

use std::fmt::Write;

use crate::name::capability::{Capability, CapabilitySet};

/// Who the caller is, and what it may map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Maps of all ids of our own namespace onto themselves, where we have the privilege to write them.
    pub ranges: Option<Ranges>,
}

/// Contents of `uid_map` and `gid_map` that map ids onto themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// `uid_map`.
    pub uid_map: String,
    /// `gid_map`.
    pub gid_map: String,
}

impl Ranges {
    /// Whether there is such a user.
    pub fn has_user(&self, id: u32) -> bool {
        has(&self.uid_map, id)
    }

    /// Whether there is such a group.
    pub fn has_group(&self, id: u32) -> bool {
        has(&self.gid_map, id)
    }
}

fn has(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (fields.next(), fields.next(), fields.next()) else {
            return false;
        };
        id.checked_sub(first).is_some_and(|distance| distance < count)
    })
}

impl Caller {
    /// The calling process, given its effective capabilities. Root, in the initial namespace or in a container's, may map
    /// every id that it has itself (user_namespaces(7)).
    pub fn current(effective: CapabilitySet) -> Self {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let privileged = uid == 0 && effective.contains(Capability::Setuid) && effective.contains(Capability::Setgid);
        Self { uid, gid, ranges: privileged.then(own_ranges).flatten() }
    }
}

fn own_ranges() -> Option<Ranges> {
    let read = |path| std::fs::read_to_string(path).ok();
    let uid_map = onto_itself(&read("/proc/self/uid_map")?)?;
    let gid_map = onto_itself(&read("/proc/self/gid_map")?)?;
    // One id, mapped onto itself, is what an unprivileged caller has too.
    (uid_map.trim() != "0 0 1").then_some(Ranges { uid_map, gid_map })
}

/// The map that gives a child namespace all ids of a namespace that has this map.
fn onto_itself(map: &str) -> Option<String> {
    let mut own = String::new();
    for line in map.lines() {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count))) = (fields.next(), fields.next(), fields.next()) else {
            return None;
        };
        writeln!(own, "{inside} {inside} {count}").ok()?;
    }
    (!own.is_empty()).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_what_its_parent_has() {
        assert_eq!(onto_itself("         0          0 4294967295\n").as_deref(), Some("0 0 4294967295\n"));
        assert_eq!(onto_itself("0 1000 1\n1 100000 65536\n").as_deref(), Some("0 0 1\n1 1 65536\n"));
        assert_eq!(onto_itself(""), None);
        assert_eq!(onto_itself("x"), None);
    }

    #[test]
    fn some_ids_are_there() {
        let map = "0 0 1\n1000 1000 2\n4294967294 4294967294 1\n";
        let ranges = Ranges { uid_map: map.into(), gid_map: "0 0 4294967295\n".into() };
        for (id, is_there) in [(0, true), (1, false), (1000, true), (1001, true), (1002, false), (4_294_967_294, true)]
        {
            assert_eq!(ranges.has_user(id), is_there, "{id}");
        }
        assert!(ranges.has_group(7) && !ranges.has_group(u32::MAX));
    }
}
