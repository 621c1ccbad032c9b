//! The supervisor of virtual ids: who joins a container, what a killed one leaves, and what hostile programs can do to it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exec::{exec, sh};
use crate::support::{Lab, wait_until};

/// A container of an image, in the background.
fn sleeper(lab: &Lab, image: &str, flags: &[&str]) -> String {
    let image = lab.pull(image);
    let mut arguments = vec!["run", "-d", "--ids=emulate"];
    arguments.extend(flags);
    arguments.extend([image.as_str(), "sleep", "1000"]);
    lab.coracle(&arguments).ok().text()
}

/// The supervisor of a container: the child of its monitor of that name.
fn supervisor(lab: &Lab, container: &str) -> Option<i32> {
    let pid = lab.inspect(container)["State"]["Pid"].as_i64()? as i32;
    let monitor = crate::support::parent(pid)?;
    let is_it =
        |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "coracle-ids\n");
    crate::support::descendants(monitor).into_iter().find(is_it)
}

#[test]
fn a_process_that_joins_has_the_same_ids() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &[]);
    sh(&lab, &[], &container, "touch /tmp/x; chown 33:44 /tmp/x");
    assert_eq!(sh(&lab, &[], &container, "stat -c %u:%g /tmp/x; id -u"), "33:44\n0");
    let script = "id -u; id -g; touch /tmp/y; chown 0 /tmp/y 2>/dev/null || stat -c %u /tmp/y /tmp/x";
    assert_eq!(sh(&lab, &["-u", "app"], &container, script), "1000\n1000\n1000\n33");
    assert_eq!(sh(&lab, &["-u", "33:44"], &container, "id -u; id -g"), "33\n44");
    exec(&lab, &["-u", "nosuch"], &container, &["true"]).refused(125, "E_USER_INVALID");
    lab.coracle(["rm", "-f", &container]).ok();
}

#[test]
fn owners_outlive_the_container_process() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &["--stop-signal", "KILL"]);
    let make = "cd /tmp; touch f; chown 33:44 f; ln -s x l; chown -h 5:6 l; mkfifo p; chown 7:8 p; mv l m";
    sh(&lab, &[], &container, make);
    let look = "cd /tmp; stat -c %u:%g f m p";
    assert_eq!(sh(&lab, &[], &container, look), "33:44\n5:6\n7:8");
    lab.coracle(["stop", &container]).ok();
    lab.coracle(["start", &container]).ok();
    assert_eq!(sh(&lab, &[], &container, look), "33:44\n5:6\n7:8");
    lab.coracle(["rm", "-f", &container]).ok();
}

/// It gives back what it has used, and takes it again when it is asked something.
#[test]
fn an_idle_supervisor_holds_little_memory() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &[]);
    sh(&lab, &[], &container, "touch /tmp/f; chown 33 /tmp/f");
    let pid = supervisor(&lab, &container).expect("no supervisor");
    // proc_pid_statm(5): all that it has in memory, in pages.
    let resident = || {
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        4 * statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    crate::support::wait_until("the supervisor gives memory back", || resident() < 2048);
    assert_eq!(sh(&lab, &[], &container, "stat -c %u /tmp/f"), "33");
    lab.coracle(["rm", "-f", &container]).ok();
}

#[test]
fn another_supervisor_comes_after_one_that_was_killed() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &[]);
    // A user that only the first supervisor has made, and a process that makes calls all the time.
    let script = "touch /tmp/x; chown 33 /tmp/x; su app -c 'while touch /tmp/go; do stat -c %u /tmp/x >/tmp/seen; done' >/dev/null 2>&1 &";
    sh(&lab, &[], &container, script);
    for _ in 0..3 {
        let before = supervisor(&lab, &container).unwrap();
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        wait_until("another supervisor", || supervisor(&lab, &container).is_some_and(|now| now != before));
        let look = "rm -f /tmp/go; while ! test -e /tmp/go; do :; done; stat -c %u /tmp/go /tmp/x; id -u";
        assert_eq!(sh(&lab, &[], &container, look), "1000\n33\n0");
    }
    assert_eq!(sh(&lab, &["-u", "app"], &container, "id -u"), "1000");
    let last = supervisor(&lab, &container).unwrap();
    lab.coracle(["rm", "-f", &container]).ok();
    wait_until("its end", || !crate::support::is_running(last));
}

/// Calls that a supervisor has taken when it is killed are answered by the next one, each of them, and rightly.
#[test]
fn no_call_is_lost_with_a_supervisor() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &[]);
    // Each loop ends, and says so, with the first answer that is wrong.
    let script = "cd /tmp; touch f; chown 33:44 f; ln -s x l; chown -h 5:6 l
        look() { while [ ! -e stop ]; do [ \"$(stat -c %u:%g:%a f l)\" = \"$1\" ] && [ $(id -u) = $2 ] || { echo wrong >>wrong; exit; }; done; echo >>right; }
        make() { i=0; while [ ! -e stop ]; do touch made && chmod 640 made && chown 7 made && [ $(stat -c %u made) = 7 ] && rm made ||
            { echo wrong >>wrong; exit; }; done; echo >>right; }
        look \"$(stat -c %u:%g:%a f l)\" 0 & look \"$(stat -c %u:%g:%a f l)\" 0 & make &
        su app -c \"cd /tmp; while [ ! -e stop ]; do [ \\$(id -u) = 1000 ] || echo wrong >>wrong; done; echo >>right\" &
        wait; cat wrong 2>/dev/null; wc -l <right";
    let running = std::thread::scope(|scope| {
        let watching = scope.spawn(|| exec(&lab, &[], &container, &["sh", "-c", script]).ok().text());
        let mut last = 0;
        for _ in 0..8 {
            wait_until("a supervisor", || supervisor(&lab, &container).is_some_and(|now| now != last));
            last = supervisor(&lab, &container).unwrap();
            kill(Pid::from_raw(last), Signal::SIGKILL).unwrap();
        }
        sh(&lab, &[], &container, "touch /tmp/stop");
        watching.join().unwrap()
    });
    assert_eq!(running, "4");
    lab.coracle(["rm", "-f", "-t", "0", &container]).ok();
}

/// A whole distribution: its own tools, set-user-id programs, and calls with arguments that nobody means well.
#[test]
fn a_distributions_users_are_real_to_it() {
    let lab = Lab::new();
    let container = sleeper(&lab, "debian", &[]);
    let script = "chgrp shadow /etc/shadow /usr/bin/chage; useradd -m foo && stat -c %U:%G /home/foo /home/foo/.bashrc && stat -c %u:%g:%a /etc/shadow
        su foo -c 'id -un; echo >~/a; stat -c %U ~/a; cat /proc/self/loginuid >/dev/null'
        setpriv --reuid 33 --regid 33 --clear-groups perl -e '
            print \"$< $>\\n\"; $> = 0; print \"$>\\n\"; print chown(0, 0, \"/tmp\") ? \"gave\\n\" : \"kept\\n\"'
        cp /usr/bin/perl /tmp/p; chmod 4755 /tmp/p; chmod 2755 /usr/bin/chage; stat -c %U:%G /usr/bin/chage
        setpriv --reuid 33 --regid 33 --clear-groups /tmp/p -e 'print \"$< $>\\n\"'
        setpriv --reuid 33 --regid 33 --clear-groups --no-new-privs /tmp/p -e 'print \"$< $>\\n\"'
        chown -R foo: /opt && stat -c %U /opt; tar -C / -cf /tmp/t opt home/foo && mkdir /tmp/u && tar -C /tmp/u -xpf /tmp/t
        stat -c %U /tmp/u/home/foo/a";
    let expected = "foo:foo\nfoo:foo\n0:42:640\nfoo\nfoo\n33 33\n33\nkept\nroot:shadow\n33 0\n33 33\nfoo\nfoo";
    assert_eq!(sh(&lab, &[], &container, script), expected);
    // stat, getresuid, setgroups, chown, openat, execve, capget, mkdir: all of them with pointers that lead nowhere.
    let hostile = "for my $call ([4, 1, 1], [118, 1, 2, 3], [116, 1 << 30, 1], [116, 5, 1], [92, 1, 0, 0], [257, -100, 1, 64, 0],
            [59, 1, 1, 1], [125, 1, 1], [83, 1, 0], [262, 99, 0, 1, 0x1000], [5, 99, 1], [49, 0, 1, 16], [55, 0, 1, 17, 1, 1]) {
            my ($number, @arguments) = @$call;
            die \"@$call succeeded\" if syscall($number, @arguments) == 0;
        }
        my ($long, $room) = (\"x\" x 5000, \"\\0\" x 200); die if syscall(4, $long, $room) == 0;
        print \"refused\\n\"";
    assert_eq!(exec(&lab, &[], &container, &["perl", "-e", hostile]).ok().text(), "refused");
    // More callers than there are workers, half of which are killed in the middle of a call.
    let storm = "for i in $(seq 40); do (while :; do stat /etc/shadow >/dev/null; done) & all=\"$all $!\"; done; sleep 1; kill -9 $all; wait
        stat -c %g /etc/shadow";
    assert_eq!(sh(&lab, &[], &container, storm), "42");
    lab.coracle(["rm", "-f", &container]).ok();
}

#[test]
fn ids_are_emulated_once() {
    let lab = Lab::new();
    // A limit that stands for ids is how a nested one is known.
    let image = lab.pull("busybox");
    let nested = format!(
        "ulimit -S -x 486539264; exec {} run --rm --ids=emulate {image} true",
        crate::support::coracle_path().display()
    );
    let output = lab.program("bash").args(["-c", &nested]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(125) && errors.contains("E_IDS"), "{errors}");
    let native = nested.replace("--ids=emulate", "--ids=native");
    assert!(lab.program("bash").args(["-c", &native]).status().unwrap().success());
}
