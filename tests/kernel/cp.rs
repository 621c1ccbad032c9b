//! Files into, out of and between containers, that run and that do not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::diff::keep;
use crate::support::{Canary, Lab, image};

/// Runs `test` with a container of busybox that runs and with one that does not. Both are called `c`.
fn with_both(flags: &[&str], script: &str, test: impl Fn(&Lab)) {
    let lab = Lab::new();
    keep(&lab, "c", flags, script);
    test(&lab);
    let lab = Lab::new();
    let (image, script) = (image("busybox"), format!("{script}; echo ready; exec sleep 1000"));
    let mut arguments = vec!["run", "--rm", "--name", "c"];
    arguments.extend(flags);
    arguments.extend([image.as_str(), "sh", "-c", &script]);
    let mut running = lab.spawn(&arguments);
    running.expect("ready");
    test(&lab);
}

/// What the container has under these paths, by its own tools: a copy of it is made as a tar and listed.
fn inside(lab: &Lab, path: &str) -> String {
    let tar = lab.coracle(["cp", "-a", &format!("c:{path}"), "-"]).ok().stdout.clone();
    crate::export::listing(lab, &lab.write("inside.tar", tar))
}

fn find(path: &Path, format: &str) -> String {
    let output = Command::new("find").arg(path).args(["-printf", format]).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

const TREE: &str = "mkdir -p /d/sub; echo one >/d/file; echo two >/d/sub/two; ln -s file /d/link; ln /d/file /d/sub/hard; \
    mkfifo /d/pipe; chmod 4750 /d/file; chmod 0 /d/sub/two; touch -d @1000000000 /d/file /d/sub";

#[test]
fn a_tree_comes_out_as_it_is() {
    with_both(&[], TREE, |lab| {
        lab.coracle(["cp", "c:/d", &lab.arg("out")]).ok();
        let found = find(&lab.path("out"), "%P %y %m %n %l\n");
        assert_eq!(
            found,
            " d 755 3 \nfile f 4750 2 \nlink l 777 1 file\npipe p 644 1 \nsub d 755 2 \nsub/hard f 4750 2 \nsub/two f 0 1 "
        );
        assert_eq!(fs::metadata(lab.path("out/file")).unwrap().mtime(), 1_000_000_000);
        assert_eq!(fs::metadata(lab.path("out/sub")).unwrap().mtime(), 1_000_000_000);
        assert_eq!(fs::read_to_string(lab.path("out/file")).unwrap(), "one\n");
        assert_eq!(fs::metadata(lab.path("out/file")).unwrap().uid(), nix::unistd::geteuid().as_raw());
    });
}

#[test]
fn a_tree_goes_in_and_belongs_to_root() {
    with_both(&[], "true", |lab| {
        lab.write("in/file", "content");
        fs::set_permissions(lab.path("in/file"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("/nowhere", lab.path("in/link")).unwrap();
        fs::hard_link(lab.path("in/file"), lab.path("in/second")).unwrap();
        lab.coracle(["cp", &lab.arg("in"), "c:/new"]).ok();
        let text = inside(lab, "/new");
        let has = |start: &str, end: &str| {
            assert!(text.lines().any(|line| line.starts_with(start) && line.ends_with(end)), "{start} {end}: {text}");
        };
        has("drwx", " new/");
        has("-rw-r----- 0/0", " new/file");
        has("lrwxrwxrwx 0/0", " new/link -> /nowhere");
        has("h", " new/second link to new/file");
        assert!(lab.coracle(["diff", "c"]).ok().text().contains("A /new/second"));
    });
}

/// docker's table: what is there decides.
#[test]
fn destinations_are_dockers() {
    with_both(&[], TREE, |lab| {
        let exists = |path: &str| lab.path(path).exists();
        fs::create_dir(lab.path("dir")).unwrap();
        lab.write("old", "old");
        lab.coracle(["cp", "c:/d/file", &lab.arg("renamed")]).ok();
        lab.coracle(["cp", "c:d/file", &lab.arg("old")]).ok();
        assert_eq!(fs::read_to_string(lab.path("old")).unwrap(), "one\n");
        lab.coracle(["cp", "c:/d/file", &lab.arg("dir")]).ok();
        lab.coracle(["cp", "c:/d/sub", "dir/"]).ok();
        lab.coracle(["cp", "c:/d/sub/.", "dir"]).ok();
        assert!(exists("renamed") && exists("dir/file") && exists("dir/sub/hard") && exists("dir/hard"));
        lab.coracle(["cp", "c:/d/file", &lab.arg("missing/")]).exited(125).says("slash");
        lab.coracle(["cp", "c:/d/file", &lab.arg("missing/x")]).exited(125).says("missing");
        lab.coracle(["cp", "c:/d/file/", &lab.arg("x")]).exited(125).says("Not a directory");
        lab.coracle(["cp", "c:/d", &lab.arg("old")]).exited(125).says("--overwrite");
        lab.coracle(["cp", "--overwrite", "c:/d", &lab.arg("old")]).ok();
        assert!(exists("old/file"));
        fs::create_dir_all(lab.path("dir/pipe/full")).unwrap();
        lab.coracle(["cp", "c:/d/pipe", &lab.arg("dir")]).exited(125).says("--overwrite");
        lab.coracle(["cp", "c:/nosuch", &lab.arg("x")]).exited(125).says("/nosuch");
        lab.coracle(["cp", "nosuch:/x", &lab.arg("x")]).exited(125).says("nosuch");
        lab.coracle(["cp", &lab.arg("nosuch"), "c:/"]).exited(125).says("nosuch");
        lab.coracle(["cp", &lab.arg("renamed"), "c:/no/such"]).exited(125).says("/no");
        lab.coracle(["cp", &lab.arg("renamed"), &lab.arg("x")]).exited(125).says("container");
        assert!(!exists("x"));
        lab.coracle(["cp", "c:/d/link", &lab.arg("link")]).ok();
        assert_eq!(fs::read_link(lab.path("link")).unwrap(), Path::new("file"));
        lab.coracle(["cp", "-L", "c:/d/link", &lab.arg("followed")]).ok();
        assert_eq!(fs::read_to_string(lab.path("followed")).unwrap(), "one\n");
        lab.write("a:b", "colon");
        lab.coracle(["cp", "./a:b", "c:/x:y"]).ok();
        assert_eq!(lab.coracle(["cp", "c:/x:y", "/dev/stdout"]).ok().text(), "colon");
    });
}

#[test]
fn tars_go_both_ways() {
    with_both(&[], TREE, |lab| {
        let tar = lab.coracle(["cp", "c:/d", "-"]).ok().stdout.clone();
        lab.coracle_with_input(["cp", "-", "c:/tmp"], &tar).ok();
        let copy = inside(lab, "/tmp/d/.");
        assert_eq!(copy, inside(lab, "/d/."));
        lab.write("plain.tar", &tar);
        for (program, name) in [("gzip", "gz"), ("zstd", "zst"), ("xz", "xz")] {
            let Ok(made) = lab.program(program).args(["-kf", "plain.tar"]).output() else { continue };
            assert!(made.status.success());
            let packed = fs::read(lab.path(&format!("plain.tar.{name}"))).unwrap();
            let output = lab.coracle_with_input(["cp", "-", "c:/root"], &packed);
            if name == "xz" {
                output.exited(125).says("xz");
            } else {
                output.ok();
            }
        }
        lab.coracle_with_input(["cp", "-", "c:/d/file"], &tar).exited(125);
        lab.coracle_with_input(["cp", "-", "c:/"], &tar[..700]).exited(125);
        lab.coracle_with_input(["cp", "-", "c:/"], b"").exited(0);
    });
}

#[test]
fn between_containers() {
    let lab = Lab::new();
    keep(&lab, "c", &[], TREE);
    keep(&lab, "e", &[], "true");
    let script = "echo ready; exec sleep 1000";
    let mut running = lab.spawn(["run", "--rm", "--name", "r", &image("busybox"), "sh", "-c", script]);
    running.expect("ready");
    lab.coracle(["cp", "c:/d", "r:/moved"]).ok();
    lab.coracle(["cp", "r:/moved/.", "e:/tmp"]).ok();
    let out = |name: &str, path: &str| {
        lab.coracle(["cp", &format!("{name}:{path}/."), &lab.arg(name)]).ok();
        find(&lab.path(name), "%P %y %m %n %l %T@\n")
    };
    fs::create_dir(lab.path("e")).unwrap();
    fs::create_dir(lab.path("c")).unwrap();
    let rest = |text: String| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(out("e", "/tmp")), rest(out("c", "/d")));
    lab.coracle(["cp", "c:/nosuch", "r:/x"]).exited(125).says("/nosuch");
    lab.coracle(["cp", "c:/d", "r:/no/such"]).exited(125).says("/no");
}

#[test]
fn volumes_and_memory_are_part_of_it() {
    let lab = Lab::new();
    let volume = lab.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("theirs"), "theirs").unwrap();
    let mount = format!("{}:/v", volume.display());
    lab.write("mine", "mine");
    keep(&lab, "stopped", &["-v", &mount], "true");
    let image = image("busybox");
    let mut running = lab.spawn([
        "run",
        "--rm",
        "--name",
        "r",
        "-v",
        &mount,
        "--tmpfs",
        "/m",
        &image,
        "sh",
        "-c",
        "echo x >/m/x; echo ready; sleep 1000",
    ]);
    running.expect("ready");
    for container in ["stopped", "r"] {
        lab.coracle(["cp", &lab.arg("mine"), &format!("{container}:/v/{container}")]).ok();
        assert_eq!(fs::read_to_string(volume.join(container)).unwrap(), "mine");
        assert_eq!(lab.coracle(["cp", &format!("{container}:/v/theirs"), "/dev/stdout"]).ok().text(), "theirs");
    }
    assert_eq!(lab.coracle(["cp", "r:/m/x", "/dev/stdout"]).ok().text(), "x");
    lab.coracle(["cp", &lab.arg("mine"), "r:/m/y"]).ok();
    assert_eq!(lab.coracle(["cp", "r:/m/y", "/dev/stdout"]).ok().text(), "mine");
    let read_only = format!("{mount}:ro");
    keep(&lab, "ro", &["--read-only", "-v", &read_only], "true");
    lab.coracle(["cp", &lab.arg("mine"), "ro:/v/x"]).exited(125).says("ead-only");
    lab.coracle(["cp", &lab.arg("mine"), "ro:/x"]).exited(125).says("ead-only");
}

#[test]
fn owners_are_kept_where_that_is_asked_for() {
    let lab = Lab::new();
    keep(&lab, "c", &[], "true");
    let script =
        "mkdir t; echo x >t/theirs; tar --owner=33 --group=44 -cf t.tar t; tar --owner=0 --group=0 -cf zero.tar t";
    assert!(lab.program("sh").args(["-c", script]).status().unwrap().success());
    let tar = fs::read(lab.path("t.tar")).unwrap();
    lab.coracle_with_input(["cp", "-", "c:/tmp"], &tar).ok();
    assert!(!inside(&lab, "/tmp/t").contains("33/44"));
    lab.coracle_with_input(["cp", "-a", "-", "c:/tmp"], &tar).ok();
    let kept = inside(&lab, "/tmp/t");
    assert!(kept.lines().all(|line| line.contains(" 33/44 ")), "{kept}");
    lab.coracle(["cp", "c:/tmp/t", "c:/tmp/plain"]).ok();
    assert!(!inside(&lab, "/tmp/plain").contains("33/44"));
    lab.coracle(["cp", "-a", &lab.arg("t"), "c:/tmp/own"]).ok();
    assert!(inside(&lab, "/tmp/own").lines().all(|line| line.contains(" 0/0 ")));
}

#[test]
fn holes_stay_holes() {
    let lab = Lab::new();
    keep(&lab, "c", &[], "dd if=/dev/zero of=/big bs=1 count=1 seek=300M 2>/dev/null; echo end >>/big");
    lab.coracle(["cp", "c:/big", &lab.arg("big")]).ok();
    let metadata = fs::metadata(lab.path("big")).unwrap();
    assert_eq!(metadata.len(), (300 << 20) + 5);
    assert!(metadata.blocks() * 512 < 8 << 20, "{} blocks", metadata.blocks());
    lab.coracle(["cp", &lab.arg("big"), "c:/again"]).ok();
    assert_eq!(lab.coracle(["diff", "c"]).ok().text(), "A /again\nA /big");
}

#[test]
fn sockets_and_devices_are_left_out_with_a_warning() {
    with_both(&[], "mkdir /d; echo x >/d/x", |lab| {
        std::os::unix::net::UnixListener::bind(lab.path("socket")).unwrap();
        lab.coracle(["cp", &lab.arg("."), "c:/d"]).ok().says("socket");
    });
    let lab = Lab::new();
    let mut running =
        lab.spawn(["run", "--rm", "--name", "c", &image("busybox"), "sh", "-c", "echo ready; sleep 1000"]);
    running.expect("ready");
    lab.coracle(["cp", "c:/dev/null", &lab.arg("null")]).ok().says("device");
    assert!(!lab.path("null").exists());
}

/// SECURITY.md 1c, CVE-2018-15664: a container that swaps a directory for a link to the host's while files are copied.
#[test]
fn a_container_that_swaps_paths_reaches_nothing_of_the_host() {
    let lab = Lab::new();
    lab.write("canary/secret", "SECRET");
    lab.write("canary/d/file", "SECRET");
    let target = lab.path("canary");
    let canary = Canary::watch(&target);
    lab.write("payload/file", "payload");
    let script = format!(
        "mkdir -p /real/d /flip/d; echo inside >/real/d/file; echo inside >/real/secret; ln -s {0} /swap; ln -s ../../../../../../..{0} /other; \
         echo ready; while :; do rm -rf /flip; cp -a /real /flip; mv /flip /gone; ln -s {0} /flip; rm -rf /gone; rm /flip; \
         cp -a /other /flip; rm /flip; ln -s /proc/1/root{0} /flip; rm /flip; done 2>/dev/null",
        target.display()
    );
    let mut running = lab.spawn(["run", "--rm", "--name", "f", &image("busybox"), "sh", "-c", &script]);
    running.expect("ready");
    fs::create_dir(lab.path("out")).unwrap();
    let mut worked = 0;
    for _ in 0..60 {
        for path in ["f:/flip/secret", "f:/flip/d", "f:/flip/d/file", "f:/flip/."] {
            worked += u32::from(lab.coracle(["cp", "--overwrite", path, &lab.arg("out")]).code == 0);
        }
        for path in ["f:/flip", "f:/flip/d", "f:/flip/d/file"] {
            worked += u32::from(lab.coracle(["cp", "--overwrite", &lab.arg("payload/file"), path]).code == 0);
        }
        worked += u32::from(lab.coracle(["cp", "--overwrite", &lab.arg("payload"), "f:/flip/d"]).code == 0);
    }
    assert!(worked > 0, "nothing was copied at all");
    canary.assert_unchanged();
    let grep = Command::new("grep").args(["-rl", "SECRET"]).arg(lab.path("out")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    for path in ["swap/secret", "other/secret"] {
        lab.coracle(["cp", &format!("f:/{path}"), &lab.arg("x")]).exited(125);
    }
    canary.assert_unchanged();
}
