//! `-v`: bind mounts of the host's files.

use std::fs;

use crate::support::{Canary, LIMIT, Lab, busybox_arguments, coracle_path, output};

#[test]
fn a_directory_is_shared_both_ways() {
    let lab = Lab::new();
    lab.write("v/from-host", "host");
    let flag = format!("{}:/v", lab.arg("v"));
    assert_eq!(lab.sh(&["-v", &flag], "cat /v/from-host; echo inside >/v/from-container"), "host");
    assert_eq!(fs::read_to_string(lab.path("v/from-container")).unwrap(), "inside\n");
}

#[test]
fn a_file_is_shared_alone() {
    let lab = Lab::new();
    lab.write("v/file", "host");
    let flag = format!("{}:/etc/passwd", lab.arg("v/file"));
    assert_eq!(lab.sh(&["-v", &flag], "cat /etc/passwd"), "host");
    let flag = format!("{}:/made/for/it", lab.arg("v/file"));
    assert_eq!(lab.sh(&["-v", &flag], "cat /made/for/it; ls /made/for; ls /v 2>/dev/null; true"), "hostit");
}

#[test]
fn ro_cannot_be_written() {
    let lab = Lab::new();
    lab.write("v/file", "host");
    let canary = Canary::watch(lab.path("v"));
    let flag = format!("{}:/v:ro", lab.arg("v"));
    let script = "for c in 'touch /v/x' 'rm /v/file' 'mkdir /v/d' 'chmod 777 /v/file'; do $c 2>/dev/null && echo \"$c\"; done; true";
    assert_eq!(lab.sh(&["-v", &flag], script), "");
    canary.assert_unchanged();
}

#[test]
fn ro_reaches_mounts_below() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("v/below")).unwrap();
    let script =
        r#"mount -t tmpfs none v/below && echo host >v/below/file && coracle=$1 && shift && exec "$coracle" "$@""#;
    let run = |options: &str, inside: &str| -> output::Output {
        let mut unshare = lab.program("/usr/bin/unshare");
        unshare.args(["-Urm", "/bin/sh", "-c", script, "sh"]).arg(coracle_path());
        let flag = format!("{}:/v:{options}", lab.arg("v"));
        unshare.args(busybox_arguments(&["-v", &flag], &["sh", "-c", inside]));
        output::run(&mut unshare, &[], LIMIT)
    };
    let output = run("ro", "cat /v/below/file; touch /v/below/x 2>/dev/null || echo refused");
    assert_eq!(output.ok().text(), "host\nrefused");
    assert_eq!(run("rw", "touch /v/below/x && echo written").ok().text(), "written");
    // The kernel does not let us uncover what a mount of the host hides.
    run("bind", "ls /v/below").refused(125, "E_MOUNT_TARGET");
}

#[test]
fn no_setuid_programs_and_no_devices_come_in() {
    let lab = Lab::new();
    fs::create_dir(lab.path("v")).unwrap();
    for options in ["", ":ro", ":rw", ":exec"] {
        let flag = format!("{}:/v{options}", lab.arg("v"));
        let text = lab.sh(&["-v", &flag], "grep ' /v ' /proc/self/mountinfo");
        assert!(text.contains("nosuid") && text.contains("nodev"), "{options}: {text}");
    }
    let flag = format!("{}:/v:noexec", lab.arg("v"));
    assert!(lab.sh(&["-v", &flag], "grep ' /v ' /proc/self/mountinfo").contains("noexec"));
}

#[test]
fn a_missing_source_is_refused_and_not_made() {
    let lab = Lab::new();
    let flag = format!("{}:/v", lab.arg("missing"));
    lab.busybox(&["-v", &flag], &["true"]).refused(125, "E_NOTFOUND").says("missing");
    assert!(!lab.path("missing").exists());
}

#[test]
fn bad_specifications_are_refused() {
    let lab = Lab::new();
    let source = lab.root().to_str().unwrap();
    for flag in [
        ":/v".into(),
        format!("{source}:relative"),
        format!("{source}:/v:nosuch"),
        format!("{source}:/v:ro:rw"),
        format!("{source}:"),
    ] {
        lab.busybox(&["-v", &flag], &["true"]).exited(125);
    }
}

#[test]
fn several_volumes_may_lie_in_each_other() {
    let lab = Lab::new();
    lab.write("outer/o", "");
    lab.write("inner/i", "");
    fs::create_dir(lab.path("outer/deep")).unwrap();
    let flags = [format!("{}:/v", lab.arg("outer")), format!("{}:/v/deep", lab.arg("inner"))];
    assert_eq!(lab.sh(&["-v", &flags[0], "-v", &flags[1]], "cd /v; ls -d *; ls deep"), "deep\no\ni");
}

/// CVE-2024-45310, CVE-2021-30465 without the race: links in the image on the way to the destination stay inside.
#[test]
fn a_destination_through_a_link_stays_inside() {
    let lab = Lab::new();
    lab.write("v/file", "host");
    lab.write("outside/x", "");
    let canary = Canary::watch(lab.path("outside"));
    let escape = format!("ln -s {} out; ln -s ../../../../../../../..{} up", lab.arg("outside"), lab.arg("outside"));
    let tree = crate::hostile::tree(&lab, &escape);
    for destination in ["/out/new", "/up/new", "/out", "/up/x"] {
        let flag = format!("{}:{destination}", lab.arg("v"));
        let output = crate::hostile::run(&lab, &tree, &["-v", &flag], &["true"]);
        assert!([0, 125].contains(&output.code), "{output:?}");
        canary.assert_unchanged();
    }
    // The benign look-alike: /var/run -> /run.
    let tree = crate::hostile::tree(&lab, "ln -s /run var/run");
    let flag = format!("{}:/var/run/v", lab.arg("v"));
    assert_eq!(crate::hostile::run(&lab, &tree, &["-v", &flag], &["cat", "/run/v/file"]).ok().text(), "host");
}

#[test]
fn a_volume_over_the_kernels_file_systems_is_refused() {
    let lab = Lab::new();
    fs::create_dir(lab.path("v")).unwrap();
    for destination in ["/", "/proc", "/proc/self", "/proc/sys"] {
        let flag = format!("{}:{destination}", lab.arg("v"));
        lab.busybox(&["-v", &flag], &["true"]).exited(125).says(destination);
    }
}
