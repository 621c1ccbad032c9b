//! What the process that unpacks layers can see and do. A program of its own, so that it has one such child only.

#![allow(clippy::unwrap_used, reason = "what these helpers cannot do fails the test")]

mod support;

use std::io::Write;
use std::path::PathBuf;

use support::{Header, Sandbox};

use coracle::oci::digest::Digest;

/// The /proc directory of the only child of this process that unpacks.
fn jail() -> PathBuf {
    let is_jail = |path: &PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().nth(1);
        let name = std::fs::read(path.join("cmdline")).unwrap_or_default();
        parent == Some(&std::process::id().to_string()) && name.starts_with(b"coracle-unpack\0")
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.find(is_jail).unwrap()
}

#[test]
fn the_jail_sees_nothing_but_its_target() {
    let sandbox = Sandbox::new();
    let mut ingest = sandbox.store.layers().ingest(&Digest::of(b"")).unwrap();
    let header = Header { size: 4 << 20, ..Header::new(b'0', "file") };
    ingest.write_all(&header.block()).unwrap();
    // More than the pipe holds: once it is written, the jail has begun to read, and so is shut in.
    ingest.write_all(&vec![b'x'; 2 << 20]).unwrap();
    let jail = jail();
    let mounts = std::fs::read_to_string(jail.join("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    let fields: Vec<&str> = mounts.split_ascii_whitespace().collect();
    assert!(fields[3].ends_with("/tree"), "{mounts}");
    assert_eq!(fields[4], "/", "{mounts}");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(fields[5].split(',').any(|set| set == option), "{mounts}");
    }
    for namespace in ["user", "mnt", "net", "ipc"] {
        let of = |process: &str| std::fs::read_link(PathBuf::from(process).join("ns").join(namespace)).unwrap();
        assert_ne!(of(jail.to_str().unwrap()), of("/proc/self"), "{namespace}");
    }
    let names = std::fs::read_dir(jail.join("root")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["file"]);
    let status = std::fs::read_to_string(jail.join("status")).unwrap();
    for fact in ["NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(status.lines().any(|line| line == fact), "{status}");
    }
    // Every open file is a standard stream or in the target.
    for entry in std::fs::read_dir(jail.join("fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap();
        let target = target.to_str().unwrap();
        assert!(target.starts_with("pipe:") || matches!(target, "/" | "/file"), "{target}");
    }
    let environment = std::fs::read(jail.join("environ")).unwrap();
    assert_eq!(environment, b"");
    drop(ingest);
    assert!(!jail.exists());
}
