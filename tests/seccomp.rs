//! The built-in seccomp profile, on the kernel that runs the tests. No privilege is needed.
//!
//! A filter cannot be taken off again: each case is an ignored test of this binary, run by itself in a child process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use coracle::name::capability::CapabilitySet;
use coracle::seccomp::table::Arch;
use coracle::seccomp::{Filter, ForeignAbi, default_filter};
use coracle::sys::credentials::set_no_new_privileges;
use coracle::sys::seccomp::install;
use nix::errno::Errno;

fn run_alone(case: &str) -> Output {
    let program = std::env::current_exe().expect("our own path");
    let arguments = ["--exact", case, "--ignored", "--nocapture", "--test-threads=1"];
    Command::new(program).args(arguments).output().expect("the test binary runs")
}

fn passes_alone(case: &str) {
    let output = run_alone(case);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{:?}\n{text}", output.status);
}

fn filter() -> Filter {
    default_filter(CapabilitySet::EMPTY, Arch::NATIVE, ForeignAbi::Killed)
}

fn enter(filter: &Filter) {
    set_no_new_privileges().expect("always allowed");
    install(filter.instructions(), filter.flags).expect("the kernel takes the program");
}

/// A call with numbers for arguments, none of which is a pointer to anything.
fn call(number: libc::c_long, arguments: [u64; 4]) -> Result<i64, Errno> {
    let [a, b, c, d] = arguments;
    // SAFETY: no argument is an address of ours, so the kernel reads and writes nothing of this process; no test makes a
    // call that would succeed in unmapping, forking or execing.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d) })
}

const NOWHERE: u64 = 0;
const NO_FD: u64 = u32::MAX as u64;

#[test]
fn dangerous_calls_fail() {
    passes_alone("case_dangerous_calls_fail");
}

#[test]
#[ignore = "run in a process of its own"]
fn case_dangerous_calls_fail() {
    let families = [libc::AF_ALG, libc::AF_VSOCK, libc::AF_PACKET, libc::AF_KEY];
    let socket = |family: i32| call(libc::SYS_socket, [family as u64, libc::SOCK_RAW as u64, 0, 0]);
    let open_tree = || call(libc::SYS_open_tree, [NO_FD, NOWHERE, 0, 0]);
    let ring = || call(libc::SYS_io_uring_setup, [1, NOWHERE, 0, 0]);
    let keyring = || call(libc::SYS_keyctl, [0, -3_i64 as u64, 0, 0]);
    // Without the filter something else is said, so that what follows is the filter's doing.
    assert_ne!(open_tree(), Err(Errno::EPERM));
    assert_ne!(ring(), Err(Errno::ENOSYS));
    assert_ne!(socket(libc::AF_PACKET), Err(Errno::EAFNOSUPPORT));

    enter(&filter());
    for flags in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, 0x80] {
        assert_eq!(call(libc::SYS_unshare, [flags as u64, 0, 0, 0]), Err(Errno::EPERM), "{flags:#x}");
        let clone = call(libc::SYS_clone, [flags as u64 & !0xff | libc::CLONE_NEWUSER as u64, NOWHERE, 0, 0]);
        assert_eq!(clone, Err(Errno::EPERM), "{flags:#x}");
    }
    for number in [libc::SYS_mount, libc::SYS_fsopen, libc::SYS_umount2, libc::SYS_setns, libc::SYS_bpf] {
        assert_eq!(call(number, [NOWHERE; 4]), Err(Errno::EPERM), "{number}");
    }
    assert_eq!(open_tree(), Err(Errno::EPERM));
    assert_eq!(keyring(), Err(Errno::EPERM));
    assert_eq!(ring(), Err(Errno::ENOSYS));
    assert_eq!(call(libc::SYS_clone3, [NOWHERE; 4]), Err(Errno::ENOSYS));
    assert_eq!(call(10_000, [0; 4]), Err(Errno::ENOSYS));
    for family in families {
        assert_eq!(socket(family), Err(Errno::EAFNOSUPPORT), "{family}");
    }
    for command in [libc::TIOCSTI, libc::TIOCSTI | 1 << 32, libc::TIOCLINUX, libc::TIOCLINUX | 0xff << 32] {
        assert_eq!(call(libc::SYS_ioctl, [NO_FD, command, 0, 0]), Err(Errno::EPERM), "{command:#x}");
    }
}

#[test]
fn ordinary_calls_work() {
    passes_alone("case_ordinary_calls_work");
}

#[test]
#[ignore = "run in a process of its own"]
fn case_ordinary_calls_work() {
    enter(&filter());
    assert_eq!(call(libc::SYS_getpid, [0; 4]), Ok(i64::from(std::process::id())));
    assert_eq!(call(libc::SYS_ioctl, [NO_FD, libc::TIOCGWINSZ, 0, 0]), Err(Errno::EBADF));
    assert_eq!(std::thread::scope(|scope| scope.spawn(|| 7).join()).expect("a thread"), 7);
    let output = Command::new("sh").args(["-c", "(echo a; exit 0) | cat"]).output().expect("fork and exec");
    assert_eq!(output.stdout, b"a\n");
    std::net::TcpListener::bind("127.0.0.1:0").expect("an internet socket");
    std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let personality = call(libc::SYS_personality, [0xffff_ffff, 0, 0, 0]).expect("a question");
    assert_eq!(call(libc::SYS_personality, [0x0400_0000, 0, 0, 0]), Err(Errno::EPERM));
    assert_eq!(personality, 0);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_calls_kill_the_process() {
    let output = run_alone("case_x32_calls_kill_the_process");
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
#[ignore = "run in a process of its own, which it kills"]
fn case_x32_calls_kill_the_process() {
    enter(&filter());
    let _ = call(0x4000_0000 | libc::SYS_getpid, [0; 4]);
}
