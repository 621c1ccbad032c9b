//! Signals sent to us reach the payload; our sudden death ends it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Lab, busybox_arguments, descendants, is_running, wait_until};

#[test]
fn signals_reach_the_payload() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(&[], &["probe", "signals"]));
    running.expect("ready");
    let signals = [
        (Signal::SIGUSR1, 10),
        (Signal::SIGUSR2, 12),
        (Signal::SIGHUP, 1),
        (Signal::SIGINT, 2),
        (Signal::SIGQUIT, 3),
        (Signal::SIGALRM, 14),
    ];
    for (signal, number) in signals {
        running.signal(signal);
        running.expect(&format!("got {number}\n"));
    }
    running.signal(Signal::SIGTERM);
    running.wait().exited(42);
}

#[test]
fn signals_that_come_early_do_no_harm() {
    let lab = Lab::new();
    for _ in 0..20 {
        let running = lab.spawn(busybox_arguments(&["--init"], &["sleep", "1000"]));
        running.signal(Signal::SIGTERM);
        let output = running.wait();
        // Before it began to listen the signal simply ended it; after that it ended the payload.
        assert!([143, -15].contains(&output.code), "{output:?}");
        wait_until("no container is left", || lab.containers().is_empty());
    }
    lab.assert_clean();
}

#[test]
fn a_killed_payload_is_128_and_the_signal() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(&[], &["sh", "-c", "echo ready; exec sleep 1000"]));
    running.expect("ready");
    let payload = *descendants(running.pid()).last().unwrap();
    kill(Pid::from_raw(payload), Signal::SIGKILL).unwrap();
    running.wait().exited(137);
}

#[test]
fn our_sudden_death_leaves_nothing() {
    for flags in [&[][..], &["--init"], &["-i"]] {
        let lab = Lab::new();
        let mut running =
            lab.spawn(busybox_arguments(flags, &["sh", "-c", "sleep 1000 & echo ready; exec sleep 1000"]));
        running.expect("ready");
        let below = descendants(running.pid());
        assert!(below.len() >= 2, "{below:?}");
        running.signal(Signal::SIGKILL);
        running.wait().exited(-9);
        wait_until("all processes are gone", || !below.iter().any(|pid| is_running(*pid)));
        // The next command clears up, without being asked to.
        assert_eq!(lab.containers().len(), 0);
        lab.assert_clean();
    }
}

#[test]
fn death_of_every_helper_process_ends_the_container() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(&["--init"], &["sh", "-c", "echo ready; exec sleep 1000"]));
    running.expect("ready");
    let below = descendants(running.pid());
    kill(Pid::from_raw(below[0]), Signal::SIGKILL).unwrap();
    let output = running.wait();
    assert!(output.code != 0, "{output:?}");
    wait_until("all processes are gone", || !below.iter().any(|pid| is_running(*pid)));
    assert_eq!(lab.containers().len(), 0);
}

#[test]
fn interrupting_a_pull_leaves_nothing() {
    let lab = Lab::new();
    for delay in [1, 5, 20, 60, 150] {
        let running = lab.spawn(["pull", "-q", &crate::support::image("debian")]);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        running.signal(Signal::SIGINT);
        let output = running.wait();
        assert!([0, 130, -2].contains(&output.code), "{output:?}");
    }
    lab.coracle(["images"]).ok();
    lab.assert_clean();
}
