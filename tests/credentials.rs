//! Capabilities and ids of this thread, in a user namespace of the test's own. No privilege is needed.
//!
//! What is given up cannot be had again: the case is an ignored test of this binary, run by itself in a child process.

use std::process::Command;

use coracle::lsm::capability::{DEFAULT, Sets};
use coracle::name::capability::{Capability, CapabilitySet};
use coracle::name::capability_change::{CapabilityChanges, CapabilityName};
use coracle::sys::credentials::{self, KeepCapabilities, ThreadCapabilities};
use nix::errno::Errno;

#[test]
fn the_kernel_reports_what_was_set() {
    let program = std::env::current_exe().expect("our own path");
    let case = ["--exact", "case_the_kernel_reports_what_was_set", "--ignored", "--nocapture", "--test-threads=1"];
    let namespace = Command::new("unshare").args(["--user", "--map-root-user"]).arg(program).args(case).output();
    let output = namespace.expect("unshare(1) of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{:?}\n{text}", output.status);
}

/// A line of this thread's status(5).
fn status(key: &str) -> String {
    let text = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.expect(key).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn status_set(key: &str) -> CapabilitySet {
    CapabilitySet::from_bits(u64::from_str_radix(&status(key), 16).expect("hexadecimal"))
}

fn apply(sets: &Sets) {
    credentials::limit_bounding_set(sets.bounding.bits()).expect("CAP_SETPCAP");
    let wanted = ThreadCapabilities {
        effective: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
    };
    credentials::set_capabilities(wanted).expect("a smaller set");
    assert_eq!(credentials::capabilities(), Ok(wanted));
    credentials::clear_ambient_set(0).expect("Linux 4.3");
    sets.ambient.iter().for_each(|capability| credentials::raise_ambient(capability as u8, 0).expect("inheritable"));
}

fn reported() -> Sets {
    Sets {
        bounding: status_set("CapBnd"),
        permitted: status_set("CapPrm"),
        effective: status_set("CapEff"),
        inheritable: status_set("CapInh"),
        ambient: status_set("CapAmb"),
    }
}

#[test]
#[ignore = "run in a process of its own"]
fn case_the_kernel_reports_what_was_set() {
    let all = credentials::bounding_set();
    assert_eq!(all & CapabilitySet::all().bits(), CapabilitySet::all().bits());
    assert_eq!(status_set("CapBnd").bits(), all);

    assert_eq!(credentials::become_user(0, 1), Err(Errno::EINVAL));
    assert_eq!(credentials::become_user(1, 0), Err(Errno::EINVAL));
    credentials::become_user(0, 0).expect("mapped");
    assert_eq!((status("Uid"), status("Gid")), ("0 0 0 0".into(), "0 0 0 0".into()));
    assert_eq!(credentials::set_groups(&[0]), Err(Errno::EPERM));
    credentials::keep_capabilities_over_setuid(KeepCapabilities::Yes).expect("not locked");
    credentials::keep_capabilities_over_setuid(KeepCapabilities::No).expect("not locked");

    let none = CapabilityChanges::default();
    let root = Sets::for_user(DEFAULT, &none, 0);
    apply(&root);
    assert_eq!(reported(), root);
    assert_eq!(credentials::bounding_set(), DEFAULT.bits());

    let net_bind = CapabilityName::One(Capability::NetBindService);
    let user = Sets::for_user(DEFAULT, &CapabilityChanges { add: vec![net_bind], drop: vec![] }, 33);
    apply(&user);
    assert_eq!(reported(), user);
    let more = ThreadCapabilities { permitted: DEFAULT.bits(), ..ThreadCapabilities::default() };
    assert_eq!(credentials::set_capabilities(more), Err(Errno::EPERM));
    assert_eq!(credentials::set_securebits(0x2f), Err(Errno::EPERM), "CAP_SETPCAP is gone");

    assert_eq!(status("NoNewPrivs"), "0");
    credentials::set_no_new_privileges().expect("always allowed");
    assert_eq!(status("NoNewPrivs"), "1");
}
