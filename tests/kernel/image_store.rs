//! A store on a disk that is read-only, full, or somebody else's.

use std::process::Command;

use crate::support::{LIMIT, Lab, coracle_path, image, output};

/// A shell in a user and mount namespace of its own, where `$CORACLE` is ours.
fn in_namespace(lab: &Lab, script: &str) -> Command {
    let mut unshare = lab.program("/usr/bin/unshare");
    unshare.env("CORACLE", coracle_path()).env("STORE", lab.store()).env("IMAGE", image("debian"));
    unshare.env("SMALL", image("busybox")).args(["-Urm", "/bin/sh", "-c", script]);
    unshare
}

#[test]
fn a_read_only_store_can_be_read_and_says_so_when_written() {
    let lab = Lab::new();
    lab.pull("busybox");
    let script = r#"mount --bind "$STORE" "$STORE" && mount -o remount,bind,ro "$STORE" && "$CORACLE" images && exec "$CORACLE" pull -q "$IMAGE""#;
    let output = output::run(&mut in_namespace(&lab, script), &[], LIMIT);
    assert!(output.exited(125).text().contains("busybox"), "{output:?}");
    assert!(output.errors().contains("[E_READONLY]"), "{output:?}");
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let lab = Lab::new();
    let script = r#"mkdir -p "$STORE" && mount -t tmpfs -o size=20m,mode=700 none "$STORE" || exit 99
        "$CORACLE" pull -q "$IMAGE" && exit 98
        echo "images: $("$CORACLE" images -q | wc -l)"
        echo "blocks: $(du -s "$STORE" | cut -f1)"
        "$CORACLE" pull -q "$SMALL" >/dev/null && "$CORACLE" run --rm "$SMALL" echo works"#;
    let output = output::run(&mut in_namespace(&lab, script), &[], LIMIT);
    assert!(output.ok().errors().contains("[E_NOSPACE]"), "{output:?}");
    let text = output.text();
    let blocks: u64 = text.lines().find_map(|line| line.strip_prefix("blocks: ")).unwrap().parse().unwrap();
    assert!(text.contains("images: 0\n") && text.ends_with("works") && blocks < 300, "{output:?}");
}

#[test]
fn a_disk_without_inodes_is_told_from_a_full_one() {
    let lab = Lab::new();
    let script = r#"mkdir -p "$STORE" && mount -t tmpfs -o size=2g,nr_inodes=300,mode=700 none "$STORE" || exit 99
        exec "$CORACLE" pull -q "$IMAGE""#;
    output::run(&mut in_namespace(&lab, script), &[], LIMIT).refused(125, "E_NOINODES");
}

#[test]
fn a_store_of_somebody_else_is_refused() {
    let lab = Lab::new();
    let mut command = lab.command(["--root", "/root/coracle-store", "images"]);
    assert_ne!(output::run(&mut command, &[], LIMIT).code, 0);
}

#[test]
fn the_store_can_be_moved() {
    let lab = Lab::new();
    lab.pull("busybox");
    let moved = lab.path("moved");
    std::fs::rename(lab.store(), &moved).unwrap();
    let root = moved.to_str().unwrap();
    lab.coracle(["--root", root, "run", "--rm", "--pull", "never", &image("busybox"), "true"]).ok();
}

#[test]
fn the_store_can_be_deleted_with_rm() {
    let lab = Lab::new();
    lab.pull("debian");
    lab.coracle(["run", "--name", "kept", &image("debian"), "sh", "-c", "mkdir -p /a/b; touch /a/b/c; rm -r /home"])
        .ok();
    let mut rm = lab.program("/bin/rm");
    // Work directories of overlays have mode 000 and are empty.
    output::run(rm.arg("-rf").arg(lab.store()), &[], LIMIT).ok();
    assert!(!lab.store().exists());
    lab.coracle(["images"]).ok();
}

#[test]
fn few_descriptors_are_enough_or_named() {
    let lab = Lab::new();
    lab.pull("busybox");
    for limit in [10, 16, 24, 32, 64, 256] {
        let mut shell = lab.program("/bin/sh");
        let script = format!(r#"ulimit -n {limit}; exec "$@""#);
        shell.args(["-c", &script, "sh"]).arg(coracle_path()).args(["run", "--rm", &image("busybox"), "echo", "ran"]);
        let output = output::run(&mut shell, &[], LIMIT);
        match output.code {
            0 => assert_eq!(output.text(), "ran"),
            _ => _ = output.exited(125),
        }
        assert!(!output.errors().contains("panicked"), "{output:?}");
        assert!(limit < 64 || output.code == 0, "{output:?}");
    }
    lab.assert_clean();
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let lab = Lab::new();
    lab.pull("busybox");
    let mut shell = lab.program("/bin/sh");
    shell.args(["-c", r#"exec "$@" >/dev/full"#, "sh"]).arg(coracle_path()).args(["images"]);
    output::run(&mut shell, &[], LIMIT).exited(125);
}
