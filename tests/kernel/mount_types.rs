//! `-v ...:O`, propagation, and `--mount type=image`, `glob`, `devpts`, `ramfs`.

use std::fs;

use crate::support::{Canary, LIMIT, Lab, busybox_arguments, coracle_path, image, output};

/// A shell in a container of the image `layers`.
fn sh(lab: &Lab, flags: &[&str], script: &str) -> output::Output {
    let flags = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    lab.coracle(flags.chain([image("layers").as_str(), "sh", "-c", script]))
}

#[test]
fn writes_to_an_overlay_are_thrown_away() {
    let lab = Lab::new();
    lab.write("v/file", "host");
    lab.write("v/gone", "host");
    let canary = Canary::watch(lab.path("v"));
    let flag = format!("{}:/v:O", lab.arg("v"));
    let script =
        "echo new >/v/file && rm /v/gone && echo x >/v/x && ls /v && cat /v/file; grep ' /v ' /proc/self/mountinfo";
    let seen = lab.sh(&["-v", &flag], script);
    assert!(seen.starts_with("file\nx\nnew\n"), "{seen}");
    assert!(seen.contains("nosuid") && seen.contains("nodev") && !seen.contains(&lab.arg("v")), "{seen}");
    canary.assert_unchanged();
    // A container that stays begins anew with each life.
    let script = "ls /v; touch /v/x";
    lab.coracle(["run", "--name", "c", "-v", &flag, &image("layers"), "sh", "-c", script]).ok();
    assert_eq!(lab.coracle(["start", "-a", "c"]).ok().text(), "file\ngone");
    canary.assert_unchanged();
    lab.coracle(["rm", "c"]).ok();
    // Two of them, one of a volume.
    lab.coracle(["volume", "create", "data"]).ok();
    sh(&lab, &["-v", "data:/d"], "echo kept >/d/kept").ok();
    let seen = sh(&lab, &["-v", &flag, "-v", "data:/d:O"], "rm /d/kept /v/file && touch /d/y && ls /d /v").ok().text();
    assert_eq!(seen, "/d:\ny\n\n/v:\ngone");
    assert_eq!(sh(&lab, &["-v", "data:/d"], "cat /d/kept").ok().text(), "kept");
    canary.assert_unchanged();
    lab.assert_clean();
}

#[test]
fn writes_to_an_overlay_of_the_users_stay() {
    let lab = Lab::new();
    lab.write("v/file", "host");
    for name in ["upper", "work"] {
        fs::create_dir(lab.path(name)).unwrap();
    }
    let canary = Canary::watch(lab.path("v"));
    let flag = format!("{}:/v:O,upperdir={},workdir={}", lab.arg("v"), lab.arg("upper"), lab.arg("work"));
    lab.sh(&["-v", &flag], "echo new >/v/file");
    assert_eq!(lab.sh(&["-v", &flag], "cat /v/file"), "new");
    assert_eq!(fs::read_to_string(lab.path("upper/file")).unwrap(), "new\n");
    canary.assert_unchanged();
    let flag = format!("{}:/v:O,upperdir={},workdir={}", lab.arg("v"), lab.arg("nowhere"), lab.arg("work"));
    lab.busybox(&["-v", &flag], &["true"]).refused(125, "E_NOTFOUND").says("nowhere");
    let flag = format!("{}:/v:O", lab.arg("v/file"));
    lab.busybox(&["-v", &flag], &["true"]).exited(125).says("file");
}

/// Runs coracle below a mount of our own, in the state of propagation that `share` gives it.
fn below_mount(lab: &Lab, share: &str, options: &str, inside: &str) -> output::Output {
    let script = format!(
        "mount -t tmpfs none v && mount --make-{share} v && mkdir v/later && coracle=$1 && shift && \"$coracle\" \"$@\" & \
         while [ ! -e v/ready ]; do kill -0 $! || break; sleep 0.01; done; mount -t tmpfs none v/later && \
         echo seen >v/later/file && touch v/mounted; wait $!"
    );
    fs::create_dir_all(lab.path("v")).unwrap();
    let mut unshare = lab.program("/usr/bin/unshare");
    unshare.args(["-Urm", "/bin/sh", "-c", &script, "sh"]).arg(coracle_path());
    let flag = format!("{}:/v:{options}", lab.arg("v"));
    unshare.args(busybox_arguments(&["-v", &flag], &["sh", "-c", inside]));
    output::run(&mut unshare, &[], LIMIT)
}

const WAIT_FOR_MOUNT: &str = "touch /v/ready; while [ ! -e /v/mounted ]; do sleep 0.01; done; ls /v/later";

#[test]
fn mounts_of_the_host_come_in_where_that_is_asked_for() {
    let lab = Lab::new();
    assert_eq!(below_mount(&lab, "shared", "rslave", WAIT_FOR_MOUNT).ok().text(), "file");
    assert_eq!(below_mount(&lab, "shared", "rprivate", WAIT_FOR_MOUNT).ok().text(), "");
    let refused = below_mount(&lab, "private", "rslave", "true");
    refused.refused(125, "E_CONFIG").says("shared").says("make-rshared");
    assert!(
        below_mount(&lab, "shared", "runbindable", "touch /v/ready; grep ' /v ' /proc/self/mountinfo")
            .ok()
            .text()
            .contains("unbindable")
    );
    lab.busybox(&["-v", "./v:/v:rshared"], &["true"]).exited(125).says("rshared").says("slave");
}

#[test]
fn read_only_reaches_below_but_where_it_is_told_not_to() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("v/below")).unwrap();
    let script = r#"mount -t tmpfs none v/below && coracle=$1 && shift && exec "$coracle" "$@""#;
    let run = |options: &str| {
        let mut unshare = lab.program("/usr/bin/unshare");
        unshare.args(["-Urm", "/bin/sh", "-c", script, "sh"]).arg(coracle_path());
        let flag = format!("type=bind,src={},dst=/v,ro,{options}", lab.arg("v"));
        let inside = "touch /v/x 2>/dev/null && echo top; touch /v/below/x 2>/dev/null && echo below; true";
        unshare.args(busybox_arguments(&["--mount", &flag], &["sh", "-c", inside]));
        output::run(&mut unshare, &[], LIMIT).ok().text()
    };
    assert_eq!(run("bind-recursive=writable"), "below");
    assert_eq!(run("bind-recursive=readonly"), "");
    assert_eq!(run("bind-recursive=enabled"), "");
}

#[test]
fn an_image_is_mounted() {
    let lab = Lab::new();
    let (busybox, layers) = (image("busybox"), image("layers"));
    lab.coracle(["pull", "-q", &busybox]).ok();
    lab.coracle(["pull", "-q", &layers]).ok();
    let plain = format!("type=image,src={layers},dst=/i");
    let files = sh(&lab, &[], "cd / && ls -d bin etc").ok().text();
    let script =
        "cd /i && ls -d bin etc; touch /i/x 2>/dev/null || echo ro; grep ' /i ' /proc/self/mountinfo | grep -c nosuid";
    assert_eq!(sh(&lab, &["--mount", &plain], script).ok().text(), format!("{files}\nro\n1"));
    let writable = format!("{plain},rw");
    let written = sh(&lab, &["--mount", &writable], "echo x >/i/x && cat /i/x && rm -r /i/etc && ls /i").text();
    assert!(written.starts_with("x\n") && !written.contains("etc"), "{written}");
    assert_eq!(sh(&lab, &["--mount", &plain], "ls -d /i/etc /i/x 2>/dev/null").text(), "/i/etc", "nothing of it stays");
    // One layer, and a part of it.
    let part = format!("type=image,src={busybox},dst=/i,subpath=bin");
    assert_eq!(sh(&lab, &["--mount", &part], "test -e /i/busybox && echo there").ok().text(), "there");
    let file = format!("type=image,src={busybox},dst=/made/busybox,subpath=bin/busybox");
    assert_eq!(sh(&lab, &["--mount", &file], "test -f /made/busybox && ls /made").ok().text(), "busybox");
    for (flag, code, part) in [
        ("type=image,src=localhost/none,dst=/i".to_owned(), "E_NOTFOUND", "pull"),
        (format!("type=image,src={busybox},dst=/i,subpath=none"), "E_NOTFOUND", "none"),
    ] {
        sh(&lab, &["--mount", &flag], "true").refused(125, code).says(part);
    }
    // The layers of one that a container has stay.
    lab.coracle(["create", "--name", "c", "--mount", &plain, &busybox, "ls", "/i"]).ok();
    lab.coracle(["rmi", &layers]).ok();
    lab.coracle(["image", "prune", "--force"]).ok();
    assert!(lab.coracle(["start", "-a", "c"]).ok().text().contains("etc"));
    lab.coracle(["rm", "c"]).ok();
}

#[test]
fn a_pattern_stands_for_many() {
    let lab = Lab::new();
    for name in ["v/a.txt", "v/b.txt", "v/c.md"] {
        lab.write(name, name);
    }
    let flag = format!("type=glob,src={}/*.txt,dst=/g,ro", lab.arg("v"));
    assert_eq!(
        lab.sh(&["--mount", &flag], "ls /g; cat /g/a.txt; touch /g/a.txt 2>/dev/null || echo ' ro'"),
        "a.txt\nb.txt\nv/a.txt ro"
    );
    let flag = format!("type=glob,src={}/*.txt", lab.arg("v"));
    assert_eq!(lab.sh(&["--mount", &flag], &format!("ls {}", lab.arg("v"))), "a.txt\nb.txt");
    let flag = format!("type=glob,src={}/*.nothing,dst=/g", lab.arg("v"));
    lab.busybox(&["--mount", &flag], &["true"]).refused(125, "E_CONFIG").says("matches nothing");
}

#[test]
fn file_systems_of_the_kernel() {
    let lab = Lab::new();
    let seen =
        lab.sh(&["--mount", "type=devpts,dst=/pts,mode=600,max=3"], "grep ' /pts ' /proc/self/mountinfo; ls /pts");
    assert!(
        seen.contains("devpts") && seen.contains("mode=600") && seen.contains("max=3") && seen.ends_with("ptmx"),
        "{seen}"
    );
    let seen = lab.sh(
        &["--mount", "type=ramfs,dst=/ram,ramfs-mode=700"],
        "grep ' /ram ' /proc/self/mountinfo; echo x >/ram/x && stat -c %a /ram",
    );
    assert!(seen.contains("ramfs") && seen.ends_with("700"), "{seen}");
}

#[test]
fn a_read_only_root_without_directories_in_memory() {
    let lab = Lab::new();
    let script = "touch /tmp/x 2>/dev/null && echo written; true";
    assert_eq!(lab.sh(&["--read-only"], script), "written");
    assert_eq!(lab.sh(&["--read-only", "--read-only-tmpfs=false"], script), "");
}
