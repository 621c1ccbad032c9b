//! The Debian package that `packaging/build-deb` makes: complete, installable without anything else, and working.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{LIMIT, Lab, coracle_path, output};

/// The lab's package, unpacked below the lab. Returns what dpkg-deb lists.
fn unpacked(lab: &Lab) -> String {
    let mut build = lab.program("packaging/build-deb");
    // The tests start in the checkout, or a copy of it. What is built compresses tens of megabytes.
    build.current_dir(".").arg(coracle_path()).arg(lab.path("out"));
    let package = output::run(&mut build, &[], 5 * LIMIT).ok().text();
    let mut extract = lab.program("/usr/bin/dpkg-deb");
    output::run(extract.args(["-x", &package]).arg(lab.path("root")), &[], LIMIT).ok();
    let mut list = lab.program("/usr/bin/dpkg-deb");
    output::run(list.args(["-c", &package]), &[], LIMIT).ok().text()
}

#[test]
fn the_package_has_the_binary_the_manual_and_the_completions() {
    let lab = Lab::new();
    let list = unpacked(&lab);
    for file in [
        "-rwxr-xr-x root/root ./usr/bin/coracle",
        "-rw-r--r-- root/root ./usr/share/man/man1/coracle.1.gz",
        "-rw-r--r-- root/root ./usr/share/man/man1/coracle-run.1.gz",
        "-rw-r--r-- root/root ./usr/share/bash-completion/completions/coracle",
        "-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_coracle",
        "-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/coracle.fish",
        "-rw-r--r-- root/root ./usr/share/doc/coracle/copyright",
        "-rw-r--r-- root/root ./usr/share/coracle/apparmor-profile",
    ] {
        let (mode_and_owner, path) = file.rsplit_once(' ').unwrap();
        assert!(
            list.lines().any(|line| line.starts_with(mode_and_owner) && line.ends_with(path)),
            "no {file}:\n{list}"
        );
    }
    assert!(!list.contains("rws"), "{list}");
}

#[test]
fn the_packaged_binary_runs_and_depends_on_nothing() {
    let lab = Lab::new();
    unpacked(&lab);
    let binary = lab.path("root/usr/bin/coracle");
    let mut ldd = lab.program("/usr/bin/ldd");
    let shown = output::run(ldd.arg(&binary), &[], LIMIT);
    let text = shown.text() + &shown.errors();
    assert!(text.contains("statically linked") || text.contains("not a dynamic executable"), "{text}");
    let mut version = lab.program(&binary);
    let text = output::run(version.arg("version"), &[], LIMIT).ok().text();
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn the_packaged_manual_can_be_shown() {
    let lab = Lab::new();
    unpacked(&lab);
    let mut man = lab.program("/usr/bin/man");
    man.args(["--warnings", "-l"]).arg(lab.path("root/usr/share/man/man1/coracle-run.1.gz"));
    let shown = output::run(&mut man, &[], LIMIT);
    assert!(shown.ok().text().contains("--rm") && shown.stderr.is_empty(), "{shown:?}");
}
