//! Every namespace is the container's own, and what each shows.

use std::fs;

use crate::support::Lab;

const ALL: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// What the namespaces of a process are.
const LIST: &str = "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done";

/// A server on a low port of the loopback device, and its client.
const TALK_TO_ITSELF: &str =
    "nc -l -p 80 -e echo heard & for i in $(seq 100); do nc 127.0.0.1 80 2>/dev/null && exit; sleep 0.05; done";

fn inside(flags: &[&str]) -> Vec<String> {
    let text = Lab::new().sh(flags, LIST);
    text.lines().map(str::to_owned).collect()
}

fn own(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn all_are_different_from_ours() {
    let inside = inside(&[]);
    assert_eq!(inside.len(), ALL.len());
    for (name, inside) in ALL.iter().zip(inside) {
        assert_ne!(inside, own(name), "{name}");
    }
}

#[test]
fn two_containers_share_none() {
    let lab = Lab::new();
    // At the same time: numbers of namespaces that are gone are given anew.
    let script = format!("{LIST}; echo all; sleep 1000");
    let mut first = lab.spawn(crate::support::busybox_arguments(&[], &["sh", "-c", &script]));
    first.expect("all\n");
    let seen = first.seen();
    for (name, (first, second)) in ALL.iter().zip(seen.lines().zip(inside(&[]))) {
        assert_ne!(first, second, "{name}");
    }
}

#[test]
fn network_host_shares_that_one_only() {
    let inside = inside(&["--network", "host"]);
    for (name, inside) in ALL.iter().zip(inside) {
        assert_eq!(inside == own(name), *name == "net", "{name}");
    }
}

#[test]
fn network_none_has_a_working_loopback_and_nothing_else() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["--network", "none"], "ls /sys/class/net"), "lo");
    let text = lab.sh(&["--network", "none"], "ip -o link show lo");
    assert!(text.contains("LOOPBACK,UP"), "{text}");
    assert_eq!(lab.sh(&["--network", "none"], TALK_TO_ITSELF), "heard");
}

#[test]
fn low_ports_and_ping_need_no_privilege() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&[], "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
    assert_eq!(lab.sh(&[], "cat /proc/sys/net/ipv4/ping_group_range"), "0\t0");
    // An ICMP datagram socket is what ping uses.
    for user in ["0", "1000"] {
        assert_eq!(lab.sh(&["-u", user], "probe socket 2 2 1"), "ok");
        assert_eq!(lab.sh(&["-u", user], TALK_TO_ITSELF), "heard");
    }
}

/// CVE-2020-15257: no abstract socket of the host is reachable.
#[test]
fn abstract_sockets_of_the_host_are_not_seen() {
    let name = format!("coracle-test-{}", std::process::id());
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let text = Lab::new().sh(&[], "cat /proc/net/unix");
    assert!(fs::read_to_string("/proc/net/unix").unwrap().contains(&name) && !text.contains(&name), "{text}");
}

#[test]
fn the_host_name_is_the_short_id_or_what_was_asked_for() {
    let lab = Lab::new();
    let name = lab.sh(&[], "hostname");
    assert!(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    assert_eq!(
        lab.sh(&["--hostname", "boat.example"], "hostname; echo $HOSTNAME; cat /etc/hostname"),
        "boat.example\nboat.example\nboat.example"
    );
    let hosts = lab.sh(&["-h", "boat"], "cat /etc/hosts");
    assert!(hosts.lines().any(|line| line.starts_with("127.0.0.1") && line.contains("localhost")), "{hosts}");
    assert!(hosts.lines().any(|line| line.split_whitespace().any(|word| word == "boat")), "{hosts}");
}

#[test]
fn processes_of_the_host_are_not_seen() {
    assert_eq!(Lab::new().sh(&[], "ls /proc | grep '^[0-9]' | sort -n | head -n 1"), "1");
    assert_eq!(Lab::new().sh(&[], "kill -0 100000 2>/dev/null || echo none"), "none");
}

#[test]
fn control_groups_show_no_path_of_the_host() {
    let text = Lab::new().sh(&[], "cat /proc/self/cgroup");
    assert!(!text.is_empty() && text.lines().all(|line| line.ends_with(":/")), "{text}");
}

#[test]
fn shared_memory_and_queues_are_the_containers_own() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&[], "probe mqueue"), "open ok\nseen ok\nunlink ok");
    assert_eq!(lab.sh(&[], "tail -n +2 /proc/sysvipc/shm | wc -l"), "0");
}
