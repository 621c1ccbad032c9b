//! `rename`: a name is changed whole or not at all, whether the container runs or not.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Detached, Lab, busybox_arguments, wait_until};

fn keep(lab: &Lab, name: &str) -> String {
    let mut arguments = busybox_arguments(&["--name", name], &["true"]);
    arguments.remove(1); // --rm
    lab.coracle(arguments).ok();
    lab.inspect(name)["Id"].as_str().unwrap().to_owned()
}

fn links(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(lab.store().join("names")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn everybody_sees_the_new_name() {
    let lab = Lab::new();
    let id = keep(&lab, "old");
    assert_eq!(lab.coracle(["rename", "old", "new"]).ok().text(), "");
    assert_eq!(lab.containers()[0]["Names"][0], "new");
    assert_eq!((lab.inspect("new")["Name"].as_str(), lab.inspect("new")["Id"].as_str()), (Some("new"), Some(&*id)));
    lab.coracle(["inspect", "old"]).exited(125);
    assert_eq!(links(&lab), ["new"]);
    // The old name is free, the new one is not.
    keep(&lab, "old");
    lab.busybox(&["--name", "new"], &["true"]).exited(125).says("new");
    lab.coracle(["container", "rename", &id[..12], "newer"]).ok();
    lab.coracle(["rm", "newer"]).ok();
    assert_eq!(links(&lab), ["old"], "the name goes with the container");
    lab.coracle(["rename", "old", "other"]).ok();
    lab.coracle(["rename", "other", "old"]).ok();
    assert_eq!(links(&lab), ["old"], "back to the first name");
    lab.coracle(["rm", "old"]).ok();
    lab.assert_clean();
}

#[test]
fn a_container_is_renamed_while_it_runs() {
    let lab = Lab::new();
    let running = Detached::start(&lab, &["--name", "before", "--rm"], &["sleep", "1000"]);
    lab.coracle(["rename", "before", "after"]).ok();
    assert_eq!(lab.coracle(["ps", "--format", "{{.Names}}"]).ok().text(), "after");
    lab.coracle(["rm", "-f", "after"]).ok();
    drop(running);
    // Its own monitor removes it, too, and may still be about it.
    wait_until("nothing is left", || lab.coracle(["ps"]).code == 0 && lab.leftovers().is_empty());
    // The monitor knows the first name only, and removes the other one, too.
    let mut one = lab.spawn(busybox_arguments(&["--name", "first", "-i"], &["sh", "-c", "echo up; read line"]));
    one.expect("up");
    lab.coracle(["rename", "first", "second"]).ok();
    one.write(b"\n");
    assert_eq!(one.wait().code, 0);
    assert_eq!(links(&lab), Vec::<String>::new());
}

#[test]
fn a_refused_renaming_changes_nothing() {
    let lab = Lab::new();
    keep(&lab, "one");
    keep(&lab, "two");
    lab.coracle(["rename", "one", "two"]).refused(125, "E_EXISTS").says("two");
    lab.coracle(["rename", "one", "one"]).refused(125, "E_EXISTS");
    lab.coracle(["rename", "one", "-x/y"]).exited(125);
    lab.coracle(["rename", "one", "a/b"]).refused(125, "E_NAME_INVALID");
    lab.coracle(["rename", "missing", "three"]).refused(125, "E_NOTFOUND");
    assert_eq!(links(&lab), ["one", "two"]);
    let names = lab.coracle(["ps", "-a", "--sort", "names", "--format", "{{.Names}}"]).ok().text();
    assert_eq!(names, "one\ntwo");
}

/// The two states in which a killed `rename` can leave a container.
#[test]
fn an_interrupted_renaming_is_finished_or_undone() {
    let lab = Lab::new();
    let id = keep(&lab, "old");
    let names = lab.store().join("names");
    // The link is made, and nothing else.
    symlink(&id, names.join("new")).unwrap();
    for name in ["old", "new"] {
        assert_eq!(lab.inspect(name)["Name"], "old", "found by both names");
    }
    lab.coracle(["ps"]).ok();
    assert_eq!(links(&lab), ["old"]);
    // The name is written, and the old link is still there.
    symlink(&id, names.join("new")).unwrap();
    fs::write(lab.store().join("containers").join(&id).join("name"), "new\n").unwrap();
    for name in ["old", "new"] {
        assert_eq!(lab.inspect(name)["Name"], "new", "found by both names");
    }
    lab.coracle(["ps"]).ok();
    assert_eq!(links(&lab), ["new"]);
    // Or somebody tries again.
    symlink(&id, names.join("third")).unwrap();
    lab.coracle(["rename", "new", "third"]).ok();
    assert_eq!(links(&lab), ["third"]);
}

#[test]
fn of_two_at_once_one_gets_the_name() {
    let lab = Lab::new();
    let (one, two) = (keep(&lab, "one"), keep(&lab, "two"));
    for round in 0..10 {
        let name = format!("wanted{round}");
        let (first, second) = (lab.spawn(["rename", &one, &name]), lab.spawn(["rename", &two, &name]));
        let mut codes = [first.wait().code, second.wait().code];
        codes.sort_unstable();
        assert_eq!(codes, [0, 125]);
        assert_eq!(links(&lab).len(), 2);
    }
}

/// Each of two containers has the other's first name: a listing does not take one for the other.
#[test]
fn swapped_names_are_told_apart() {
    let lab = Lab::new();
    let first = Detached::start(&lab, &["--name", "one"], &["sleep", "1000"]);
    let second = Detached::start(&lab, &["--name", "two"], &["sleep", "1000"]);
    let shown = || lab.coracle(["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]).ok().text();
    assert_eq!(shown(), format!("{} one\n{} two", first.id, second.id));
    for (from, to) in [("one", "free"), ("two", "one"), ("free", "two")] {
        lab.coracle(["rename", from, to]).ok();
    }
    assert_eq!(shown(), format!("{} two\n{} one", first.id, second.id));
    assert_eq!(lab.inspect("one")["Id"], second.id.as_str());
}
