//! `--ipc`, `--pid`, `--uts`: namespaces of the host, and what ends with the container all the same.

use crate::exec::{self, sleeper};
use crate::support::{Lab, is_running, parent, wait_until};

fn of_host(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_str().unwrap().to_owned()
}

fn of_container(lab: &Lab, flags: &[&str], kind: &str) -> String {
    lab.sh(flags, &format!("readlink /proc/self/ns/{kind}"))
}

#[test]
fn each_kind_is_its_own_or_the_hosts() {
    let lab = Lab::new();
    for kind in ["ipc", "pid", "uts"] {
        let flag = format!("--{kind}");
        assert_ne!(of_container(&lab, &[&flag, "private"], kind), of_host(kind), "{kind}");
        assert_eq!(of_container(&lab, &[&flag, "host"], kind), of_host(kind), "{kind}");
        lab.busybox(&[&flag, "container:x"], &["true"]).refused(125, "E_CONFIG").says("user namespace");
        lab.busybox(&[&flag, "ns:/proc/1/ns/ipc"], &["true"]).refused(125, "E_CONFIG");
        lab.busybox(&[&flag, "other"], &["true"]).refused(125, "E_CONFIG").says("private");
    }
    assert_ne!(of_container(&lab, &["--ipc", "shareable"], "ipc"), of_host("ipc"));
    lab.assert_clean();
}

#[test]
fn the_hosts_name_is_left_alone() {
    let lab = Lab::new();
    let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(
        lab.sh(&["--uts", "host"], "hostname; echo $HOSTNAME; cat /etc/hostname"),
        format!("{name}\n{name}\n{name}")
    );
    lab.busybox(&["--uts", "host", "--hostname", "web"], &["true"]).refused(125, "E_CONFIG").says("--hostname");
    let sysctl = ["--uts", "host", "--sysctl", "kernel.domainname=x"];
    lab.busybox(&sysctl, &["true"]).refused(125, "E_CONFIG").says("host");
}

#[test]
fn memory_is_shared_with_the_host_or_with_nobody() {
    let lab = Lab::new();
    let name = format!("/dev/shm/coracle-test-{}", std::process::id());
    std::fs::write(&name, "shared").unwrap();
    let seen =
        |flags: &[&str]| lab.sh(flags, &format!("cat {name} 2>/dev/null; ls -d /dev/shm 2>/dev/null || echo none"));
    let (shared, own, none) = (seen(&["--ipc", "host"]), seen(&[]), seen(&["--ipc", "none"]));
    std::fs::remove_file(&name).unwrap();
    assert_eq!((shared.as_str(), own.as_str(), none.as_str()), ("shared/dev/shm", "/dev/shm", "none"));
    lab.busybox(&["--ipc", "host", "--shm-size", "1m"], &["true"]).refused(125, "E_CONFIG").says("--shm-size");
    lab.busybox(&["--ipc", "host", "--sysctl", "kernel.shmmni=9"], &["true"]).refused(125, "E_CONFIG").says("host");
}

#[test]
fn the_hosts_processes_are_seen_and_what_is_masked_stays_so() {
    let lab = Lab::new();
    let own = std::process::id();
    assert_eq!(lab.sh(&["--pid", "host"], &format!("test -d /proc/{own} && echo seen; cat /proc/kcore 2>/dev/null | wc -c; touch /proc/sys/kernel/panic 2>&1 | grep -c Read-only")), "seen\n0\n1");
    lab.busybox(&["--pid", "host"], &["sh", "-c", "exit 7"]).exited(7);
}

/// Without a pid namespace nothing ends with the first process by itself.
#[test]
fn all_of_a_container_ends_among_the_hosts_processes_too() {
    let lab = Lab::new();
    let script = "(setsid sh -c 'sleep 1000 & echo $!; wait' & ) | head -1";
    let left: i32 = lab.sh(&["--pid", "host"], script).parse().unwrap();
    wait_until("the orphan ends with its container", || !is_running(left));
    let container = sleeper(&lab, &["--pid", "host"]);
    let id = container.id.as_str();
    assert_eq!(exec::sh(&lab, &[], id, "readlink /proc/self/ns/pid"), of_host("pid"));
    // Only the container's own processes are shown, and stopped.
    let left = "sleep 999 & echo $! >/tmp/left";
    exec::exec(&lab, &["-d"], id, &["sh", "-c", &format!("{left}; exec sleep 999")]).ok();
    exec::sh(&lab, &[], id, "while ! test -s /tmp/left; do sleep 0.01; done");
    let left: i32 = exec::sh(&lab, &[], id, "cat /tmp/left").parse().unwrap();
    let executed = parent(left).unwrap();
    let family = [left, executed, parent(executed).unwrap()];
    let top = lab.coracle(["top", id, "args"]).ok().text();
    assert!(top.contains("sleep 1000") && top.contains("sleep 999") && top.lines().count() <= 5, "{top}");
    lab.coracle(["pause", id]).ok();
    lab.coracle(["unpause", id]).ok();
    lab.coracle(["stop", "-t", "1", id]).ok();
    wait_until("what was executed in it ends with it", || family.iter().all(|&pid| !is_running(pid)));
}

#[test]
fn modes_are_shown() {
    let lab = Lab::new();
    let container = sleeper(&lab, &["--pid", "host", "--uts", "host", "--ipc", "none"]);
    let report = lab.inspect(&container.id);
    for (key, mode) in [("PidMode", "host"), ("UTSMode", "host"), ("IpcMode", "none")] {
        assert_eq!(report["HostConfig"][key], mode);
    }
}
