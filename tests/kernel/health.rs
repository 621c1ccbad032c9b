//! Health checks: made by the monitor, shown by `ps` and `inspect`, asked for by `healthcheck run`.

use crate::support::{Detached, Lab, wait_until};

fn status(lab: &Lab, name: &str) -> String {
    lab.inspect(name)["State"]["Health"]["Status"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn health_is_what_the_command_says() {
    let lab = Lab::new();
    let flags = [
        "--name",
        "web",
        "--health-cmd",
        "echo looked; test ! -e /tmp/ill",
        "--health-interval",
        "100ms",
        "--health-retries",
        "2",
    ];
    let _web = Detached::start(&lab, &[&flags[..], &["--tmpfs", "/tmp"]].concat(), &["sleep", "1000"]);
    wait_until("it is well", || status(&lab, "web") == "healthy");
    assert!(lab.coracle(["ps"]).ok().text().contains("(healthy)"));
    assert_eq!(lab.inspect("web")["State"]["Health"]["Log"][0]["Output"], "looked\n");
    lab.coracle(["healthcheck", "run", "web"]).ok();
    lab.coracle(["exec", "web", "touch", "/tmp/ill"]).ok();
    wait_until("it is ill", || status(&lab, "web") == "unhealthy");
    assert!(lab.inspect("web")["State"]["Health"]["FailingStreak"].as_u64().unwrap() >= 2);
    lab.coracle(["healthcheck", "run", "web"]).exited(1);
    lab.coracle(["healthcheck", "run", "--ignore-result", "web"]).ok();
    assert!(lab.coracle(["ps", "--filter", "health=unhealthy", "-q"]).ok().text().len() >= 12);
    lab.coracle(["exec", "web", "rm", "/tmp/ill"]).ok();
    wait_until("it is well again", || status(&lab, "web") == "healthy");
    assert_eq!(lab.inspect("web")["State"]["Health"]["FailingStreak"], 0);
}

#[test]
fn a_check_that_takes_too_long_fails_and_leaves_nothing() {
    let lab = Lab::new();
    let flags = [
        "--name",
        "slow",
        "--health-cmd",
        "sleep 1000",
        "--health-interval",
        "50ms",
        "--health-timeout",
        "100ms",
        "--health-retries",
        "1",
    ];
    let _slow = Detached::start(&lab, &flags, &["sleep", "2000"]);
    wait_until("it is ill", || status(&lab, "slow") == "unhealthy");
    let checks = || lab.coracle(["top", "slow", "args"]).ok().text().matches("sleep 1000").count();
    wait_until("at most one check runs", || checks() <= 1);
}

#[test]
fn ill_health_has_consequences() {
    let lab = Lab::new();
    let ill = |name, action| {
        let flags = [
            "--name",
            name,
            "--health-cmd",
            "false",
            "--health-interval",
            "50ms",
            "--health-retries",
            "1",
            "--health-on-failure",
            action,
        ];
        Detached::start(&lab, &flags, &["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.02; done"])
    };
    let (_killed, _stopped, _restarted) = (ill("killed", "kill"), ill("stopped", "stop"), ill("restarted", "restart"));
    wait_until("it is killed", || lab.inspect("killed")["State"]["ExitCode"] == 137);
    wait_until("it is stopped", || lab.inspect("stopped")["State"]["ExitCode"] == 9);
    wait_until("it is restarted", || lab.inspect("restarted")["RestartCount"].as_u64().unwrap() >= 1);
    lab.busybox(&["--health-cmd", "x", "--health-on-failure", "pray"], &["true"]).exited(125).says("pray");
    lab.busybox(&["--health-cmd", "x", "--health-interval", "soon"], &["true"]).exited(125).says("soon");
}

#[test]
fn failures_at_the_start_do_not_count() {
    let lab = Lab::new();
    let flags = [
        "--name",
        "young",
        "--health-cmd",
        "false",
        "--health-interval",
        "50ms",
        "--health-retries",
        "1",
        "--health-start-period",
        "1h",
    ];
    let _young = Detached::start(&lab, &flags, &["sleep", "1000"]);
    wait_until("it was looked at", || {
        lab.inspect("young")["State"]["Health"]["Log"].as_array().is_some_and(|log| log.len() >= 3)
    });
    assert_eq!(status(&lab, "young"), "starting");
}

#[test]
fn without_a_check_there_is_no_health() {
    let lab = Lab::new();
    let _plain = Detached::start(&lab, &["--name", "plain"], &["sleep", "1000"]);
    assert_eq!(status(&lab, "plain"), "", "there is one in podman's form, so that templates can name it");
    lab.coracle(["healthcheck", "run", "plain"]).exited(125).says("no health check");
    lab.coracle(["healthcheck", "run", "nosuch"]).exited(125).says("nosuch");
}

#[test]
fn a_check_may_write_much_and_leave_something_behind() {
    let lab = Lab::new();
    // More than a pipe holds; and a process that keeps the output for long.
    let check = "head -c 300000 /dev/zero | tr '\\0' x; sleep 1000 & exit 0";
    let flags = ["--name", "much", "--health-cmd", check, "--health-interval", "50ms", "--health-max-log-size", "100"];
    let _much = Detached::start(&lab, &flags, &["sleep", "2000"]);
    wait_until("it is well", || status(&lab, "much") == "healthy");
    let looked = || lab.inspect("much")["State"]["Health"]["Log"].as_array().map_or(0, Vec::len);
    wait_until("more checks are made", || looked() >= 3);
    let log = lab.inspect("much")["State"]["Health"]["Log"].clone();
    assert_eq!(log[0]["Output"], "x".repeat(100));
}

#[test]
fn a_container_is_asked_first_whether_it_has_started() {
    let lab = Lab::new();
    let flags = [
        "--name",
        "slow",
        "--tmpfs",
        "/tmp",
        "--health-cmd",
        "echo later; test -e /tmp/well",
        "--health-interval",
        "50ms",
        "--health-retries",
        "1",
        "--health-startup-cmd",
        "echo first; test -e /tmp/started",
        "--health-startup-interval",
        "50ms",
        "--health-startup-success",
        "2",
        "--health-max-log-count",
        "0",
    ];
    let _slow = Detached::start(&lab, &flags, &["sleep", "1000"]);
    let outputs = || {
        let log = lab.inspect("slow")["State"]["Health"]["Log"].clone();
        let outputs = log.as_array().into_iter().flatten().filter_map(|result| result["Output"].as_str());
        outputs.map(|output| output.trim().to_owned()).collect::<Vec<_>>()
    };
    wait_until("some checks have failed", || outputs().len() >= 3);
    assert_eq!(status(&lab, "slow"), "starting", "failures of the first check are no ill health");
    assert!(outputs().iter().all(|output| output == "first"));
    lab.coracle(["exec", "slow", "touch", "/tmp/started", "/tmp/well"]).ok();
    wait_until("it is well", || status(&lab, "slow") == "healthy");
    let all = outputs();
    let change = all.iter().position(|output| output == "later").unwrap();
    assert!(all[change..].iter().all(|output| output == "later"), "{all:?}");
    assert!(all.len() > 5, "all are kept: {all:?}");
    lab.coracle(["exec", "slow", "rm", "/tmp/started", "/tmp/well"]).ok();
    wait_until("it is ill", || status(&lab, "slow") == "unhealthy");
}

#[test]
fn a_container_that_does_not_start_in_time_is_started_again() {
    let lab = Lab::new();
    let kept = lab.path("results");
    std::fs::create_dir(&kept).unwrap();
    let kept = kept.display().to_string();
    let flags = [
        "--name",
        "never",
        "--health-cmd",
        "true",
        "--health-startup-cmd",
        "echo no; false",
        "--health-startup-interval",
        "50ms",
        "--health-startup-retries",
        "2",
        "--stop-timeout",
        "0",
        "--health-log-destination",
        &kept,
    ];
    let _never = Detached::start(&lab, &flags, &["sleep", "1000"]);
    wait_until("it was started again", || lab.inspect("never")["RestartCount"].as_u64().unwrap() >= 1);
    let id = lab.inspect("never")["Id"].as_str().unwrap().to_owned();
    let lines = std::fs::read_to_string(format!("{kept}/{id}-healthcheck.log")).unwrap();
    assert!(lines.lines().count() >= 2 && lines.contains("no\\n"), "{lines}");
    let refused = ["run", "--health-cmd", "true", "--health-log-destination", "/nowhere", "--rootfs", "/", "true"];
    lab.coracle(refused).refused(125, "E_CONFIG").says("events_logger");
}
