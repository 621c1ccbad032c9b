//! `top` and `stats`: what is told of a container's processes, and that nothing of the container takes part.

use crate::support::{Detached, Lab, Terminal, wait_until};

#[test]
fn processes_are_shown_as_inside() {
    let lab = Lab::new();
    for flags in [&["--name", "web"][..], &["--name", "web", "--init"]] {
        let container = Detached::start(&lab, flags, &["sh", "-c", "sleep 1000 & exec sleep 1001"]);
        wait_until("both sleep", || lab.coracle(["top", "web", "args"]).text().matches("sleep 100").count() == 2);
        let table = lab.coracle(["top", "web"]).ok().text();
        let lines: Vec<&str> = table.lines().collect();
        let titles: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(titles, ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]);
        let first: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!((first[0], first[1], first[2], first[5]), ("root", "1", "0", "?"), "{table}");
        assert_eq!(lines.len(), if flags.contains(&"--init") { 4 } else { 3 }, "{table}");
        let hpid = lab.coracle(["top", "web", "pid,hpid", "huser", "seccomp", "capeff", "state"]).ok().text();
        let row: Vec<&str> = hpid.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!((row[0], row[1]), ("1", container.pid().to_string().as_str()), "{hpid}");
        assert_eq!(row[2], nix::unistd::geteuid().to_string());
        assert!(hpid.contains("filter") && hpid.contains("CHOWN,DAC_OVERRIDE"), "{hpid}");
        assert_eq!(lab.coracle(["container", "top", "-l", "pid"]).ok().text().lines().nth(1).unwrap().trim(), "1");
    }
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    lab.coracle(["top", &container.id, "nosuch"]).refused(125, "E_CONFIG").says("huser");
    lab.coracle(["top", "nosuch"]).refused(125, "E_NOTFOUND");
    lab.coracle(["stats", "nosuch"]).refused(125, "E_NOTFOUND");
    lab.coracle(["stats", "--format", "{{.Nosuch"]).refused(125, "E_CONFIG");
    let ended = Detached::start(&lab, &[], &["true"]);
    wait_until("it has ended", || lab.inspect(&ended.id)["State"]["Status"] == "exited");
    lab.coracle(["top", &ended.id]).refused(125, "E_STATE");
    lab.coracle(["stats", "--no-stream", &ended.id]).refused(125, "E_STATE");
}

/// CVE-2022-1227, and names that would drive a terminal or break the table.
#[test]
fn a_hostile_container_is_only_looked_at() {
    let lab = Lab::new();
    let script =
        "mkdir /tmp/bin; for name in ps nsenter top; do printf '#!/bin/sh\\ntouch /tmp/ran' >/tmp/bin/$name; done
        chmod 755 /tmp/bin/*; rm -f /bin/ps /etc/passwd /etc/group; cp /tmp/bin/ps /bin/ps; mkfifo /etc/passwd
        ln -s /dev/zero /etc/group; cp /bin/busybox '/tmp/busybox) R 1 1'
        '/tmp/busybox) R 1 1' sh -c 'sleep 1000; :' \"$(printf 'x\\033[2J\\ty\\nz')\"";
    let container = Detached::start(&lab, &["-e", "PATH=/tmp/bin:/bin"], &["/bin/sh", "-c", script]);
    let top = || lab.coracle(["top", &container.id, "user", "group", "comm", "args", "ppid"]).ok().text();
    wait_until("it has started", || top().contains("\\u{1b}[2J"));
    let table = top();
    assert!(!table.contains('\x1b') && table.contains("busybox) R 1 1"), "{table}");
    assert!(table.lines().skip(1).all(|line| line.starts_with('0')), "numbers where names cannot be had: {table}");
    lab.coracle(["stats", "--no-stream", &container.id]).ok();
    lab.coracle(["exec", &container.id, "test", "!", "-e", "/tmp/ran"]).ok();
}

#[test]
fn figures_are_those_of_the_containers_processes() {
    let lab = Lab::new();
    let script = "head -c 20000000 /dev/zero | tail -c 19000000 | sleep 1000 & while :; do :; done";
    let busy = Detached::start(&lab, &["--name", "busy"], &["sh", "-c", script]);
    let idle = Detached::start(&lab, &["--name", "idle", "--network", "host"], &["sleep", "1000"]);
    let of = |name: &str| lab.coracle(["stats", "--no-stream", "--format", "json", name]).ok().json()[0].clone();
    let percent = |value: &serde_json::Value| value.as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    wait_until("it has been busy", || of("busy")["cpu_time"] != "0s");
    let (one, other) = (of("busy"), of("idle"));
    assert!(percent(&one["cpu_percent"]) > percent(&other["cpu_percent"]), "{one} {other}");
    assert_eq!((one["id"].as_str().unwrap(), one["name"].as_str().unwrap()), (&busy.id[..12], "busy"));
    assert_eq!((&one["net_io"], &other["net_io"]), (&"0B / 0B".into(), &"-- / --".into()));
    assert_eq!(other["pids"], "1");
    wait_until("it holds memory", || {
        let bytes = lab.coracle(["stats", "--no-stream", "--format", "{{.MemUsageBytes}}", "busy"]).ok().text();
        bytes.split(' ').next().unwrap().parse::<u64>().unwrap() > 19_000_000
    });
    let table = lab.coracle(["stats", "--no-stream"]).ok().text();
    assert!(table.starts_with("ID ") && table.lines().count() == 3, "{table}");
    drop(idle);
    wait_until("one is left", || lab.coracle(["stats", "--no-stream"]).ok().text().lines().count() == 2);
}

#[test]
fn the_table_lives_until_the_containers_end() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--name", "web"], &["sleep", "1000"]);
    let mut terminal = Terminal::start(&lab, ["stats", "--interval", "1", "web"]);
    terminal.expect("\x1b[2J");
    terminal.expect("web");
    terminal.expect("\x1b[2J");
    terminal.expect("web");
    lab.coracle(["rm", "-f", &container.id]).ok();
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn containers_that_do_not_run_are_shown_when_asked() {
    let lab = Lab::new();
    let ended = Detached::start(&lab, &["--name", "ended"], &["true"]);
    wait_until("it has ended", || lab.inspect(&ended.id)["State"]["Status"] == "exited");
    assert_eq!(lab.coracle(["stats", "--no-stream"]).ok().text().lines().count(), 1);
    assert!(lab.coracle(["stats", "--no-stream", "--all"]).ok().text().contains("ended"));
}
