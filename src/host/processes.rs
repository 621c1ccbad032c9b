//! Processes of this machine, as `/proc` shows them (proc(5)). All of it may have changed when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// The field of this number of `/proc/PID/stat` (proc_pid_stat(5)), counted from 3: those before are not plain words.
fn stat_field(stat: &str, number: usize) -> Option<&str> {
    // The second field, the name, may contain spaces and parentheses.
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat_field(&stat, 4)?.parse().ok()
}

/// The child of a process that was started first among those that live.
pub fn oldest_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

/// The namespace of one kind (`pid`, `net`, ...) that a process is in; nothing if we may not know.
pub fn namespace(pid: &str, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

/// All processes in the pid namespace whose first process is `init`, and in those below it, by number. A process whose
/// namespace is not told to us belongs to where its parent does.
pub fn in_pid_namespace_of(init: i32) -> Vec<i32> {
    let (wanted, own) = (namespace(&init.to_string(), "pid"), namespace("self", "pid"));
    let mut members = BTreeSet::from([init]);
    let mut undecided = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        match namespace(&pid.to_string(), "pid") {
            Some(found) if Some(&found) == wanted.as_ref() => _ = members.insert(pid),
            Some(found) if Some(&found) == own.as_ref() => {}
            _ => _ = parent(pid).map(|parent| undecided.insert(pid, parent)),
        }
    }
    loop {
        let before = members.len();
        undecided.retain(|&pid, parent| !members.contains(parent) || !members.insert(pid));
        if members.len() == before {
            return members.into_iter().filter(|&pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_look_like_fields() {
        let stat = "12 (a) R 7 (b) S 34 12 12 0 -1";
        assert_eq!((stat_field(stat, 3), stat_field(stat, 4), stat_field(stat, 2)), (Some("S"), Some("34"), None));
    }

    #[test]
    fn we_are_among_the_processes_of_our_namespace() {
        let own = std::process::id().cast_signed();
        assert!(parent(own).is_some_and(|parent| parent > 0));
        assert!(in_pid_namespace_of(own).contains(&own));
    }
}
