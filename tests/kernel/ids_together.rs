//! Virtual ids together with what else a container can have: another driver, other namespaces, files that come from outside.

use crate::exec::sh;
use crate::support::{Lab, Output};

/// Users come and go, own files, and are asked for.
const SCRIPT: &str = "cd /tmp; touch f; ln -s f l; chown 33:44 f; chown -h 5:6 l; stat -c %u:%g f l
    su app -c 'id -u; : >/tmp/mine; stat -c %u /tmp/mine'; id -u";
const SAID: &str = "33:44\n5:6\n1000\n1000\n0";

fn run(lab: &Lab, flags: &[&str], script: &str) -> Output {
    let flags: Vec<&str> = ["--ids=emulate"].iter().chain(flags).copied().collect();
    lab.run_image("busybox", &flags, &["sh", "-c", script])
}

#[test]
fn our_own_init_is_no_hindrance() {
    let lab = Lab::new();
    assert_eq!(run(&lab, &["--init"], SCRIPT).ok().text(), SAID);
    run(&lab, &["--init"], "su app -c 'exit 7'").exited(7);
    let user = run(&lab, &["--init", "-u", "app"], "id -u; stat -c %u /proc/$$").ok().text();
    assert_eq!(user, "1000\n1000");
}

#[test]
fn namespaces_of_the_host_are_no_hindrance() {
    let lab = Lab::new();
    for flags in [&["--pid=host"][..], &["--network=host"], &["--ipc=host"], &["--uts=host"], &["--userns=host"]] {
        assert_eq!(run(&lab, flags, SCRIPT).ok().text(), SAID, "{flags:?}");
    }
}

/// The user of `--userns keep-id` is one of many then.
#[test]
fn the_caller_can_keep_its_id() {
    let lab = Lab::new();
    let own = nix::unistd::getuid().as_raw();
    lab.write("shared/file", "x");
    let volume = format!("{}:/shared", lab.arg("shared"));
    let flags = ["--userns=keep-id", "-v", &volume];
    let seen = run(&lab, &flags, "id -u; stat -c %u /shared/file; stat -c %u /etc/passwd").ok().text();
    assert_eq!(seen, format!("{own}\n{own}\n0"));
    let root = run(&lab, &["--userns=keep-id", "-u", "0"], SCRIPT).ok().text();
    assert_eq!(root, SAID);
}

#[test]
fn owners_are_kept_through_our_overlay() {
    let lab = Lab::new();
    let image = lab.pull("busybox");
    let sh = |container: &str, script: &str| lab.coracle(["exec", container, "sh", "-c", script]).ok().text();
    let driver = ["--storage-driver", "fuse"];
    let start = |name: &str, image: &str| {
        let run = ["run", "-d", "--ids=emulate", "--stop-signal=KILL", "--name", name, image, "sleep", "1000"];
        lab.coracle([&driver[..], &run].concat()).ok();
    };
    start("c", &image);
    assert_eq!(sh("c", SCRIPT), SAID);
    lab.coracle(["restart", "-t", "0", "c"]).ok();
    let look = "cd /tmp; stat -c %u:%g f l mine";
    assert_eq!(sh("c", look), "33:44\n5:6\n1000:1000");
    lab.coracle(["commit", "-q", "c", "made"]).ok();
    for driver in ["overlay", "fuse", "copy"] {
        let run = ["--storage-driver", driver, "run", "--name", driver, "--ids=emulate", "made", "sh", "-c", look];
        assert_eq!(lab.coracle(run).ok().text(), "33:44\n5:6\n1000:1000", "{driver}");
        let listed = format!("\"$1\" export {driver} | tar --numeric-owner -tvf - tmp/f tmp/l | awk '{{ print $2 }}'");
        let mut command = lab.program("/bin/sh");
        command.args(["-c", &listed, "sh"]).arg(crate::support::coracle_path());
        let owners = crate::support::output::run(&mut command, &[], crate::support::LIMIT).ok().text();
        assert_eq!(owners, "33/44\n5/6", "{driver}");
    }
    lab.coracle(["rm", "-f", "-t", "0", "-a"]).ok();
}

/// Files that come into a running container, also in the place of those that were looked at before.
#[test]
fn owners_of_what_is_copied_in_are_seen_at_once() {
    let lab = Lab::new();
    let image = lab.pull("busybox");
    for name in ["a", "b"] {
        lab.coracle(["run", "-d", "--ids=emulate", "--name", name, &image, "sleep", "1000"]).ok();
    }
    let make = "mkdir /tmp/d; cd /tmp/d; echo x >f; ln -s f l; mkfifo p; chown 33:44 f; chown -h 5:6 l; chown 7:8 p .";
    sh(&lab, &[], "a", make);
    let look = "cd /tmp/d; stat -c %u:%g . f l p";
    let expected = "7:8\n33:44\n5:6\n7:8";
    assert_eq!(sh(&lab, &[], "a", look), expected);
    let from_a = lab.coracle(["cp", "-a", "a:/tmp/d", "-"]).ok().stdout.clone();
    lab.coracle_with_input(["cp", "-a", "-", "b:/tmp"], &from_a).ok();
    assert_eq!(sh(&lab, &[], "b", look), expected);
    // Looked at, replaced, looked at.
    sh(&lab, &[], "b", "cd /tmp/d; chown 0:0 . f p; chown -h 0:0 l");
    assert_eq!(sh(&lab, &[], "b", look), "0:0\n0:0\n0:0\n0:0");
    lab.coracle_with_input(["cp", "-a", "-", "b:/tmp"], &from_a).ok();
    assert_eq!(sh(&lab, &[], "b", look), expected);
    lab.coracle(["rm", "-f", "-t", "0", "-a"]).ok();
}

/// Two containers that have the same volume know of each other's owners.
#[test]
fn a_volume_of_two_has_one_set_of_owners() {
    let lab = Lab::new();
    let image = lab.pull("busybox");
    for name in ["a", "b"] {
        lab.coracle(["run", "-d", "--ids=emulate", "-v", "both:/data", "--name", name, &image, "sleep", "1000"]).ok();
    }
    sh(&lab, &[], "a", "cd /data; touch f; ln -s f l; chown 33:44 f; chown -h 5:6 l");
    assert_eq!(sh(&lab, &[], "b", "cd /data; stat -c %u:%g f l"), "33:44\n5:6");
    sh(&lab, &[], "b", "cd /data; chown 34:45 f; chown -h 6:7 l");
    assert_eq!(sh(&lab, &[], "a", "cd /data; stat -c %u:%g f l"), "34:45\n6:7");
    lab.coracle(["rm", "-f", "-t", "0", "-a"]).ok();
}

/// What one may do is asked about by one's own ids.
#[test]
fn who_may_do_what_is_said_by_the_virtual_users() {
    let lab = Lab::new();
    let script = "cd /tmp; mkdir -m 700 closed; echo x >closed/f; echo x >roots; chmod 640 roots; echo x >groups; chgrp 33 groups
        chmod 660 groups; cp /bin/true program; chmod 750 program; ln -s roots link
        echo 'for file in roots groups program closed closed/f /tmp/closed/f link . /etc/passwd /dev/null; do
            for mode in r w x; do test -$mode $file && printf $mode; done; echo \" $file\"; done; ./program; echo $?' >may
        sh may; setpriv --reuid 33 --regid 33 --clear-groups sh may 2>/dev/null
        cd closed; setpriv --reuid 33 --regid 33 --clear-groups test -r f || echo kept";
    let roots = "rw roots\nrw groups\nrwx program\nrwx closed\nrw closed/f\nrw /tmp/closed/f\nrw link\nrwx .\nrw /etc/passwd\nrw /dev/null\n0\n";
    let others = " roots\nrw groups\n program\n closed\n closed/f\n /tmp/closed/f\n link\nrwx .\nr /etc/passwd\nrw /dev/null\n126\nkept";
    let said = lab.run_image("debian", &["--ids=emulate"], &["sh", "-c", script]).ok().text();
    assert_eq!(said, format!("{roots}{others}"));
}

#[test]
fn how_ids_are_made_is_said() {
    let lab = Lab::new();
    let ids = lab.coracle(["info", "--format", "json"]).ok().json()["host"]["ids"].clone();
    assert_eq!(ids["mode"], "emulate", "{ids}");
    assert!(ids["reason"].as_str().unwrap().contains("other users"), "{ids}");
    // With too low a limit they cannot be emulated.
    let coracle = crate::support::coracle_path();
    let script = format!(
        "ulimit -x 1000; exec {} info --format '{{{{.host.ids.mode}}}} {{{{.host.ids.reason}}}}'",
        coracle.display()
    );
    let output = lab.program("bash").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("native ") && text.contains("ulimit"), "{output:?}");
}

#[test]
fn who_never_needed_other_ids_is_told_so() {
    let lab = Lab::new();
    let image = lab.pull("busybox");
    let reason = |name: &str, script: &str| {
        lab.coracle(["run", "--ids=emulate", "--name", name, &image, "sh", "-c", script]).ok();
        lab.inspect(name)["Ids"]["Reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("plain", "ls / >/dev/null").contains("--ids=native does the same for less"));
    assert_eq!(reason("other", "chown 33 /tmp"), "asked for");
}

#[test]
fn what_is_pretended_is_not_committed_in_silence() {
    let lab = Lab::new();
    let image = lab.pull("busybox");
    let commit = |ids: &str| {
        let name = ids.trim_start_matches("--ids=");
        lab.coracle(["run", ids, "--name", name, &image, "sh", "-c", "touch /tmp/f; chown 33 /tmp/f"]).ok();
        let output = lab.coracle(["commit", name, "made"]);
        output.ok().errors()
    };
    assert!(commit("--ids=fake").contains("--ids=fake"));
    assert!(!commit("--ids=emulate").contains("Warning"));
    assert_eq!(lab.coracle(["run", "--rm", "--ids=emulate", "made", "stat", "-c", "%u", "/tmp/f"]).ok().text(), "33");
}
