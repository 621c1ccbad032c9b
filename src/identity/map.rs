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
}
