//! What a process finds set: its mask, the time zone, kernel settings, the kind of machine, annotations.

use crate::exec::{self, sleeper};
use crate::support::Lab;

#[test]
fn the_mask_is_the_one_asked_for_in_exec_too() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&[], "umask"), "0022");
    assert_eq!(lab.sh(&["--umask", "077"], "umask; touch /tmp/x; stat -c %a /tmp/x"), "0077\n600");
    let container = sleeper(&lab, &["--umask", "0002"]);
    assert_eq!(exec::sh(&lab, &[], &container.id, "umask"), "0002");
    for mask in ["8", "1777", "rwx", ""] {
        lab.busybox(&["--umask", mask], &["true"]).refused(125, "E_CONFIG").says("0022");
    }
}

#[test]
fn kernel_settings_are_those_of_the_containers_namespaces() {
    let lab = Lab::new();
    let read = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni fs/mqueue/msg_max kernel/domainname user/max_pid_namespaces";
    let before = std::fs::read_to_string("/proc/sys/kernel/shmmni").unwrap();
    let flags = [
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.shmmni=99",
        "--sysctl",
        "fs/mqueue/msg_max=7",
        "--sysctl",
        "kernel.domainname=example.org",
        "--sysctl",
        "user.max_pid_namespaces=3",
    ];
    assert_eq!(lab.sh(&flags, read), "1\n99\n7\nexample.org\n3");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), before, "the host's own");
    // What is asked for wins over what every container has.
    assert_eq!(
        lab.sh(
            &["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"],
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
        ),
        "80"
    );
}

#[test]
fn settings_of_the_machine_are_refused_before_anything_starts() {
    let lab = Lab::new();
    for setting in ["kernel.panic=1", "vm.overcommit_memory=1", "fs.file-max=1", "nonsense=1"] {
        lab.busybox(&["--sysctl", setting], &["true"]).refused(125, "E_CONFIG").says("kernel.shm*");
    }
    lab.busybox(&["--sysctl", "kernel.hostname=x"], &["true"]).refused(125, "E_CONFIG").says("--hostname");
    for setting in ["net.ipv4.ip_forward", "net/../kernel/panic=1", "=1"] {
        lab.busybox(&["--sysctl", setting], &["true"]).refused(125, "E_CONFIG").says("NAME=VALUE");
    }
    let host = ["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"];
    lab.busybox(&host, &["true"]).refused(125, "E_CONFIG").says("host's network");
    lab.busybox(&["--sysctl", "net.ipv4.no_such_setting=1"], &["true"]).refused(125, "E_SYSCTL_DENIED");
    lab.busybox(&["--sysctl", "net.ipv4.ip_forward=many"], &["true"]).refused(125, "E_SYSCTL_DENIED");
    lab.assert_clean();
}

#[test]
fn the_time_zone_is_a_copy_of_the_hosts_file() {
    let lab = Lab::new();
    let zone = "Asia/Kolkata";
    assert!(std::path::Path::new("/usr/share/zoneinfo").join(zone).exists(), "the package tzdata is installed");
    assert_eq!(lab.sh(&["--tz", zone], "date -d @0 +%H:%M"), "05:30");
    assert_eq!(lab.sh(&[], "date -d @0 +%H:%M"), "00:00");
    // A file of its own: it is in nobody else's hands.
    assert_eq!(lab.sh(&["--tz", zone], "grep -c zoneinfo /proc/self/mountinfo || true"), "0");
    lab.busybox(&["--tz", "local"], &["true"]).ok();
    assert_eq!(lab.sh(&["--read-only", "--tz", zone], "date -d @0 +%H:%M"), "05:30");
    for zone in ["Nowhere/City", "../../../etc/passwd", "tzdata.zi", "/etc/localtime", ""] {
        let output = lab.busybox(&["--tz", zone], &["true"]);
        output.exited(125).says("Europe/Berlin");
    }
}

#[test]
fn a_machine_of_32_bits_is_what_is_told() {
    let lab = Lab::new();
    let machine = lab.sh(&[], "uname -m");
    assert_ne!(lab.sh(&["--personality", "LINUX32"], "uname -m"), machine);
    assert_eq!(lab.sh(&["--personality", "linux"], "uname -m"), machine);
    let container = sleeper(&lab, &["--personality", "LINUX32"]);
    assert_ne!(exec::sh(&lab, &[], &container.id, "uname -m"), machine);
    lab.busybox(&["--personality", "BSD"], &["true"]).refused(125, "E_CONFIG").says("LINUX32");
}

#[test]
fn annotations_and_the_rest_are_shown() {
    let lab = Lab::new();
    let flags = ["--name", "noted", "--annotation", "org.example.team=web=1", "--annotation", "bare", "--umask", "7"];
    let container = sleeper(&lab, &[&flags[..], &["--tz", "UTC", "--userns", "keep-id:uid=5,gid=6"]].concat());
    let report = lab.inspect(&container.id);
    assert_eq!(report["Config"]["Annotations"]["org.example.team"], "web=1");
    assert_eq!(report["Config"]["Annotations"]["bare"], "");
    assert_eq!(report["Config"]["Umask"], "0007");
    assert_eq!(report["Config"]["Timezone"], "UTC");
    assert_eq!(report["HostConfig"]["UsernsMode"], "keep-id:uid=5,gid=6");
    assert_eq!(report["Config"]["User"], "5:6");
    lab.busybox(&["--annotation", "=x"], &["true"]).refused(125, "E_CONFIG").says("KEY=VALUE");
}
