//! `events`: what happens is told, and telling it never makes anything fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Detached, Lab, busybox_arguments, image};

/// The kept events as JSON objects.
fn kept(lab: &Lab, flags: &[&str]) -> Vec<Value> {
    let text = lab.coracle([&["events", "--stream=false", "--format", "json"], flags].concat()).ok().text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words(events: &[Value]) -> String {
    events.iter().map(|event| event["Status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn journal(lab: &Lab) -> std::path::PathBuf {
    lab.root().join("runtime/coracle/events.jsonl")
}

#[test]
fn the_life_of_a_container() {
    let lab = Lab::new();
    let name = image("busybox");
    lab.coracle(["run", "--rm", "--name", "one", "--label", "a=b", &name, "sh", "-c", "exit 3"]).exited(3);
    let events = kept(&lab, &[]);
    assert_eq!(words(&events), "pull create init start attach died remove");
    let created = &events[1];
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ID", "Image", "Name", "Status", "Time", "Type", "Attributes"]);
    assert_eq!(
        (&created["Type"], &created["Name"], &created["Image"]),
        (&"container".into(), &"one".into(), &Value::from(name))
    );
    assert_eq!(created["ID"].as_str().unwrap().len(), 64);
    assert_eq!(created["Attributes"], serde_json::json!({"a": "b"}));
    assert_eq!(events[5]["Attributes"]["containerExitCode"], "3");
    let detached = Detached::start(&lab, &["--name", "two"], &["sleep", "1000"]);
    lab.coracle(["rename", "two", "three"]).ok();
    lab.coracle(["rm", "-f", "three"]).ok();
    drop(detached);
    assert_eq!(words(&kept(&lab, &["--filter", "container=two"])), "create init start");
    assert_eq!(words(&kept(&lab, &["--filter", "container=three"])), "rename died remove");
    lab.coracle(["rmi", &image("busybox")]).ok();
    assert_eq!(words(&kept(&lab, &["--filter", "type=image"])), "pull untag remove");
}

#[test]
fn filters_and_times() {
    let lab = Lab::new();
    lab.busybox(&["--name", "one"], &["true"]).ok();
    assert_eq!(words(&kept(&lab, &["--filter", "event=die"])), "died", "docker's word");
    assert_eq!(words(&kept(&lab, &["--filter", "event=destroy", "--filter", "event=start"])), "start remove");
    assert_eq!(words(&kept(&lab, &["--filter", "label=a"])), "");
    assert_eq!(kept(&lab, &["--since", "1h"]).len(), 6);
    assert_eq!(kept(&lab, &["--since", "2100-01-01"]).len(), 0);
    assert_eq!(kept(&lab, &["--until", "2020-01-01T00:00:00Z"]).len(), 0);
    // With an end in the past nothing is waited for.
    assert_eq!(lab.coracle(["events", "--until", "2020-01-01T00:00:00Z"]).ok().text(), "");
    lab.coracle(["events", "--since", "whenever"]).exited(125).says("24h");
    let id = kept(&lab, &[])[0]["ID"].as_str().unwrap().to_owned();
    let line = lab.coracle(["events", "--no-stream", "--filter", "event=create"]).ok().text();
    assert!(line.contains(&format!(" container create {id} (image=")) && line.ends_with("name=one)"), "{line}");
    let short = lab.coracle(["events", "--no-stream", "--no-trunc=false", "--filter", "event=create"]).ok().text();
    assert!(short.contains(&format!(" create {} ", &id[..12])), "{short}");
    let formatted = lab.coracle(["events", "--no-stream", "--format", "{{.Type}} {{.Status}}"]).ok().text();
    assert_eq!(formatted.lines().next(), Some("container create"));
}

#[test]
fn a_follower_sees_what_happens_across_a_rotation() {
    let lab = Lab::new();
    lab.busybox(&["--name", "before"], &["true"]).ok();
    let mut follower = lab.spawn(["events", "--format", "{{.Name}} {{.Status}}", "--until", "1h", "--since", "1h"]);
    follower.expect("before remove");
    // The journal has become long: the next event begins a new one.
    let file = fs::OpenOptions::new().append(true).open(journal(&lab)).unwrap();
    file.set_len(11 << 20).unwrap();
    lab.busybox(&["--name", "after"], &["true"]).ok();
    follower.expect("after create");
    follower.expect("after remove");
    assert!(fs::metadata(journal(&lab)).unwrap().len() < 1 << 20);
    assert!(journal(&lab).with_extension("jsonl.1").exists());
    assert!(words(&kept(&lab, &[])).starts_with("create init start attach died remove create"));
}

/// Each check is one event; what it runs in the container is none.
#[test]
fn health_checks() {
    let lab = Lab::new();
    let flags =
        ["--name", "web", "--health-cmd", "test ! -e /tmp/ill", "--health-interval", "50ms", "--health-retries", "1"];
    let web = Detached::start(&lab, &[&flags[..], &["--tmpfs", "/tmp"]].concat(), &["sleep", "1000"]);
    let told = || kept(&lab, &["--filter", "event=health_status"]);
    let tells = |status: &str| told().last().is_some_and(|event| event["HealthStatus"] == status);
    crate::support::wait_until("it is well", || tells("healthy"));
    lab.coracle(["exec", "web", "touch", "/tmp/ill"]).ok();
    crate::support::wait_until("it is ill", || tells("unhealthy"));
    let many = told().len();
    crate::support::wait_until("more checks are made", || told().len() > many + 2);
    assert_eq!(words(&kept(&lab, &["--filter", "event=exec", "--filter", "event=exec_died"])), "exec exec_died");
    drop(web);
    lab.coracle(["rm", "-f", "web"]);
    // None by themselves: those that a user asks for are told as well.
    let flags = ["--name", "asked", "--health-cmd", "true", "--health-interval", "disable"];
    let _asked = Detached::start(&lab, &flags, &["sleep", "1000"]);
    lab.coracle(["healthcheck", "run", "asked"]).ok();
    let events = kept(&lab, &["--filter", "container=asked"]);
    assert_eq!(words(&events), "create init start health_status");
    assert_eq!(events[3]["Attributes"]["health_status"], "starting");
    let format = "{{.Status}}:{{.HealthStatus}}:{{.ContainerExitCode}}";
    let lines =
        lab.coracle(["events", "--stream=false", "--filter", "container=asked", "--format", format]).ok().text();
    assert_eq!(lines, "create::0\ninit::0\nstart::0\nhealth_status:starting:0");
}

#[test]
fn images_and_archives_of_containers() {
    let lab = Lab::new();
    lab.coracle(["run", "--name", "one", &image("busybox"), "sh", "-c", "exit 3"]).exited(3);
    let id = lab.coracle(["commit", "-q", "one", "made"]).ok().text();
    lab.coracle(["export", "-o", "one.tar", "one"]).ok();
    lab.coracle(["import", "one.tar", "taken"]).ok();
    assert_eq!(words(&kept(&lab, &["--filter", "container=one"])), "create init start attach died commit export");
    assert_eq!(kept(&lab, &["--filter", "event=commit"])[0]["Attributes"], serde_json::json!({"imageID": id}));
    assert_eq!(words(&kept(&lab, &["--filter", "type=image"])), "pull import");
    assert_eq!(kept(&lab, &["--filter", "event=import"])[0]["Name"], "localhost/taken:latest");
    assert_eq!(kept(&lab, &["--filter", "event=exited"])[0]["ContainerExitCode"], 3, "the manual's word");
    assert_eq!(kept(&lab, &["--filter", "pod=one", "--filter", "volume=one"]).len(), 0);
}

/// All names that podman-events(1) has are taken, whether we have such events or not.
#[test]
fn the_names_of_all_events_can_be_asked_for() {
    let lab = Lab::new();
    for name in "attach checkpoint cleanup commit connect create disconnect exec exec_died exited export import init kill \
                 mount pause prune remove rename restart restore start stop sync unmount unpause loadFromArchive pull push \
                 save tag untag refresh renumber health_status"
        .split_whitespace()
    {
        assert_eq!(kept(&lab, &["--filter", &format!("event={name}")]).len(), 0);
    }
    lab.coracle(["events", "--stream=false", "--filter", "nonsense=1"]).exited(125).says("nonsense");
}

#[test]
fn only_new_events_are_followed() {
    let lab = Lab::new();
    lab.busybox(&["--name", "before"], &["true"]).ok();
    let mut follower = lab.spawn(["events", "--format", "{{.Name}} {{.Status}}"]);
    crate::support::wait_until("it watches", || {
        let maps = fs::read_dir(format!("/proc/{}/fd", follower.pid())).into_iter().flatten().flatten();
        maps.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link == journal(&lab))
    });
    lab.busybox(&["--name", "after"], &["true"]).ok();
    follower.expect("after remove");
    assert!(!follower.seen().contains("before"), "{}", follower.seen());
}

/// The runtime directory cannot be written to: nothing is noted, and everything works.
#[test]
fn a_journal_that_cannot_be_written_fails_nothing() {
    let lab = Lab::new();
    lab.busybox(&[], &["true"]).ok();
    let directory = lab.root().join("runtime/coracle");
    fs::remove_file(journal(&lab)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).unwrap();
    lab.busybox(&["--name", "quiet"], &["sh", "-c", "exit 4"]).exited(4);
    lab.coracle(busybox_arguments(&["--name", "quiet"], &["true"])).ok();
    assert_eq!(kept(&lab, &[]).len(), 0);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    // Nor does one that is no file.
    fs::create_dir(journal(&lab)).unwrap();
    lab.busybox(&[], &["true"]).ok();
}

/// Lines of many writers do not mix.
#[test]
fn many_writers_at_once() {
    let lab = Lab::new();
    let runs: Vec<_> = (0..20).map(|_| lab.spawn(busybox_arguments(&[], &["true"]))).collect();
    runs.into_iter().for_each(|run| {
        run.wait().ok();
    });
    let text = fs::read_to_string(journal(&lab)).unwrap();
    assert_eq!(text.lines().count(), 20 * 6);
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}
