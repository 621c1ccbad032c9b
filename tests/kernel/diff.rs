//! What has changed in a container's files.

use crate::support::{Detached, Lab, busybox_arguments, image};

/// `run --name NAME FLAGS` of the image busybox, kept.
pub fn keep(lab: &Lab, name: &str, flags: &[&str], script: &str) {
    let image = image("busybox");
    let mut arguments = vec!["run", "--name", name];
    arguments.extend(flags);
    arguments.extend([image.as_str(), "sh", "-c", script]);
    lab.coracle(&arguments).ok();
}

#[test]
fn added_changed_and_deleted_files_are_told() {
    let lab = Lab::new();
    let script = "rm /bin/yes; echo x >>/etc/passwd; mkdir -p /new/deep; : >/new/deep/file; chmod 700 /root 2>/dev/null; \
                  rm -r /etc/os-release; ln -s x /new/link; mkfifo /new/pipe; rm -r /tmp; mkdir -m 1777 /tmp; touch -d @0 /tmp";
    keep(&lab, "c", &[], script);
    let expected = [
        "C /bin",
        "D /bin/yes",
        "C /etc",
        "D /etc/os-release",
        "C /etc/passwd",
        "A /new",
        "A /new/deep",
        "A /new/deep/file",
        "A /new/link",
        "A /new/pipe",
    ];
    let text = lab.coracle(["diff", "c"]).ok().text();
    let lines: Vec<&str> = text.lines().filter(|line| !line.ends_with(" /tmp") && !line.ends_with(" /root")).collect();
    assert_eq!(lines, expected, "{text}");
    assert_eq!(lab.coracle(["container", "diff", "c"]).ok().text(), text);
    let json = lab.coracle(["diff", "--format", "json", "c"]).ok().json();
    assert_eq!(json["deleted"], serde_json::json!(["/bin/yes", "/etc/os-release"]));
    assert!(json["added"].as_array().unwrap().contains(&"/new/deep/file".into()), "{json}");
    assert!(json["changed"].as_array().unwrap().contains(&"/etc/passwd".into()), "{json}");
}

#[test]
fn of_a_directory_made_anew_what_was_in_it_is_deleted() {
    let lab = Lab::new();
    keep(&lab, "c", &[], "rm -r /etc; mkdir /etc; echo x >/etc/new; echo y >/etc/passwd");
    let text = lab.coracle(["diff", "c"]).ok().text();
    for line in ["C /etc", "A /etc/new", "C /etc/passwd", "D /etc/os-release"] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    assert!(!text.contains("hosts"), "{text}");
}

#[test]
fn what_is_only_mounted_on_is_no_change() {
    let lab = Lab::new();
    let host = lab.arg("host");
    std::fs::create_dir(&host).unwrap();
    let volume = format!("{host}:/made/for/it");
    keep(
        &lab,
        "c",
        &["-v", &volume, "--tmpfs", "/etc/in", "--tmpfs", "/memory"],
        "echo x >/memory/x; echo y >/made/for/it/y",
    );
    assert_eq!(lab.coracle(["diff", "c"]).ok().text(), "");
    assert_eq!(lab.coracle(["diff", "--format", "json", "c"]).ok().text(), "{}");
    keep(&lab, "beside", &["-v", &volume], "echo x >/made/mine");
    assert_eq!(lab.coracle(["diff", "beside"]).ok().text(), "A /made\nA /made/mine");
}

#[test]
fn a_running_container_can_be_looked_at() {
    let lab = Lab::new();
    let container = Detached::start(
        &lab,
        &[],
        &["sh", "-c", "mkdir -m 0 /closed; echo x >/closed/x; rm /bin/yes; echo ready; sleep 1000"],
    );
    crate::support::wait_until("it has written", || {
        lab.coracle(["diff", &container.id]).ok().text() == "C /bin\nD /bin/yes\nA /closed\nA /closed/x"
    });
}

#[test]
fn images_and_containers_are_compared_with_each_other() {
    let lab = Lab::new();
    keep(&lab, "c", &[], "echo more >>/etc/passwd; rm /bin/yes; mkdir /d; : >/d/e");
    let image = image("busybox");
    let forwards = lab.coracle(["diff", "c", &image]).ok().text();
    assert_eq!(forwards, "C /bin\nD /bin/yes\nA /d\nA /d/e\nC /etc\nC /etc/passwd");
    let backwards = lab.coracle(["diff", &image, "c"]).ok().text();
    assert_eq!(backwards, "C /bin\nA /bin/yes\nD /d\nC /etc\nC /etc/passwd");
    assert_eq!(lab.coracle(["diff", &image, &image]).ok().text(), "");
    let layer = lab.coracle(["diff", &image]).ok().text();
    assert!(layer.lines().any(|line| line == "A /bin/busybox"), "{layer}");
    let last = crate::support::image("layers");
    lab.pull("layers");
    let layer = lab.coracle(["image", "diff", &last]).ok().text();
    assert!(!layer.is_empty() && !layer.contains("/bin/busybox"), "{layer}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let lab = Lab::new();
    lab.coracle(["diff", "nosuch"]).exited(125).says("nosuch");
    let directory = lab.path("root");
    std::process::Command::new("cp").arg("-a").arg(crate::support::busybox_tree()).arg(&directory).output().unwrap();
    lab.coracle(["run", "--name", "d", "--rootfs", directory.to_str().unwrap(), "true"]).ok();
    lab.coracle(["diff", "d"]).exited(125).says("directory");
    keep_of_tree(&lab);
    assert!(lab.coracle(["diff", "o", "d"]).ok().text().starts_with("A /added"));
    lab.coracle(["diff", "--format", "{{.}}", "o"]).exited(125).says("json");
}

fn keep_of_tree(lab: &Lab) {
    let mut arguments = busybox_arguments(&["--name", "o"], &["sh", "-c", ": >/added"]);
    arguments.remove(1);
    lab.coracle(arguments).ok();
    assert_eq!(lab.coracle(["diff", "o"]).ok().text(), "A /added");
}
