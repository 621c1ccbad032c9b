//! `wait`: what a container's end, or another state, gives to those who wait for it.

use crate::support::{Detached, Lab, Output, busybox_arguments, is_running, wait_until};

fn keep(lab: &Lab, name: &str, command: &[&str]) -> Output {
    let mut arguments = busybox_arguments(&["--name", name], command);
    arguments.remove(1); // --rm
    lab.coracle(arguments)
}

/// Waits until a process sleeps in poll(2): it waits for the kernel to tell.
fn until_asleep(pid: i32) {
    wait_until("it waits", || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        state.contains(") S") && (call.is_empty() || call.starts_with("7 ") || call.starts_with("271 "))
    });
}

#[test]
fn the_codes_of_ended_containers_are_printed_in_order() {
    let lab = Lab::new();
    keep(&lab, "three", &["sh", "-c", "exit 3"]).exited(3);
    keep(&lab, "zero", &["true"]).ok();
    assert_eq!(lab.coracle(["wait", "three", "zero"]).ok().text(), "3\n0");
    assert_eq!(lab.coracle(["wait", "--latest"]).ok().text(), "0");
    assert_eq!(lab.coracle(["wait", "--condition", "exited", "three"]).ok().text(), "3");
}

#[test]
fn a_missing_container_is_a_failure_unless_ignored() {
    let lab = Lab::new();
    lab.coracle(["wait", "missing"]).refused(125, "E_NOTFOUND");
    assert_eq!(lab.coracle(["wait", "--ignore", "missing"]).ok().text(), "-1");
    keep(&lab, "here", &["sh", "-c", "exit 4"]).exited(4);
    assert_eq!(lab.coracle(["wait", "missing", "here"]).exited(125).text(), "4");
    lab.coracle(["wait", "--condition", "bored", "here"]).refused(125, "E_CONFIG").says("healthy");
    lab.coracle(["wait", "--condition", "healthy", "here"]).refused(125, "E_CONFIG").says("health check");
}

#[test]
fn the_end_of_a_running_container_is_waited_for() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&["-i", "--name", "up"], &["sh", "-c", "echo up; read line; exit 7"]);
    arguments.remove(1);
    let mut container = lab.spawn(&arguments);
    container.expect("up");
    assert_eq!(lab.coracle(["wait", "--condition", "running", "up"]).ok().text(), "-1");
    let waiters = [lab.spawn(["wait", "up"]), lab.spawn(["container", "wait", "up"])];
    waiters.iter().for_each(|waiter| until_asleep(waiter.pid()));
    container.write(b"\n");
    assert_eq!(container.wait().code, 7);
    for waiter in waiters {
        assert_eq!(waiter.wait().ok().text(), "7");
    }
}

/// The container is gone when its end is seen; the journal knows its code.
#[test]
fn a_container_that_is_removed_at_its_end_gives_its_code() {
    let lab = Lab::new();
    for code in [0, 9] {
        let script = format!("echo up; read line; exit {code}");
        let mut container = lab.spawn(busybox_arguments(&["-i", "--name", "up"], &["sh", "-c", &script]));
        container.expect("up");
        let waiter = lab.spawn(["wait", "up"]);
        until_asleep(waiter.pid());
        container.write(b"\n");
        assert_eq!(container.wait().code, code);
        assert_eq!(waiter.wait().ok().text(), code.to_string());
    }
}

#[test]
fn a_container_whose_monitor_is_killed_has_ended() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&["--name", "up"], &["sh", "-c", "echo up; sleep 1000"]);
    arguments.remove(1);
    let mut container = lab.spawn(&arguments);
    container.expect("up");
    let waiter = lab.spawn(["wait", "up"]);
    until_asleep(waiter.pid());
    container.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(waiter.wait().ok().text(), "137");
}

#[test]
fn a_waiter_of_a_killed_container_learns_its_code() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    let pid = container.pid();
    let waiter = lab.spawn(["wait", "up"]);
    until_asleep(waiter.pid());
    lab.coracle(["rm", "-f", "up"]).ok();
    assert!(!is_running(pid));
    assert_eq!(waiter.wait().ok().text(), "137");
}

#[test]
fn of_several_containers_the_first_is_enough() {
    let lab = Lab::new();
    let first = Detached::start(&lab, &["--name", "first"], &["sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait"]);
    let _second = Detached::start(&lab, &["--name", "second"], &["sleep", "1000"]);
    let waiter = lab.spawn(["wait", "--exit-first-match", "second", "first"]);
    until_asleep(waiter.pid());
    wait_until("it has set its trap", || lab.coracle(["top", "first", "args"]).ok().text().contains("sleep"));
    lab.coracle(["stop", "first"]).ok();
    assert_eq!(waiter.wait().ok().text(), "7");
    assert!(is_running(_second.pid()));
    drop(first);
}
