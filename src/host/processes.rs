//! Processes of this machine, as `/proc` shows them (proc(5)). All of it may have changed when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid};

use crate::sys::pidfd;

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

/// Whether a process of ours that was not waited for has executed a program since it was forked: the flags of a task that has
/// not have `PF_FORKNOEXEC` (include/linux/sched.h in the kernel's source), even when it is dead. True if we may not know.
pub fn has_executed(pid: i32) -> bool {
    const FORKED_BUT_NOT_EXECUTED: u32 = 0x40;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat_field(&stat, 9).and_then(|word| word.parse::<u32>().ok());
    flags.is_none_or(|flags| flags & FORKED_BUT_NOT_EXECUTED == 0)
}

/// The child of a process that was started first among those that live.
pub fn oldest_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

/// Kills all children of this process and those that are left to it for it (PR_SET_CHILD_SUBREAPER(2const)), until there are none.
pub fn end_children() {
    let list = format!("/proc/self/task/{}/children", getpid());
    while let Ok(children) = fs::read_to_string(&list) {
        let children: Vec<i32> = children.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        // They are ours until we wait for them, so nobody else has their numbers.
        for &child in &children {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        if children.is_empty() || waitpid(None, None).is_err() {
            return;
        }
    }
}

/// The namespace of one kind (`pid`, `net`, ...) that a process is in; nothing if we may not know.
pub fn namespace(pid: &str, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

/// All processes of the container whose first process is `init`, by number: those in its pid namespace and in those below it,
/// or, where it is not the first in that, in its mount namespace. A process whose namespace is not told to us belongs to where its
/// parent does.
pub fn of_container(init: i32) -> Vec<i32> {
    // A reaper hides its namespaces.
    let shown = if namespace(&init.to_string(), "pid").is_some() { Some(init) } else { oldest_child(init) };
    let shown = shown.unwrap_or(init).to_string();
    let is_first = Process::read(init).is_some_and(|process| process.inner_number("NSpid") == 1);
    let kind = if is_first { "pid" } else { "mnt" };
    let (wanted, own) = (namespace(&shown, kind), namespace("self", kind));
    let mut members = BTreeSet::from([init]);
    let mut undecided = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        match namespace(&pid.to_string(), kind) {
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

/// How often it is looked whether anything is left in a mount namespace, and how long that may take to end, in milliseconds.
const SWEEPS: (usize, u16) = (100, 1000);

/// Kills all processes in a mount namespace, and returns when they are gone.
pub fn end_all_in(mounts: BorrowedFd<'_>) {
    let Ok(wanted) = nix::sys::stat::fstat(mounts).map(|stat| (stat.st_dev, stat.st_ino)) else { return };
    let is_in =
        |pid: i32| fs::metadata(format!("/proc/{pid}/ns/mnt")).is_ok_and(|found| (found.dev(), found.ino()) == wanted);
    for _ in 0..SWEEPS.0 {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        // Asked again once the process is held: then it is that one which is in there.
        let held = numbers
            .filter(|&pid| is_in(pid))
            .filter_map(|pid| pidfd::open(Pid::from_raw(pid)).ok().filter(|_| is_in(pid)));
        let held: Vec<_> = held.collect();
        if held.is_empty() {
            return;
        }
        for process in &held {
            let _ = pidfd::send_signal(process.as_fd(), libc::SIGKILL);
        }
        for process in &held {
            let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], SWEEPS.1);
        }
    }
}

/// What `/proc` says of one process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number in our pid namespace.
    pub pid: i32,
    /// Its parent's number in our pid namespace.
    pub parent: i32,
    /// A letter (proc_pid_stat(5)).
    pub state: char,
    /// Device number of its controlling terminal; 0 if it has none.
    pub terminal: u64,
    /// Time on a processor, in user mode and in the kernel, in clock ticks.
    pub cpu_ticks: u64,
    /// The same of its children that have ended and were waited for.
    pub waited_ticks: u64,
    /// Nice value.
    pub nice: i32,
    /// When it was started, in clock ticks since boot.
    pub start: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Bytes of memory in use, those shared with others included.
    pub resident_bytes: u64,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its command line; empty for what has none.
    pub arguments: Vec<String>,
    status: BTreeMap<String, String>,
}

impl Process {
    /// The process of this number; nothing if there is none.
    pub fn read(pid: i32) -> Option<Self> {
        let bytes = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        // What a process calls itself need not be text.
        let text = |file: &str| Some(String::from_utf8_lossy(&bytes(file)?).into_owned());
        let (stat, status) = (text("stat")?, text("status")?);
        let number = |field| stat_field(&stat, field).and_then(|word| word.parse::<i64>().ok());
        let count = |field| number(field).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let (name, _) = stat.split_once(" (")?.1.rsplit_once(") ")?;
        let command_line = bytes("cmdline").unwrap_or_default();
        let words = command_line.strip_suffix(b"\0").unwrap_or(&command_line);
        let words = words.split(|&byte| byte == 0).filter(|_| !words.is_empty());
        Some(Self {
            pid,
            parent: number(4)? as i32,
            state: stat_field(&stat, 3)?.chars().next()?,
            terminal: count(7),
            cpu_ticks: count(14) + count(15),
            waited_ticks: count(16) + count(17),
            nice: number(19).unwrap_or(0) as i32,
            start: count(22),
            virtual_bytes: count(23),
            resident_bytes: count(24) * page_size(),
            name: name.to_owned(),
            arguments: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            status: status
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect(),
        })
    }

    /// A field of `/proc/PID/status` (proc_pid_status(5)); empty if the kernel does not have it.
    pub fn status(&self, field: &str) -> &str {
        self.status.get(field).map_or("", String::as_str)
    }

    /// A number that the process itself sees, in the innermost pid namespace it is in: `NSpid`, `NSpgid`, `NSsid`.
    pub fn inner_number(&self, field: &str) -> i32 {
        self.status(field).split_ascii_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// One of the four numbers of `Uid` or `Gid`: real, effective, saved, file system.
    pub fn id(&self, field: &str, which: usize) -> Option<u32> {
        self.status(field).split_ascii_whitespace().nth(which)?.parse().ok()
    }

    /// Bytes of memory in use, those shared with others counted in proportion; as [`Self::resident_bytes`] where the kernel
    /// does not tell.
    pub fn proportional_bytes(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.map_or(self.resident_bytes, |kilobytes| kilobytes * 1024)
    }

    /// Bytes read from and written to disks (proc_pid_io(5)); nothing if we may not know.
    pub fn disk_bytes(&self) -> (u64, u64) {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid)).unwrap_or_default();
        let of = |key: &str| io.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0);
        (of("read_bytes:"), of("write_bytes:"))
    }
}

/// Bytes received and sent by the devices of a process's network namespace, but for the loopback device.
pub fn network_bytes(pid: i32) -> (u64, u64) {
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let counted = devices.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    counted.fold((0, 0), |(received, sent), (_, counters)| {
        let of = |column| counters.split_ascii_whitespace().nth(column).and_then(|word| word.parse().ok()).unwrap_or(0);
        let (more, and_more): (u64, u64) = (of(0), of(8));
        (received + more, sent + and_more)
    })
}

/// Clock ticks in a second, of the times that `/proc` tells.
pub fn ticks_per_second() -> u64 {
    system_value(nix::unistd::SysconfVar::CLK_TCK, 100)
}

fn page_size() -> u64 {
    system_value(nix::unistd::SysconfVar::PAGE_SIZE, 4096)
}

fn system_value(variable: nix::unistd::SysconfVar, usual: u64) -> u64 {
    nix::unistd::sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(usual)
}

/// Seconds since boot (proc_uptime(5)).
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// Bytes of memory of this machine.
pub fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
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
        assert!(of_container(own).contains(&own));
        let process = Process::read(own).expect("we are there");
        assert_eq!((process.inner_number("NSpid"), process.pid), (own, own));
        assert!(process.resident_bytes > 0 && process.proportional_bytes() > 0 && !process.arguments.is_empty());
        assert!(uptime() > 0.0 && memory_bytes() > process.resident_bytes);
    }
}
