//! `ps`, and the small verbs about containers: `rm`'s flags, `container exists`, `port`.

use std::fs;

use crate::support::{Detached, Lab, Output, busybox_arguments, image, is_running, wait_until};

fn keep(lab: &Lab, name: &str, command: &[&str]) -> Output {
    let mut arguments = busybox_arguments(&["--name", name], command);
    arguments.remove(1); // --rm
    lab.coracle(arguments)
}

#[test]
fn a_size_is_what_was_written() {
    let lab = Lab::new();
    let name = image("busybox");
    lab.coracle(["run", "--name", "small", &name, "true"]).ok();
    lab.coracle(["run", "--name", "large", &name, "sh", "-c", "head -c 3000000 /dev/urandom >/file"]).ok();
    let rows = lab.coracle(["ps", "-a", "-s", "--sort", "size", "--format", "json"]).ok().json();
    let sizes = |row: usize| ["rwSize", "rootFsSize"].map(|key| rows[row]["Size"][key].as_u64().unwrap());
    assert_eq!(rows[0]["Names"][0], "small");
    assert_eq!(sizes(0)[0], 0);
    assert!((3_000_000..3_200_000).contains(&sizes(1)[0]), "{rows}");
    assert!(sizes(0)[1] > 500_000 && sizes(0)[1] == sizes(1)[1], "{rows}");
    let table = lab.coracle(["ps", "-as"]).ok().text();
    assert!(table.lines().next().unwrap().ends_with("SIZE") && table.contains("0B (virtual "), "{table}");
    assert_eq!(lab.containers()[0]["Size"], serde_json::Value::Null, "nobody asked");
}

#[test]
fn namespaces_are_those_of_the_process() {
    let lab = Lab::new();
    let running = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    let uts = fs::read_link(format!("/proc/{}/ns/uts", running.pid())).unwrap();
    let row = lab.coracle(["ps", "--ns", "--noheading"]).ok().text();
    assert_eq!(format!("uts:[{}]", row.split_whitespace().last().unwrap()), uts.to_str().unwrap());
}

#[test]
fn watched_containers_are_shown_again() {
    let lab = Lab::new();
    let mut watch = lab.spawn(["ps", "-a", "--watch", "1", "--format", "{{.Names}}"]);
    keep(&lab, "appears", &["true"]).ok();
    watch.expect("appears");
    lab.coracle(["rename", "appears", "renamed"]).ok();
    watch.expect("renamed");
}

#[test]
fn accepted_for_podmans_sake() {
    let lab = Lab::new();
    keep(&lab, "one", &["true"]).ok();
    assert!(lab.coracle(["ps", "-a", "--sync", "-p"]).ok().text().contains("PODNAME"));
    assert!(lab.coracle(["container", "list", "-a"]).ok().text().contains("one"));
    lab.coracle(["ps", "--sort", "beauty"]).refused(125, "E_CONFIG").says("runningfor");
    lab.coracle(["rm", "-v", "--depend", "one"]).ok();
}

#[test]
fn rm_finds_its_containers_in_many_ways() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        keep(&lab, name, &["true"]).ok();
        lab.write(&format!("{name}.id"), lab.inspect(name)["Id"].as_str().unwrap());
    }
    lab.coracle(["rm", "--latest"]).ok();
    assert_eq!(lab.coracle(["ps", "-a", "--format", "{{.Names}}"]).ok().text(), "a\nb");
    lab.coracle(["rm", "--cidfile", "a.id", "--cidfile", "b.id"]).ok();
    lab.coracle(["rm", "--cidfile", "none.id"]).exited(125);
    lab.coracle(["rm", "--ignore", "--cidfile", "none.id"]).ok();
    lab.coracle(["rm", "--cidfile", "c.id"]).exited(1);
    lab.coracle(["rm", "--ignore", "c"]).ok();
    lab.coracle(["rm", "--latest"]).exited(125).says("no containers");
    lab.assert_clean();
}

/// With a time the container is asked first: it can say goodbye.
#[test]
fn rm_with_a_time_asks_before_it_kills() {
    let lab = Lab::new();
    let directory = lab.path("shared");
    fs::create_dir(&directory).unwrap();
    let volume = format!("{}:/shared", directory.display());
    let script = "trap 'echo bye >/shared/bye; exit' TERM; touch /shared/ready; while :; do sleep 0.1; done";
    let running = Detached::start(&lab, &["--name", "polite", "-v", &volume], &["sh", "-c", script]);
    wait_until("it listens", || directory.join("ready").exists());
    let pid = running.pid();
    lab.coracle(["rm", "-f", "-t", "-1", "polite"]).ok();
    assert!(!is_running(pid));
    assert_eq!(fs::read_to_string(directory.join("bye")).unwrap(), "bye\n");
    lab.coracle(["rm", "-t", "5", "polite"]).refused(125, "E_CONFIG").says("--force");
    let deaf = Detached::start(&lab, &["--name", "deaf"], &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    lab.coracle(["rm", "-f", "-t", "1", "deaf"]).ok();
    drop((running, deaf));
    lab.assert_clean();
}

#[test]
fn exists_tells_by_its_exit_code() {
    let lab = Lab::new();
    keep(&lab, "here", &["true"]).ok();
    assert!(lab.coracle(["container", "exists", "here"]).ok().text().is_empty());
    let missing = lab.coracle(["container", "exists", "missing"]);
    assert!(missing.exited(1).stdout.is_empty() && missing.stderr.is_empty());
}

#[test]
fn no_port_is_published() {
    let lab = Lab::new();
    keep(&lab, "here", &["true"]).ok();
    assert_eq!(lab.coracle(["port", "here"]).ok().text(), "");
    assert_eq!(lab.coracle(["port", "--all"]).ok().text(), "");
    lab.coracle(["port", "here", "80"]).refused(125, "E_NOTFOUND").says("80");
    lab.coracle(["port", "missing"]).refused(125, "E_NOTFOUND");
}

/// Somebody at a terminal is asked, and nothing happens unless they agree.
#[test]
fn prune_asks_at_a_terminal() {
    let lab = Lab::new();
    keep(&lab, "kept", &["true"]).ok();
    for (answer, left) in [("n\n", 1), ("\n", 1), ("y\n", 0)] {
        let mut terminal = crate::support::Terminal::start(&lab, ["container", "prune"]);
        terminal.expect("Go on?");
        terminal.send(answer);
        terminal.wait();
        assert_eq!(lab.containers().len(), left, "{answer:?}");
    }
}

/// A reader that goes away ends what would go on for ever.
#[test]
fn watching_ends_with_its_reader() {
    let lab = Lab::new();
    for arguments in [&["ps", "-w", "3600"][..], &["events"]] {
        let mut child = lab.command(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        wait_until("it ends", || child.try_wait().unwrap().is_some());
    }
}
