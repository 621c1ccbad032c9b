//! Limits, by what they do. `tests/run` gives the test user control groups of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Detached, Lab, busybox_arguments, skip, wait_until};

/// Whether limits can be enforced with these controllers; says so otherwise.
fn has(test: &str, controllers: &[&str]) -> bool {
    let info = Lab::new().coracle(["info", "--format", "json"]).ok().json();
    let there = info["host"]["cgroupControllers"].as_array().unwrap().clone();
    let all = controllers.iter().all(|wanted| there.iter().any(|controller| controller == wanted));
    if !all {
        skip(test, &format!("no control groups of the user's own: {}", info["host"]["cgroupReason"]));
    }
    all
}

/// Doubles its memory until it has too little.
const GLUTTON: &str = "BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s }";

/// The directories of a container's groups.
fn groups(id: &str) -> Vec<PathBuf> {
    let name = format!("coracle-{id}");
    let found = std::process::Command::new("find").args(["/sys/fs/cgroup", "-name", &name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

#[test]
fn who_takes_more_memory_than_the_limit_is_killed() {
    if !has("who_takes_more_memory_than_the_limit_is_killed", &["memory"]) {
        return;
    }
    let lab = Lab::new();
    let output = lab.busybox(&["--memory", "64m", "--memory-swap", "64m"], &["awk", GLUTTON]);
    output.exited(137).says("killed: out of memory, limit 64 MiB");
    lab.assert_clean();
    // Its twin has enough.
    lab.busybox(&["--memory", "64m"], &["awk", "BEGIN { s = \"x\"; while (length(s) < 1000000) s = s s }"]).ok();
    // A container that stays knows it, and the journal does.
    let mut arguments =
        busybox_arguments(&["--name", "glutton", "-m", "64m", "--memory-swap", "64m"], &["awk", GLUTTON]);
    arguments.remove(1);
    lab.coracle(&arguments).exited(137).says("out of memory");
    let state = lab.inspect("glutton")["State"].clone();
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&true.into(), &137.into()));
    let events = lab.coracle(["events", "--stream=false", "--filter", "event=oom", "--format", "json"]).ok().text();
    assert!(events.contains("\"memoryLimit\":\"67108864\"") && events.contains("glutton"), "{events}");
}

/// The first process goes on when another one is killed.
#[test]
fn a_child_that_is_killed_is_reported_too() {
    if !has("a_child_that_is_killed_is_reported_too", &["memory"]) {
        return;
    }
    let lab = Lab::new();
    let script = format!("awk '{GLUTTON}'; echo $?");
    let id = lab.coracle(&{
        let mut arguments = busybox_arguments(&["-m", "64m", "--memory-swap", "64m"], &["sh", "-c", &script]);
        arguments[1] = "-d".to_owned();
        arguments
    });
    let id = id.ok().text();
    assert_eq!(lab.coracle(["wait", &id]).ok().text(), "0");
    assert_eq!(lab.coracle(["logs", &id]).ok().text(), "137");
    assert_eq!(lab.inspect(&id)["State"]["OOMKilled"], true);
    assert_eq!(groups(&id), Vec::<PathBuf>::new());
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    if !has("a_fork_bomb_stops_at_the_limit", &["pids"]) {
        return;
    }
    let lab = Lab::new();
    // Ten processes and the shell; what cannot be forked ends the shell's loop.
    let script = "i=0; while [ $i -lt 100 ]; do sleep 1000 >/dev/null 2>&1 </dev/null & i=$((i + 1)); done; echo $i";
    let output = lab.busybox(&["--pids-limit", "11"], &["sh", "-c", script]);
    assert_ne!(output.code, 0, "{output:?}");
    output.says("fork");
    assert_eq!(lab.busybox(&["--pids-limit", "120"], &["sh", "-c", script]).ok().text(), "100");
    // One process is one, whatever was needed to set it up.
    assert_eq!(lab.busybox(&["--pids-limit", "1"], &["echo", "alone"]).ok().text(), "alone");
    let container = Detached::start(&lab, &["--pids-limit", "11"], &["sh", "-c", "sleep 1000; true"]);
    let bomb = lab.coracle(["exec", &container.id, "sh", "-c", script]);
    assert_ne!(bomb.code, 0, "what is executed in it counts: {bomb:?}");
}

/// Of two that spin on one processor the one with a tenth of it gets a tenth.
#[test]
fn who_spins_gets_its_share() {
    if !has("who_spins_gets_its_share", &["cpu"]) {
        return;
    }
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--cpus", "0.1"], &["sh", "-c", "while :; do :; done"]);
    let used = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    };
    let (begin, before) = (std::time::Instant::now(), used());
    wait_until("it was held up a few times", || begin.elapsed().as_secs() >= 2);
    let share = (used() - before) / 100.0 / begin.elapsed().as_secs_f64();
    assert!(share > 0.01 && share < 0.2, "{share} of a processor");
}

#[test]
fn a_container_runs_on_its_processors() {
    if !has("a_container_runs_on_its_processors", &["cpuset"]) {
        return;
    }
    let lab = Lab::new();
    let allowed = "grep Cpus_allowed_list /proc/self/status";
    let output = lab.sh(&["--cpuset-cpus", "0"], allowed);
    assert!(output.ends_with("\t0"), "{output}");
    assert_ne!(lab.sh(&[], allowed), output);
    lab.busybox(&["--cpuset-cpus", "8000"], &["true"]).refused(125, "E_CONFIG").says("--cpuset-cpus");
}

#[test]
fn disk_traffic_is_held_up() {
    if !has("disk_traffic_is_held_up", &["blkio"]) && !has("disk_traffic_is_held_up", &["io"]) {
        return;
    }
    let lab = Lab::new();
    let device = |path: &Path| {
        use std::os::linux::fs::MetadataExt;
        let number = fs::metadata(path).unwrap().st_dev();
        let name = format!("/sys/dev/block/{}:{}", libc::major(number), libc::minor(number));
        Some(format!("/dev/{}", fs::read_link(name).ok()?.file_name()?.to_str()?))
    };
    let Some(device) = device(lab.root()).filter(|device| Path::new(device).exists()) else {
        return skip("disk_traffic_is_held_up", "the tests' directory is on no block device");
    };
    let directory = lab.arg("disk");
    fs::create_dir(&directory).unwrap();
    let write = |rate: &str| {
        let (rate, volume) = (format!("{device}:{rate}"), format!("{directory}:/disk"));
        let begin = std::time::Instant::now();
        let script = "dd if=/dev/zero of=/disk/file bs=1M count=4 conv=fsync 2>/dev/null";
        lab.sh(&["--device-write-bps", &rate, "-v", &volume], script);
        begin.elapsed().as_secs_f64()
    };
    // With version 1 only direct traffic is held up; busybox has no way to it.
    let stat = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    if stat.is_ok() {
        assert!(write("1mb") > 2.0);
    }
    assert!(write("1gb") < 60.0);
    lab.busybox(&["--device-write-bps", "/dev/null:1mb"], &["true"]).refused(125, "E_CONFIG").says("block device");
}

/// Limits that nobody can enforce are refused before anything is made.
#[test]
fn what_cannot_be_is_refused() {
    let lab = Lab::new();
    let refused = |flags: &[&str], code: &str, word: &str| {
        lab.busybox(flags, &["true"]).refused(125, code).says(word);
    };
    refused(&["-m", "5m"], "E_CONFIG", "6m");
    refused(&["-m", "many"], "E_CONFIG", "--memory");
    refused(&["-m", "64m", "--memory-swap", "32m"], "E_CONFIG", "--memory-swap");
    refused(&["--memory-swap", "32m"], "E_CONFIG", "needs --memory");
    refused(&["-m", "64m", "--memory-reservation", "65m"], "E_CONFIG", "--memory-reservation");
    refused(&["--cpus", "0.0001"], "E_CONFIG", "--cpus");
    refused(&["--cpus", "-1"], "E_CONFIG", "--cpus");
    refused(&["--pids-limit", "x"], "E_CONFIG", "--pids-limit");
    refused(&["--cpu-rt-runtime", "1000"], "E_LIMIT_UNENFORCEABLE", "real-time");
    refused(&["--cgroup-conf", "../x=1"], "E_CONFIG", "--cgroup-conf");
    refused(&["--cgroup-parent", "../.."], "E_CONFIG", "--cgroup-parent");
    refused(&["--cgroup-parent", "/nowhere", "-m", "64m"], "E_LIMIT_UNENFORCEABLE", "nowhere");
    refused(&["--cgroups", "disabled", "-m", "64m"], "E_CONFIG", "--cgroups");
    refused(&["--cgroups", "some"], "E_CONFIG", "enabled");
    refused(&["--cgroupns", "none"], "E_CONFIG", "private");
    refused(&["--limits", "hard"], "E_CONFIG", "strict");
    refused(&["--ulimit", "nofile=2:1"], "E_CONFIG", "above");
    refused(&["--ulimit", "files=1"], "E_CONFIG", "nofile");
    refused(&["--shm-size", "big"], "E_CONFIG", "--shm-size");
    refused(&["--oom-score-adj", "1001"], "E_CONFIG", "1000");
    lab.assert_clean();
    if has("what_cannot_be_is_refused", &["cpu"]) {
        refused(&["--cpus", "4096"], "E_CONFIG", "--cpus");
    }
}

#[test]
fn soft_limits_say_what_they_are() {
    let lab = Lab::new();
    let soft = ["--limits=soft", "--cgroup-parent", "/nowhere"];
    let flags = [&soft[..], &["-m", "64m", "--cpus", "0.5"]].concat();
    let output = lab.busybox(&flags, &["awk", GLUTTON]);
    assert_ne!(output.code, 0, "each process has its limit: {output:?}");
    output.says("--memory is enforced in part").says("--cpus is not enforced");
    let flags = [&soft[..], &["--pids-limit", "5"]].concat();
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all";
    let output = lab.busybox(&flags, &["sh", "-c", script]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("all"), "{output:?}");
    output.says("--pids-limit is enforced in part");
}

/// What is frozen does not even see a signal; it can be killed all the same.
#[test]
fn a_group_is_frozen_and_killed() {
    if !has("a_group_is_frozen_and_killed", &["freezer"]) && !has("a_group_is_frozen_and_killed", &["pids"]) {
        return;
    }
    let lab = Lab::new();
    let script = "while :; do echo x >>/tmp/alive; done";
    let container = Detached::start(&lab, &["--cgroups", "enabled"], &["sh", "-c", script]);
    let id = container.id.as_str();
    assert!(!groups(id).is_empty());
    let time = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(11).unwrap().to_owned()
    };
    wait_until("it runs", || time() != "0");
    let output = lab.coracle(["pause", id]);
    output.ok();
    assert_eq!(output.errors(), "");
    assert_eq!(lab.inspect(id)["State"]["Status"], "paused");
    let (before, begin) = (time(), std::time::Instant::now());
    wait_until("some time has gone by", || begin.elapsed().as_millis() > 200);
    assert_eq!(time(), before);
    lab.coracle(["unpause", id]).ok();
    wait_until("it runs on", || time() != before);
    lab.coracle(["pause", id]).ok();
    lab.coracle(["kill", id]).ok();
    assert_eq!(lab.coracle(["wait", id]).ok().text(), "137");
    assert_eq!(groups(id), Vec::<PathBuf>::new());
    let other = Detached::start(&lab, &["--cgroups", "enabled"], &["sleep", "1000"]);
    lab.coracle(["pause", &other.id]).ok();
    lab.coracle(["rm", "-f", &other.id]).ok();
    assert_eq!(groups(&other.id), Vec::<PathBuf>::new());
}

/// A monitor that is killed leaves a group; the next command removes it.
#[test]
fn groups_of_dead_monitors_are_swept() {
    if !has("groups_of_dead_monitors_are_swept", &["pids"]) {
        return;
    }
    let lab = Lab::new();
    let (first, second) = (
        Detached::start(&lab, &["--pids-limit", "9"], &["sleep", "1000"]),
        Detached::start(&lab, &["--pids-limit", "9"], &["sleep", "1000"]),
    );
    lab.coracle(["pause", &second.id]).ok();
    for container in [&first, &second] {
        let monitor = crate::support::parent(container.pid()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_until("it is seen as ended", || lab.inspect(&container.id)["State"]["Status"] == "exited");
    }
    lab.coracle(["ps", "-a"]).ok();
    assert_eq!((groups(&first.id), groups(&second.id)), (Vec::new(), Vec::new()));
    lab.coracle(["start", &first.id]).ok();
    assert!(!groups(&first.id).is_empty());
}

#[test]
fn limits_are_changed_while_it_runs() {
    if !has("limits_are_changed_while_it_runs", &["memory", "pids"]) {
        return;
    }
    let lab = Lab::new();
    let container = Detached::start(&lab, &["-m", "64m", "--pids-limit", "3"], &["sh", "-c", "sleep 1000; true"]);
    let id = container.id.as_str();
    let fork = ["exec", id, "sh", "-c", "sleep 0 & sleep 0 & sleep 0 & wait"];
    assert_ne!(lab.coracle(fork).code, 0);
    lab.coracle(["update", "--pids-limit", "-1", "--memory", "128m", id]).ok();
    lab.coracle(fork).ok();
    let stats = lab.coracle(["stats", "--no-stream", "--format", "{{.MemUsage}}", id]).ok().text();
    assert!(stats.contains("134"), "{stats}");
    assert_eq!(lab.inspect(id)["HostConfig"]["Memory"], 128 << 20);
    lab.coracle(["update", "--memory", "32m", id]).ok();
    lab.coracle(["update", "--memory", "1m", id]).refused(125, "E_CONFIG");
    lab.coracle(["update", "--memory-swap", "16m", id]).refused(125, "E_CONFIG");
    assert_eq!(lab.inspect(id)["HostConfig"]["Memory"], 32 << 20);
    // Without a group there is nothing to change; what is stopped gets one with its next start.
    let plain = Detached::start(&lab, &[], &["sleep", "1000"]);
    lab.coracle(["update", "--memory", "64m", &plain.id]).refused(125, "E_STATE").says("--cgroups=enabled");
    lab.coracle(["stop", "-t", "0", &plain.id]).ok();
    assert_eq!(lab.coracle(["update", "--memory", "64m", &plain.id]).ok().text(), plain.id, "as podman's");
    lab.coracle(["start", &plain.id]).ok();
    assert!(!groups(&plain.id).is_empty());
    assert!(lab.inspect(&plain.id)["State"]["CgroupPath"].as_str().unwrap().contains(&plain.id));
}

#[test]
fn what_happens_at_the_end_is_changed() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    let id = container.id.as_str();
    lab.coracle(["update", "--restart", "on-failure:1", "--health-cmd", "true", id]).ok().says("next start");
    assert_eq!(lab.inspect(id)["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    let first = container.pid();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("it was started again", || {
        let state = lab.inspect(id)["State"].clone();
        state["Running"] == true && state["Pid"] != first
    });
    lab.coracle(["update", "--restart", "sometimes", id]).refused(125, "E_CONFIG");
    lab.coracle(["update", "nobody"]).refused(125, "E_NOTFOUND");
    let mut run_once = busybox_arguments(&["-d", "--name", "once"], &["sleep", "1000"]);
    lab.coracle(run_once.drain(..)).ok();
    lab.coracle(["update", "--restart", "always", "once"]).refused(125, "E_CONFIG");
}

#[test]
fn stats_know_the_limit() {
    if !has("stats_know_the_limit", &["memory", "pids"]) {
        return;
    }
    let lab = Lab::new();
    let container = Detached::start(&lab, &["-m", "64m"], &["sh", "-c", "sleep 1000; true"]);
    let format = "{{.MemUsage}} {{.PIDs}}";
    let stats = lab.coracle(["stats", "--no-stream", "--format", format, &container.id]).ok().text();
    assert!(stats.contains("67.1") && stats.ends_with(" 2"), "{stats}");
}

#[test]
fn limits_of_each_process() {
    let lab = Lab::new();
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=-1:-1"];
    assert_eq!(lab.sh(&flags, "ulimit -Sn; ulimit -Hn"), "100\n200");
    let output = lab.busybox(&["--ulimit", "nofile=1:99999999999"], &["sh", "-c", "ulimit -Hn"]);
    let hard = output.ok().says("--ulimit nofile: lowered").text();
    assert!(hard.parse::<u64>().unwrap() < 99_999_999_999);
    let container = Detached::start(&lab, &["--ulimit", "nofile=100"], &["sleep", "1000"]);
    assert_eq!(lab.coracle(["exec", &container.id, "sh", "-c", "ulimit -n"]).ok().text(), "100");
    let own = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK).unwrap().0 / 1024;
    if own < u64::MAX / 1024 {
        assert_eq!(lab.sh(&["--ulimit", "host"], "ulimit -l"), own.to_string());
    }
}

#[test]
fn shared_memory_and_inclination() {
    let lab = Lab::new();
    let size = "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2";
    assert_eq!(lab.sh(&["--shm-size", "1m"], size), "1024");
    assert_eq!(lab.sh(&[], size), "65536");
    let score = "cat /proc/self/oom_score_adj";
    assert_eq!(lab.sh(&["--oom-score-adj", "500"], score), "500");
    let container = Detached::start(&lab, &["--oom-score-adj", "500"], &["sleep", "1000"]);
    assert_eq!(lab.coracle(["exec", &container.id, "cat", "/proc/self/oom_score_adj"]).ok().text(), "500");
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let output = lab.busybox(&["--oom-score-adj", "-1000"], &["sh", "-c", score]);
    assert_eq!(output.ok().says("--oom-score-adj").text(), own.trim());
}
