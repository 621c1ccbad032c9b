//! `--init`: a reaper as pid 1.

use nix::sys::signal::Signal;

use crate::support::{Lab, busybox_arguments};

#[test]
fn the_payload_is_its_child() {
    let lab = Lab::new();
    assert_ne!(lab.sh(&["--init"], "echo $$"), "1");
    assert_eq!(lab.sh(&["--init"], "echo $PPID"), "1");
}

#[test]
fn orphans_are_reaped() {
    assert_eq!(Lab::new().sh(&["--init"], "probe orphans 20"), "zombies 0");
    // The test can tell: without it, a payload that does not wait collects them.
    let without = Lab::new().busybox(&[], &["probe", "orphans", "20"]).ok().text();
    assert_eq!(without, "zombies 20");
}

#[test]
fn exit_codes_are_passed_on() {
    let lab = Lab::new();
    lab.busybox(&["--init"], &["sh", "-c", "exit 7"]).exited(7);
    lab.busybox(&["--init"], &["sh", "-c", "kill -KILL $$"]).exited(137);
    lab.busybox(&["--init"], &["sh", "-c", "kill -TERM $$"]).exited(143);
    lab.busybox(&["--init"], &["/no/such/command"]).exited(127);
    lab.busybox(&["--init"], &["/bin/not-executable"]).exited(126);
}

#[test]
fn signals_are_passed_on() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(&["--init"], &["probe", "signals"]));
    running.expect("ready");
    for (signal, number) in [(Signal::SIGUSR1, 10), (Signal::SIGHUP, 1), (Signal::SIGINT, 2)] {
        running.signal(signal);
        running.expect(&format!("got {number}\n"));
    }
    running.signal(Signal::SIGTERM);
    running.wait().exited(42);
}

#[test]
fn a_payload_without_a_handler_can_be_terminated() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(&["--init"], &["sh", "-c", "echo ready; exec sleep 1000"]));
    running.expect("ready");
    running.signal(Signal::SIGTERM);
    running.wait().exited(143);
}

#[test]
fn descendants_end_with_the_payload() {
    let lab = Lab::new();
    let started = std::time::Instant::now();
    lab.busybox(&["--init"], &["sh", "-c", "sleep 1000 & exit 3"]).exited(3);
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn the_name_of_the_command_is_kept() {
    let text = Lab::new().sh(&["--init"], "tr '\\0' ' ' </proc/$$/cmdline; true");
    assert!(text.starts_with("sh -c tr "), "{text}");
}
