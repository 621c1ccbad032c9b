//! What is wrong with a value is said with the flag, the part that is wrong, and an example of what is right; nothing is made.

use crate::support::Lab;

/// Flag and value, and the part of it that is to be named.
const WRONG: &[(&str, &str, &str)] = &[
    ("--volume", "/tmp:x", "\"x\""),
    ("--volume", "", "\"\""),
    ("--volume", "/tmp:/x:bad", "\"bad\""),
    ("--volume", "/tmp:/x:ro,rw", "\"rw\""),
    ("--volume", "/tmp:/", "\"/\""),
    ("--volume", "/tmp:/x:z,Z", "\"Z\""),
    ("--volume", "/tmp:/x:idmap", "\"idmap\""),
    ("--volume", "na/me:/x", "\"na/me\""),
    ("--mount", "type=nope,dst=/x", "\"nope\""),
    ("--mount", "type=bind,src=/tmp", "dst=PATH"),
    ("--mount", "type=bind,src=/tmp,dst=x", "\"x\""),
    ("--mount", "type=bind,src=/tmp,dst=/x,foo=1", "\"foo=1\""),
    ("--mount", "type=tmpfs,dst=/x,src=/y", "\"src=/y\""),
    ("--mount", "type=tmpfs,dst=/x,tmpfs-size=z", "\"z\""),
    ("--mount", "type=tmpfs,dst=/x,tmpfs-mode=999", "\"999\""),
    ("--mount", "type=ramfs,dst=/x,size=1m", "\"size=1m\""),
    ("--mount", "type=glob,src=/no/such*,dst=/x", "\"/no/such*\""),
    ("--tmpfs", "x", "\"x\""),
    ("--tmpfs", "/x:mode=999", "\"999\""),
    ("--tmpfs", "/x:foo", "\"foo\""),
    ("--volumes-from", "x:bad", "\"x:bad\""),
    ("--image-volume", "foo", "\"foo\""),
    ("--memory", "z", "\"z\""),
    ("--memory", "1k", "\"1k\""),
    ("--memory-swappiness", "200", "\"200\""),
    ("--cpus", "9999", "\"9999\""),
    ("--cpu-shares", "1", "\"1\""),
    ("--cpu-quota", "1", "\"1\""),
    ("--cpu-period", "1", "\"1\""),
    ("--cpuset-cpus", "x", "\"x\""),
    ("--pids-limit", "x", "\"x\""),
    ("--blkio-weight", "5", "\"5\""),
    ("--device-read-bps", "x", "\"x\""),
    ("--oom-score-adj", "2000", "\"2000\""),
    ("--ulimit", "nofile", "\"nofile\""),
    ("--ulimit", "foo=1", "\"foo\""),
    ("--shm-size", "z", "\"z\""),
    ("--cgroup-parent", "../x", "\"../x\""),
    ("--cgroup-conf", "x", "\"x\""),
    ("--device", "", "\"\""),
    ("--device", "/dev/null:x", "\"x\""),
    ("--device", "/no/such", "/no/such"),
    ("--gpus", "x", "\"x\""),
    ("--user", "a:b:c", "\"b:c\""),
    ("--userns", "keep-id:foo=1", "foo=1"),
    ("--umask", "999", "\"999\""),
    ("--sysctl", "x", "\"x\""),
    ("--tz", "../x", "\"../x\""),
    ("--secret", "x,mode=999", "\"999\""),
    ("--security-opt", "foo", "\"foo\""),
    ("--security-opt", "unmask=x", "\"x\""),
    ("--security-opt", "no-new-privileges=foo", "\"foo\""),
    ("--security-opt", "seccomp=/no/such", "/no/such"),
    ("--security-opt", "seccomp=/etc/passwd", "/etc/passwd"),
    ("--hooks-dir", "/no/such", "/no/such"),
    ("--annotation", "x", "\"x\""),
    ("--env-merge", "x", "\"x\""),
    ("--cap-add", "foo", "\"foo\""),
    ("--ipc", "container:", "\"container:\""),
    ("--pid", "ns:x", "\"ns:x\""),
];

#[test]
fn what_is_wrong_is_named_with_an_example() {
    let lab = Lab::new();
    for (flag, value, part) in WRONG {
        let said = lab.busybox(&[flag, value], &["true"]);
        assert_eq!(said.code, 125, "{flag} {value}: {said:?}");
        let errors = said.errors();
        assert!(errors.contains(part), "{flag} {value} does not name {part}: {errors}");
        let examples = [
            "for example",
            "like ",
            "expected ",
            "try ",
            "leave it out",
            "there is",
            "is not bind",
            "anonymous, bind",
            "at least 6m",
            "-1 for no limit",
        ];
        assert!(examples.iter().any(|word| errors.contains(word)), "{flag} {value} shows no example: {errors}");
    }
    lab.assert_clean();
}

#[test]
fn what_cannot_be_had_is_said_before_anything_is_made() {
    let lab = Lab::new();
    lab.write("dir/file", "");
    std::os::unix::fs::symlink("/", lab.path("dir/out")).unwrap();
    lab.coracle(["volume", "create", "data"]).ok();
    lab.coracle([
        "create",
        "--name=user",
        "-v",
        "data:/d",
        "--rootfs",
        crate::support::busybox_tree().to_str().unwrap(),
        "true",
    ])
    .ok();
    let below = format!(
        "type=volume,src=linked,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={},subpath=out/etc",
        lab.arg("dir")
    );
    for (flags, code, word) in [
        (&["-v", "/no/such:/x"][..], "E_NOTFOUND", "/no/such"),
        (&["--mount", &below], "E_PATH_ESCAPE", "out/etc"),
        (&["--device", "/etc/passwd"], "E_DEVICE", "/etc/passwd"),
        (&["--device", "/dev/null:/proc/x"], "E_MOUNT_TARGET", "/proc/x"),
        (&["--sysctl", "kernel.panic=1"], "E_CONFIG", "kernel.panic"),
        (&["--sysctl", "net.no.such=1"], "E_SYSCTL_DENIED", "no/such"),
        (&["--volumes-from", "nobody"], "E_NOTFOUND", "nobody"),
        (&["--secret", "nobody"], "E_NOTFOUND", "nobody"),
    ] {
        lab.busybox(flags, &["touch", "/started"]).refused(125, code).says(word);
    }
    let used = lab.coracle(["volume", "rm", "data"]);
    used.exited(2).says("user");
    assert_eq!(lab.containers().len(), 1);
}
