//! The supervisor of virtual ids: who joins a container, what a killed one leaves, and what hostile programs can do to it.

use crate::exec::{exec, sh};
use crate::support::Lab;

/// A container of an image, in the background.
fn sleeper(lab: &Lab, image: &str, flags: &[&str]) -> String {
    let image = lab.pull(image);
    let mut arguments = vec!["run", "-d", "--ids=emulate"];
    arguments.extend(flags);
    arguments.extend([image.as_str(), "sleep", "1000"]);
    lab.coracle(&arguments).ok().text()
}

#[test]
fn a_process_that_joins_has_the_same_ids() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &[]);
    sh(&lab, &[], &container, "touch /tmp/x; chown 33:44 /tmp/x");
    assert_eq!(sh(&lab, &[], &container, "stat -c %u:%g /tmp/x; id -u"), "33:44\n0");
    let script = "id -u; id -g; touch /tmp/y; chown 0 /tmp/y 2>/dev/null || stat -c %u /tmp/y /tmp/x";
    assert_eq!(sh(&lab, &["-u", "app"], &container, script), "1000\n1000\n1000\n33");
    assert_eq!(sh(&lab, &["-u", "33:44"], &container, "id -u; id -g"), "33\n44");
    exec(&lab, &["-u", "nosuch"], &container, &["true"]).refused(125, "E_USER_INVALID");
    lab.coracle(["rm", "-f", &container]).ok();
}

#[test]
fn owners_outlive_the_container_process() {
    let lab = Lab::new();
    let container = sleeper(&lab, "busybox", &["--stop-signal", "KILL"]);
    let make = "cd /tmp; touch f; chown 33:44 f; ln -s x l; chown -h 5:6 l; mkfifo p; chown 7:8 p; mv l m";
    sh(&lab, &[], &container, make);
    let look = "cd /tmp; stat -c %u:%g f m p";
    assert_eq!(sh(&lab, &[], &container, look), "33:44\n5:6\n7:8");
    lab.coracle(["stop", &container]).ok();
    lab.coracle(["start", &container]).ok();
    assert_eq!(sh(&lab, &[], &container, look), "33:44\n5:6\n7:8");
    lab.coracle(["rm", "-f", &container]).ok();
}

#[test]
fn ids_are_emulated_once() {
    let lab = Lab::new();
    // A limit that stands for ids is how a nested one is known.
    let image = lab.pull("busybox");
    let nested = format!(
        "ulimit -S -x 486539264; exec {} run --rm --ids=emulate {image} true",
        crate::support::coracle_path().display()
    );
    let output = lab.program("bash").args(["-c", &nested]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(125) && errors.contains("E_IDS"), "{errors}");
    let native = nested.replace("--ids=emulate", "--ids=native");
    assert!(lab.program("bash").args(["-c", &native]).status().unwrap().success());
}
