//! `unshare`, and images mounted in it.

use crate::support::{Detached, Lab, image};

#[test]
fn the_command_is_root_of_our_files() {
    let lab = Lab::new();
    let own = format!("{} {}", nix::unistd::geteuid(), nix::unistd::getegid());
    let script = "id -u; id -g; echo $_CONTAINERS_USERNS_CONFIGURED; echo $_CONTAINERS_ROOTLESS_UID $_CONTAINERS_ROOTLESS_GID; \
        echo $CONTAINERS_GRAPHROOT; mount -t tmpfs none /mnt && echo mounted";
    let text = lab.coracle(["unshare", "sh", "-c", script]).ok().text();
    assert_eq!(text, format!("0\n0\ndone\n{own}\n{}\nmounted", lab.store().display()));
    // Nobody else has seen the mount.
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" /mnt "));
    lab.coracle(["unshare", "sh", "-c", "exit 7"]).exited(7);
    lab.coracle(["unshare", "/no/such/program"]).refused(127, "E_NOTFOUND");
    lab.coracle(["unshare", "/etc/passwd"]).exited(126);
    let shell =
        crate::support::output::run(lab.command(["unshare"]).env("SHELL", "/usr/bin/id"), &[], crate::support::LIMIT);
    assert!(shell.ok().text().starts_with("uid=0"), "{shell:?}");
}

#[test]
fn images_are_mounted_inside_and_not_outside() {
    let lab = Lab::new();
    let id = lab.pull("layers");
    lab.pull("busybox");
    let name = image("layers");
    for image in [&name, &image("busybox")] {
        lab.coracle(["image", "mount", image]).refused(125, "E_PERMISSION").says("coracle unshare");
    }
    assert_eq!(lab.coracle(["image", "mount"]).ok().text(), "");
    let script = r#"set -e
        path=$("$1" image mount "$2"); cat "$path/changed"; ls -A "$path/opaque"; [ ! -e "$path/gone" ]; [ ! -e "$path/etc/hosts" ]
        touch "$path/x" 2>&1 && exit 99
        [ "$("$1" image mount "$2")" = "$path" ]
        "$1" image mount | tr -s ' ' | sed "s|$path|PATH|"
        "$1" image mount --format json | grep -c mountpoint
        (cd "$path" && ! "$1" image unmount "$2" 2>&1)
        "$1" image unmount "$2"
        ! "$1" image unmount "$2" 2>&1
        cat "$("$1" image mount "$3")/etc/os-release"
        "$1" image mount --all >/dev/null; "$1" image mount | wc -l
        "$1" image unmount --all --force | wc -l; "$1" image mount | wc -l"#;
    let coracle = crate::support::coracle_path();
    let words = ["unshare", "sh", "-c", script, "sh", coracle.to_str().unwrap(), &name, &image("busybox")];
    let output = lab.coracle(words);
    let text = output.ok().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["second", "new"], "{text}");
    assert!(lines[2].contains("Read-only file system"), "{text}");
    assert_eq!(lines[3..5], [format!("{name} PATH").as_str(), "1"], "{text}");
    assert!(text.contains("[E_BUSY]") && text.contains(&id) && text.contains("is not mounted"), "{text}");
    assert!(text.ends_with("NAME=busybox\n2\n2\n0"), "{text}");
}

#[test]
fn containers_are_mounted_inside_and_written_to() {
    let lab = Lab::new();
    lab.pull("busybox");
    let busybox = image("busybox");
    lab.coracle(["create", "--name", "web", &busybox, "cat", "/etc/setting"]).ok();
    let up = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    lab.coracle(["mount", "web"]).refused(125, "E_PERMISSION").says("coracle unshare");
    lab.coracle(["mount", "nobody"]).refused(125, "E_NOTFOUND");
    assert_eq!(lab.coracle(["container", "mount"]).ok().text(), "");
    let script = r#"set -e
        path=$("$1" mount web); [ "$("$1" mount web)" = "$path" ]
        cat "$path/etc/os-release"; echo set >"$path/etc/setting"
        "$1" mount --format json | grep -c mountpoint
        (cd "$path" && ! "$1" unmount web 2>&1)
        "$1" umount web; ! "$1" container umount web 2>&1
        up=$("$1" mount -l); ls -d "$up/bin"; touch "$up/x" 2>&1 && exit 99
        "$1" mount --all >/dev/null; "$1" mount | wc -l; "$1" unmount -fa | wc -l; "$1" mount | wc -l"#;
    let coracle = crate::support::coracle_path();
    let output = lab.coracle(["unshare", "sh", "-c", script, "sh", coracle.to_str().unwrap()]);
    let text = output.ok().text();
    assert!(text.starts_with("NAME=busybox\n1\n") && text.contains("[E_BUSY]"), "{text}");
    assert!(text.contains("\nweb\n") && text.contains("web: it is not mounted"), "{text}");
    assert!(text.contains("Read-only file system"), "one that runs has its layer to itself: {text}");
    assert!(text.ends_with("\n2\n2\n0"), "{text}");
    drop(up);
    assert_eq!(lab.coracle(["start", "-a", "web"]).ok().text(), "set", "what was written is in the container");
    assert!(lab.coracle(["diff", "-l"]).ok().text().contains("/etc/setting"));
    let events = lab.coracle(["events", "--no-stream", "--filter", "event=mount", "--format", "{{.Name}}"]).ok().text();
    assert!(events.contains("web"), "{events}");
    lab.coracle(["container", "cleanup", "web"]).ok();
    lab.coracle(["container", "cleanup", "--rm", "web"]).refused(125, "E_CONFIG");
}

/// Whoever unpacks: the layers are the same.
#[test]
fn what_is_pulled_inside_is_what_is_pulled_outside() {
    let (outside, inside) = (Lab::new(), Lab::new());
    outside.pull("debian");
    let coracle = crate::support::coracle_path();
    let name = image("debian");
    inside.coracle(["unshare", coracle.to_str().unwrap(), "pull", "-q", &name]).ok();
    let listing = |lab: &Lab| {
        let script = "find . -path './*/tree*' -printf '%P %y %m %s %l\n' | sort; cat */manifest.json; \
            find . -type f -exec getfattr -d -m user {} + 2>/dev/null | sort | sha256sum";
        let mut command = lab.program("/bin/sh");
        let command = command.args(["-c", script]).current_dir(lab.store().join("layers"));
        crate::support::output::run(command, &[], crate::support::LIMIT).ok().text()
    };
    assert_eq!(listing(&outside), listing(&inside));
    inside.coracle(["system", "check"]).ok();
    assert_eq!(inside.run_image("debian", &[], &["echo", "ran"]).ok().text(), "ran");
}
