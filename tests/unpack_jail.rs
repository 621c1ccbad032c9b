//! What the process that unpacks layers can see and do.

#![allow(clippy::unwrap_used, reason = "what these helpers cannot do fails the test")]

#[path = "support/sandbox.rs"]
mod support;

use std::io::Write;
use std::path::PathBuf;

#[cfg(target_arch = "x86_64")]
use coracle::failure::{Explain, Failure};
use coracle::oci::digest::Digest;
use coracle::state::schema::layer::LayerManifest;
#[cfg(target_arch = "x86_64")]
use coracle::store::StoreError;
use coracle::store::layers::LayerIngest;
use support::{Header, Sandbox, Tar};

/// A layer of `sandbox` being unpacked, by a process that is shut in and waits for more, and that process's /proc directory.
fn jail(sandbox: &Sandbox) -> (LayerIngest<'_>, PathBuf) {
    let mut ingest = sandbox.store.layers().ingest(&Digest::of(b"")).unwrap();
    let header = Header { size: 4 << 20, ..Header::new(b'0', "file") };
    ingest.write_all(&header.block()).unwrap();
    // More than the pipe holds: once it is written, the jail has begun to read, and so is shut in.
    ingest.write_all(&vec![b'x'; 2 << 20]).unwrap();
    let tree = sandbox.path().file_name().unwrap().to_str().unwrap();
    let is_jail = |path: &PathBuf| {
        let name = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let mounts = std::fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        name.starts_with(b"coracle-unpack\0") && mounts.contains(tree)
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let jail = processes.find(is_jail).unwrap();
    (ingest, jail)
}

#[test]
fn the_jail_sees_nothing_but_its_target() {
    let sandbox = Sandbox::new();
    let (ingest, jail) = jail(&sandbox);
    let mounts = std::fs::read_to_string(jail.join("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    let fields: Vec<&str> = mounts.split_ascii_whitespace().collect();
    assert!(fields[3].ends_with("/tree"), "{mounts}");
    assert_eq!(fields[4], "/", "{mounts}");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(fields[5].split(',').any(|set| set == option), "{mounts}");
    }
    for namespace in ["user", "mnt", "net", "ipc"] {
        let of = |process: &str| std::fs::read_link(PathBuf::from(process).join("ns").join(namespace)).unwrap();
        assert_ne!(of(jail.to_str().unwrap()), of("/proc/self"), "{namespace}");
    }
    let names = std::fs::read_dir(jail.join("root")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["file"]);
    let status = std::fs::read_to_string(jail.join("status")).unwrap();
    for fact in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t1", "Threads:\t1"] {
        assert!(status.lines().any(|line| line == fact), "{status}");
    }
    // Every open file is a standard stream or in the target.
    for entry in std::fs::read_dir(jail.join("fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap();
        let target = target.to_str().unwrap();
        assert!(target.starts_with("pipe:") || matches!(target, "/" | "/file"), "{target}");
    }
    let limits = std::fs::read_to_string(jail.join("limits")).unwrap();
    for limit in ["Max processes", "Max core file size"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        assert_eq!(line.split_ascii_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    }
    let environment = std::fs::read(jail.join("environ")).unwrap();
    assert_eq!(environment, b"");
    drop(ingest);
    assert!(!jail.exists());
}

/// A call that the jail is made to make by a debugger: at the door of its next read it gets another number and other
/// arguments. Where a path is needed, `PATH` stands for `/file`, which is in the buffer that it was going to read into.
#[cfg(target_arch = "x86_64")]
mod forced {
    use nix::sys::ptrace;
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
    use nix::unistd::Pid;

    pub const PATH: u64 = u64::MAX - 1;

    /// What came of a call.
    #[derive(Debug, PartialEq, Eq)]
    pub enum Outcome {
        /// The process was killed by SIGSYS.
        Killed,
        /// The call returned this.
        Returned(i64),
    }

    /// The next state of `pid`. Its end is left for the parent's own wait.
    fn next(pid: Pid) -> Option<WaitStatus> {
        let any = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(pid), any).unwrap() {
            WaitStatus::Signaled(_, signal, _) => {
                assert_eq!(signal, nix::sys::signal::Signal::SIGSYS);
                None
            }
            WaitStatus::Exited(_, status) => panic!("exited with {status}"),
            _ => Some(waitpid(pid, None).unwrap()),
        }
    }

    pub fn call(pid: i32, number: i64, arguments: [u64; 6]) -> Outcome {
        let pid = Pid::from_raw(pid);
        ptrace::attach(pid).unwrap();
        assert!(matches!(next(pid), Some(WaitStatus::Stopped(..))));
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
        let mut registers = loop {
            ptrace::syscall(pid, None).unwrap();
            assert!(matches!(next(pid), Some(WaitStatus::PtraceSyscall(_))));
            let registers = ptrace::getregs(pid).unwrap();
            // At the door the result is not there yet.
            if registers.orig_rax == libc::SYS_read as u64 && registers.rax as i64 == -i64::from(libc::ENOSYS) {
                break registers;
            }
        };
        let path = registers.rsi;
        ptrace::write(pid, path as ptrace::AddressType, i64::from_le_bytes(*b"/file\0\0\0")).unwrap();
        let [a, b, c, d, e, f] = arguments.map(|value| if value == PATH { path } else { value });
        registers.orig_rax = number as u64;
        (registers.rdi, registers.rsi, registers.rdx) = (a, b, c);
        (registers.r10, registers.r8, registers.r9) = (d, e, f);
        ptrace::setregs(pid, registers).unwrap();
        ptrace::syscall(pid, None).unwrap();
        // A call that kills stops here too, and then once more or not at all.
        let Some(_) = next(pid) else { return Outcome::Killed };
        let result = ptrace::getregs(pid).unwrap().rax as i64;
        ptrace::syscall(pid, None).unwrap();
        match next(pid) {
            None => Outcome::Killed,
            Some(_) => Outcome::Returned(result),
        }
    }
}

/// Has the jail call `number`, and feeds it on. Returns what came of both.
#[cfg(target_arch = "x86_64")]
fn force(number: i64, arguments: [u64; 6]) -> (forced::Outcome, Result<(), StoreError>) {
    let sandbox = Sandbox::new();
    let (mut ingest, jail) = jail(&sandbox);
    let pid = jail.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let outcome = forced::call(pid, number, arguments);
    if outcome != forced::Outcome::Killed {
        return (outcome, Ok(()));
    }
    let fed = ingest.write_all(&vec![b'x'; 2 << 20]).map_err(|error| StoreError::from_write(error).unwrap());
    let result = fed.and_then(|()| ingest.commit().map(drop));
    (outcome, result)
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_jail_that_is_taken_over_dies_of_what_it_tries() {
    use forced::PATH;
    let pid = u64::from(std::process::id());
    let calls: &[(&str, i64, [u64; 6])] = &[
        ("socket", libc::SYS_socket, [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0]),
        ("socketpair", libc::SYS_socketpair, [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, PATH, 0, 0]),
        ("connect", libc::SYS_connect, [0, PATH, 8, 0, 0, 0]),
        ("execve", libc::SYS_execve, [PATH, 0, 0, 0, 0, 0]),
        ("execveat", libc::SYS_execveat, [0, PATH, 0, 0, 0, 0]),
        ("fork", libc::SYS_fork, [0; 6]),
        ("clone", libc::SYS_clone, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [PATH, 64, 0, 0, 0, 0]),
        ("unshare", libc::SYS_unshare, [libc::CLONE_NEWPID as u64, 0, 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH as u64, pid, 0, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [pid, 0, 0, 0, 0, 0]),
        ("pidfd_open", libc::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0]),
        ("kill", libc::SYS_kill, [pid, 0, 0, 0, 0, 0]),
        ("tgkill", libc::SYS_tgkill, [pid, pid, libc::SIGABRT as u64, 0, 0, 0]),
        ("prlimit64", libc::SYS_prlimit64, [pid, 0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [PATH, PATH, 0, libc::MS_BIND, 0, 0]),
        ("umount2", libc::SYS_umount2, [PATH, libc::MNT_DETACH as u64, 0, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [PATH, PATH, 0, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [PATH, 0, 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, PATH, 0, 0, 0, 0]),
        ("move_mount", libc::SYS_move_mount, [0, PATH, 0, PATH, 0, 0]),
        ("fsopen", libc::SYS_fsopen, [PATH, 0, 0, 0, 0, 0]),
        ("mount_setattr", libc::SYS_mount_setattr, [0, PATH, 0, 0, 0, 0]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0, PATH, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, PATH, 8, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0; 6]),
        ("add_key", libc::SYS_add_key, [PATH, PATH, 0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, PATH, 0, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 6]),
        ("perf_event_open", libc::SYS_perf_event_open, [PATH, 0, 0, 0, 0, 0]),
        ("memfd_create", libc::SYS_memfd_create, [PATH, 0, 0, 0, 0, 0]),
        ("ioctl", libc::SYS_ioctl, [0, libc::TIOCSTI, PATH, 0, 0, 0]),
        ("dup", libc::SYS_dup, [0; 6]),
        ("prctl", libc::SYS_prctl, [libc::PR_SET_NAME as u64, PATH, 0, 0, 0, 0]),
        ("seccomp", libc::SYS_seccomp, [0; 6]),
        ("mknodat", libc::SYS_mknodat, [0, PATH, libc::S_IFCHR.into(), 0x103, 0, 0]),
        ("mmap", libc::SYS_mmap, [0, 4096, libc::PROT_EXEC as u64, libc::MAP_PRIVATE as u64, 0, 0]),
        ("fcntl", libc::SYS_fcntl, [0, libc::F_SETOWN as u64, pid, 0, 0, 0]),
        ("a number that no call has", 4000, [0; 6]),
    ];
    for &(name, number, arguments) in calls {
        let (outcome, result) = force(number, arguments);
        assert_eq!(outcome, forced::Outcome::Killed, "{name}");
        let error = result.unwrap_err();
        assert_eq!(error.code(), "E_HELPER_DIED", "{name}");
        let text = Failure::from(error).to_string();
        assert!(text.contains(Digest::of(b"").short()) && text.contains("system call"), "{name}: {text}");
    }
}

/// What it may call is called all the same, and Landlock is asked about files.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_jail_that_is_taken_over_reads_no_file() {
    use forced::{Outcome, PATH};
    let here = libc::AT_FDCWD as u64;
    let abi = coracle::sys::landlock::abi();
    let is_refused = |number: i64, argument: i32| match force(number, [here, PATH, argument as u64, 0, 0, 0]).0 {
        Outcome::Returned(result) if result >= 0 => false,
        outcome => {
            assert_eq!(outcome, Outcome::Returned(-i64::from(libc::EACCES)));
            true
        }
    };
    assert!(!is_refused(libc::SYS_openat, libc::O_WRONLY));
    assert!(!is_refused(libc::SYS_unlinkat, 0));
    assert_eq!(is_refused(libc::SYS_openat, libc::O_RDONLY), abi >= 2);
    assert_eq!(is_refused(libc::SYS_openat, libc::O_WRONLY | libc::O_TRUNC), abi >= 3);
}

/// Of everything that unpacking does, something.
fn varied_layer() -> Vec<u8> {
    Tar::new()
        .directory("a/")
        .file("a/file", "contents")
        .directory("b/")
        .hard_link("b/link", "a/file")
        .symlink("b/symlink", "nowhere")
        .header(&Header::new(b'6', "b/pipe"))
        .header(&Header { device: (1, 3), ..Header::new(b'3', "b/device") })
        .pax(&[("SCHILY.xattr.user.key", b"value")])
        .file("b/attributed", "contents")
        .header(&Header::new(b'0', "b/setuid").mode(0o4755).owner(7, 8))
        .file("c/.wh.gone", "")
        .file("d/.wh..wh..opq", "")
        // Deep enough for directories to be moved before they are removed.
        .file("e/f/g/h/file", "in the way")
        .file("e", "in its place")
        .end()
}

/// Unpacks [`varied_layer`] under a tracer that makes the first answer of Landlock's another one. Returns what became of
/// it and the calls that the jail made of Landlock and seccomp.
fn unpack_with_landlock(answer: &str) -> (LayerManifest, String) {
    let mut sandbox = Sandbox::new();
    let (program, tracer) = (sandbox.path().join("coracle-unpack"), sandbox.path().join("tracer"));
    let log = sandbox.path().join("log");
    std::os::unix::fs::symlink(support::program(), &program).unwrap();
    // With -D the tracer is a grandchild, and the jail still our child.
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/strace -D -q -o {} -e trace=/landlock,seccomp -e inject=landlock_create_ruleset:{answer}:when=1 {} \"$@\"\n",
        log.display(),
        program.display(),
    );
    std::fs::write(&tracer, script).unwrap();
    std::fs::set_permissions(&tracer, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.set_program(tracer);
    let (tree, manifest) = sandbox.unpack(&varied_layer()).unwrap();
    let names = std::fs::read_dir(tree.join("b")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 6, "{answer}");
    assert_eq!(std::fs::read_to_string(tree.join("e")).unwrap(), "in its place", "{answer}");
    // The tracer holds the jail's standard error, so it has ended too.
    (manifest, std::fs::read_to_string(log).unwrap())
}

/// Kernels without Landlock, those that have it turned off, and those that have less of it.
#[test]
fn layers_are_unpacked_whatever_landlock_the_kernel_has() {
    let (_, plain) = Sandbox::new().unpack(&varied_layer()).unwrap();
    let newest = coracle::sys::landlock::abi();
    let versions = (1..=newest).map(|version| (format!("retval={version}"), version >= 2));
    let without = ["error=ENOSYS", "error=EOPNOTSUPP", "error=EPERM"].map(|answer| (answer.to_owned(), false));
    for (answer, restricts) in versions.chain(without) {
        let (manifest, log) = unpack_with_landlock(&answer);
        assert_eq!(manifest, plain, "{answer}");
        let happened = |call: &str| log.lines().any(|line| line.starts_with(call) && line.ends_with("= 0"));
        assert!(log.contains("(INJECTED)"), "{log}");
        assert_eq!(happened("landlock_restrict_self("), restricts, "{log}");
        assert!(happened("seccomp("), "{log}");
    }
}
