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
    lab.busybox(&host, &["true"]).refused(125, "E_CONFIG").says("for others");
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
    let flags = ["--name", "noted", "--annotation", "org.example.team=web=1", "--annotation", "bare=", "--umask", "7"];
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

#[test]
fn a_proc_shows_what_its_options_say() {
    let lab = Lab::new();
    let script = "test -e /proc/meminfo && echo all; cat /proc/self/mountinfo | grep ' /proc ' | grep -o 'hidepid=[a-z0-9]*\\|subset=pid' | sort -u; cat /proc/1/comm; true";
    assert_eq!(lab.sh(&[], script), "all\nsh");
    assert_eq!(
        lab.sh(&["--security-opt", "proc-opts=hidepid=2,subset=pid"], script),
        "hidepid=invisible\nsubset=pid\nsh"
    );
    for option in ["proc-opts=rw", "proc-opts=hidepid=9", "label=type:container_t"] {
        lab.busybox(&["--security-opt", option], &["true"]).refused(125, "E_CONFIG");
    }
    let both = ["--pid", "host", "--security-opt", "proc-opts=hidepid=2"];
    lab.busybox(&both, &["true"]).refused(125, "E_CONFIG").says("--pid host");
    if !std::path::Path::new("/sys/module/apparmor/parameters/enabled").exists() {
        let profile = ["--security-opt", "apparmor=docker-default"];
        lab.busybox(&profile, &["true"]).refused(125, "E_CONFIG").says("AppArmor");
    }
}

#[test]
fn flags_that_could_not_do_what_they_say_are_refused_with_a_reason() {
    let lab = Lab::new();
    for (flag, word) in [
        ("--pod=x", "pods"),
        ("--uidmap=0:0:1", "one id"),
        ("--gidmap=0:0:1", "one group"),
        ("--requires=x", "coracle start"),
        ("--rdt-class=x", "root's"),
        ("--init-path=/x", "--init"),
        ("--seccomp-policy=image", "image"),
    ] {
        lab.busybox(&[flag], &["true"]).refused(125, "E_CONFIG").says(word);
    }
}

#[test]
fn process_ids_are_written_where_they_are_wanted() {
    let lab = Lab::new();
    let (own, monitor) = (lab.arg("own.pid"), lab.arg("monitor.pid"));
    let container = sleeper(&lab, &["--pidfile", &own, "--conmon-pidfile", &monitor]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap().parse::<i32>().unwrap();
    assert_eq!(read(&own), container.pid());
    assert_eq!(crate::support::parent(read(&own)), Some(read(&monitor)));
    lab.busybox(&["--pidfile", "/no/such/directory/pid"], &["true"]).refused(125, "E_NOTFOUND");
}

/// Descriptors of ours are the first process's, and nobody else's.
#[test]
fn descriptors_are_passed_on_by_number() {
    let lab = Lab::new();
    let file = lab.write("file", "passed on");
    let rootfs = format!("{}:O", crate::support::busybox_tree().display());
    let run = |flags: &str, script: &str| {
        let line = format!(
            "exec 3<{file} 5<{file}; exec {coracle} run --rm {flags} --rootfs {rootfs} sh -c '{script}'",
            file = file.display(),
            coracle = crate::support::coracle_path().display()
        );
        crate::support::output::run(lab.program("sh").args(["-c", &line]), &[], crate::support::LIMIT)
    };
    assert_eq!(run("--preserve-fds 1", "cat <&3; test -e /proc/self/fd/5 || echo -only").ok().text(), "passed on-only");
    assert_eq!(run("--preserve-fd 5", "cat <&5").ok().text(), "passed on");
    assert_eq!(run("", "test -e /proc/self/fd/3 || echo none").ok().text(), "none");
    run("--preserve-fds 2", "true").refused(125, "E_CONFIG").says("descriptor 4");
    run("--preserve-fds 1 --restart always", "true").exited(125);
    let id = run("-d --preserve-fds 1", "cat <&3; echo; sleep 1000").ok().text();
    crate::support::wait_until("it has read", || lab.coracle(["logs", &id]).text() == "passed on");
    lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
}
