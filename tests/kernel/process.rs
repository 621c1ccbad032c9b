//! What the payload inherits: capabilities, descriptors, limits, signals, keys — each fact read from inside.

use std::collections::BTreeMap;

use crate::support::{LIMIT, Lab, busybox_arguments, coracle_path, output};

/// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP: podman's default.
const DEFAULT_CAPABILITIES: u64 = 0x8004_05fb;

fn status(flags: &[&str]) -> BTreeMap<String, String> {
    let text = Lab::new().sh(flags, "cat /proc/self/status");
    text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

fn sets(flags: &[&str]) -> [u64; 5] {
    let status = status(flags);
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| u64::from_str_radix(&status[name], 16).unwrap())
}

#[test]
fn a_root_payload_has_podmans_default_capabilities() {
    let all = DEFAULT_CAPABILITIES;
    assert_eq!(sets(&[]), [0, all, all, all, 0]);
}

#[test]
fn another_user_has_none_but_the_bounding_set() {
    assert_eq!(sets(&["-u", "1000"]), [0, 0, 0, DEFAULT_CAPABILITIES, 0]);
}

#[test]
fn another_user_gets_what_is_added_by_name() {
    let [inheritable, permitted, effective, bounding, ambient] = sets(&["-u", "1000", "--cap-add", "NET_RAW"]);
    assert_eq!([inheritable, permitted, effective, ambient], [1 << 13; 4]);
    assert_eq!(bounding, DEFAULT_CAPABILITIES | 1 << 13);
}

#[test]
fn capabilities_are_added_and_dropped() {
    let with = |all: u64| [0, all, all, all, 0];
    assert_eq!(sets(&["--cap-drop", "ALL"]), with(0));
    assert_eq!(sets(&["--cap-drop", "all", "--cap-add", "CHOWN"]), with(1));
    assert_eq!(sets(&["--cap-drop", "CAP_CHOWN"]), with(DEFAULT_CAPABILITIES & !1));
    assert_eq!(sets(&["--cap-add", "net_raw"]), with(DEFAULT_CAPABILITIES | 1 << 13));
    assert_eq!(sets(&["--cap-add", "NET_RAW,SYS_PTRACE"]), with(DEFAULT_CAPABILITIES | 1 << 13 | 1 << 19));
    let [_, _, _, everything, _] = sets(&["--cap-add", "ALL"]);
    assert_eq!(everything & DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES);
    assert_eq!(everything & 1 << 21, 1 << 21, "no SYS_ADMIN in {everything:x}");
}

/// CVE-2022-24769 and its kin. Who adds a capability for another user by name wants that user to have it.
#[test]
fn nothing_is_inheritable_unless_asked_for() {
    for flags in [&["--cap-add", "ALL"][..], &["-u", "1000"], &["-u", "1000", "--cap-drop", "ALL"], &["--init"]] {
        let [inheritable, .., ambient] = sets(flags);
        assert_eq!((inheritable, ambient), (0, 0), "{flags:?}");
    }
}

#[test]
fn no_new_privileges_follows_its_policy() {
    assert_eq!(status(&[])["NoNewPrivs"], "0");
    assert_eq!(status(&["--security-opt", "no-new-privileges"])["NoNewPrivs"], "1");
    assert_eq!(status(&["--security-opt", "no-new-privileges=true"])["NoNewPrivs"], "1");
    assert_eq!(status(&["--security-opt", "no-new-privileges:true"])["NoNewPrivs"], "1");
    assert_eq!(status(&["--cap-drop", "ALL"])["NoNewPrivs"], "1");
}

#[test]
fn exactly_three_descriptors_are_open() {
    assert_eq!(
        Lab::new().sh(&[], "probe fds").lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
    // Not even those that the caller leaks.
    for flags in [&["-i"][..], &["-i", "--init"]] {
        let lab = Lab::new();
        let mut shell = lab.program("/bin/sh");
        let script = r#"exec 5</etc/passwd 7>/dev/null 9</; coracle=$1; shift; exec "$coracle" "$@""#;
        shell.args(["-c", script, "sh"]).arg(coracle_path()).args(busybox_arguments(flags, &["probe", "fds"]));
        let output = output::run(&mut shell, b"x", LIMIT);
        assert_eq!(output.ok().text().lines().count(), 3, "{output:?}");
    }
}

#[test]
fn limits_are_set() {
    let limits = Lab::new().sh(&[], "cat /proc/self/limits");
    let find = |name: &str| -> Vec<String> {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {limits}"));
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect()
    };
    assert_eq!(find("Max core file size"), ["0", "0"]);
    let files = find("Max open files");
    let hard: u64 = files[1].parse().unwrap();
    assert_eq!(files[0], 1024.min(hard).to_string());
    assert!(hard <= 524_288, "{hard}");
    let locked: u64 = find("Max locked memory")[1].parse().unwrap();
    assert!(locked <= 8 << 20, "{locked}");
}

#[test]
fn umask_signals_and_personality_are_the_kernels_defaults() {
    let lab = Lab::new();
    let mut shell = lab.program("/bin/sh");
    let script =
        r#"umask 077; trap '' HUP INT QUIT PIPE USR1 TSTP; coracle=$1; shift; exec setarch -R "$coracle" "$@""#;
    shell.args(["-c", script, "sh"]).arg(coracle_path());
    let inside = "grep Umask /proc/self/status; exec probe dispositions";
    shell.args(busybox_arguments(&[], &["/bin/sh", "-c", inside]));
    let output = output::run(&mut shell, &[], LIMIT);
    assert_eq!(output.ok().text(), "Umask:\t0022\nignored\nblocked\npersonality 0");
}

#[test]
fn the_session_keyring_is_a_new_one() {
    let lab = Lab::new();
    let inside = |flags: &[&str], command: &[&str]| {
        let mut keyctl = lab.program("/usr/bin/keyctl");
        let script = r#"keyctl add user coracle-test-key secret @s >/dev/null && exec "$@""#;
        keyctl.args(["session", "-", "/bin/sh", "-c", script, "sh"]);
        match command {
            [] => keyctl.arg(crate::support::fixture("probe")).args(flags),
            _ => keyctl.arg(coracle_path()).args(busybox_arguments(flags, command)),
        };
        output::run(&mut keyctl, &[], LIMIT).ok().text()
    };
    // The probe finds the key where it is: on the host.
    let host = inside(&["keyring", "coracle-test-key"], &[]);
    assert!(host.contains("key FOUND"), "{host}");
    let container = inside(&["--security-opt", "seccomp=unconfined"], &["probe", "keyring", "coracle-test-key"]);
    assert!(!container.contains("FOUND"), "{container}");
}

#[test]
fn the_payload_is_process_1_in_a_session_of_its_own() {
    assert_eq!(Lab::new().sh(&[], "echo $$; ls /proc | grep -c '^[0-9]'"), "1\n3");
    let session = Lab::new().sh(&[], "cut -d' ' -f6 /proc/self/stat");
    assert_ne!(session, "0", "the session is one outside of the container");
}

/// CVE-2019-5736: our own program cannot be opened for writing from inside.
#[test]
fn our_program_cannot_be_written_from_inside() {
    for flags in [&[][..], &["--init"]] {
        let text = Lab::new().sh(flags, "probe exe");
        assert!(!text.contains("/target/") && !text.contains(coracle_path().to_str().unwrap()), "{text}");
        let lab = Lab::new();
        let before = std::fs::metadata(coracle_path()).unwrap().modified().unwrap();
        lab.busybox(flags, &["/proc/self/exe"]);
        assert_eq!(std::fs::metadata(coracle_path()).unwrap().modified().unwrap(), before);
    }
    let text = Lab::new().sh(&["--init"], "probe exe | tail -n 1");
    // Its own program is the busybox of a throw-away overlay, and busy.
    assert!(text.ends_with("opened 0"), "{text}");
}

#[test]
fn the_out_of_memory_killer_takes_the_payload_before_us() {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let inside: i32 = Lab::new().sh(&[], "cat /proc/self/oom_score_adj").parse().unwrap();
    assert!(inside >= own, "{inside} < {own}");
}
