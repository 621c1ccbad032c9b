//! `--ipc`, `--pid`, `--uts`: namespaces of the host, and what ends with the container all the same.

use crate::exec::{self, sleeper};
use crate::support::{Detached, Lab, is_running, parent, wait_until};

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
        lab.busybox(&[&flag, "container:missing"], &["true"]).refused(125, "E_NOTFOUND").says("missing");
        lab.busybox(&[&flag, "container:"], &["true"]).refused(125, "E_CONFIG").says("container:web");
        lab.busybox(&[&flag, "ns:x"], &["true"]).refused(125, "E_CONFIG").says("absolute path");
        lab.busybox(&[&flag, &format!("ns:/proc/self/ns/{kind}")], &["true"]).refused(125, "E_NAMESPACE");
        lab.busybox(&[&flag, "ns:/no/such"], &["true"]).refused(125, "E_NAMESPACE").says("/no/such");
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
fn all_of_a_container_that_is_killed_ends_among_the_hosts_processes_too() {
    let lab = Lab::new();
    for verb in [&["kill"][..], &["rm", "-f", "-t", "0"], &["stop", "-t", "0"]] {
        let script = "(setsid sh -c 'sleep 1000 & echo $! >/tmp/left; wait' & ); exec sleep 1000";
        let container = Detached::start(&lab, &["--pid", "host"], &["sh", "-c", script]);
        let id = container.id.as_str();
        exec::sh(&lab, &[], id, "while ! test -s /tmp/left; do sleep 0.01; done");
        let left: i32 = exec::sh(&lab, &[], id, "cat /tmp/left").parse().unwrap();
        lab.coracle(["pause", id]).ok();
        lab.coracle(["unpause", id]).ok();
        lab.coracle(verb.iter().copied().chain([id])).ok();
        wait_until("the orphan ends with its container", || !is_running(left));
    }
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

fn namespaces(container: &Detached<'_>) -> Vec<(&'static str, std::path::PathBuf)> {
    let id = container.id.as_str();
    let pid = container.pid();
    // A reaper hides its own.
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let child = list.split_ascii_whitespace().next().map(|pid| pid.parse::<i32>().unwrap());
    let of = |pid: i32, kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let kinds = ["user", "mnt", "pid", "ipc", "uts", "net"].into_iter();
    kinds
        .map(|kind| (kind, of(pid, kind).or_else(|| of(child?, kind)).unwrap_or_else(|| panic!("{kind} of {id}"))))
        .collect()
}

/// What two containers have in common.
fn common(one: &Detached<'_>, other: &Detached<'_>) -> Vec<&'static str> {
    let shared = namespaces(one).into_iter().zip(namespaces(other)).filter(|(one, other)| one == other);
    shared.map(|((kind, _), _)| kind).collect()
}

#[test]
fn namespaces_of_another_container_are_joined() {
    let lab = Lab::new();
    let first = Detached::start(&lab, &["--name=first", "--hostname=shared"], &["sh", "-c", "exec sleep 1000"]);
    for (flags, expected) in [
        (&["--ipc=container:first"][..], &["user", "ipc"][..]),
        (&["--uts=container:first"], &["user", "uts"]),
        (&["--pid=container:first"], &["user", "pid"]),
        (
            &["--ipc=container:first", "--uts=container:first", "--pid=container:first", "--network=container:first"],
            &["user", "pid", "ipc", "uts", "net"],
        ),
    ] {
        let other = sleeper(&lab, flags);
        assert_eq!(common(&first, &other), expected, "{flags:?}");
        let report = lab.inspect(&other.id);
        for (key, flag) in [("IpcMode", "--ipc"), ("PidMode", "--pid"), ("UTSMode", "--uts")] {
            let is_joined = flags.iter().any(|given| given.starts_with(flag));
            let shown = report["HostConfig"][key].as_str().unwrap().to_owned();
            assert_eq!(shown == format!("container:{}", first.id), is_joined, "{key}: {shown}");
        }
    }
    // The host name is the other's, in all places; a third one may join through the second.
    let second = sleeper(&lab, &["--name=second", "--uts=container:first"]);
    let names = "hostname; cat /etc/hostname; echo $HOSTNAME; grep -c shared /etc/hosts";
    assert_eq!(exec::sh(&lab, &[], "second", names), "shared\nshared\nshared\n1");
    let third = sleeper(&lab, &["--uts=container:second"]);
    assert_eq!(common(&first, &third), ["user", "uts"]);
    assert_eq!(common(&second, &third), ["user", "uts"]);
    let path = format!("--uts=ns:/proc/{}/ns/uts", first.pid());
    assert_eq!(lab.sh(&[&path], "hostname"), "shared");
}

#[test]
fn shared_memory_is_shared_with_who_joins() {
    let lab = Lab::new();
    let _first = sleeper(&lab, &["--name=first", "--shm-size=3m"]);
    exec::sh(&lab, &[], "first", "echo from the first >/dev/shm/note");
    let _second = sleeper(&lab, &["--name=second", "--ipc=container:first"]);
    let script = "cat /dev/shm/note; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; echo back >/dev/shm/answer";
    assert_eq!(exec::sh(&lab, &[], "second", script), "from the first\n3072");
    assert_eq!(exec::sh(&lab, &[], "first", "cat /dev/shm/answer"), "back");
    // What the first does with its own mount later is its own matter.
    lab.busybox(&["--ipc=container:first", "--shm-size=1m"], &["true"]).refused(125, "E_CONFIG").says("--shm-size");
    let sysctl = ["--ipc=container:first", "--sysctl", "kernel.shmmni=9"];
    lab.busybox(&sysctl, &["true"]).refused(125, "E_CONFIG").says("others");
    let _private = sleeper(&lab, &["--name=private", "--ipc=private"]);
    lab.busybox(&["--ipc=container:private"], &["true"]).refused(125, "E_NAMESPACE").says("--ipc shareable");
    let _none = sleeper(&lab, &["--name=none", "--ipc=none"]);
    lab.busybox(&["--ipc=container:none"], &["true"]).refused(125, "E_NAMESPACE");
}

/// Who shares processes sees and signals the other's, and neither ends with the other's first process but with its own pid
/// namespace. Nothing of the one that has joined is left when it ends.
#[test]
fn processes_are_shared_and_end_with_their_own_container() {
    let lab = Lab::new();
    let first = Detached::start(&lab, &["--name=first"], &["sh", "-c", "sleep 1001 & exec sleep 1002"]);
    let script = "(setsid sleep 1003 &); exec sleep 1004";
    let second = Detached::start(&lab, &["--name=second", "--pid=container:first"], &["sh", "-c", script]);
    let seen = exec::sh(&lab, &[], "second", "ps -o args");
    for own in ["sleep 1001", "sleep 1002", "sleep 1003", "sleep 1004"] {
        assert!(seen.contains(own), "{own}: {seen}");
    }
    // The own ones only.
    let top = lab.coracle(["top", "second", "hpid", "args"]).ok().text();
    assert!(top.contains("sleep 1003") && top.contains("sleep 1004") && !top.contains("sleep 1001"), "{top}");
    let number = |word: &str| -> i32 {
        let line = top.lines().find(|line| line.contains(word)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (orphan, program) = (number("sleep 1003"), number("sleep 1004"));
    exec::exec(&lab, &["-d"], "second", &["sleep", "1005"]).ok();
    lab.coracle(["kill", "second"]).ok();
    assert_eq!(lab.coracle(["wait", "second"]).ok().text(), "137");
    wait_until("nothing of it is left", || !is_running(orphan) && !is_running(program));
    wait_until("not even what was started later", || {
        !exec::sh(&lab, &[], "first", "ps -o args").contains("sleep 1005")
    });
    assert!(exec::sh(&lab, &[], "first", "ps -o args").contains("sleep 1001"), "the other one goes on");
    // It is started again into what the other has now.
    lab.coracle(["restart", "-t", "0", "first"]).ok();
    lab.coracle(["start", "second"]).ok();
    assert_eq!(common(&first, &second), ["user", "pid"]);
    lab.coracle(["stop", "-t", "0", "first"]).ok();
    assert_eq!(lab.coracle(["wait", "second"]).ok().text(), "137", "the kernel has ended all in that namespace");
    lab.coracle(["start", "second"]).refused(125, "E_STATE").says("--pid container:").says("coracle start");
}

/// Who shares its processes may stop what joins; that is then given up, and does not wait for ever.
#[test]
fn who_is_stopped_while_it_joins_is_ended() {
    let lab = Lab::new();
    let stopper = "while :; do for p in /proc/[0-9]*; do p=${p#/proc/}
        [ $p = 1 ] || [ $p = $$ ] || grep -q coracle-init /proc/$p/comm 2>/dev/null && kill -STOP $p; done; done";
    let _first = Detached::start(&lab, &["--name=first"], &["sh", "-c", stopper]);
    // One that goes in between two looks is not stopped.
    wait_until("one is stopped", || {
        let joined = lab.busybox(&["--pid=container:first"], &["true"]);
        joined.code == 125 && joined.refused(125, "E_STATE").errors().contains("has stopped it")
    });
    assert_eq!(lab.containers().len(), 1, "nothing is left of it");
}

/// A container whose ids are emulated is joined by others, with ids of their own or without.
#[test]
fn containers_with_virtual_users_are_joined() {
    let lab = Lab::new();
    let image = crate::support::image("busybox");
    let start = |flags: &[&str]| {
        let words = [&["run", "-d", "--network=none", "--ids=emulate"], flags, &[&image, "sleep", "1000"]].concat();
        lab.coracle(words).ok();
    };
    start(&["--name=first", "--hostname=one"]);
    exec::exec(&lab, &["-d", "-u", "12:34"], "first", &["sleep", "1234"]).ok();
    let joins = |flags: &[&str], script: &str| {
        let words = ["run", "--rm", "--network=none", "--pid=container:first", "--uts=container:first"];
        lab.coracle([&words[..], flags, &[&image, "sh", "-c", script]].concat()).ok().text()
    };
    // Its processes are seen, and, to the kernel, belong to the one id that there is.
    let script = "hostname; ps -o args | grep -c '[s]leep 1234'";
    assert_eq!(joins(&["--ids=native"], script), "one\n1");
    // One that has virtual users itself, and no others than its own.
    let own =
        "id -u; touch /tmp/f; chown 56:78 /tmp/f; stat -c %u:%g /tmp/f; hostname; ps -o args | grep -c '[s]leep 1234'";
    assert_eq!(joins(&["--ids=emulate", "-u", "0"], own), "0\n56:78\none\n1");
    // It may signal what it sees: they are the same user's.
    joins(&["--ids=emulate"], "kill $(ps -o pid,args | grep '[s]leep 1234' | while read p r; do echo $p; done)");
    wait_until("it is gone", || !exec::sh(&lab, &[], "first", "ps -o args").contains("sleep 1234"));
    // And the first one is what it was.
    assert_eq!(exec::exec(&lab, &["-u", "12:34"], "first", &["id", "-u"]).ok().text(), "12");
}

/// While it is set up its root is the host's: nobody in the container that is joined may look at it, and no command line tells
/// of the host.
#[test]
fn who_joins_is_hidden_until_it_is_inside() {
    let lab = Lab::new();
    // It does not find itself. What it finds of the one that has joined, once that is inside, shows that it can look.
    let spy = "while :; do for p in /proc/[0-9]*; do
        [ -e $p/root/joined ] && echo $p >>/tmp/inside; [ -e $p/root/var/lib/dpkg ] && echo $p >>/tmp/outside
        tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '[-]-rm' && echo $p >>/tmp/named; done; done";
    let _first = Detached::start(&lab, &["--name=first", "--privileged"], &["sh", "-c", spy]);
    lab.write("joined", "");
    let joined = format!("{}:/joined", lab.arg("joined"));
    let found = |name: &str| exec::sh(&lab, &[], "first", &format!("cat /tmp/{name} 2>/dev/null | wc -l")) != "0";
    let _second = sleeper(&lab, &["--pid=container:first", "-v", &joined]);
    wait_until("who has joined is seen", || found("inside"));
    for _ in 0..20 {
        lab.busybox(&["--pid=container:first"], &["true"]).ok();
    }
    assert!(!found("outside"), "the host's root was seen");
    assert!(!found("named"), "a command line of the host was seen");
    exec::exec(&lab, &["-d"], "first", &["sh", "-c", "sleep 1000; true", "--rm"]).ok();
    wait_until("command lines are looked at", || found("named"));
}

#[test]
fn what_cannot_be_joined_is_said() {
    let lab = Lab::new();
    let _first = sleeper(&lab, &["--name=first"]);
    let _second = sleeper(&lab, &["--name=second"]);
    let both = ["--ipc=container:first", "--pid=container:second"];
    lab.busybox(&both, &["true"]).refused(125, "E_NAMESPACE").says("--pid container:").says("user namespace");
    let _other = sleeper(&lab, &["--name=other", "-u", "1000:1000"]);
    let refused = lab.busybox(&["--pid=container:other"], &["true"]);
    refused.refused(125, "E_NAMESPACE").says("--user 1000:1000");
    assert_eq!(lab.sh(&["--pid=container:other", "-u", "1000:1000"], "id -u"), "1000");
    let _hosts = sleeper(&lab, &["--name=hosts", "--pid=host", "--uts=host", "--ipc=host"]);
    for flag in ["--pid", "--uts", "--ipc"] {
        let given = format!("{flag}=container:hosts");
        lab.busybox(&[&given], &["true"]).refused(125, "E_NAMESPACE").says(&format!("{flag} host"));
    }
    lab.busybox(&["--uts=container:first", "--hostname=x"], &["true"]).refused(125, "E_CONFIG").says("--hostname");
    lab.coracle(["stop", "-t", "0", "first"]).ok();
    lab.busybox(&["--pid=container:first"], &["true"]).refused(125, "E_STATE").says("is not running");
    assert_eq!(lab.leftovers().iter().filter(|path| path.to_str().unwrap().contains("/names/")).count(), 4);
}

/// Limits that init would set are set before it hides.
#[test]
fn who_joins_has_its_own_oom_score() {
    let lab = Lab::new();
    let _first = sleeper(&lab, &["--name=first"]);
    let score = |flags: &[&str]| lab.sh(flags, "cat /proc/self/oom_score_adj");
    for flag in ["--pid=container:first", "--ipc=container:first", "--network=container:first"] {
        assert_eq!(score(&[flag, "--oom-score-adj=700"]), "700", "{flag}");
    }
}
