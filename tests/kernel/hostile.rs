//! Trees and images that try to make us touch the host. Each is refused or harmless, and the canary never changes.

use std::process::Command;

use crate::support::{Canary, Lab, Output, fixture};

/// A copy of the busybox tree, changed by a shell script that runs in it.
pub fn tree(lab: &Lab, script: &str) -> String {
    let number = std::fs::read_dir(lab.path("")).unwrap().count();
    let path = lab.path(&format!("tree{number}"));
    let copy = r#"cp -a "$1" "$2" && chmod -R u+rwX "$2" && cd "$2" && eval "$3""#;
    let status = Command::new("/bin/sh")
        .args(["-ec", copy, "sh"])
        .arg(crate::support::busybox_tree())
        .args([path.to_str().unwrap(), script])
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
    path.to_str().unwrap().to_owned()
}

/// `run --rm FLAGS --rootfs TREE COMMAND`: writes reach the tree.
pub fn run(lab: &Lab, tree: &str, flags: &[&str], command: &[&str]) -> Output {
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(flags);
    arguments.extend(["--rootfs", tree]);
    arguments.extend(command);
    lab.coracle(&arguments)
}

/// Runs a changed tree, directly and below a throw-away overlay, and checks that the canary is unchanged.
/// `CANARY` in the script is a directory with `secret` and `dir` in it.
fn attempt(script: &str, flags: &[&str], command: &[&str], check: impl Fn(&Output)) {
    let lab = Lab::new();
    lab.write("canary/secret", "top secret of the host");
    std::fs::create_dir(lab.path("canary/dir")).unwrap();
    let tree = tree(&lab, &script.replace("CANARY", &lab.arg("canary")));
    let canary = Canary::watch(lab.path("canary"));
    for rootfs in [tree.clone(), format!("{tree}:O")] {
        let output = run(&lab, &rootfs, flags, command);
        assert!(!output.errors().contains("panicked"), "{output:?}");
        assert!(!output.text().contains("top secret"), "{output:?}");
        check(&output);
        canary.assert_unchanged();
    }
}

/// The same for an image of the fixtures.
fn attempt_image(name: &str, flags: &[&str], command: &[&str], check: impl Fn(&Output)) {
    let canary = Canary::watch(fixture("canary/"));
    let output = Lab::new().run_image(name, flags, command);
    assert!(!output.text().contains("top secret") && !output.errors().contains("top secret"), "{output:?}");
    check(&output);
    canary.assert_unchanged();
}

fn is_refused_target(output: &Output) {
    output.refused(125, "E_MOUNT_TARGET");
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2025-54867.
#[test]
fn proc_and_sys_must_be_directories() {
    let scripts = [
        "mkdir x; rmdir proc; ln -s /x proc",
        "mkdir x; rmdir proc; ln -s x proc",
        "rmdir proc; ln -s /nowhere proc",
        "rmdir proc; ln -s CANARY/dir proc",
        "rmdir proc; : >proc",
        "mkdir x; rmdir sys; ln -s /x sys",
        "rmdir sys; ln -s ../../../../../../..CANARY/dir sys",
    ];
    for script in scripts {
        attempt(script, &[], &["true"], is_refused_target);
    }
}

#[test]
fn images_whose_proc_or_sys_is_no_directory_are_refused() {
    for name in ["hostile-proc-link", "hostile-proc-dangling", "hostile-proc-file", "hostile-sys-link"] {
        attempt_image(name, &[], &["true"], is_refused_target);
    }
}

/// The benign look-alikes: no such directory at all, and one with something in it.
#[test]
fn a_missing_or_filled_mount_point_is_made_or_covered() {
    let check = |output: &Output| _ = output.ok();
    attempt("rmdir proc sys dev", &[], &["sh", "-c", "cat /proc/self/status /dev/null && ls /sys/class"], check);
    attempt(
        "mkdir -p proc/self/attr; echo fake >proc/self/attr/exec",
        &[],
        &["sh", "-c", "! grep fake /proc/self/attr/exec"],
        check,
    );
    attempt_image("hostile-proc-tree", &[], &["sh", "-c", "grep -q Seccomp: /proc/self/status"], check);
}

/// CVE-2026-41579, CVE-2026-47766: `/dev` is always our own.
#[test]
fn dev_is_never_somewhere_else() {
    let scripts = [
        "rmdir dev; ln -s CANARY/dir dev",
        "rmdir dev; ln -s ../../../../../../..CANARY/dir dev",
        "rmdir dev; ln -s tmp/hop dev; ln -s CANARY/dir tmp/hop",
        "rmdir dev; : >dev",
    ];
    let check = |output: &Output| match output.code {
        0 => assert_eq!(output.text(), "null"),
        _ => is_refused_target(output),
    };
    for script in scripts {
        attempt(script, &[], &["ls", "/dev/null"], |output| match output.code {
            0 => assert_eq!(output.text(), "/dev/null"),
            _ => is_refused_target(output),
        });
    }
    for name in ["hostile-dev-link", "hostile-dev-relative", "hostile-dev-two-hops"] {
        attempt_image(name, &[], &["sh", "-c", "cd /dev && ls null"], check);
    }
}

/// CVE-2025-31133, CVE-2025-52565: what is in the image's `/dev` is neither used nor written.
#[test]
fn nodes_of_the_image_are_not_ours() {
    let scripts = [
        "rm -rf dev/*; ln -s CANARY/secret dev/null; ln -s CANARY/secret dev/console; ln -s CANARY/dir dev/pts; ln -s CANARY/secret dev/ptmx",
        ": >dev/null; : >dev/zero; mkdir dev/console dev/ptmx",
        "ln -s CANARY/dir dev/shm; ln -s CANARY/dir dev/mqueue",
    ];
    let inside = "echo x >/dev/null; stat -c %t:%T /dev/null; wc -c </proc/interrupts";
    for script in scripts {
        for flags in [&[][..], &["-t"]] {
            attempt(script, flags, &["sh", "-c", inside], |output| {
                assert_eq!(output.ok().text().replace('\r', ""), "1:3\n0");
            });
        }
    }
    attempt_image("hostile-dev-nodes", &["-t"], &["sh", "-c", inside], |output| {
        assert_eq!(output.ok().text().replace('\r', ""), "1:3\n0");
    });
}

/// CVE-2025-24965: for each file that we put into a rootfs.
#[test]
fn files_that_we_add_do_not_follow_links() {
    let files = ["etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/mtab"];
    for file in files {
        for script in [
            format!("ln -s CANARY/secret {file}"),
            format!("ln CANARY/secret {file}"),
            format!("mkdir {file}"),
            format!("mkfifo {file}"),
            format!("ln -s ../../../../../../../..CANARY/secret {file}"),
            format!("rm -rf etc; ln -s CANARY/dir etc; : {file}"),
        ] {
            // A run of the tree itself, by another test, may have made the file there as a target of a mount.
            attempt(&format!("rm -f {file}; {script}"), &[], &["true"], |output| {
                assert!([0, 125].contains(&output.code), "{script}: {output:?}");
            });
        }
    }
    for name in ["hostile-etc", "hostile-etc-fifo", "hostile-run-link"] {
        attempt_image(name, &[], &["true"], |output| assert!([0, 125].contains(&output.code), "{output:?}"));
    }
}

/// The benign look-alike: an image without any of these files, and one where they are links inside.
#[test]
fn files_that_we_add_are_there() {
    let inside = "grep -q localhost /etc/hosts && cat /etc/hostname";
    attempt("rm -rf etc/hosts etc/hostname", &["--hostname", "boat"], &["sh", "-c", inside], |output| {
        assert_eq!(output.ok().text(), "boat");
    });
}

/// CVE-2019-16884: refused, or without effect.
#[test]
fn an_image_cannot_have_a_volume_over_the_kernels_file_systems() {
    let inside = "grep -q Seccomp: /proc/self/status && ls /sys/class >/dev/null && stat -c %t:%T /dev/null";
    for name in ["root", "proc", "proc-self", "sys", "dev"] {
        attempt_image(&format!("hostile-volume-{name}"), &[], &["sh", "-c", inside], |output| match output.code {
            0 => assert_eq!(output.text(), "1:3"),
            _ => is_refused_target(output),
        });
    }
}

/// A link that leads there all the same: nothing of the kernel's is copied to where no mask is.
#[test]
fn what_is_copied_into_a_tmpfs_is_the_images() {
    for directory in ["/proc", "/proc/tty", "/sys/kernel", "/sys/firmware"] {
        attempt(&format!("ln -s {directory} link"), &["--tmpfs", "/link"], &["ls", "-A", "/link"], |output| {
            assert_eq!(output.ok().text(), "", "{directory}");
        });
    }
    attempt(
        "mkdir real; echo copied >real/file; ln -s real link",
        &["--tmpfs", "/link"],
        &["cat", "/link/file"],
        |output| {
            assert_eq!(output.ok().text(), "copied");
        },
    );
}

#[test]
fn a_rootfs_that_is_a_link_is_the_directory_it_names() {
    let lab = Lab::new();
    let tree = tree(&lab, ":");
    let link = lab.path("link");
    std::os::unix::fs::symlink(&tree, &link).unwrap();
    // The path is the user's own, so links in it are followed; what is inside is not trusted.
    run(&lab, link.to_str().unwrap(), &[], &["true"]).ok();
    run(&lab, &lab.arg("no-such-tree"), &[], &["true"]).exited(125);
    lab.write("file", "");
    run(&lab, &lab.arg("file"), &[], &["true"]).exited(125);
}

/// An image of nothing: a defined refusal, never the store's own directory as a root.
#[test]
fn an_image_without_layers_is_empty() {
    attempt_image("empty", &[], &["ls", "/"], |output| {
        assert!([125, 127].contains(&output.code), "{output:?}");
    });
}

/// Names and labels of images cannot drive the terminal.
#[test]
fn escapes_in_labels_are_not_printed_raw() {
    let lab = Lab::new();
    lab.pull("hostile-labels");
    let image = crate::support::image("hostile-labels");
    for arguments in
        [&["inspect", &image][..], &["images"], &["run", "--rm", &image, "true"], &["images", "--format", "json"]]
    {
        let output = lab.coracle(arguments);
        assert!(!output.ok().stdout.contains(&0x1b) && !output.text().contains('\u{202e}'), "{output:?}");
    }
}

/// CVE-2024-32462: words that look like options, or worse, are names to be refused.
#[test]
fn names_that_look_like_options_are_refused() {
    let lab = Lab::new();
    for name in ["-v", "--privileged", "--mount=x", ";id", "$(id)", "a\nb", "../x", "a b", "", ".x", &"a".repeat(200)] {
        lab.busybox(&[&format!("--name={name}")], &["true"]).refused(125, "E_NAME_INVALID");
    }
}
