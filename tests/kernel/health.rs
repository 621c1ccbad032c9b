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
    assert!(lab.inspect("plain")["State"]["Health"].is_null());
    lab.coracle(["healthcheck", "run", "plain"]).exited(125).says("no health check");
    lab.coracle(["healthcheck", "run", "nosuch"]).exited(125).says("nosuch");
}
