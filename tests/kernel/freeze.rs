//! `pause` and `unpause`: every process of a container stands still, whatever it does, until it is told to go on.

use crate::support::descendants;
use crate::support::{Detached, Lab, wait_until};

/// The state of a process, a letter (proc_pid_stat(5)).
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn all(container: &Detached<'_>) -> Vec<i32> {
    let init = container.pid();
    [vec![init], descendants(init)].concat()
}

/// What has ended, and nobody can wait for now, does nothing either.
fn all_are_stopped(container: &Detached<'_>) -> bool {
    all(container).into_iter().all(|pid| state(pid).is_none_or(|state| matches!(state, 'T' | 'Z')))
}

#[test]
fn all_processes_stop_and_go_on() {
    let lab = Lab::new();
    for flags in [&[][..], &["--init"]] {
        let script = "sleep 1000 & (setsid sh -c 'while :; do echo x >>/tmp/alive; done' &); exec sleep 1000";
        let container = Detached::start(&lab, flags, &["sh", "-c", script]);
        let id = container.id.as_str();
        let size = || lab.coracle(["exec", id, "wc", "-c", "/tmp/alive"]).text();
        wait_until("it writes", || size().starts_with(|digit: char| ('1'..='9').contains(&digit)));
        let output = lab.coracle(["pause", id]);
        assert_eq!(output.ok().text(), id);
        output.says("signals");
        wait_until("all are stopped", || all_are_stopped(&container));
        lab.coracle(["exec", id, "true"]).refused(125, "E_STATE").says("coracle unpause");
        lab.coracle(["pause", id]).exited(125).says("E_STATE");
        assert_eq!(lab.coracle(["unpause", id]).ok().text(), id);
        wait_until("none is stopped", || all(&container).into_iter().all(|pid| state(pid) != Some('T')));
        let before = size();
        wait_until("it writes on", || size() != before);
        lab.coracle(["unpause", id]).refused(125, "E_STATE");
    }
}

/// New processes all the time: none escapes.
#[test]
fn a_container_that_forks_without_end_is_stopped() {
    let lab = Lab::new();
    let script = "f() { while :; do true & (true; true) & wait; done; }; f & f & f & f & wait";
    let container = Detached::start(&lab, &[], &["sh", "-c", script]);
    for _ in 0..5 {
        lab.coracle(["pause", &container.id]).ok();
        wait_until("all are stopped", || all_are_stopped(&container));
        let before = all(&container);
        assert!(all_are_stopped(&container));
        assert_eq!(before, all(&container), "nothing is made any more");
        lab.coracle(["unpause", &container.id]).ok();
    }
}

#[test]
fn a_process_that_was_executed_is_stopped_too() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    let mut running = lab.spawn(["exec", &container.id, "sh", "-c", "echo up; exec sleep 1000"]);
    running.expect("up");
    let [process] = descendants(running.pid())[..] else { panic!("one child") };
    lab.coracle(["pause", &container.id]).ok();
    wait_until("it is stopped", || state(process) == Some('T'));
    lab.coracle(["unpause", &container.id]).ok();
    wait_until("it goes on", || state(process) == Some('S'));
}

#[test]
fn paused_containers_can_be_removed() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    lab.coracle(["pause", &container.id]).ok();
    lab.coracle(["rm", &container.id]).exited(2);
    lab.coracle(["rm", "-f", &container.id]).ok();
    let left: Vec<_> = lab.root().join("runtime/coracle/containers").read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn several_and_all() {
    let lab = Lab::new();
    let containers = ["one", "two", "three"].map(|name| Detached::start(&lab, &["--name", name], &["sleep", "1000"]));
    assert_eq!(lab.coracle(["pause", "one", "nosuch", "two"]).exited(125).text(), "one\ntwo");
    assert_eq!(lab.coracle(["pause", "--all"]).ok().text(), containers[2].id);
    wait_until("all are stopped", || containers.iter().all(all_are_stopped));
    assert_eq!(lab.coracle(["unpause", "-l"]).ok().text(), containers[2].id);
    assert_eq!(lab.coracle(["unpause", "-a"]).ok().text().lines().count(), 2);
    lab.coracle(["unpause", "-a"]).ok();
    lab.coracle(["pause", "nosuch"]).refused(125, "E_NOTFOUND");
    lab.coracle(["pause"]).refused(125, "E_CONFIG");
}
