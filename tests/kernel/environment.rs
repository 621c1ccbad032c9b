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

#[test]
fn the_hosts_environment_is_the_first_and_weakest() {
    let host =
        [("GIVEN", "here"), ("PATH", "/nowhere:/bin"), ("HTTP_PROXY", "http://proxy:3128"), ("no_proxy", "local")];
    let lab = Lab::new();
    let seen = env_with(&host, &["--env-host", "-e", "GIVEN=flag"]);
    assert_eq!((seen["GIVEN"].as_str(), seen["HTTP_PROXY"].as_str()), ("flag", "http://proxy:3128"));
    assert_eq!(seen["container"], "coracle");
    let mut command =
        lab.command(["run", "--rm", "--env-host", "--entrypoint", "env", &crate::support::image("configured")]);
    lab.pull("configured");
    command.envs(host).env("GREETING", "from the host");
    let seen = variables(&output::run(&mut command, &[], crate::support::LIMIT));
    assert_ne!(seen["GREETING"], "from the host", "the image's wins");
    let seen = env_with(&host, &["--http-proxy"]);
    assert_eq!((seen["HTTP_PROXY"].as_str(), seen["no_proxy"].as_str()), ("http://proxy:3128", "local"));
    assert!(!seen.contains_key("GIVEN"), "{seen:?}");
    assert!(!env_with(&host, &[]).contains_key("HTTP_PROXY"));
}

#[test]
fn variables_are_merged_and_left_out() {
    let lab = Lab::new();
    let of_image = |flags: &[&str]| {
        let flags = [&["--entrypoint", "env"], flags].concat();
        variables(&lab.run_image("configured", &flags, &[]))
    };
    let plain = of_image(&[])["GREETING"].clone();
    let seen = of_image(&["--env-merge", "GREETING=${GREETING} you", "--env-merge", "ABSENT=${GREETING}"]);
    assert_eq!(seen["GREETING"], format!("{plain} you"));
    assert!(!seen.contains_key("ABSENT"), "only what is there is made anew: {seen:?}");
    assert!(!of_image(&["--unsetenv", "GREETING"]).contains_key("GREETING"));
    assert_eq!(of_image(&["--unsetenv", "GREETING", "-e", "GREETING=mine"])["GREETING"], "mine");
    let names: Vec<String> = of_image(&["--unsetenv-all", "-e", "ONLY=1"]).into_keys().collect();
    assert_eq!(names, ["ONLY"]);
    lab.busybox(&["--env-merge", "NAME"], &["true"]).refused(125, "E_CONFIG").says("NAME=TEXT");
}

/// What is taken from the environment is taken when the container is made.
#[test]
fn what_was_taken_from_the_host_stays() {
    let lab = Lab::new();
    let arguments =
        ["create", "--env-host", "--name", "kept", "--rootfs", crate::support::busybox_tree().to_str().unwrap(), "env"]
            .map(str::to_owned);
    let mut command = lab.command(arguments);
    command.env("GIVEN", "then");
    output::run(&mut command, &[], crate::support::LIMIT).ok();
    let mut command = lab.command(["start", "-a", "kept"]);
    command.env("GIVEN", "now");
    let seen = variables(&output::run(&mut command, &[], crate::support::LIMIT));
    assert_eq!(seen["GIVEN"], "then");
}
