//! All files of a container as a tar, judged by GNU tar.

use std::path::Path;

use crate::diff::keep;
use crate::support::{Detached, Lab, Terminal, image};

/// GNU tar's listing, one line for each entry: mode, owner, size, time, name.
pub fn listing(lab: &Lab, tar: &Path) -> String {
    let arguments = ["--numeric-owner", "--full-time", "--xattrs", "--xattrs-include=*", "-tvvf"];
    let output = lab.program("tar").args(arguments).arg(tar).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The columns are as wide as their widest entry.
    let text = String::from_utf8(output.stdout).unwrap();
    let narrow = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(narrow).collect()
}

/// A listing without the root itself: its time is that of the container's making.
pub fn without_root(listing: &str) -> String {
    listing.lines().filter(|line| !line.ends_with(" ./")).collect::<Vec<_>>().join("\n")
}

fn export(lab: &Lab, container: &str, name: &str) -> std::path::PathBuf {
    lab.coracle(["export", "-o", &lab.arg(name), container]).ok();
    lab.path(name)
}

fn line<'a>(listing: &'a str, end: &str) -> &'a str {
    listing.lines().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {listing}"))
}

const SCRIPT: &str = "mkdir /d; echo content >/d/file; ln /d/file /d/second; ln -s file /d/link; mkfifo -m 640 /d/pipe; \
    chmod 4711 /d/file; mkdir -m 0 /d/closed; : >/d/closed/in; rm /bin/yes; touch -d @1000000000 /d/file; \
    n=/d; for i in 1 2 3 4; do n=$n/$(printf %070d $i); mkdir $n; done; ln -s $n /d/far";

#[test]
fn the_archive_has_what_the_container_has() {
    let lab = Lab::new();
    keep(&lab, "c", &["--tmpfs", "/memory"], SCRIPT);
    let tar = export(&lab, "c", "c.tar");
    let text = listing(&lab, &tar);
    assert!(line(&text, " d/file").starts_with("-rws--x--x 0/0"), "{text}");
    assert!(line(&text, " d/file").contains(" 8 2001-09-09 01:46:40"), "{text}");
    assert!(line(&text, " d/second link to d/file").starts_with('h'));
    assert!(line(&text, " d/link -> file").starts_with("lrwxrwxrwx 0/0"));
    assert!(line(&text, " d/pipe").starts_with("prw-r-----"));
    assert!(line(&text, " d/closed/").starts_with("d---------"));
    line(&text, " d/closed/in");
    assert!(text.lines().any(|line| line.contains(&format!("{:070}/{:070}/", 2, 3))), "{text}");
    assert!(!text.contains(" bin/yes"), "{text}");
    assert!(!text.contains(".wh."), "{text}");
    let again = export(&lab, "c", "again.tar");
    assert_eq!(
        std::fs::read(&tar).unwrap(),
        std::fs::read(again).unwrap(),
        "the same container makes the same archive"
    );
    let piped = lab.coracle(["container", "export", "c"]).ok().stdout.clone();
    assert!(piped == std::fs::read(&tar).unwrap());
}

#[test]
fn a_running_container_is_exported_without_what_is_mounted_in_it() {
    let lab = Lab::new();
    let image = image("busybox");
    let script = format!("{SCRIPT}; echo no >/memory/no; echo ready; exec sleep 1000");
    let mut running = lab.spawn(["run", "--rm", "--name", "r", "--tmpfs", "/memory", &image, "sh", "-c", &script]);
    running.expect("ready");
    let text = listing(&lab, &export(&lab, "r", "r.tar"));
    keep(&lab, "k", &["--tmpfs", "/memory"], SCRIPT);
    let kept = listing(&lab, &export(&lab, "k", "k.tar"));
    assert!(text.contains(" memory/\n") && !text.contains("memory/no"), "{text}");
    assert!(!text.contains(" proc/1") && !text.contains("/self"), "{text}");
    // Mode, owner, size and name: the times are those of two runs.
    let names = |text: &str| -> Vec<String> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        text.lines().map(words).map(|words| [&words[..3], &words[5..]].concat().join(" ")).collect()
    };
    assert_eq!(names(&text), names(&kept));
}

#[test]
fn running_and_stopped_containers_have_the_same_owners() {
    let lab = Lab::new();
    let image = image("users");
    lab.coracle(["run", "--name", "u", &image, "true"]).ok();
    let stopped = listing(&lab, &export(&lab, "u", "u.tar"));
    let detached = lab.coracle(["run", "-d", "--name", "r", &image, "sleep", "1000"]).ok().text();
    let running = listing(&lab, &export(&lab, &detached, "r.tar"));
    lab.coracle(["rm", "-f", "r"]).ok();
    assert!(without_root(&running) == without_root(&stopped), "{running} is not {stopped}");
}

#[test]
fn directories_of_the_host_are_exported_too() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sh", "-c", "echo x >/added; exec sleep 1000"]);
    crate::support::wait_until("it has written", || {
        listing(&lab, &export(&lab, &container.id, "o.tar")).lines().any(|line| line.ends_with(" added"))
    });
}

#[test]
fn a_terminal_gets_no_archive_and_a_missing_container_makes_no_file() {
    let lab = Lab::new();
    keep(&lab, "c", &[], "true");
    let mut terminal = Terminal::start(&lab, ["export", "c"]);
    terminal.expect("terminal");
    lab.coracle(["export", "-o", &lab.arg("none"), "nosuch"]).exited(125).says("nosuch");
    assert!(!lab.path("none").exists());
    lab.coracle(["export", "-o", "/no/such/directory/tar", "c"]).exited(125).says("/no/such/directory/tar");
}
