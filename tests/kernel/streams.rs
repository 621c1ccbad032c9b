//! Standard input, output and error are byte-exact.

use std::io::Read;

use crate::support::{Lab, busybox_arguments};

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn ten_megabytes_come_through_unchanged() {
    let bytes = random(10 << 20);
    let output = Lab::new().coracle_with_input(busybox_arguments(&["-i"], &["cat"]), &bytes);
    assert!(output.ok().stdout == bytes, "standard output differs, {} bytes", output.stdout.len());
}

#[test]
fn standard_error_is_separate_and_unchanged() {
    let bytes = random(10 << 20);
    let script = "head -c 1000 >&1; cat >&2";
    let output = Lab::new().coracle_with_input(busybox_arguments(&["-i"], &["sh", "-c", script]), &bytes);
    // head reads a block, and writes the beginning of it: only what cat saw is certain to be the end of the input.
    assert_eq!(output.ok().stdout, bytes[..1000]);
    assert!(bytes.ends_with(&output.stderr) && output.stderr.len() > 9 << 20, "{} bytes", output.stderr.len());
}

#[test]
fn without_i_standard_input_is_the_null_device() {
    let output = Lab::new().coracle_with_input(busybox_arguments(&[], &["cat"]), b"not for the container");
    assert_eq!(output.ok().stdout, b"");
    assert_eq!(Lab::new().sh(&[], "stat -L -c %t:%T /proc/self/fd/0"), "1:3");
}

#[test]
fn end_of_input_is_passed_on() {
    let output = Lab::new().coracle_with_input(busybox_arguments(&["-i"], &["wc", "-c"]), b"12345");
    assert_eq!(output.ok().text().trim(), "5");
}

#[test]
fn output_of_a_payload_that_exits_at_once_is_not_lost() {
    let lab = Lab::new();
    for _ in 0..10 {
        assert_eq!(lab.sh(&[], "printf out; printf err >&2"), "out");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_payload_not_the_machine() {
    let lab = Lab::new();
    let arguments = busybox_arguments(&[], &["yes"]);
    let mut shell = lab.program("/bin/sh");
    shell.args(["-c", r#"coracle=$1; shift; "$coracle" "$@" | head -n 1"#, "sh"]).arg(crate::support::coracle_path());
    let output = crate::support::output::run(shell.args(arguments), &[], crate::support::LIMIT);
    assert_eq!(output.ok().text(), "y");
}

#[test]
fn closed_descriptors_of_the_caller_do_no_harm() {
    let lab = Lab::new();
    for redirection in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let mut shell = lab.program("/bin/sh");
        let script = format!(r#"coracle=$1; shift; "$coracle" "$@" {redirection}"#);
        shell.args(["-c", &script, "sh"]).arg(crate::support::coracle_path());
        let arguments = busybox_arguments(&["-i"], &["sh", "-c", "exit 9"]);
        crate::support::output::run(shell.args(arguments), &[], crate::support::LIMIT).exited(9);
    }
}
