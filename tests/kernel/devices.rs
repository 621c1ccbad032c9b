//! `--device`, CDI, `--gpus`, `--privileged`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Lab, coracle_path, image};

#[test]
fn devices_of_the_host() {
    let lab = Lab::new();
    let seen = lab.sh(
        &["--device", "/dev/fuse"],
        "test -c /dev/fuse && exec 3<>/dev/fuse && echo open; grep ' /dev/fuse ' /proc/self/mountinfo",
    );
    assert!(
        seen.starts_with("open\n") && seen.contains("nosuid") && seen.contains("noexec") && !seen.contains("nodev"),
        "{seen}"
    );
    assert_eq!(lab.sh(&["--device", "/dev/net/tun:/dev/net/tun:rwm"], "test -c /dev/net/tun && echo there"), "there");
    assert_eq!(lab.sh(&["--device", "/dev/zero:/dev/deep/nil"], "head -c 2 /dev/deep/nil | od -An -tx1"), " 00 00");
    assert_eq!(lab.sh(&["--device", "/dev/zero:/elsewhere"], "test -c /elsewhere && echo there"), "there");
    assert_eq!(lab.sh(&[], "ls /dev/fuse /dev/net 2>/dev/null; true"), "", "nothing is given unasked");
    // A link, and a directory.
    symlink("/dev/zero", lab.path("link")).unwrap();
    assert_eq!(lab.sh(&["--device", &format!("{}:/dev/z", lab.arg("link"))], "test -c /dev/z && echo there"), "there");
    assert_eq!(lab.sh(&["--device", "/dev/net"], "test -c /dev/net/tun && echo there"), "there");
    lab.coracle(["create", "--name", "c", "--device", "/dev/fuse:/dev/f", &image("busybox")]).ok();
    let report = lab.coracle(["inspect", "c"]).ok().json()[0].clone();
    let device = &report["HostConfig"]["Devices"][0];
    assert_eq!((&device["PathOnHost"], &device["PathInContainer"]), (&"/dev/fuse".into(), &"/dev/f".into()));
    assert_eq!(device["CgroupPermissions"], "rw");
}

#[test]
fn devices_that_cannot_be_given() {
    let lab = Lab::new();
    lab.write("file", "x");
    fs::create_dir(lab.path("empty")).unwrap();
    for (device, code, part) in [
        ("/dev/none".to_owned(), "E_NOTFOUND", "/dev/none"),
        (lab.arg("file"), "E_DEVICE", "no device"),
        (lab.arg("empty"), "E_DEVICE", "no device"),
        ("/dev/mem".into(), "E_PERMISSION", "/dev/mem"),
        ("/dev/zero:r".into(), "E_UNSUPPORTED", "root"),
        ("/dev/zero:x".into(), "E_CONFIG", "\"x\""),
        ("zero".into(), "E_CONFIG", "zero"),
        ("a.com/dev=one".into(), "E_NOTFOUND", "a.com/dev=one"),
    ] {
        if device == "/dev/mem" && !Path::new("/dev/mem").exists() {
            continue;
        }
        lab.busybox(&["--device", &device], &["touch", "/started"]).refused(125, code).says(part);
    }
    lab.busybox(&["--device-cgroup-rule", "c 1:3 rwm"], &["true"]).refused(125, "E_UNSUPPORTED").says("--device");
    lab.busybox(&["--gpus", "all"], &["true"]).refused(125, "E_NOTFOUND").says("nvidia.com/gpu=all");
    lab.busybox(&["--gpus", "many"], &["true"]).refused(125, "E_CONFIG").says("many");
}

/// `/dev` of an image leads nowhere, and nothing is made where it points to.
#[test]
fn a_link_in_place_of_dev_is_no_way_out() {
    let lab = Lab::new();
    lab.write("outside/x", "");
    let canary = crate::support::Canary::watch(lab.path("outside"));
    let tree = crate::hostile::tree(
        &lab,
        &format!("rm -rf dev; ln -s {} dev; ln -s {} out", lab.arg("outside"), lab.arg("outside")),
    );
    for device in ["/dev/zero:/dev/new", "/dev/zero:/out/new", "/dev/zero:/dev/../out/new"] {
        let output = crate::hostile::run(&lab, &tree, &["--device", device], &["true"]);
        assert!([0, 125].contains(&output.code), "{output:?}");
        canary.assert_unchanged();
    }
}

#[test]
fn specifications_of_devices() {
    let lab = Lab::new();
    lab.write("driver/lib.so", "library");
    let directory = lab.root().join("config/cdi");
    fs::create_dir_all(&directory).unwrap();
    let hook = lab.arg("told");
    let yaml = format!(
        "cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ncontainerEdits:\n  env: [SHARED=1]\n  mounts:\n  - hostPath: {}\n    \
         containerPath: /usr/lib/driver\n    options: [ro, nosuid, nodev, bind]\n  hooks:\n  - hookName: createContainer\n    \
         path: /bin/sh\n    args: [sh, -c, 'cat >{hook}']\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    - path: \
         /dev/nvidia0\n      hostPath: /dev/zero\n- name: all\n  containerEdits:\n    env: [ALL=yes]\n    deviceNodes:\n    - path: \
         /dev/nvidia0\n      hostPath: /dev/zero\n",
        lab.arg("driver")
    );
    fs::write(directory.join("nvidia.yaml"), yaml).unwrap();
    let script = "echo $SHARED $ALL; cat /usr/lib/driver/lib.so; test -c /dev/nvidia0 && echo device; touch /usr/lib/driver/x 2>/dev/null || echo ro";
    for flags in [["--gpus", "all"], ["--device", "nvidia.com/gpu=all"]] {
        assert_eq!(lab.sh(&flags, script), "1 yes\nlibrarydevice\nro", "{flags:?}");
    }
    let told: serde_json::Value = serde_json::from_str(&fs::read_to_string(lab.path("told")).unwrap()).unwrap();
    assert_eq!(told["status"], "created");
    assert_eq!(lab.sh(&["--gpus", "1"], "echo $SHARED $ALL; test -c /dev/nvidia0 && echo device"), "1\ndevice");
    // What the user says wins.
    assert_eq!(lab.sh(&["--gpus", "all", "-e", "ALL=mine"], "echo $ALL"), "mine");
    lab.busybox(&["--gpus", "device=7"], &["true"]).refused(125, "E_NOTFOUND").says("nvidia.com/gpu=all");
    fs::write(
        directory.join("other.json"),
        r#"{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[{"name":"all"}]}"#,
    )
    .unwrap();
    lab.busybox(&["--gpus", "all"], &["true"]).refused(125, "E_CONFIG").says("other.json");
}

#[test]
fn privileged_is_all_that_there_is() {
    let lab = Lab::new();
    let script = "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; test -c /dev/fuse && test -c /dev/net/tun && echo devices; \
                  mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted; unshare -r true && echo nested; grep -c ' /proc/' /proc/self/mountinfo; ls /dev/pts";
    let seen = lab.sh(&["--privileged"], script);
    let all = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse::<u32>().unwrap();
    assert!(seen.contains(&format!("CapEff:\t{:016x}", (1_u64 << (all + 1)) - 1)), "{seen}");
    assert!(seen.contains("Seccomp:\t0") && seen.contains("devices\nmounted\nnested\n0\nptmx"), "{seen}");
    // As far as other flags do not say otherwise.
    let seen = lab.sh(
        &["--privileged", "--cap-drop", "SYS_ADMIN"],
        "mkdir -p /mnt && mount -t tmpfs none /mnt 2>/dev/null || echo refused",
    );
    assert_eq!(seen, "refused");
    lab.coracle(["create", "--name", "c", "--privileged", &image("busybox")]).ok();
    assert_eq!(lab.coracle(["inspect", "--format", "{{.HostConfig.Privileged}}", "c"]).ok().text(), "true");
}

/// coracle in coracle in coracle: each in a container of the one before.
#[test]
fn privileged_containers_have_containers() {
    let lab = Lab::new();
    let own = format!("{}:/bin/coracle:ro", coracle_path().display());
    let image = image("busybox");
    let outer = ["run", "--rm", "--privileged", "--network", "host", "-v", &own];
    let inner = format!("coracle run --rm {image} sh -c 'echo two levels: $(id -u)'");
    let output = lab.coracle(outer.into_iter().chain([image.as_str(), "sh", "-c", &inner]));
    assert_eq!(output.ok().text(), "two levels: 0");
    let middle = format!(
        "coracle run --rm --privileged --network host -v /bin/coracle:/bin/coracle {image} \
         sh -c 'coracle run --rm {image} echo three levels; coracle run -d --name x {image} sleep 100 >/dev/null && \
         coracle exec x echo exec && coracle rm -f x'"
    );
    let output = lab.coracle(outer.into_iter().chain([image.as_str(), "sh", "-c", &middle]));
    assert_eq!(output.ok().text(), "three levels\nexec\nx");
    lab.assert_clean();
}
