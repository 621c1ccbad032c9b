//! Logs: what containers write is kept byte by byte, shown, and followed, whatever happens to disks, readers and monitors.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Detached, LIMIT, Lab, Output, busybox_arguments, busybox_tree, coracle_path, is_running, output, wait_until,
};

/// `run -d --name NAME FLAGS` of a shell script.
fn start<'a>(lab: &'a Lab, name: &str, flags: &[&str], script: &str) -> Detached<'a> {
    let flags = [&["--name", name], flags].concat();
    Detached::start(lab, &flags, &["sh", "-c", script])
}

/// The same, waited for.
fn run<'a>(lab: &'a Lab, name: &str, flags: &[&str], script: &str) -> Detached<'a> {
    let container = start(lab, name, flags, script);
    wait_until("it has exited", || lab.inspect(name)["State"]["Status"] == "exited");
    container
}

fn log_file(lab: &Lab, container: &Detached<'_>, name: &str) -> PathBuf {
    lab.store().join("containers").join(&container.id).join(name)
}

/// `-v` of a directory by which a test and a script speak to each other.
fn shared(lab: &Lab) -> String {
    fs::create_dir_all(lab.path("shared")).unwrap();
    format!("{}:/shared", lab.arg("shared"))
}

/// Shell: waits until the test, or the container, has made this file.
fn wait_for(name: &str) -> String {
    format!("while [ ! -e /shared/{name} ]; do sleep 0.01; done; ")
}

#[test]
fn streams_are_kept_byte_by_byte() {
    let lab = Lab::new();
    for driver in ["json-file", "k8s-file"] {
        let script = r#"printf 'tab\t quote" back\\ <&> \303\251 \001\r\n\n'; printf 'bad\n' >&2; printf 'no end'"#;
        let _container = run(&lab, driver, &["--log-driver", driver], script);
        let output = lab.coracle(["logs", driver]);
        assert_eq!(output.ok().text(), "tab\t quote\" back\\ <&> é \u{1}\r\n\nno end", "{driver}");
        assert_eq!(output.errors(), "bad\n");
    }
}

#[test]
fn json_is_what_docker_writes() {
    let lab = Lab::new();
    let container = run(&lab, "c", &[], "printf 'a<b\\n'; sleep 0.05; printf x >&2");
    let text = fs::read_to_string(log_file(&lab, &container, "log.json")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["log"], &lines[0]["stream"]), (&"a<b\n".into(), &"stdout".into()));
    assert_eq!((&lines[1]["log"], &lines[1]["stream"]), (&"x".into(), &"stderr".into()));
    assert!(text.starts_with(r#"{"log":"a\u003cb\n","stream":"stdout","time":"20"#), "{text}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_is_not_utf8_is_replaced_in_json_and_kept_elsewhere() {
    let lab = Lab::new();
    for (driver, expected) in [("json-file", "a\u{fffd}b\n".as_bytes()), ("k8s-file", b"a\xffb\n")] {
        let _container = run(&lab, driver, &["--log-driver", driver], r"printf 'a\377b\n'");
        assert_eq!(lab.coracle(["logs", driver]).ok().stdout, expected);
    }
}

#[test]
fn long_lines_are_kept_in_parts_and_shown_whole() {
    let lab = Lab::new();
    let container = run(&lab, "c", &[], "head -c 50000 /dev/zero | tr '\\0' x; echo; echo short");
    let expected = format!("{}\nshort\n", "x".repeat(50_000));
    assert!(lab.coracle(["logs", "c"]).ok().stdout == expected.as_bytes());
    let text = fs::read_to_string(log_file(&lab, &container, "log.json")).unwrap();
    let lengths = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lengths: Vec<usize> = lengths.map(|entry| entry["log"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, [16384, 16384, 16384, 50_000 - 3 * 16384 + 1, 6]);
    let last = lab.coracle(["logs", "-t", "--tail", "2", "c"]).ok().text();
    assert!(last.lines().count() == 2 && last.lines().all(|line| line.starts_with("20")), "{last:.100}");
}

#[test]
fn a_terminal_s_output_is_kept() {
    let lab = Lab::new();
    let _container = run(&lab, "c", &["-t"], "echo out; echo err >&2");
    assert_eq!(lab.coracle(["logs", "c"]).ok().stdout, b"out\r\nerr\r\n");
}

#[test]
fn following_ends_with_the_container_and_misses_nothing() {
    let lab = Lab::new();
    let script = format!("echo first; {} seq 1000; printf last", wait_for("go"));
    let _container = start(&lab, "c", &["-v", &shared(&lab)], &script);
    let mut follower = lab.spawn(["logs", "-f", "c"]);
    follower.expect("first\n");
    lab.write("shared/go", "");
    let output = follower.wait();
    let numbers: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(output.ok().text(), format!("first\n{numbers}last"));
    // One that is over.
    assert_eq!(lab.coracle(["logs", "-f", "--tail", "1", "c"]).ok().text(), "last");
    for round in 0..5 {
        let name = format!("short{round}");
        let _container = start(&lab, &name, &[], "seq 100");
        assert!(lab.coracle(["logs", "-f", &name]).ok().text().ends_with("\n99\n100"));
    }
}

#[test]
fn following_a_container_that_removes_itself() {
    let lab = Lab::new();
    let script = format!("echo first; {} echo last", wait_for("go"));
    let _container = start(&lab, "c", &["--rm", "-v", &shared(&lab)], &script);
    let mut follower = lab.spawn(["logs", "c", "-f"]);
    follower.expect("first\n");
    lab.write("shared/go", "");
    assert_eq!(follower.wait().ok().text(), "first\nlast");
}

#[test]
fn following_across_new_files() {
    let lab = Lab::new();
    for max_file in ["1", "4"] {
        let mut script = String::new();
        for round in 1..9 {
            script += &format!("seq {round}000 {round}099; {} rm /shared/{round}; ", wait_for(&round.to_string()));
        }
        let name = format!("c{max_file}");
        let limit = format!("max-file={max_file}");
        let flags = ["--log-opt", "max-size=9k", "--log-opt", &limit, "-v", &shared(&lab)];
        let container = start(&lab, &name, &flags, &script);
        let mut follower = lab.spawn(["logs", "-f", &name]);
        for round in 1..9 {
            follower.expect(&format!("{round}099\n"));
            lab.write(&format!("shared/{round}"), "");
        }
        let numbers = (1..9).flat_map(|round| (0..100).map(move |n| format!("{}", round * 1000 + n)));
        assert_eq!(follower.wait().ok().text(), numbers.collect::<Vec<_>>().join("\n"));
        let oldest = log_file(&lab, &container, "log.json.3").exists();
        assert_eq!(oldest, max_file == "4");
        assert!(!log_file(&lab, &container, "log.json.4").exists());
    }
}

#[test]
fn the_last_lines_are_found_across_files() {
    let lab = Lab::new();
    let flags = ["--log-opt", "max-size=20k", "--log-opt", "max-file=5"];
    let container = run(&lab, "c", &flags, "seq 1000");
    let all = lab.coracle(["logs", "c"]).ok().text();
    let all: Vec<&str> = all.lines().collect();
    assert!(log_file(&lab, &container, "log.json.3").exists());
    assert_eq!(all.last(), Some(&"1000"));
    for count in [0, 1, 2, 10, 100, 250, 500, all.len() - 1, all.len(), all.len() + 1] {
        let tail = lab.coracle(["logs", "--tail", &count.to_string(), "c"]).ok().text();
        assert_eq!(tail.lines().collect::<Vec<_>>(), all[all.len().saturating_sub(count)..], "{count}");
    }
    assert_eq!(lab.coracle(["logs", "--tail=all", "c"]).ok().text().lines().count(), all.len());
    assert_eq!(lab.coracle(["logs", "--tail", "-1", "c"]).ok().text().lines().count(), all.len());
    lab.coracle(["logs", "--tail", "x", "c"]).refused(125, "E_CONFIG");
}

#[test]
fn times_select() {
    let lab = Lab::new();
    let _container = run(&lab, "c", &[], "echo 1; sleep 0.05; echo 2; sleep 0.05; echo 3");
    let text = lab.coracle(["logs", "-t", "c"]).ok().text();
    let times: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let numbers = |flags: &[&str]| lab.coracle([&["logs", "c"], flags].concat()).ok().text().replace('\n', "");
    assert_eq!(numbers(&["--since", times[1]]), "23");
    assert_eq!(numbers(&["--until", times[1]]), "12");
    assert_eq!(numbers(&["--since", times[1], "--until", times[1]]), "2");
    assert_eq!(numbers(&["--until", times[1], "--tail", "1"]), "2");
    assert_eq!(numbers(&["--since", "1h30m"]), "123");
    assert_eq!(numbers(&["--since", "0"]), "123");
    assert_eq!(numbers(&["--until", "2000-01-01"]), "");
    assert_eq!(numbers(&["-f", "--until", times[0]]), "1");
    lab.coracle(["logs", "--since", "yesterday", "c"]).refused(125, "E_CONFIG");
}

#[test]
fn several_containers_are_merged_by_time() {
    let lab = Lab::new();
    let one = run(&lab, "one", &[], "echo 1");
    let _two = run(&lab, "two", &[], "echo 2");
    assert_eq!(lab.coracle(["logs", "-n", "two", "one"]).ok().text(), "one 1\ntwo 2");
    let text = lab.coracle(["logs", "-f", "two", "one"]).ok().text();
    assert!(text.starts_with(&format!("{} 1\n", &one.id[..12])), "{text}");
    assert_eq!(lab.coracle(["container", "logs", "--latest"]).ok().text(), "2");
    let colored = lab.coracle(["logs", "--color", "--names", "one", "two"]).ok().text();
    assert_eq!(colored, "\x1b[32mone 1\x1b[0m\n\x1b[36mtwo 2\x1b[0m");
    // The others are shown all the same.
    let output = lab.coracle(["logs", "nosuch", "one"]);
    assert!(output.exited(125).errors().contains("[E_NOTFOUND]") && output.text().ends_with(" 1"), "{output:?}");
}

/// A shell in a user and mount namespace of its own.
fn in_namespace(lab: &Lab, script: &str) -> Output {
    let mut unshare = lab.program("/usr/bin/unshare");
    unshare.env("CORACLE", coracle_path()).env("STORE", lab.store()).env("BUSYBOX", busybox_tree());
    unshare.env("SHARED", lab.path("shared")).args(["-Urm", "/bin/sh", "-c", script]);
    output::run(&mut unshare, &[], LIMIT)
}

#[test]
fn a_full_disk_loses_lines_and_tells_how_many() {
    let lab = Lab::new();
    shared(&lab);
    let script = format!(
        r#"mkdir -p "$STORE" && mount -t tmpfs -o size=8m,mode=700 none "$STORE" || exit 99
        "$CORACLE" run -d --name c -v "$SHARED:/shared" --rootfs "$BUSYBOX:O" sh -c 'echo before; {go}
            yes 0123456789012345678901234567890123456789 | head -n 50000; touch /shared/written; {on} echo after; exit 7' >/dev/null || exit 98
        cat /dev/zero >"$STORE/ballast" 2>/dev/null
        touch "$SHARED/go"
        while [ ! -e "$SHARED/written" ]; do sleep 0.01; done
        rm "$STORE/ballast"
        touch "$SHARED/on"
        "$CORACLE" logs -f c
        "$CORACLE" inspect c --format 'code {{{{.State.ExitCode}}}}'"#,
        go = wait_for("go"),
        on = wait_for("on"),
    );
    let output = in_namespace(&lab, &script);
    let text = output.ok().text();
    assert!(text.starts_with("before\n") && text.ends_with("\nafter\ncode 7"), "{output:?}");
    let errors = output.errors();
    let told =
        errors.lines().filter_map(|line| line.strip_prefix("coracle: ")?.split(' ').next()?.parse::<usize>().ok());
    let told: usize = told.sum();
    assert!(told > 0, "not told: {output:?}");
    let shown = text.lines().filter(|line| line.len() == 40).count();
    assert_eq!(shown + told, 50_000, "{}", output.errors());
    assert!(text.lines().all(|line| [6, 40].contains(&line.len()) || line == "after"), "{output:?}");
}

#[test]
fn a_reader_that_stands_still_stops_nobody() {
    let lab = Lab::new();
    let script = format!("echo first; {} yes 0123456789abcdef | head -c 104857600", wait_for("go"));
    let _container = start(&lab, "c", &["-v", &shared(&lab)], &script);
    let mut follower = lab.spawn(["logs", "-f", "c"]);
    follower.expect("first\n");
    follower.signal(Signal::SIGSTOP);
    lab.write("shared/go", "");
    wait_until("it has exited", || lab.inspect("c")["State"]["Status"] == "exited");
    follower.signal(Signal::SIGCONT);
    assert_eq!(follower.wait().ok().stdout.len(), 6 + 104_857_600);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let lab = Lab::new();
    let _container = start(&lab, "c", &[], "echo first; sleep 1000");
    let mut shell = lab.program("/bin/sh");
    shell.env("CORACLE", coracle_path()).args(["-c", r#"("$CORACLE" logs -f c; echo "code $?" >&2) | head -n 1"#]);
    let output = output::run(&mut shell, &[], LIMIT);
    assert_eq!((output.ok().text().as_str(), output.errors().as_str()), ("first", "code 0\n"));
}

#[test]
fn the_log_outlives_a_monitor_that_was_killed() {
    let lab = Lab::new();
    let container = start(&lab, "c", &[], "echo kept; sleep 1000");
    let mut follower = lab.spawn(["logs", "-f", "c"]);
    follower.expect("kept\n");
    let payload = container.pid();
    let stat = fs::read_to_string(format!("/proc/{payload}/stat")).unwrap();
    let monitor: i32 = stat[stat.rfind(')').unwrap()..].split(' ').nth(2).unwrap().parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    wait_until("the payload is gone", || !is_running(payload));
    assert_eq!(follower.wait().ok().text(), "kept");
    let path = log_file(&lab, &container, "log.json");
    let mut text = fs::read(&path).unwrap();
    text.extend(b"{\"log\":\"to");
    fs::write(&path, &text).unwrap();
    for flags in [&["--tail", "1"][..], &["-f"], &[]] {
        let output = lab.coracle([&["logs", "c"], flags].concat());
        assert_eq!((output.ok().text().as_str(), output.errors().as_str()), ("kept", ""));
    }
}

#[test]
fn damaged_lines_are_left_out_and_told_once() {
    let lab = Lab::new();
    let container = run(&lab, "c", &[], "echo one; echo two");
    let path = log_file(&lab, &container, "log.json");
    let text = fs::read_to_string(&path).unwrap().replacen('\n', "\n\0\0garbage\n{}\n", 1);
    fs::write(&path, text).unwrap();
    let output = lab.coracle(["logs", "c"]);
    assert_eq!(output.ok().text(), "one\ntwo");
    assert_eq!(output.errors(), "Warning: 2 damaged lines in the log of container c were left out\n");
    assert_eq!(lab.coracle(["logs", "--tail", "2", "c"]).ok().text(), "one\ntwo");
}

#[test]
fn hostile_output_is_shown_as_it_is() {
    let lab = Lab::new();
    let _container = run(&lab, "c", &[], r#"printf '\033[2J\033]0;x\007","stream":"stderr"}\n{"log":"forged\n'"#);
    let output = lab.coracle(["logs", "c"]);
    assert_eq!(output.ok().stdout, b"\x1b[2J\x1b]0;x\x07\",\"stream\":\"stderr\"}\n{\"log\":\"forged\n");
    assert_eq!(output.errors(), "");
}

#[test]
fn containers_without_a_log_say_why() {
    let lab = Lab::new();
    let _none = run(&lab, "none", &["--log-driver", "none"], "echo lost");
    lab.coracle(["logs", "none"]).refused(125, "E_CONFIG").says("none");
    let mut front = lab.spawn(busybox_arguments(&["--name", "front"], &["sh", "-c", "echo up; exec sleep 1000"]));
    front.expect("up\n");
    lab.coracle(["logs", "front"]).refused(125, "E_NOTFOUND").says("--detach");
    lab.coracle(["logs", "nosuch"]).refused(125, "E_NOTFOUND");
}

#[test]
fn passing_through() {
    let lab = Lab::new();
    let mut arguments =
        busybox_arguments(&["-d", "--log-driver", "passthrough"], &["sh", "-c", "echo out; echo err >&2"]);
    arguments.remove(1);
    let output = lab.coracle(&arguments);
    assert!(output.ok().text().contains("out") && output.errors() == "err\n", "{output:?}");
    let id = output.text().lines().find(|line| line.len() == 64).unwrap().to_owned();
    lab.coracle(["logs", &id]).refused(125, "E_CONFIG");
    wait_until("it has exited", || lab.inspect(&id)["State"]["Status"] == "exited");
    lab.coracle(["rm", &id]).ok();
    lab.busybox(&["-t", "--log-driver", "passthrough"], &["true"]).refused(125, "E_CONFIG");
    assert_eq!(lab.busybox(&["--log-driver", "passthrough"], &["echo", "out"]).ok().text(), "out");
}

#[test]
fn a_log_can_be_elsewhere() {
    let lab = Lab::new();
    let _container = run(&lab, "c", &["--log-opt", "path=my.log", "--log-opt", "max-size=10m"], "echo there");
    assert!(fs::read_to_string(lab.path("my.log")).unwrap().contains("there"));
    assert_eq!(lab.coracle(["logs", "c"]).ok().text(), "there");
    let config = lab.inspect("c")["HostConfig"]["LogConfig"].clone();
    let path = lab.arg("my.log");
    assert_eq!(config, serde_json::json!({ "Type": "json-file", "Config": { "max-size": "10485760", "path": path } }));
    let refused = |option: &str| {
        let mut arguments = busybox_arguments(&["-d", "--log-opt", option], &["true"]);
        arguments.remove(1);
        lab.coracle(&arguments).exited(125).errors()
    };
    assert!(refused("path=/dev/null").contains("not a regular file"));
    assert!(refused("path=/no/such/directory/log").contains("/no/such/directory/log"));
    assert!(refused("compress=true").contains("compress"));
    assert_eq!(lab.containers().len(), 1);
}

#[test]
fn without_a_journal_its_driver_is_refused() {
    let lab = Lab::new();
    let script =
        r#"mount -t tmpfs none /run && exec "$CORACLE" run -d --log-driver journald --rootfs "$BUSYBOX:O" true"#;
    in_namespace(&lab, script).refused(125, "E_NOTFOUND").says("--log-driver json-file");
    assert_eq!(lab.containers().len(), 0);
}

/// Without the flags its output goes to the command only; with them it passes through the monitor, to both.
#[test]
fn a_log_that_was_asked_for_is_kept_in_the_foreground_until_the_removal() {
    let lab = Lab::new();
    let path = lab.arg("kept.json");
    let script = "echo out; echo err >&2; exit 3";
    for flags in [["--log-opt".to_owned(), format!("path={path}")], ["--log-driver".into(), "none".into()]] {
        let output = lab.busybox(&[&flags[0], &flags[1]], &["sh", "-c", script]);
        assert_eq!((output.exited(3).text(), output.errors()), ("out".into(), "err\n".into()));
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!((kept.lines().count(), kept.contains("out\\n"), kept.contains("err\\n")), (2, true, true), "{kept}");
    let flags = ["--name", "kept", "--log-driver", "k8s-file", "-i"];
    let mut running = lab.spawn(busybox_arguments(&flags, &["sh", "-c", "echo first; read word; exit 4"]));
    running.expect("first\n");
    wait_until("it is logged", || lab.coracle(["logs", "kept"]).ok().text() == "first");
    running.write(b"go on\n");
    assert_eq!(running.wait().exited(4).text(), "first");
    lab.assert_clean();
    // The fast way, without a log.
    let mut running = lab.spawn(busybox_arguments(&["--name", "fast", "-i"], &["sh", "-c", "echo first; read word"]));
    running.expect("first\n");
    lab.coracle(["logs", "fast"]).exited(125).says("no log");
    running.write(b"go on\n");
    running.wait().ok();
    lab.busybox(&["--log-driver", "syslog"], &["true"]).exited(125).says("syslog");
}

/// journald's end of the protocol.
fn receive(journal: &UnixDatagram) -> String {
    journal.set_read_timeout(Some(LIMIT)).unwrap();
    let mut message = vec![0; 100_000];
    let length = journal.recv(&mut message).unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn the_journal_is_written_and_read() {
    let lab = Lab::new();
    let journal = UnixDatagram::bind(lab.path("journal")).unwrap();
    let program = lab.write(
        "bin/journalctl",
        r#"#!/bin/sh
case "$*" in *CONTAINER_ID_FULL=*) ;; *) exit 1 ;; esac
one() { echo '{"__CURSOR":"a","__REALTIME_TIMESTAMP":"1000000","PRIORITY":"6","MESSAGE":"from the journal"}'; }
two() { echo '{"__CURSOR":"b","__REALTIME_TIMESTAMP":"2000000","PRIORITY":"3","MESSAGE":[255]}'; }
three() { echo '{"__CURSOR":"c","__REALTIME_TIMESTAMP":"3000000","PRIORITY":"6","MESSAGE":"the end"}'; }
case "$*" in
    *--follow*) one; two; exec sleep 1000 ;;
    *--after-cursor=a*) two; three ;;
    *--after-cursor=b*) three ;;
    *) one; two; three ;;
esac
"#,
    );
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"mount -t tmpfs none /run && mkdir -p /run/systemd/journal && touch /run/systemd/journal/socket &&
        mount --bind "$PWD/journal" /run/systemd/journal/socket || exit 99
        "$CORACLE" run -d --name c --log-driver journald --log-opt 'tag=web/{{.Name}}' --rootfs "$BUSYBOX:O" sh -c 'echo out; echo err >&2' || exit 98
        PATH="$PWD/bin:$PATH" "$CORACLE" logs c"#;
    let output = in_namespace(&lab, script);
    assert!(output.ok().text().ends_with("\nfrom the journal\nthe end"), "{output:?}");
    assert_eq!(output.stderr, b"\xff\n");
    let mut messages = [receive(&journal), receive(&journal)];
    messages.sort_by_key(|message| message.contains("PRIORITY=3\n"));
    let field = |name: &str, value: &str| format!("{name}\n{}\0\0\0\0\0\0\0{value}\n", char::from(value.len() as u8));
    assert!(messages[0].contains("PRIORITY=6\n") && messages[0].contains(&field("MESSAGE", "out")), "{messages:?}");
    assert!(messages[1].contains("PRIORITY=3\n") && messages[1].contains(&field("MESSAGE", "err")), "{messages:?}");
    assert!(messages[0].contains(&field("CONTAINER_TAG", "web/c")), "{messages:?}");
    wait_until("it has exited", || lab.inspect("c")["State"]["Status"] == "exited");
    let mut follower = lab.command(["logs", "-f", "c"]);
    follower.env("PATH", format!("{}:/usr/bin:/bin", lab.arg("bin")));
    assert_eq!(output::run(&mut follower, &[], LIMIT).ok().text(), "from the journal\nthe end");
    lab.coracle(["rm", "c"]).ok();
    // What is run in the foreground and removed leaves its entries.
    let script = script.replace("run -d --name c", "run --rm --name d").replace("\"$CORACLE\" logs c", "true");
    assert_eq!(in_namespace(&lab, &script).ok().text(), "out");
    let mut messages = [receive(&journal), receive(&journal)];
    messages.sort_by_key(|message| message.contains("PRIORITY=3\n"));
    assert!(messages[0].contains(&field("MESSAGE", "out")) && messages[1].contains(&field("MESSAGE", "err")));
    assert_eq!(lab.containers().len(), 0);
}

#[test]
fn nothing_is_lost_at_full_speed() {
    let lab = Lab::new();
    let numbers: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    for (name, flags) in [
        ("json", &["--log-opt", "max-size=1m", "--log-opt", "max-file=100"][..]),
        ("k8s", &["--log-driver", "k8s-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=100"]),
    ] {
        let _container = run(&lab, name, flags, "seq 300000; yes '' | head -n 300000 >&2");
        let output = lab.coracle(["logs", name]);
        assert!(output.ok().stdout == numbers.as_bytes(), "{name}");
        assert!(output.errors() == "\n".repeat(300_000), "{name}");
    }
}

#[test]
fn a_log_that_grows_faster_than_it_is_read_ends() {
    let lab = Lab::new();
    let _container = start(&lab, "c", &["--log-opt", "max-size=50m"], "yes");
    wait_until("it has written", || !lab.coracle(["logs", "--tail", "1", "c"]).ok().stdout.is_empty());
    lab.coracle(["logs", "c"]).ok();
}
