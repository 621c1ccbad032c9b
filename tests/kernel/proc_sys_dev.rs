//! `/proc`, `/sys` and `/dev`: what is masked, what is read-only, what is there at all.

use crate::support::Lab;

const MASKED: &str = "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
    /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware \
    /sys/fs/selinux /proc/key-users /proc/kallsyms /proc/kmsg /proc/sysrq-trigger /proc/slabinfo /proc/vmallocinfo \
    /proc/pagetypeinfo /sys/kernel/debug /sys/kernel/tracing /sys/kernel/security /sys/fs/bpf /sys/devices/virtual/dmi";

/// Mount options of the mount at `point`, as mountinfo has them: per mount, then per superblock.
fn options(mountinfo: &str, point: &str) -> Option<(Vec<String>, String)> {
    let fields: Vec<&str> =
        mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>()).rfind(|f| f[4] == point)?;
    Some((fields[5].split(',').map(str::to_owned).collect(), fields[fields.len() - 1].to_owned()))
}

fn has(mountinfo: &str, point: &str, wanted: &[&str]) {
    let (options, _) = options(mountinfo, point).unwrap_or_else(|| panic!("{point} is no mount:\n{mountinfo}"));
    for option in wanted {
        assert!(options.iter().any(|o| o == option), "{point} is not {option}: {options:?}");
    }
}

#[test]
fn masked_paths_are_empty() {
    let script = format!(
        "for p in {MASKED} /sys/devices/system/cpu/cpu*/thermal_throttle; do
            if [ -d $p ]; then echo \"$p: $(ls -A $p | wc -l) entries\"; elif [ -e $p ]; then echo \"$p: $(head -c 1 $p | wc -c) bytes\"; fi
        done"
    );
    let text = Lab::new().sh(&[], &script);
    assert!(text.lines().all(|line| line.ends_with(": 0 entries") || line.ends_with(": 0 bytes")), "{text}");
    // What every kernel here has must be among them, or nothing was tested.
    for path in ["/proc/interrupts", "/proc/keys", "/proc/kallsyms", "/proc/timer_list", "/sys/firmware"] {
        let exists = std::path::Path::new(path).exists();
        assert_eq!(text.contains(&format!("{path}:")), exists, "{path}:\n{text}");
    }
}

#[test]
fn masks_cannot_be_written() {
    let lab = Lab::new();
    for path in MASKED.split_whitespace() {
        let script = format!("if [ -d {path} ]; then touch {path}/x 2>/dev/null && echo written; fi; true");
        assert_eq!(lab.sh(&[], &script), "", "{path}");
    }
}

#[test]
fn a_masked_file_is_the_null_device() {
    assert_eq!(Lab::new().sh(&[], "stat -c %t:%T /proc/interrupts"), "1:3");
}

#[test]
fn kernel_settings_are_read_only() {
    let lab = Lab::new();
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] {
        if !std::path::Path::new(path).exists() {
            continue;
        }
        let mountinfo = lab.sh(&[], "cat /proc/self/mountinfo");
        has(&mountinfo, path, &["ro", "nosuid", "nodev", "noexec"]);
    }
    // Root of the user namespace may write this one, but for the read-only mount.
    let text = lab.sh(&[], "echo x 2>&1 >/proc/sys/kernel/hostname; true");
    assert!(text.contains("Read-only file system"), "{text}");
}

#[test]
fn proc_and_sys_have_their_options() {
    let mountinfo = Lab::new().sh(&[], "cat /proc/self/mountinfo");
    has(&mountinfo, "/proc", &["nosuid", "nodev", "noexec", "rw"]);
    has(&mountinfo, "/sys", &["nosuid", "nodev", "noexec", "ro"]);
    assert_eq!(Lab::new().sh(&[], "mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused"), "refused");
}

#[test]
fn unmask_and_mask_change_what_is_hidden() {
    let lab = Lab::new();
    let count = "head -c 1 /proc/interrupts | wc -c";
    assert_eq!(lab.sh(&["--security-opt", "unmask=ALL"], count), "1");
    assert_eq!(lab.sh(&["--security-opt", "unmask=/proc/interrupts"], count), "1");
    assert_eq!(lab.sh(&["--security-opt", "unmask=/proc/inter*"], count), "1");
    assert_eq!(lab.sh(&["--security-opt", "unmask=/proc/keys"], count), "0");
    assert_eq!(lab.sh(&["--security-opt", "mask=/etc/os-release:/home"], "cat /etc/os-release; ls -A /home"), "");
}

#[test]
fn dev_has_what_it_should_and_nothing_else() {
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(Lab::new().sh(&[], "echo $(ls -A /dev | sort)"), expected);
    assert_eq!(Lab::new().sh(&["-t"], "echo $(ls -A /dev | sort)").trim_end(), expected.replace("fd ", "console fd "));
}

#[test]
fn devices_are_the_real_ones() {
    let text = Lab::new().sh(&[], "cd /dev; stat -c '%n %F %t:%T' null zero full random urandom tty");
    let expected =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let expected: Vec<String> =
        expected.iter().map(|(name, number)| format!("{name} character special file {number}")).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let lab = Lab::new();
    assert_eq!(lab.sh(&[], "echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c"), "3\n3");
    let full = lab.sh(&[], "echo x 2>&1 >/dev/full; true");
    assert!(full.contains("No space left"), "{full}");
}

#[test]
fn dev_is_a_small_file_system_of_its_own() {
    let mountinfo = Lab::new().sh(&[], "cat /proc/self/mountinfo");
    has(&mountinfo, "/dev", &["nosuid", "noexec"]);
    for point in ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/pts"] {
        has(&mountinfo, point, &["nosuid", "noexec"]);
    }
    for point in ["/dev/shm", "/dev/mqueue"] {
        has(&mountinfo, point, &["nosuid", "nodev", "noexec"]);
    }
    let (_, shm) = options(&mountinfo, "/dev/shm").unwrap();
    assert!(shm.contains("size=65536k"), "{shm}");
    assert_eq!(
        Lab::new().sh(&[], "stat -c %a /dev/shm; cd /dev; for l in fd stdin ptmx; do readlink $l; done"),
        "1777\n/proc/self/fd\n/proc/self/fd/0\npts/ptmx"
    );
}

#[test]
fn terminals_of_the_host_are_not_seen() {
    assert_eq!(Lab::new().sh(&[], "ls /dev/pts"), "ptmx");
}

/// CVE-2026-41579: mknod does not make a device either.
#[test]
fn no_device_can_be_made() {
    let lab = Lab::new();
    let script = "mknod /tmp/x c 1 3 2>/dev/null || echo refused; ls /dev/fuse /dev/kvm /dev/net 2>/dev/null; true";
    assert_eq!(lab.sh(&["--cap-add", "MKNOD"], script), "refused");
}

#[test]
fn no_mount_names_a_path_of_the_host() {
    let lab = Lab::new();
    for file in ["/proc/self/mountinfo", "/proc/mounts", "/proc/self/mountstats"] {
        let text = lab.sh(&[], &format!("cat {file}"));
        for secret in [lab.root().to_str().unwrap(), "coracle", "/var/tmp", "/home", "rootfs/"] {
            assert!(!text.contains(secret), "{secret} in {file}:\n{text}");
        }
    }
    lab.pull("busybox");
    let text = lab.run_image("busybox", &[], &["cat", "/proc/self/mountinfo"]).ok().text();
    assert!(!text.contains(lab.root().to_str().unwrap()) && !text.contains("coracle"), "{text}");
}

#[test]
fn no_mount_propagates_to_or_from_the_host() {
    let mountinfo = Lab::new().sh(&[], "cat /proc/self/mountinfo");
    assert!(!mountinfo.contains("shared:") && !mountinfo.contains("master:"), "{mountinfo}");
}
