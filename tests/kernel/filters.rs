//! `--filter`: which containers and images are meant.

use crate::support::{Detached, Lab, Output, busybox_arguments, image};

/// `run FLAGS` of busybox that is kept.
fn keep(lab: &Lab, flags: &[&str], command: &[&str]) -> Output {
    let mut arguments = busybox_arguments(flags, command);
    arguments.remove(1); // --rm
    lab.coracle(arguments)
}

/// Names of the containers that these filters mean, sorted.
fn names(lab: &Lab, filters: &[&str]) -> String {
    let mut arguments = vec!["ps", "-a", "--sort", "names", "--format", "{{.Names}}"];
    filters.iter().for_each(|filter| arguments.extend(["--filter", filter]));
    lab.coracle(arguments).ok().text().replace('\n', " ")
}

#[test]
fn each_key_means_what_podman_says() {
    let lab = Lab::new();
    keep(&lab, &["--name", "one", "--label", "color=red", "--label", "size"], &["true"]).ok();
    keep(&lab, &["--name", "two", "--label", "color=blue"], &["sh", "-c", "exit 3"]).exited(3);
    let three = Detached::start(&lab, &["--name", "three", "-v", "/usr:/made"], &["sleep", "1000"]);
    let id = lab.inspect("two")["Id"].as_str().unwrap().to_owned();
    for (filters, expected) in [
        (&[][..], "one three two"),
        (&["name=one"], "one"),
        (&["name=^t"], "three two"),
        (&["name=one", "name=two"], "one two"),
        (&[&format!("id={}", &id[..10])], "two"),
        (&["id=zz"], ""),
        (&["label=color"], "one two"),
        (&["label=color=red"], "one"),
        (&["label=color=red", "label=size"], "one"),
        (&["label=color=blue", "label=size"], ""),
        (&["label!=color"], "three"),
        (&["label!=color=red"], "three two"),
        (&["exited=3"], "two"),
        (&["exited=0", "exited=3"], "one two"),
        (&["status=exited"], "one two"),
        (&["status=stopped", "name=one"], "one"),
        (&["status=running"], "three"),
        (&["status=paused"], ""),
        (&["before=two"], "one"),
        (&["since=one"], "three two"),
        (&["until=24h"], ""),
        (&["until=2000-01-01"], ""),
        (&["until=9999999999"], "one three two"),
        (&["health=none"], "one three two"),
        (&["health=healthy"], ""),
        (&["restart-policy=no"], "one three two"),
        (&["restart-policy=always"], ""),
        (&["command=^sleep$"], "three"),
        (&["network=none"], "one three two"),
        (&["network=host"], ""),
        (&["volume=/made"], "three"),
        (&["volume=/usr:/made"], "three"),
        (&["volume=/usr:/other"], ""),
        (&["pod=any"], ""),
    ] {
        assert_eq!(names(&lab, filters), expected, "{filters:?}");
    }
    // Without --all only what runs is shown, unless a status is asked for.
    assert_eq!(lab.coracle(["ps", "--format", "{{.Names}}", "--filter", "name=."]).ok().text(), "three");
    assert_eq!(lab.coracle(["ps", "--format", "{{.Names}}", "--filter", "status=exited"]).ok().text(), "one\ntwo");
    drop(three);
}

#[test]
fn an_image_is_an_ancestor_by_its_id_and_its_name() {
    let lab = Lab::new();
    let name = image("busybox");
    lab.coracle(["run", "--name", "made", &name, "true"]).ok();
    keep(&lab, &["--name", "other"], &["true"]).ok();
    let id = lab.inspect("made")["Image"].as_str().unwrap().to_owned();
    for ancestor in [&name, name.trim_end_matches(":latest"), "busybox", &id, &id[..12], &format!("sha256:{id}")] {
        assert_eq!(names(&lab, &[&format!("ancestor={ancestor}")]), "made", "{ancestor}");
    }
    assert_eq!(names(&lab, &["ancestor=debian"]), "");
}

#[test]
fn what_is_no_filter_is_refused() {
    let lab = Lab::new();
    lab.coracle(["ps", "--filter", "color=red"]).refused(125, "E_CONFIG").says("ancestor, before, command");
    lab.coracle(["ps", "--filter", "name"]).refused(125, "E_CONFIG").says("KEY=VALUE");
    lab.coracle(["ps", "--filter", "name=("]).refused(125, "E_CONFIG").says("regular expression");
    lab.coracle(["ps", "--filter", "status=lazy"]).refused(125, "E_CONFIG").says("running");
    lab.coracle(["ps", "--filter", "exited=none"]).refused(125, "E_CONFIG");
    lab.coracle(["ps", "--filter", "until=soon"]).refused(125, "E_CONFIG").says("24h");
    lab.coracle(["ps", "--filter", "before=nothing"]).refused(125, "E_CONFIG").says("nothing");
    lab.coracle(["images", "--filter", "name=x"]).refused(125, "E_CONFIG").says("dangling");
    lab.coracle(["events", "--stream=false", "--filter", "name=x"]).refused(125, "E_CONFIG").says("event");
    lab.coracle(["rm", "--filter", "color=red"]).refused(125, "E_CONFIG");
}

#[test]
fn images_are_filtered() {
    let lab = Lab::new();
    let id = lab.pull("busybox");
    let count = |filter: &str| lab.coracle(["images", "-q", "--filter", filter]).ok().text().lines().count();
    let (full, short) = (format!("reference={}", image("busybox")), format!("id={}", &id[..8]));
    for (filter, expected) in [
        (full.as_str(), 1),
        ("reference=busybox", 1),
        ("reference=busy*", 1),
        ("reference=*", 1),
        ("reference=debian", 0),
        ("dangling=false", 1),
        ("dangling=true", 0),
        (&short, 1),
        ("id=zz", 0),
        ("label=none.such", 0),
        ("until=9999999999", 1),
        ("before=busybox", 0),
        ("since=busybox", 0),
    ] {
        assert_eq!(count(filter), expected, "{filter}");
    }
}

#[test]
fn rm_and_prune_remove_what_the_filter_means() {
    let lab = Lab::new();
    for name in ["a1", "a2", "b1", "b2"] {
        keep(&lab, &["--name", name, "--label", &format!("is={name}")], &["true"]).ok();
    }
    let running = Detached::start(&lab, &["--name", "b3"], &["sleep", "1000"]);
    assert_eq!(lab.coracle(["rm", "--filter", "name=^a"]).ok().text().lines().count(), 2);
    assert_eq!(names(&lab, &[]), "b1 b2 b3");
    let pruned = lab.coracle(["container", "prune", "-f", "--filter", "label=is=b1"]).ok().text();
    let lines: Vec<&str> = pruned.lines().collect();
    assert!(lines.len() == 2 && lines[0].len() == 64 && lines[1].starts_with("Total reclaimed space: "), "{pruned}");
    assert_eq!(names(&lab, &[]), "b2 b3");
    lab.coracle(["container", "prune", "--force"]).ok();
    assert_eq!(names(&lab, &[]), "b3", "what runs is left alone");
    lab.coracle(["rm", "--filter", "name=b3"]).exited(2);
    lab.coracle(["rm", "-f", "--filter", "name=b3"]).ok();
    drop(running);
    lab.assert_clean();
}
