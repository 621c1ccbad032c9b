//! `--hooks-dir`.

use std::fs;

use serde_json::Value;

use crate::support::{Lab, image};

fn hook(lab: &Lab, name: &str, stage: &str, script: &str, when: &str) {
    let text = serde_json::json!({
        "version": "1.0.0",
        "hook": { "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["FROM=hook"], "timeout": 20 },
        "when": serde_json::from_str::<Value>(when).unwrap(),
        "stages": [stage],
    });
    lab.write(&format!("hooks/{name}.json"), text.to_string());
}

const ALWAYS: &str = r#"{"always":true}"#;

#[test]
fn hooks_are_executed_at_their_moments() {
    let lab = Lab::new();
    let order = lab.arg("order");
    let before = format!(
        "echo before $FROM >>{order}; cat >{}; echo new >/proc/$(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' {})/root/made",
        lab.arg("state"),
        lab.arg("state")
    );
    hook(&lab, "a", "createRuntime", &before, ALWAYS);
    hook(&lab, "b", "prestart", &format!("echo later >>{order}"), ALWAYS);
    hook(&lab, "c", "poststop", &format!("echo stopped >>{order}; cat >{}", lab.arg("end")), ALWAYS);
    hook(&lab, "d", "prestart", &format!("echo never >>{order}"), r#"{"commands":["^/no/such$"]}"#);
    let hooks = lab.arg("hooks");
    let output = lab.coracle([
        "run",
        "--name",
        "c",
        "--hooks-dir",
        &hooks,
        "-l",
        "a=b",
        "-v",
        &format!("{}:/order", lab.arg("hooks")),
        &image("busybox"),
        "cat",
        "/made",
    ]);
    assert_eq!(output.ok().text(), "new", "a hook can reach the container's root");
    assert_eq!(fs::read_to_string(lab.path("order")).unwrap(), "before hook\nlater\nstopped\n");
    let state: Value = serde_json::from_str(&fs::read_to_string(lab.path("state")).unwrap()).unwrap();
    assert_eq!((&state["status"], &state["annotations"]["a"]), (&"created".into(), &"b".into()));
    assert!(state["pid"].as_i64().unwrap() > 1);
    let config = fs::read_to_string(format!("{}/config.json", state["bundle"].as_str().unwrap())).unwrap();
    assert!(config.contains("/root\"") && config.contains("\"cat\""), "{config}");
    let end: Value = serde_json::from_str(&fs::read_to_string(lab.path("end")).unwrap()).unwrap();
    assert_eq!((&end["status"], end.get("pid")), (&"stopped".into(), None));
    // Each life, in the background too, and after the start.
    hook(&lab, "e", "poststart", &format!("echo started >>{order}"), ALWAYS);
    lab.coracle(["start", "-a", "c"]).ok();
    assert_eq!(fs::read_to_string(lab.path("order")).unwrap().lines().filter(|line| *line == "started").count(), 1);
    let seen = lab.coracle(["run", "--rm", "-t", "--hooks-dir", &hooks, &image("busybox"), "cat", "/made"]).ok().text();
    assert_eq!(seen.trim(), "new", "with a terminal");
    lab.coracle(["rm", "c"]).ok();
    lab.assert_clean();
}

#[test]
fn one_that_fails_before_the_start_prevents_it() {
    let lab = Lab::new();
    hook(&lab, "a", "prestart", "echo no room >&2; exit 3", ALWAYS);
    let hooks = lab.arg("hooks");
    let started = lab.arg("started");
    fs::create_dir(&started).unwrap();
    let mount = format!("{started}:/m");
    for flags in [&["run", "--rm"][..], &["run", "-d"], &["run"]] {
        let run = flags.iter().copied().chain(["--hooks-dir", &hooks, "-v", &mount]);
        let busybox = image("busybox");
        let output = lab.coracle(run.chain([busybox.as_str(), "touch", "/m/x"]));
        output.refused(125, "E_HOOK").says("no room").says("/bin/sh");
    }
    assert_eq!(fs::read_dir(&started).unwrap().count(), 0, "nothing was started");
    assert_eq!(lab.coracle(["ps", "-aq"]).ok().text(), "");
    // Those after it change nothing.
    fs::remove_dir_all(lab.path("hooks")).unwrap();
    hook(&lab, "a", "poststart", "exit 3", ALWAYS);
    hook(&lab, "b", "poststop", "exit 3", ALWAYS);
    lab.sh(&["--hooks-dir", &hooks], "true");
    lab.write("hooks/bad.json", "{");
    lab.busybox(&["--hooks-dir", &hooks], &["true"]).refused(125, "E_CONFIG").says("bad.json").says("version");
    lab.busybox(&["--hooks-dir", "/no/such"], &["true"]).refused(125, "E_NOTFOUND").says("/no/such");
}
