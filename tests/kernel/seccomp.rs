//! The system call filter, asked call by call from inside.

use std::collections::BTreeMap;

use crate::support::Lab;

fn answers(flags: &[&str]) -> BTreeMap<String, String> {
    let text = Lab::new().sh(flags, "probe syscalls");
    text.lines().map(|line| line.split_once(' ').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn a_filter_is_on() {
    let text = Lab::new().sh(&[], "grep -E '^Seccomp' /proc/self/status");
    assert!(text.starts_with("Seccomp:\t2"), "{text}");
    let text = Lab::new().sh(&["--security-opt", "seccomp=unconfined"], "grep -E '^Seccomp:' /proc/self/status");
    assert_eq!(text, "Seccomp:\t0");
}

#[test]
fn dangerous_calls_are_refused() {
    let denied = "mount umount2 pivot_root setns unshare_newuser unshare_newns unshare_newtime clone_newuser fsopen fsmount \
        fsconfig fspick open_tree move_mount mount_setattr keyctl add_key request_key bpf perf_event_open userfaultfd \
        kexec_load init_module delete_module acct swapon swapoff quotactl open_by_handle_at kcmp pidfd_getfd move_pages \
        migrate_pages iopl ioperm reboot settimeofday clock_settime sethostname setdomainname vhangup fanotify_init \
        syslog personality_odd";
    let answers = answers(&[]);
    for name in denied.split_whitespace() {
        assert_eq!(answers[name], "EPERM", "{name}");
    }
}

#[test]
fn calls_that_libraries_replace_do_not_exist() {
    let answers = answers(&[]);
    for name in ["clone3", "io_uring_setup", "unknown_9999"] {
        assert_eq!(answers[name], "ENOSYS", "{name}");
    }
}

#[test]
fn ordinary_calls_are_allowed() {
    let answers = answers(&[]);
    for name in ["getpid", "get_mempolicy", "personality_query"] {
        assert_eq!(answers[name], "ok", "{name}");
    }
    assert_eq!(answers["ptrace_bad"], "ESRCH");
}

/// The probe itself can tell: without a filter the kernel answers.
#[test]
fn without_the_filter_the_kernel_answers() {
    let answers = answers(&["--security-opt", "seccomp=unconfined"]);
    assert_eq!(answers["unshare_newuser"], "ok");
    assert_eq!(answers["open_by_handle_at"], "EFAULT");
    assert_ne!(answers["clone3"], "ENOSYS");
}

#[test]
fn capabilities_do_not_open_the_mount_family() {
    assert_eq!(answers(&["--cap-add", "NET_RAW"])["mount"], "EPERM");
}

#[test]
fn socket_families_are_an_allow_list() {
    let lab = Lab::new();
    let socket = |what: &str| lab.sh(&[], &format!("probe socket {what}"));
    for allowed in ["1 1 0", "2 1 0", "10 2 0", "16 3 0"] {
        assert_eq!(socket(allowed), "ok", "{allowed}");
    }
    for denied in ["38 5 0", "40 1 0", "31 3 0", "29 3 1"] {
        assert_eq!(socket(denied), "EAFNOSUPPORT", "{denied}");
    }
    assert_eq!(socket("16 3 9"), "EINVAL", "netlink audit");
    assert_eq!(lab.sh(&["--cap-add", "NET_RAW"], "probe socket 17 3 0"), "ok", "packet");
}

#[test]
fn a_profile_of_the_user_is_loaded() {
    let lab = Lab::new();
    let profile = lab.write(
        "profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#,
    );
    let flag = format!("seccomp={}", profile.display());
    assert_eq!(
        lab.sh(&["--security-opt", &flag], "mkdir /tmp/x 2>&1; true"),
        "mkdir: can't create directory '/tmp/x': No space left on device"
    );
}

#[test]
fn a_broken_profile_is_refused() {
    let lab = Lab::new();
    for (name, text) in [
        ("junk", "{"),
        ("action", r#"{"defaultAction": "SCMP_ACT_NOSUCH"}"#),
        (
            "call",
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["nosuchcall"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#,
        ),
    ] {
        let flag = format!("seccomp={}", lab.write(name, text).display());
        lab.busybox(&["--security-opt", &flag], &["true"]).refused(125, "E_SECCOMP");
    }
    lab.busybox(&["--security-opt", "seccomp=/no/such/file"], &["true"]).exited(125).says("/no/such/file");
}
