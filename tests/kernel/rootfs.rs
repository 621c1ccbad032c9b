//! `--rootfs DIR`, `--rootfs DIR:O`, and the host itself as a rootfs.

use std::fs;

use crate::hostile::{run, tree};
use crate::support::{LIMIT, Lab, fixture, output};

#[test]
fn writes_reach_a_plain_directory() {
    let lab = Lab::new();
    let tree = tree(&lab, ":");
    run(&lab, &tree, &[], &["sh", "-c", "echo inside >/new"]).ok();
    assert_eq!(fs::read_to_string(format!("{tree}/new")).unwrap(), "inside\n");
}

#[test]
fn nothing_of_ours_is_left_in_a_plain_directory() {
    let lab = Lab::new();
    let tree = tree(&lab, "mkdir -p usr/lib; rm -rf etc/hosts etc/hostname etc/resolv.conf");
    let list = || {
        let output = lab.program("/usr/bin/find").args([&tree, "-printf", "%P %y %m %l\\n"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = list();
    run(&lab, &tree, &[], &["true"]).ok();
    let after = list();
    let new: Vec<&str> = after.lines().filter(|line| !before.contains(*line)).collect();
    // Mount points of files that were not there have to be made; empty ones, and these only.
    for line in &new {
        assert!(
            ["etc/hosts", "etc/hostname", "etc/resolv.conf", "run/.containerenv"]
                .iter()
                .any(|path| line.starts_with(path)),
            "{new:?}"
        );
    }
}

#[test]
fn writes_to_a_throw_away_overlay_are_gone() {
    let lab = Lab::new();
    let tree = tree(&lab, ":");
    run(&lab, &format!("{tree}:O"), &[], &["sh", "-c", "echo inside >/new; rm -r /home"]).ok();
    assert!(!fs::exists(format!("{tree}/new")).unwrap() && fs::exists(format!("{tree}/home/app")).unwrap());
}

/// Where something is mounted that the tree lacks, a directory of another user's is in the way.
#[test]
fn a_tree_of_somebody_elses_gets_what_it_lacks() {
    let lab = Lab::new();
    lab.coracle_with_input(["secret", "create", "word", "-"], b"open").ok();
    let file = lab.write("file", "mounted");
    let script = "ls /etc/hosts /etc/resolv.conf; cat /run/secrets/word /home/x/file; pwd; grep -c 1234 /etc/passwd; test -c /usr/null && echo device";
    for tree in [format!("{}:O", fixture("rootfs/busybox").display()), "/:O".to_owned()] {
        for driver in ["overlay", "fuse"] {
            let mount = format!("{}:/home/x/file", file.display());
            let flags =
                ["--secret=word", "-v", &mount, "-w", "/usr/made", "--user=1234", "--device=/dev/null:/usr/null"];
            let words =
                [&["--storage-driver", driver, "run", "--rm", "--network=none"], &flags[..], &["--rootfs", &tree]];
            let said = lab.coracle([&words.concat()[..], &["sh", "-c", script]].concat()).ok().text();
            assert_eq!(said, "/etc/hosts\n/etc/resolv.conf\nopenmounted/usr/made\n1\ndevice", "{tree} {driver}");
        }
    }
}

#[test]
fn the_host_is_seen_and_not_changed() {
    let lab = Lab::new();
    let file = lab.write("file", "of the host");
    let script =
        format!("cat {0}; echo changed >{0}; cat {0}; touch {1}/new; ls {1}", file.display(), lab.path("").display());
    let output = lab.coracle(["run", "--rm", "--rootfs", "/:O", "/bin/sh", "-c", &script]);
    assert_eq!(output.ok().text(), "of the hostchanged\nfile\nnew");
    assert_eq!(fs::read_to_string(&file).unwrap(), "of the host");
    assert!(!lab.path("new").exists());
    let output = lab.coracle(["run", "--rm", "--rootfs", "/:O", "cat", "/etc/debian_version"]);
    assert_eq!(output.ok().stdout, fs::read("/etc/debian_version").unwrap());
}

#[test]
fn the_hosts_processes_are_not_seen_in_its_own_tree() {
    let lab = Lab::new();
    let output =
        lab.coracle(["run", "--rm", "--rootfs", "/:O", "/bin/sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'"]);
    assert_eq!(output.ok().text().lines().next(), Some("1"));
}

#[test]
fn a_tree_that_cannot_be_read_is_refused() {
    let lab = Lab::new();
    run(&lab, "/root", &[], &["true"]).exited(125).says("/root");
    run(&lab, "/root:O", &[], &["true"]).exited(125).says("/root");
}

#[test]
fn a_runtime_directory_is_not_needed() {
    let lab = Lab::new();
    let arguments = crate::support::busybox_arguments(&[], &["echo", "ran"]);
    let mut command = lab.command(&arguments);
    command.env_remove("XDG_RUNTIME_DIR");
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "ran");
    let mut command = lab.command(&arguments);
    command.env("XDG_RUNTIME_DIR", lab.path("made/on/demand"));
    let output = output::run(&mut command, &[], LIMIT);
    assert!([0, 125].contains(&output.code), "{output:?}");
}

#[test]
fn home_alone_is_enough_and_without_it_we_say_so() {
    let lab = Lab::new();
    let arguments = crate::support::busybox_arguments(&[], &["echo", "ran"]);
    let mut command = lab.command(&arguments);
    command.env_clear().env("HOME", lab.root().join("home"));
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "ran");
    let mut command = lab.command(&arguments);
    command.env_clear();
    output::run(&mut command, &[], LIMIT).refused(125, "E_DIR").says("HOME");
}

#[test]
fn without_user_namespaces_we_say_which_setting_forbids_them() {
    let lab = Lab::new();
    let mut unshare = lab.program("/usr/bin/unshare");
    let script = r#"echo 0 >/proc/sys/user/max_user_namespaces && exec "$@""#;
    unshare.args(["-Ur", "/bin/sh", "-c", script, "sh"]).arg(crate::support::coracle_path());
    unshare.args(crate::support::busybox_arguments(&[], &["true"]));
    output::run(&mut unshare, &[], LIMIT).refused(125, "E_USERNS_DISABLED").says("max_user_namespaces");
}

#[test]
fn it_runs_in_a_user_namespace_of_somebody_else() {
    let lab = Lab::new();
    let mut unshare = lab.program("/usr/bin/unshare");
    unshare.args(["-Ur"]).arg(crate::support::coracle_path());
    unshare.args(crate::support::busybox_arguments(&[], &["id", "-u"]));
    assert_eq!(output::run(&mut unshare, &[], LIMIT).ok().text(), "0");
}
