//! The working directory: the image's or `-w`'s, made when missing, never outside the rootfs.

use crate::support::{Canary, Lab, fixture};

#[test]
fn the_default_is_the_root() {
    assert_eq!(Lab::new().sh(&[], "pwd"), "/");
}

#[test]
fn w_is_used_and_made_when_missing() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["-w", "/tmp"], "pwd"), "/tmp");
    assert_eq!(lab.sh(&["--workdir", "/made/on/demand"], "pwd; stat -c %a:%u:%g ."), "/made/on/demand\n755:0:0");
    assert_eq!(lab.sh(&["-w", "/tmp/"], "pwd"), "/tmp");
}

#[test]
fn the_images_directory_is_made_and_w_replaces_it() {
    let lab = Lab::new();
    assert_eq!(lab.run_image("configured", &["--entrypoint", "pwd"], &[]).ok().text(), "/work/new");
    assert_eq!(lab.run_image("configured", &["--entrypoint", "pwd", "-w", "/etc"], &[]).ok().text(), "/etc");
}

#[test]
fn a_relative_directory_is_refused() {
    Lab::new().busybox(&["-w", "relative"], &["true"]).exited(125);
}

#[test]
fn a_file_is_no_working_directory() {
    Lab::new().busybox(&["-w", "/etc/passwd"], &["true"]).exited(125).says("/etc/passwd");
}

/// CVE-2024-21626: a leaked descriptor must not become the working directory.
#[test]
fn a_descriptor_is_no_working_directory() {
    let lab = Lab::new();
    for fd in 3..40 {
        lab.busybox(&["-w", &format!("/proc/self/fd/{fd}")], &["pwd"]).refused(125, "E_CWD_OUTSIDE");
    }
    lab.busybox(&["-w", "/proc/self/cwd"], &["pwd"]).exited(125);
    lab.busybox(&["-w", "/proc/1/root/tmp"], &["pwd"]).exited(125);
}

#[test]
fn an_images_descriptor_is_no_working_directory() {
    let lab = Lab::new();
    for name in ["hostile-workdir-fd", "hostile-workdir-fd-link"] {
        lab.run_image(name, &[], &["pwd"]).refused(125, "E_CWD_OUTSIDE");
    }
}

/// CVE-2026-55686: making the working directory must not follow a link out of the rootfs.
#[test]
fn links_in_the_working_directory_stay_inside() {
    let canary = Canary::watch(fixture("canary/"));
    let lab = Lab::new();
    for name in ["hostile-workdir-canary", "hostile-workdir-up"] {
        let output = lab.run_image(name, &[], &["pwd"]);
        match output.code {
            0 => assert!(output.text().starts_with('/'), "{output:?}"),
            _ => _ = output.refused(125, "E_PATH_ESCAPE"),
        }
    }
    canary.assert_unchanged();
    assert!(!std::path::Path::new("/tmp/made-by-coracle").exists());
}

/// The benign look-alike: a link inside the image.
#[test]
fn a_link_to_a_directory_of_the_image_works() {
    let lab = Lab::new();
    let tree = crate::hostile::tree(&lab, "ln -s /tmp link; mkdir -p real/sub; ln -s real relative");
    assert_eq!(crate::hostile::run(&lab, &tree, &["-w", "/link"], &["pwd"]).ok().text(), "/tmp");
    assert_eq!(crate::hostile::run(&lab, &tree, &["-w", "/relative/sub"], &["pwd"]).ok().text(), "/real/sub");
}
