//! Processes that join a container, and their parents: who ends with whom, and what the container can do about it meanwhile.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exec::{exec, sh, sleeper};
use crate::freeze::state;
use crate::support::{Detached, LIMIT, Lab, Running, Terminal, descendants, is_running, parent, wait_until};

/// The one process that is being, or was, started in a container, if it is there: its parent goes by the container's name.
fn started(container: &Detached<'_>) -> Option<i32> {
    let title = format!("coracle-exec {}", &container.id[..12]);
    let is_child = |pid: &i32| {
        parent(*pid).is_some_and(|parent| {
            std::fs::read_to_string(format!("/proc/{parent}/cmdline")).is_ok_and(|line| line.starts_with(&title))
        })
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    let mut numbers = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers.find(is_child)
}

fn process_in(container: &Detached<'_>) -> i32 {
    started(container).expect("a process was started")
}

fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Who vanishes takes the process along, whatever stands between them.
#[test]
fn the_process_ends_with_its_caller() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let mut running = lab.spawn(["exec", &container.id, "sh", "-c", "echo up; exec sleep 1001"]);
    running.expect("up");
    let process = process_in(&container);
    running.signal(Signal::SIGKILL);
    wait_until("the process has ended", || !is_running(process));
    for flags in ["-it", "-t"] {
        let mut terminal =
            Terminal::start(&lab, ["exec", flags, &container.id, "sh", "-c", "echo in$((1+1)); exec sleep 1001"]);
        terminal.expect("in2");
        let process = process_in(&container);
        let parent = parent(process).unwrap();
        assert_eq!(name(parent), "coracle-exec");
        terminal.signal(Signal::SIGKILL);
        wait_until("the process has ended", || !is_running(process) && !is_running(parent));
    }
    assert_eq!(sh(&lab, &[], &container.id, "echo on"), "on");
}

/// The same while more is written than anybody reads: what was said is heard all the same.
#[test]
fn a_busy_process_ends_with_its_caller_too() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let mut terminal = Terminal::start(&lab, ["exec", "-it", &container.id, "yes", "much"]);
    terminal.expect("much");
    let process = process_in(&container);
    terminal.signal(Signal::SIGKILL);
    wait_until("the process has ended", || !is_running(process));
    let mut terminal = Terminal::start(&lab, ["exec", "-it", &container.id, "yes", "much"]);
    terminal.expect("much");
    let process = process_in(&container);
    terminal.send("\u{10}\u{11}");
    assert_eq!(terminal.wait(), 0);
    assert!(is_running(process) && parent(process).is_some_and(is_running), "it goes on");
    kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
}

/// The parent that stays in the place of the command is as mortal: its process goes with it, and a command that is there says so.
#[test]
fn the_process_ends_with_its_parent() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    for flags in ["-d", "-dt", "-dit"] {
        exec(&lab, &[flags], &container.id, &["sleep", "1001"]).ok();
        let process = process_in(&container);
        let parent = parent(process).unwrap();
        assert_eq!(name(parent), "coracle-exec");
        kill(Pid::from_raw(parent), Signal::SIGKILL).unwrap();
        wait_until("the process has ended", || !is_running(process));
    }
    let mut terminal =
        Terminal::start(&lab, ["exec", "-it", &container.id, "sh", "-c", "echo in$((1+1)); exec sleep 1001"]);
    terminal.expect("in2");
    let process = process_in(&container);
    kill(Pid::from_raw(parent(process).unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(terminal.wait(), 125);
    assert!(terminal.is_restored() && terminal.transcript().contains("E_HELPER_DIED"), "{}", terminal.transcript());
    wait_until("the process has ended", || !is_running(process));
}

#[test]
fn the_keys_leave_the_process_running() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    for (flags, keys) in [(&[][..], "\u{10}\u{11}"), (&["--detach-keys", "a,ctrl-b"], "a\u{2}")] {
        let script = "echo in$((1+1)); read word; echo got:$word; seq 20000; exec sleep 1001";
        let words = [&["exec", "-it"], flags, &[&container.id, "sh", "-c", script]].concat();
        let mut terminal = Terminal::start(&lab, words);
        terminal.expect("in2");
        let process = process_in(&container);
        let parent = parent(process).unwrap();
        // What is typed before the keys is the process's; what it writes later is taken from it, and shown to nobody.
        terminal.send(&format!("word\n{keys}"));
        assert_eq!(terminal.wait(), 0);
        assert!(terminal.is_restored());
        wait_until("it has gone on", || name(process) == "sleep");
        assert!(is_running(parent));
        let died =
            || lab.coracle(["events", "--stream=false", "--filter", "event=exec_died"]).ok().text().lines().count();
        let before = died();
        kill(Pid::from_raw(process), Signal::SIGTERM).unwrap();
        wait_until("its parent has ended, too", || !is_running(process) && !is_running(parent));
        assert_eq!(died(), before + 1);
    }
    // None leave, or others.
    for flags in [&["--detach-keys", ""][..], &["--detach-keys", "z"]] {
        let words = [
            &["exec", "-it"],
            flags,
            &[&container.id, "sh", "-c", "stty raw -echo; echo ready; head -c 2 | od -An -tx1"],
        ]
        .concat();
        let mut terminal = Terminal::start(&lab, words);
        terminal.expect("ready");
        terminal.send("\u{10}\u{11}");
        terminal.expect("10 11");
        assert_eq!(terminal.wait(), 0);
    }
}

/// A process of the container that stops whatever appears, until it is told not to.
const STOPPER: &str = "while [ ! -e /tmp/enough ]; do
    for process in /proc/[0-9]*; do case $process in /proc/1|/proc/$$) ;; *) kill -STOP ${process#/proc/} 2>/dev/null;; esac; done
    done; exec sleep 1000";

/// Starts processes in a container until so many were stopped before they executed their program.
fn caught(lab: &Lab, container: &Detached<'_>, count: usize) -> Vec<(Running, i32)> {
    let mut caught = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while caught.len() < count {
        assert!(Instant::now() < deadline, "the container is too slow: {} of {count} are caught", caught.len());
        let running = lab.spawn(["exec", &container.id, "sleep", "1001"]);
        let process = || descendants(running.pid()).first().copied();
        wait_until("it is stopped", || process().is_some_and(|process| state(process) == Some('T')));
        let process = process().unwrap();
        if matches!(name(process).as_str(), "coracle" | "coracle-exec" | "coracle-init") {
            caught.push((running, process));
        }
    }
    caught
}

/// Whoever is stopped by the container while it joins neither hangs nor is left behind.
#[test]
fn a_container_that_stops_who_joins_it() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sh", "-c", STOPPER]);
    let mut joining = caught(&lab, &container, 3);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (running, process) = joining.remove(0);
        running.signal(signal);
        running.wait().exited(code);
        assert!(!is_running(process), "nothing is left of it");
    }
    let (running, process) = joining.remove(0);
    let started = Instant::now();
    lab.coracle(["rm", "-f", &container.id]).ok();
    running.wait().refused(125, "E_STATE");
    assert!(!is_running(process) && started.elapsed() < LIMIT);
}

/// The command may be told to go on by whoever could stop it.
#[test]
fn who_was_stopped_while_it_joined_goes_on() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sh", "-c", STOPPER]);
    let (running, process) = caught(&lab, &container, 1).remove(0);
    std::fs::write(format!("/proc/{}/root/tmp/enough", container.pid()), "").unwrap();
    wait_until("the container stops no more", || name(container.pid()) == "sleep");
    kill(Pid::from_raw(process), Signal::SIGCONT).unwrap();
    wait_until("it executes its program", || name(process) == "sleep");
    kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    running.wait().exited(137);
}

/// The command is gone before its process was started: so is all that it has begun.
#[test]
fn a_detached_start_ends_with_its_command() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sh", "-c", STOPPER]);
    let is_set_up = |pid: i32| matches!(name(pid).as_str(), "coracle-exec" | "coracle-init");
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "the container is too slow");
        let running = lab.spawn(["exec", "-d", &container.id, "sleep", "1001"]);
        wait_until("it is stopped", || started(&container).and_then(state) == Some('T'));
        let process = process_in(&container);
        let parent = parent(process).unwrap();
        let is_caught = is_set_up(process);
        if is_caught {
            running.signal(Signal::SIGKILL);
            wait_until("nothing is left of it", || !is_running(process) && !is_running(parent));
            return;
        }
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
        wait_until("it has ended", || !is_running(process) && !is_running(parent));
        drop(running);
    }
}

/// A pause may come at any instant: what is started is refused, or stopped like the others, and goes on with them.
#[test]
fn a_pause_while_processes_are_started() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let id = container.id.as_str();
    let mut refused = 0;
    for round in 0..200 {
        // Either may be first, by so much.
        let head_start = |command| {
            let (started, end) = (lab.spawn(command), Instant::now() + Duration::from_micros(round % 100 * 50));
            while Instant::now() < end {}
            started
        };
        let (exec, pause) = (&["exec", id, "sleep", "1001"][..], &["pause", id][..]);
        let (running, pausing) = match round < 100 {
            true => (head_start(exec), lab.spawn(pause)),
            false => {
                let pausing = head_start(pause);
                (lab.spawn(exec), pausing)
            }
        };
        pausing.wait().ok();
        let process = || descendants(running.pid()).first().copied();
        let is_stopped = || process().and_then(state) == Some('T');
        wait_until("it is refused or stopped", || !is_running(running.pid()) || is_stopped());
        lab.coracle(["unpause", id]).ok();
        if process().is_some() {
            wait_until("it runs", || process().is_some_and(|pid| name(pid) == "sleep" && state(pid) == Some('S')));
            running.signal(Signal::SIGTERM);
            running.wait().exited(143);
        } else {
            running.wait().refused(125, "E_STATE").says("paused");
            refused += 1;
        }
    }
    assert!(refused > 0 && refused < 200, "{refused} were refused");
}
