//! Exit codes, as podman's: the payload's own, 125 ours, 126 not executable, 127 not found, 128+n killed by signal n.

use crate::support::Lab;

#[test]
fn the_payloads_exit_code_is_ours() {
    let lab = Lab::new();
    for code in [0, 1, 7, 125, 126, 127, 255] {
        lab.busybox(&[], &["sh", "-c", &format!("exit {code}")]).exited(code);
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_named() {
    Lab::new().busybox(&[], &["/no/such/command"]).exited(127).says("/no/such/command");
    Lab::new().busybox(&[], &["nosuchcommand"]).exited(127).says("nosuchcommand");
}

#[test]
fn a_file_that_cannot_be_executed_is_126() {
    let lab = Lab::new();
    lab.busybox(&[], &["/bin/not-executable"]).exited(126).says("not-executable");
    lab.busybox(&[], &["/etc"]).exited(126);
    lab.busybox(&[], &["/etc/passwd"]).exited(126);
}

#[test]
fn a_script_runs_and_one_with_a_missing_interpreter_says_so() {
    let lab = Lab::new();
    assert_eq!(lab.busybox(&[], &["script"]).ok().text(), "script");
    let output = lab.busybox(&[], &["/bin/bad-interpreter"]);
    assert!([126, 127].contains(&output.code), "{output:?}");
}

#[test]
fn the_command_is_looked_up_in_the_containers_path() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["-e", "PATH=/bin"], "echo $PATH"), "/bin");
    lab.busybox(&["-e", "PATH=/nowhere"], &["sh", "-c", "exit 0"]).exited(127);
    lab.busybox(&["-e", "PATH=/nowhere"], &["/bin/sh", "-c", "exit 0"]).ok();
}

#[test]
fn bad_flags_are_125() {
    let lab = Lab::new();
    lab.coracle(["run", "--no-such-flag", "x"]).exited(125);
    lab.coracle(["run"]).exited(125);
    lab.coracle(["nosuchcommand"]).exited(125);
    lab.busybox(&["--hostname", "a b"], &["true"]).exited(125);
    lab.busybox(&["--name", "-x"], &["true"]).exited(125);
    lab.busybox(&["--name", "a/b"], &["true"]).exited(125);
    lab.busybox(&["--cap-add", "NOSUCH"], &["true"]).exited(125);
    lab.busybox(&["--network", "nosuch"], &["true"]).exited(125);
    lab.busybox(&["--security-opt", "nosuch=1"], &["true"]).exited(125);
    lab.busybox(&["-v", "relative"], &["true"]).exited(125);
}

#[test]
fn a_missing_rootfs_is_125_and_named() {
    let lab = Lab::new();
    lab.coracle(["run", "--rm", "--rootfs", "/no/such/tree:O", "true"]).exited(125).says("/no/such/tree");
}

#[test]
fn help_and_version_succeed() {
    let lab = Lab::new();
    for arguments in [&["--help"][..], &["run", "--help"], &["version"], &["--version"]] {
        let output = lab.coracle(arguments);
        assert!(!output.ok().stdout.is_empty(), "{arguments:?}");
    }
}
