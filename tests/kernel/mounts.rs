//! `--read-only` and `--tmpfs`.

use crate::support::Lab;

fn refused(lab: &Lab, flags: &[&str], path: &str) {
    let script = format!("touch {path} 2>/dev/null && echo written || echo refused");
    assert_eq!(lab.sh(flags, &script), "refused", "{flags:?} {path}");
}

fn written(lab: &Lab, flags: &[&str], path: &str) {
    let script = format!("touch {path} && echo written");
    assert_eq!(lab.sh(flags, &script), "written", "{flags:?} {path}");
}

#[test]
fn the_root_can_be_written_unless_read_only() {
    let lab = Lab::new();
    for path in ["/x", "/etc/x", "/bin/x"] {
        written(&lab, &[], path);
        refused(&lab, &["--read-only"], path);
    }
}

#[test]
fn read_only_leaves_places_to_write() {
    let lab = Lab::new();
    for path in ["/dev/shm/x", "/tmp/x", "/run/x", "/var/tmp/x"] {
        written(&lab, &["--read-only"], path);
    }
}

#[test]
fn read_only_does_not_hide_volumes_and_tmpfs() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("v")).unwrap();
    let volume = format!("{}:/v", lab.arg("v"));
    written(&lab, &["--read-only", "-v", &volume], "/v/x");
    written(&lab, &["--read-only", "--tmpfs", "/scratch"], "/scratch/x");
    assert!(lab.path("v/x").exists());
}

#[test]
fn a_tmpfs_is_there_with_safe_options() {
    let lab = Lab::new();
    let text = lab.sh(&["--tmpfs", "/scratch"], "grep ' /scratch ' /proc/self/mountinfo; stat -c %a /scratch");
    assert!(text.contains("nosuid,nodev,noexec") && text.contains(" - tmpfs "), "{text}");
    assert!(text.ends_with("1777"), "{text}");
}

#[test]
fn a_tmpfs_has_the_size_and_mode_asked_for() {
    let lab = Lab::new();
    let flags = ["--tmpfs", "/scratch:size=1m,mode=0700"];
    assert_eq!(
        lab.sh(
            &flags,
            "stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=1M count=2 2>/dev/null || stat -c %s /scratch/x"
        ),
        "700\n1048576"
    );
    assert_eq!(lab.sh(&["--tmpfs", "/scratch:ro"], "touch /scratch/x 2>/dev/null || echo refused"), "refused");
}

#[test]
fn programs_run_from_a_tmpfs_only_where_asked_for() {
    let lab = Lab::new();
    let script = "cp /bin/busybox /scratch/true; /scratch/true 2>/dev/null && echo ran || echo refused";
    assert_eq!(lab.sh(&["--tmpfs", "/scratch"], script), "refused");
    assert_eq!(lab.sh(&["--tmpfs", "/scratch:exec"], script), "ran");
}

#[test]
fn what_the_image_has_is_copied_up() {
    let lab = Lab::new();
    assert_eq!(
        lab.sh(&["--tmpfs", "/etc"], "head -n 1 /etc/passwd; touch /etc/x; stat -c %a /etc"),
        "root:x:0:0:root:/root:/bin/sh\n755"
    );
    assert_eq!(lab.sh(&["--tmpfs", "/home:notmpcopyup"], "ls -A /home"), "");
    assert_eq!(lab.sh(&["--tmpfs", "/home"], "ls -A /home"), "app");
}

#[test]
fn bad_tmpfs_options_are_refused() {
    let lab = Lab::new();
    for flag in ["relative", "/x:nosuch", "/x:size=1q", "/x:mode=9", "/x:dev", ""] {
        lab.busybox(&["--tmpfs", flag], &["true"]).exited(125);
    }
}

#[test]
fn writes_are_gone_with_the_container_and_the_tree_is_unchanged() {
    let lab = Lab::new();
    let canary = crate::support::Canary::watch(crate::support::busybox_tree().join("etc"));
    lab.sh(&[], "echo changed >/etc/passwd; rm /etc/group; mkdir /etc/new");
    canary.assert_unchanged();
    assert_eq!(lab.sh(&[], "ls /etc/group; ls -d /etc/new 2>/dev/null; true"), "/etc/group");
}
