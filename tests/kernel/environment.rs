//! The payload's environment is built from nothing.

use std::collections::BTreeMap;

use crate::support::{Lab, Output, busybox_arguments, output};

fn variables(output: &Output) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    output.ok().text().lines().map(|line| pair(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

/// `run … env` with these variables set for coracle itself.
fn env_with(host: &[(&str, &str)], flags: &[&str]) -> BTreeMap<String, String> {
    let lab = Lab::new();
    let mut command = lab.command(busybox_arguments(flags, &["env"]));
    command.envs(host.iter().copied());
    variables(&output::run(&mut command, &[], crate::support::LIMIT))
}

#[test]
fn nothing_of_the_host_is_seen() {
    let seen = env_with(&[("AWS_SECRET_ACCESS_KEY", "secret"), ("LD_PRELOAD", "/x.so"), ("http_proxy_x", "y")], &[]);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["HOME", "HOSTNAME", "PATH", "container"], "{seen:?}");
    assert_eq!(seen["HOME"], "/root");
    assert_eq!(seen["PATH"], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert!(!seen["container"].is_empty());
}

#[test]
fn e_sets_and_imports() {
    let host = [("IMPORTED", "from the host"), ("PRE_A", "1"), ("PRE_B", "2"), ("OTHER", "3")];
    let flags = ["-e", "SET=a=b c", "-e", "IMPORTED", "-e", "PRE_*", "-e", "NOT_SET_ON_THE_HOST", "--env", "EMPTY="];
    let seen = env_with(&host, &flags);
    assert_eq!(seen["SET"], "a=b c");
    assert_eq!(seen["IMPORTED"], "from the host");
    assert_eq!((seen["PRE_A"].as_str(), seen["PRE_B"].as_str()), ("1", "2"));
    assert_eq!(seen["EMPTY"], "");
    assert!(!seen.contains_key("OTHER") && !seen.contains_key("NOT_SET_ON_THE_HOST"), "{seen:?}");
}

#[test]
fn the_last_setting_wins() {
    let seen = env_with(&[], &["-e", "A=1", "-e", "A=2", "-e", "PATH=/bin", "-e", "HOME=/elsewhere"]);
    assert_eq!(seen["A"], "2");
    assert_eq!(seen["PATH"], "/bin");
    assert_eq!(seen["HOME"], "/elsewhere");
}

#[test]
fn an_env_file_is_read_without_quoting_and_e_overrides_it() {
    let lab = Lab::new();
    let file = lab.write("env", "# comment\n\nA=from file\nB=\"quoted\"\nIMPORTED\n  C=spaces before\n");
    let mut command =
        lab.command(busybox_arguments(&["-e", "A=from flag", "--env-file", file.to_str().unwrap()], &["env"]));
    command.env("IMPORTED", "yes");
    let seen = variables(&output::run(&mut command, &[], crate::support::LIMIT));
    assert_eq!(seen["A"], "from flag");
    assert_eq!(seen["B"], "\"quoted\"");
    assert_eq!(seen["IMPORTED"], "yes");
    assert_eq!(seen["C"], "spaces before");
}

#[test]
fn a_missing_env_file_is_refused() {
    Lab::new().busybox(&["--env-file", "/no/such/file"], &["true"]).exited(125).says("/no/such/file");
}

#[test]
fn the_images_variables_are_set_and_overridden() {
    let lab = Lab::new();
    let seen = variables(&lab.run_image("configured", &["--entrypoint", "env", "-e", "GREETING=ciao"], &[]));
    assert_eq!(seen["GREETING"], "ciao");
    assert_eq!(seen["WITH_SPACE"], "a b=c");
}

/// CVE-2026-57231: an entry of the image without `=` must not take the host's value.
#[test]
fn an_image_cannot_ask_for_the_hosts_variables() {
    let lab = Lab::new();
    lab.pull("bad-env");
    let mut command = lab.command(["run", "--rm", &crate::support::image("bad-env"), "env"]);
    command.env("AWS_SECRET_ACCESS_KEY", "secret");
    let output = output::run(&mut command, &[], crate::support::LIMIT);
    assert!(!output.ok().text().contains("secret") && !output.text().contains("AWS_SECRET"), "{output:?}");
    assert!(output.text().lines().any(|line| line == "GOOD=1"), "{output:?}");
}

#[test]
fn term_is_set_with_a_terminal_only() {
    assert_eq!(Lab::new().sh(&["-t"], "echo ${TERM:-none}").trim_end(), "xterm");
    assert_eq!(Lab::new().sh(&[], "echo ${TERM:-none}"), "none");
}

/// CVE-2021-3602: the processes between us and the payload do not carry the caller's environment either.
#[test]
fn the_payloads_processes_have_no_other_environment() {
    let text = Lab::new().sh(&["--init", "-e", "MARKED=1"], "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | sort -u");
    assert!(!text.contains("XDG_") && !text.contains("/lab."), "{text}");
}
