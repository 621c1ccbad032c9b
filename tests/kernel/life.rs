//! The life of a container after `run`: made, started, stopped, killed, restarted, joined.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Detached, Lab, Output, busybox_arguments, is_running, wait_until};

/// `create FLAGS` of the busybox tree; nothing that it writes is thrown away.
fn create(lab: &Lab, name: &str, flags: &[&str], command: &[&str]) -> Output {
    let mut arguments = busybox_arguments(flags, command);
    arguments.splice(0..2, ["create", "--name", name].map(String::from));
    lab.coracle(arguments)
}

fn state(lab: &Lab, name: &str) -> serde_json::Value {
    lab.inspect(name)["State"].clone()
}

fn wait_for_status(lab: &Lab, name: &str, status: &str) {
    wait_until(status, || state(lab, name)["Status"] == status);
}

fn log(lab: &Lab, id: &str) -> String {
    std::fs::read_to_string(lab.store().join("containers").join(id).join("log.json")).unwrap_or_default()
}

#[test]
fn a_container_is_made_started_and_started_again() {
    let lab = Lab::new();
    let id = create(&lab, "made", &[], &["sh", "-c", "echo out; echo err >&2; exit 3"]).ok().text();
    assert_eq!((id.len(), &state(&lab, "made")["Status"]), (64, &"created".into()));
    assert!(!lab.coracle(["ps"]).ok().text().contains("made"));
    for _ in 0..2 {
        let output = lab.coracle(["start", "-a", "made"]);
        assert_eq!((output.exited(3).text(), output.errors()), ("out".into(), "err\n".into()));
        assert_eq!((&state(&lab, "made")["Status"], &state(&lab, "made")["ExitCode"]), (&"exited".into(), &3.into()));
    }
    assert_eq!(lab.coracle(["start", "made"]).ok().text(), "made");
    wait_for_status(&lab, "made", "exited");
    assert_eq!(log(&lab, &id).matches("\"out\\n\"").count(), 3, "each life is logged");
    lab.coracle(["rm", "made"]).ok();
    lab.assert_clean();
}

#[test]
fn a_container_made_with_rm_waits_for_its_start_and_goes_at_its_end() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&["--name", "once"], &["true"]);
    arguments[0] = "create".into();
    lab.coracle(arguments).ok();
    assert_eq!(lab.containers().len(), 1, "not collected before it was started");
    lab.coracle(["start", "-a", "once"]).ok();
    lab.assert_clean();
}

#[test]
fn what_a_container_wrote_is_there_when_it_is_started_again() {
    let lab = Lab::new();
    let image = crate::support::image("busybox");
    let script = "cat /kept 2>/dev/null; echo life >>/kept; test -e /tmp/gone || echo fresh";
    lab.coracle(["create", "--name", "kept", "--tmpfs", "/tmp", &image, "sh", "-c", script]).ok();
    assert_eq!(lab.coracle(["start", "-a", "kept"]).ok().text(), "fresh");
    assert_eq!(lab.coracle(["start", "-a", "kept"]).ok().text(), "life\nfresh");
    assert_eq!(lab.coracle(["start", "-a", "kept"]).ok().text(), "life\nlife\nfresh");
}

#[test]
fn settings_are_those_of_the_first_time() {
    let lab = Lab::new();
    let image = crate::support::image("busybox");
    let mut command = lab.command([
        "create",
        "--name",
        "set",
        "-e",
        "TAKEN",
        "-w",
        "/etc",
        "--hostname",
        "h",
        "-u",
        "7",
        &image,
        "sh",
        "-c",
        "echo $TAKEN $PWD $(hostname) $(id -u)",
    ]);
    command.env("TAKEN", "then");
    assert!(command.output().unwrap().status.success());
    assert_eq!(lab.coracle(["start", "-a", "set"]).ok().text(), "then /etc h 7");
}

#[test]
fn wrong_states_and_names_are_told() {
    let lab = Lab::new();
    for verb in ["start", "stop", "kill", "restart", "attach"] {
        let output = lab.coracle([verb, "nosuch"]);
        output.exited(125).says("nosuch");
    }
    create(&lab, "made", &[], &["true"]).ok();
    lab.coracle(["kill", "made"]).exited(125).says("not running");
    lab.coracle(["attach", "made"]).exited(125).says("not running");
    lab.coracle(["stop", "made"]).ok();
    assert_eq!(state(&lab, "made")["Status"], "created");
    create(&lab, "made", &[], &["true"]).exited(125).says("in use");
    lab.coracle(["kill", "-s", "NOSUCH", "made"]).exited(125).says("NOSUCH");
    let up = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    assert_eq!(lab.coracle(["start", "up"]).ok().text(), "up", "it runs already");
    lab.coracle(["rm", "made", &up.id]).exited(2);
    let output = lab.coracle(["start", "nosuch", "up"]);
    assert_eq!(output.exited(125).text(), "up", "the others are started all the same");
}

#[test]
fn a_command_that_cannot_be_started_is_told_by_start() {
    let lab = Lab::new();
    create(&lab, "broken", &[], &["/no/such/program"]).ok();
    lab.coracle(["start", "broken"]).exited(125).says("/no/such/program");
    lab.coracle(["start", "-a", "broken"]).exited(127).says("/no/such/program");
    assert_eq!(state(&lab, "broken")["Status"], "created", "it never ran");
}

#[test]
fn stop_asks_first_and_kills_then() {
    let lab = Lab::new();
    let polite = Detached::start(
        &lab,
        &["--name", "polite"],
        &["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done"],
    );
    wait_until("it is up", || log(&lab, &polite.id).contains("up"));
    let deaf = Detached::start(&lab, &["--name", "deaf", "--stop-timeout", "1"], &["sleep", "1000"]);
    let usr1 = Detached::start(
        &lab,
        &["--name", "usr1", "--stop-signal", "USR1"],
        &["sh", "-c", "trap 'exit 8' USR1; echo up; while :; do sleep 0.02; done"],
    );
    wait_until("it is up", || log(&lab, &usr1.id).contains("up"));
    assert_eq!(lab.coracle(["stop", "polite", "deaf", "usr1"]).ok().text(), "polite\ndeaf\nusr1");
    for (container, code) in [(&polite, 7), (&deaf, 137), (&usr1, 8)] {
        let state = state(&lab, &container.id);
        assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &code.into()));
    }
    lab.coracle(["stop", "polite"]).ok();
}

#[test]
fn stop_time_is_counted_from_the_command_line() {
    let lab = Lab::new();
    let _deaf = Detached::start(&lab, &["--name", "deaf", "--stop-timeout", "1000"], &["sleep", "1000"]);
    lab.coracle(["stop", "-t", "0", "deaf"]).ok();
    assert_eq!(state(&lab, "deaf")["ExitCode"], 137);
}

#[test]
fn all_latest_ignore_and_cidfile_choose_containers() {
    let lab = Lab::new();
    let (cidfile, no_file) = (lab.arg("cid"), lab.arg("nothing"));
    let _one = Detached::start(&lab, &["--name", "one", "--cidfile", &cidfile], &["sleep", "1000"]);
    let _two = Detached::start(&lab, &["--name", "two"], &["sleep", "1000"]);
    lab.coracle(["kill", "--latest", "-s", "9"]).ok();
    wait_for_status(&lab, "two", "exited");
    lab.coracle(["stop", "-t0", "--cidfile", &cidfile]).ok();
    assert_eq!(state(&lab, "one")["Status"], "exited");
    lab.coracle(["stop", "--cidfile", &no_file]).exited(125).says("nothing");
    lab.coracle(["stop", "--ignore", "--cidfile", &no_file]).ok();
    lab.coracle(["stop", "--ignore", "nosuch"]).ok();
    lab.coracle(["start", "--all"]).ok();
    assert_eq!(lab.coracle(["stop", "-at0"]).ok().text().lines().count(), 2);
    assert_eq!(lab.coracle(["stop", "-a"]).ok().text(), "");
}

#[test]
fn kill_sends_any_signal() {
    let lab = Lab::new();
    let script = "trap 'echo got HUP' HUP; trap 'echo got RT' 37; echo up; while :; do sleep 0.02; done";
    let container = Detached::start(&lab, &["--name", "ears"], &["sh", "-c", script]);
    wait_until("it is up", || log(&lab, &container.id).contains("up"));
    for (signal, heard) in [("HUP", "got HUP"), ("RTMIN+3", "got RT")] {
        lab.coracle(["kill", "--signal", signal, "ears"]).ok();
        wait_until(heard, || log(&lab, &container.id).contains(heard));
    }
    lab.coracle(["kill", "ears"]).ok();
    wait_for_status(&lab, "ears", "exited");
    assert_eq!(state(&lab, "ears")["ExitCode"], 137);
}

#[test]
fn restart_policies() {
    let lab = Lab::new();
    let fails =
        Detached::start(&lab, &["--name", "fails", "--restart", "on-failure:2"], &["sh", "-c", "echo life; exit 4"]);
    wait_for_status(&lab, "fails", "exited");
    assert_eq!(log(&lab, &fails.id).matches("life").count(), 3);
    assert_eq!((&state(&lab, "fails")["ExitCode"], &lab.inspect("fails")["RestartCount"]), (&4.into(), &2.into()));
    let good = Detached::start(&lab, &["--name", "good", "--restart", "on-failure"], &["true"]);
    wait_for_status(&lab, &good.id, "exited");
    let always = Detached::start(&lab, &["--name", "always", "--restart", "always"], &["sh", "-c", "echo life"]);
    wait_until("it lived thrice", || log(&lab, &always.id).matches("life").count() >= 3);
    lab.coracle(["stop", "always"]).ok();
    let lives = log(&lab, &always.id).matches("life").count();
    assert_eq!(state(&lab, "always")["Status"], "exited");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(log(&lab, &always.id).matches("life").count(), lives, "stopped by a user, it stays so");
    lab.busybox(&["--restart", "always"], &["true"]).exited(125).says("--rm");
    lab.busybox(&["--restart", "sometimes"], &["true"]).exited(125).says("sometimes");
}

#[test]
fn a_killed_container_is_not_restarted_and_a_restarting_one_can_be_removed() {
    let lab = Lab::new();
    let _up = Detached::start(&lab, &["--name", "up", "--restart", "always"], &["sleep", "1000"]);
    lab.coracle(["kill", "up"]).ok();
    wait_for_status(&lab, "up", "exited");
    let _busy = Detached::start(&lab, &["--name", "busy", "--restart", "always"], &["false"]);
    wait_for_status(&lab, "busy", "restarting");
    lab.coracle(["rm", "-f", "busy"]).ok();
    lab.coracle(["rm", "up"]).ok();
    lab.assert_clean();
}

#[test]
fn restart_gives_another_process() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--name", "again", "--init"], &["sleep", "1000"]);
    let before = container.pid();
    assert_eq!(lab.coracle(["restart", "-t", "5", "again"]).ok().text(), "again");
    assert_ne!(container.pid(), before);
    assert!(!is_running(before));
    lab.coracle(["stop", "again"]).ok();
    lab.coracle(["restart", "again"]).ok();
    assert_eq!(state(&lab, "again")["Status"], "running");
}

#[test]
fn a_time_limit_ends_it() {
    let lab = Lab::new();
    lab.busybox(&["--timeout", "1"], &["sleep", "1000"]).exited(137);
}

#[test]
fn replace_takes_the_name_from_one_that_runs() {
    let lab = Lab::new();
    let old = Detached::start(&lab, &["--name", "web"], &["sleep", "1000"]);
    let pid = old.pid();
    let new = Detached::start(&lab, &["--replace", "--name", "web"], &["sleep", "1000"]);
    assert!(!is_running(pid) && new.id != old.id);
    assert_eq!(lab.inspect("web")["Id"], new.id.as_str());
    lab.busybox(&["--replace"], &["true"]).exited(125).says("--name");
}

#[test]
fn several_can_attach_and_one_speaks() {
    let lab = Lab::new();
    let _container = Detached::start(&lab, &["--name", "echo", "-i"], &["cat"]);
    let mut listeners: Vec<_> = (0..3).map(|_| lab.spawn(["attach", "--no-stdin", "echo"])).collect();
    let mut speaker = lab.spawn(["attach", "echo"]);
    // What was said before a listener had come is not heard by it: it is said until all have heard something.
    let (all_heard, deadline) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(60));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                speaker.write(format!("word {number}\n").as_bytes());
                speaker.expect(&format!("word {number}\n"));
                if all_heard.load(Ordering::Relaxed) || Instant::now() > deadline {
                    break;
                }
            }
        });
        listeners.iter_mut().for_each(|listener| listener.expect("word "));
        all_heard.store(true, Ordering::Relaxed);
    });
    lab.coracle(["kill", "echo"]).ok();
    for client in listeners.into_iter().chain([speaker]) {
        client.wait().exited(137);
    }
}

#[test]
fn the_end_of_input_reaches_an_attached_container() {
    let lab = Lab::new();
    let _container = Detached::start(&lab, &["--name", "sum", "-i"], &["sh", "-c", "wc -c; exit 5"]);
    let bytes = vec![b'x'; 300_000];
    let output = lab.coracle_with_input(["attach", "sum"], &bytes);
    assert_eq!(output.exited(5).text().trim(), "300000");
}

#[test]
fn much_output_reaches_an_attached_start_whole() {
    let lab = Lab::new();
    create(&lab, "much", &[], &["sh", "-c", "head -c 20000000 /dev/zero; echo end >&2"]).ok();
    let output = lab.coracle(["start", "-a", "much"]);
    output.ok();
    assert_eq!((output.stdout.len(), output.errors().as_str()), (20_000_000, "end\n"));
}

#[test]
fn a_guest_that_does_not_read_stops_nobody() {
    let lab = Lab::new();
    let container = Detached::start(
        &lab,
        &["--name", "loud", "-i"],
        &["sh", "-c", "read go; head -c 30000000 /dev/zero; echo done >&2"],
    );
    let stalled = lab.spawn(["attach", "--no-stdin", "loud"]);
    let mut speaker = lab.command(["attach", "loud"]);
    speaker.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut speaker = speaker.spawn().unwrap();
    stalled.signal(Signal::SIGSTOP);
    std::io::Write::write_all(speaker.stdin.as_mut().unwrap(), b"go\n").unwrap();
    wait_for_status(&lab, "loud", "exited");
    assert!(log(&lab, &container.id).contains("done"));
    stalled.signal(Signal::SIGCONT);
    drop(stalled);
    assert!(speaker.wait().unwrap().success());
}

#[test]
fn attach_chooses_streams() {
    let lab = Lab::new();
    let output = lab.busybox(&["-a", "stdout"], &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((output.ok().text(), output.errors()), ("out".into(), String::new()));
    let output = lab.busybox(&["-a", "stderr"], &["sh", "-c", "echo out; echo err >&2; exit 2"]);
    assert_eq!((output.exited(2).text(), output.errors()), (String::new(), "err\n".into()));
    lab.busybox(&["-a", "stdio"], &["true"]).exited(125).says("stdio");
}

#[test]
fn sig_proxy_false_keeps_signals_here() {
    let lab = Lab::new();
    let mut running = lab.spawn(busybox_arguments(
        &["--name", "calm", "--sig-proxy=false"],
        &["sh", "-c", "trap 'echo heard' TERM; echo up; while :; do sleep 0.02; done"],
    ));
    running.expect("up\n");
    running.signal(Signal::SIGTERM);
    assert!(!running.wait().text().contains("heard"));
    assert_eq!(state(&lab, "calm")["Status"], "running", "the monitor stands alone");
    lab.coracle(["rm", "-f", "calm"]).ok();
}

/// The processes of a monitor that was killed are gone, the container can be started again, and nobody says that it runs.
#[test]
fn a_killed_monitor_takes_its_container_along() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&["--name", "orphan"], &["sleep", "1000"]);
    arguments[1] = "-d".into();
    lab.coracle(&arguments).ok();
    let pid = state(&lab, "orphan")["Pid"].as_i64().unwrap() as i32;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    wait_until("its process is gone", || !is_running(pid));
    assert_eq!(state(&lab, "orphan")["Status"], "exited");
    lab.coracle(["start", "orphan"]).ok();
    assert_eq!(state(&lab, "orphan")["Status"], "running");
    lab.coracle(["rm", "-f", "orphan"]).ok();
    lab.assert_clean();
}

#[test]
fn a_lost_runtime_directory_is_not_the_end() {
    let lab = Lab::new();
    create(&lab, "kept", &[], &["sh", "-c", "echo alive"]).ok();
    std::fs::remove_dir_all(lab.root().join("runtime/coracle")).unwrap();
    assert_eq!(state(&lab, "kept")["Status"], "created");
    assert_eq!(lab.coracle(["start", "-a", "kept"]).ok().text(), "alive");
}

/// Two verbs at once give one sensible order: of many that start the same container one does, and the others say so or find
/// it running.
#[test]
fn many_start_and_stop_the_same_container() {
    let lab = Lab::new();
    create(&lab, "contested", &[], &["sleep", "1000"]).ok();
    let deadline = Instant::now() + Duration::from_secs(3);
    let work = |verbs: &'static [&'static [&'static str]]| {
        while Instant::now() < deadline {
            for verb in verbs {
                let output = lab.coracle(verb.iter().chain(&["contested"]));
                let told = output.errors();
                assert!(told.is_empty() || told.contains("E_BUSY") || told.contains("E_STATE"), "{verb:?}: {told}");
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(&[&["start"]]));
        scope.spawn(|| work(&[&["stop", "-t", "0"], &["start"]]));
        scope.spawn(|| work(&[&["kill"], &["restart", "-t", "0"]]));
    });
    lab.coracle(["start", "contested"]).ok();
    assert_eq!(state(&lab, "contested")["Status"], "running");
    lab.coracle(["rm", "-f", "contested"]).ok();
    lab.assert_clean();
}

/// `update`: variables of what is executed later, and limits of each process of the next life.
#[test]
fn variables_and_limits_of_processes_are_changed() {
    let lab = Lab::new();
    let script = "echo $A $B $C; ulimit -n; sleep 1000";
    let flags = ["-e", "A=1", "-e", "B=2", "--ulimit", "nofile=77:77"];
    let container = crate::support::Detached::start(&lab, &flags, &["sh", "-c", script]);
    let id = container.id.as_str();
    let update = |flags: &[&str]| lab.coracle([&["update"], flags, &[id]].concat());
    update(&["--env", "A=changed", "--unsetenv", "B", "--env=C=new", "--ulimit", "nofile=88:88"])
        .ok()
        .says("next start");
    let exec = || lab.coracle(["exec", id, "sh", "-c", "echo $A $B $C"]).ok().text();
    assert_eq!(exec(), "changed new");
    let env = lab.inspect(id)["Config"]["Env"].to_string();
    assert!(env.contains("A=changed") && !env.contains("B=2"), "{env}");
    lab.coracle(["restart", "-t", "0", id]).ok();
    crate::support::wait_until("it has spoken", || lab.coracle(["logs", id]).text().lines().count() == 4);
    assert_eq!(lab.coracle(["logs", id]).text(), "1 2\n77\nchanged new\n88");
    // The last word counts.
    update(&["--env", "B=back", "--unsetenv", "C"]).ok();
    assert_eq!(exec(), "changed back");
    update(&["--env", "=x"]).refused(125, "E_CONFIG");
    update(&["--ulimit", "nofile"]).refused(125, "E_CONFIG").says("nofile=1024:4096");
    assert_eq!(exec(), "changed back", "nothing is changed by what is refused");
}
