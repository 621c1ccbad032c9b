//! `init`: a container that is made ready, and waits for its start.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Detached, Lab, busybox_arguments, is_running, wait_until};

/// `create FLAGS` of the busybox tree.
fn create(lab: &Lab, name: &str, flags: &[&str], command: &[&str]) {
    let mut arguments = busybox_arguments(flags, command);
    arguments.splice(0..2, ["create", "--name", name].map(String::from));
    lab.coracle(arguments).ok();
}

fn status(lab: &Lab, name: &str) -> String {
    lab.inspect(name)["State"]["Status"].as_str().unwrap().to_owned()
}

fn pid(lab: &Lab, name: &str) -> i32 {
    lab.inspect(name)["State"]["Pid"].as_i64().unwrap() as i32
}

/// Made, and made ready; its process.
fn ready(lab: &Lab, name: &str, flags: &[&str], command: &[&str]) -> i32 {
    create(lab, name, flags, command);
    assert_eq!(lab.coracle(["init", name]).ok().text(), name);
    assert_eq!(status(lab, name), "initialized");
    pid(lab, name)
}

fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn everything_is_there_but_the_program() {
    let lab = Lab::new();
    let process = ready(&lab, "web", &["--tmpfs", "/data"], &["sh", "-c", "cat /data/file; echo err >&2; exit 6"]);
    assert!(is_running(process));
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap();
    assert_eq!(name.trim(), "coracle-init");
    let state = lab.inspect("web")["State"].clone();
    assert_eq!((&state["Running"], &state["StartedAt"]), (&false.into(), &"0001-01-01T00:00:00Z".into()));
    let row = |flags: &[&str]| lab.coracle([&["ps"][..], flags].concat()).ok().text();
    assert!(row(&["-a"]).contains("Initialized") && !row(&[]).contains("web"));
    assert_eq!(row(&["-a", "--filter", "status=initialized", "--format", "{{.Names}}"]), "web");
    // It can be looked at and copied into, but nothing is run in it.
    lab.write("file", "copied\n");
    lab.coracle(["cp", "file", "web:/data/file"]).ok();
    assert!(lab.coracle(["cp", "web:/data/file", "-"]).ok().text().contains("copied"));
    lab.coracle(["exec", "web", "true"]).exited(125).says("not running");
    lab.coracle(["pause", "web"]).exited(125).says("not running");
    lab.coracle(["attach", "web"]).exited(125).says("not running");
    let output = lab.coracle(["start", "-a", "web"]);
    assert_eq!((output.exited(6).text(), output.errors()), ("copied".into(), "err\n".into()));
    assert_eq!((status(&lab, "web"), &lab.inspect("web")["State"]["ExitCode"]), ("exited".into(), &6.into()));
    let events = lab.coracle(["events", "--stream=false", "--format", "{{.Status}}"]).ok().text();
    assert_eq!(events.split_whitespace().collect::<Vec<_>>(), ["create", "init", "attach", "start", "died"]);
    lab.coracle(["rm", "web"]).ok();
    lab.assert_clean();
}

#[test]
fn the_process_that_was_ready_is_the_one_that_runs() {
    let lab = Lab::new();
    for (name, flags) in [("plain", &[][..]), ("reaped", &["--init"]), ("restarting", &["--restart", "always"])] {
        let process = ready(&lab, name, flags, &["sh", "-c", "echo up; exec sleep 1000"]);
        assert_eq!(lab.coracle(["start", name]).ok().text(), name);
        assert_eq!((status(&lab, name), pid(&lab, name)), ("running".into(), process));
        wait_until("it says so", || lab.coracle(["logs", name]).ok().text() == "up");
        assert_eq!(lab.coracle(["exec", name, "echo", "in"]).ok().text(), "in");
        assert_eq!(lab.coracle(["start", name]).ok().text(), name, "it runs already");
        lab.coracle(["stop", "-t", "0", name]).ok();
        assert_eq!(status(&lab, name), "exited");
    }
    create(&lab, "again", &["--restart", "on-failure:2"], &["sh", "-c", "echo life; exit 3"]);
    lab.coracle(["init", "again"]).ok();
    lab.coracle(["start", "again"]).ok();
    wait_until("it has ended", || status(&lab, "again") == "exited");
    assert_eq!(lab.inspect("again")["RestartCount"], 2, "later lives wait for nobody");
}

#[test]
fn its_input_and_its_terminal_wait_with_it() {
    let lab = Lab::new();
    ready(&lab, "reads", &["-i"], &["sh", "-c", "wc -c; exit 5"]);
    let output = lab.coracle_with_input(["start", "-ai", "reads"], &vec![b'x'; 300_000]);
    assert_eq!(output.exited(5).text().trim(), "300000");
    ready(&lab, "typed", &["-it", "-e", "PS1=ready> "], &["sh"]);
    let mut terminal = crate::support::Terminal::start(&lab, ["start", "-ai", "typed"].map(String::from).to_vec());
    terminal.expect("ready> ");
    terminal.send("exit 7\n");
    assert_eq!(terminal.wait(), 7);
}

#[test]
fn stop_kill_and_rm_end_what_waits() {
    let lab = Lab::new();
    let endings: [&[&str]; 3] = [&["stop"], &["kill"], &["kill", "-s", "TERM"]];
    for ending in endings {
        let process = ready(&lab, "idle", &[], &["sh", "-c", "exit 4"]);
        lab.coracle(["kill", "-s", "HUP", "idle"]).exited(125).says("not running");
        lab.coracle(ending.iter().chain(&["idle"])).ok();
        wait_until("it is what it was", || status(&lab, "idle") == "created");
        assert!(!is_running(process));
        lab.coracle(["start", "-a", "idle"]).exited(4);
        lab.coracle(["init", "idle"]).ok();
        lab.coracle(["stop", "idle"]).ok();
        let state = lab.inspect("idle")["State"].clone();
        assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &4.into()), "its earlier end is known");
        lab.coracle(["rm", "idle"]).ok();
    }
    for removal in [&["rm"][..], &["rm", "-f"], &["container", "prune", "-f"]] {
        let process = ready(&lab, "gone", &[], &["true"]);
        lab.coracle(removal.iter().chain(&["gone"]).take(removal.len() + usize::from(removal[0] == "rm"))).ok();
        assert!(!is_running(process));
        lab.assert_clean();
    }
}

/// Nothing of it remains, and it can be started as if it had never been made ready.
#[test]
fn a_killed_monitor_leaves_it_as_it_was() {
    let lab = Lab::new();
    let process = ready(&lab, "orphan", &[], &["sh", "-c", "exit 3"]);
    kill(Pid::from_raw(parent(process)), Signal::SIGKILL).unwrap();
    wait_until("its process is gone", || !is_running(process));
    assert_eq!(status(&lab, "orphan"), "created");
    lab.coracle(["start", "-a", "orphan"]).exited(3);
    assert_eq!(status(&lab, "orphan"), "exited");
}

/// As at a logout: there is no program yet that would hear a signal.
#[test]
fn a_monitor_that_is_asked_to_end_leaves_it_as_it_was() {
    let lab = Lab::new();
    let process = ready(&lab, "idle", &["--stop-timeout", "600"], &["sh", "-c", "exit 3"]);
    kill(Pid::from_raw(parent(process)), Signal::SIGTERM).unwrap();
    wait_until("its process is gone", || !is_running(process));
    wait_until("it is what it was", || status(&lab, "idle") == "created");
    lab.coracle(["start", "-a", "idle"]).exited(3);
}

#[test]
fn what_cannot_be_made_ready_or_started_says_why() {
    let lab = Lab::new();
    let _up = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    lab.coracle(["init", "up"]).exited(125).says("E_STATE");
    lab.coracle(["init", "nosuch"]).exited(125).says("nosuch");
    lab.coracle(["init"]).exited(125);
    let process = ready(&lab, "twice", &[], &["true"]);
    lab.coracle(["init", "twice"]).exited(125).says("already");
    create(&lab, "other", &[], &["true"]);
    assert_eq!(lab.coracle(["container", "init", "--all"]).ok().text().lines().count(), 1, "those that can be");
    assert_eq!((status(&lab, "other"), pid(&lab, "twice")), ("initialized".into(), process));
    // A program that is missing is missed when it is to be executed.
    ready(&lab, "missing", &[], &["/no/such/program"]);
    lab.coracle(["start", "missing"]).exited(125).says("/no/such/program");
    assert_eq!(status(&lab, "missing"), "created");
    lab.coracle(["init", "missing"]).ok();
    lab.coracle(["start", "-a", "missing"]).exited(127).says("/no/such/program");
    lab.coracle(["rm", "missing"]).ok();
}

#[test]
fn of_many_starts_each_finds_it_running() {
    let lab = Lab::new();
    for round in 0..5 {
        let name = format!("contested{round}");
        ready(&lab, &name, &[], &["sleep", "1000"]);
        let starts: Vec<_> = (0..4).map(|_| lab.spawn(["start", &name])).collect();
        for start in starts {
            start.wait().ok();
        }
        assert_eq!(status(&lab, &name), "running");
    }
}
