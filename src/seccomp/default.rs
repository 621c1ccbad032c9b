//! The built-in profile (SECURITY.md 2.4): an allow-list. What it does not know fails with ENOSYS, so that C libraries
//! fall back; what it knows to be dangerous fails with EPERM; what takes a capability that the container was given is
//! allowed with it, because the kernel then checks that capability in the container's own user namespace.

use super::compile::{Action, Check, Comparison, Condition, Filter, Ruleset, Verdict, compile};
use super::table::{Arch, Syscall};
use crate::name::capability::{Capability, CapabilitySet};

/// What becomes of calls through the 32-bit interface of a 64-bit kernel.
///
/// x32 and interfaces of other processors always kill the process: nothing in a container has a use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ForeignAbi {
    /// The process is killed: for images without 32-bit programs.
    #[default]
    Killed,
    /// The same profile with 32-bit numbers. `socketcall` passes its arguments in memory, where no filter sees them: any
    /// address family that the kernel has can be used through it.
    Allowed,
    /// The same, but `socketcall` makes no sockets. 32-bit programs of old C libraries and of Go are then without
    /// network: for kernels where AF_ALG or AF_VSOCK are to be had.
    AllowedWithoutSocketcall,
}

/// The program of the built-in profile, for a container with these capabilities in its bounding set.
pub fn default_filter(capabilities: CapabilitySet, arch: Arch, foreign: ForeignAbi) -> Filter {
    let compat = arch.compat().filter(|_| foreign != ForeignAbi::Killed);
    let abis = [arch, compat.unwrap_or(arch)];
    let abis = &abis[..1 + usize::from(compat.is_some())];
    with_verdicts(capabilities, foreign, |verdicts| compile(&Ruleset { abis, verdicts, unknown: UNKNOWN }, 0))
}

/// Calls `use_them` with what happens to each call.
fn with_verdicts<R>(
    capabilities: CapabilitySet,
    foreign: ForeignAbi,
    use_them: impl FnOnce(&[Verdict<'_>; Syscall::COUNT]) -> R,
) -> R {
    let mut verdicts = [Verdict::always(UNKNOWN); Syscall::COUNT];
    let mut set = |call: Syscall, verdict| verdicts[call as usize] = verdict;
    ALLOWED.iter().for_each(|&call| set(call, ALLOW));
    DENIED.iter().for_each(|&call| set(call, DENY));
    let families = address_family_checks(capabilities);
    set(Syscall::socket, Verdict { checks: &families, otherwise: NO_FAMILY });
    set(Syscall::socketpair, Verdict { checks: PAIRED_FAMILIES, otherwise: NO_FAMILY });
    let creation = if foreign == ForeignAbi::Allowed { &[] } else { SOCKETCALL_CREATION };
    set(Syscall::socketcall, Verdict { checks: creation, otherwise: Action::Allow });
    set(Syscall::ioctl, Verdict { checks: TERMINAL_INJECTION, otherwise: Action::Allow });
    set(Syscall::personality, Verdict { checks: PERSONALITIES, otherwise: EPERM });
    set(Syscall::clone, Verdict { checks: CLONE_WITHOUT_NAMESPACES, otherwise: EPERM });
    set(Syscall::unshare, Verdict { checks: UNSHARE_WITHOUT_NAMESPACES, otherwise: EPERM });
    let given = BY_CAPABILITY.iter().filter(|(capability, _)| capabilities.contains(*capability));
    given.flat_map(|(_, calls)| *calls).for_each(|&call| set(call, ALLOW));
    use_them(&verdicts)
}

const UNKNOWN: Action = Action::Errno(libc::ENOSYS as u16);
const EPERM: Action = Action::Errno(libc::EPERM as u16);
const NO_FAMILY: Action = Action::Errno(libc::EAFNOSUPPORT as u16);
const NO_PROTOCOL: Action = Action::Errno(libc::EPROTONOSUPPORT as u16);
const ALLOW: Verdict<'static> = Verdict::always(Action::Allow);
const DENY: Verdict<'static> = Verdict::always(EPERM);

const fn is(argument: u8, value: i32) -> Condition {
    Condition { argument, comparison: Comparison::Equal, value: value as u32 as u64 }
}

const fn has_none_of(argument: u8, mask: i32) -> Condition {
    Condition { argument, comparison: Comparison::MaskedEqual(mask as u32 as u64), value: 0 }
}

const fn check(conditions: &[Condition], action: Action) -> Check<'_> {
    Check { conditions, action }
}

/// Namespaces, mounts and the file systems behind them are the largest part of the kernel that a user namespace opens:
/// none of it without CAP_SYS_ADMIN.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// A flag of unshare(2) and clone3(2) only: clone(2) has the exit signal in that bit.
const NEW_TIME_NAMESPACE: i32 = 0x80;

const CLONE_WITHOUT_NAMESPACES: &[Check<'static>] = &[check(&[has_none_of(0, NAMESPACES)], Action::Allow)];
const UNSHARE_WITHOUT_NAMESPACES: &[Check<'static>] =
    &[check(&[has_none_of(0, NAMESPACES | NEW_TIME_NAMESPACE)], Action::Allow)];

/// Both put input into a terminal as if it had been typed (CVE-2017-5226, CVE-2023-28100).
const TERMINAL_INJECTION: &[Check<'static>] =
    &[check(&[is(1, libc::TIOCSTI as i32)], EPERM), check(&[is(1, libc::TIOCLINUX as i32)], EPERM)];

/// PER_LINUX, PER_LINUX32, either with UNAME26, ADDR_NO_RANDOMIZE (debuggers), and the question what it is.
const PERSONALITIES: &[Check<'static>] = &[
    check(&[is(0, 0)], Action::Allow),
    check(&[is(0, 0x8)], Action::Allow),
    check(&[is(0, 0x20000)], Action::Allow),
    check(&[is(0, 0x20008)], Action::Allow),
    check(&[is(0, 0x40000)], Action::Allow),
    check(&[is(0, -1)], Action::Allow),
];

const PAIRED_FAMILIES: &[Check<'static>] = &[check(&[is(0, libc::AF_UNIX)], Action::Allow)];

/// `socketcall`'s SYS_SOCKET and SYS_SOCKETPAIR (linux/net.h).
const SOCKETCALL_CREATION: &[Check<'static>] = &[check(&[is(0, 1)], NO_FAMILY), check(&[is(0, 8)], NO_FAMILY)];

/// The address families of socket(2) that a container has a use for; each other one is kernel code that has no other
/// guard (AF_ALG, AF_VSOCK, AF_RDS, AF_TIPC, ...).
fn address_family_checks(capabilities: CapabilitySet) -> Vec<Check<'static>> {
    let mut checks = vec![
        check(const { &[is(0, libc::AF_UNIX)] }, Action::Allow),
        check(const { &[is(0, libc::AF_INET)] }, Action::Allow),
        check(const { &[is(0, libc::AF_INET6)] }, Action::Allow),
    ];
    if !capabilities.contains(Capability::AuditWrite) {
        // Audit would not know whose record it is: EINVAL is how programs learn that there is no audit.
        let audit = const { &[is(0, libc::AF_NETLINK), is(2, libc::NETLINK_AUDIT)] };
        checks.push(check(audit, Action::Errno(libc::EINVAL as u16)));
    }
    if !capabilities.contains(Capability::NetAdmin) {
        checks.push(check(const { &[is(0, libc::AF_NETLINK), is(2, libc::NETLINK_XFRM)] }, NO_PROTOCOL));
    }
    checks.push(check(const { &[is(0, libc::AF_NETLINK), is(2, libc::NETLINK_CRYPTO)] }, NO_PROTOCOL));
    checks.push(check(const { &[is(0, libc::AF_NETLINK), is(2, libc::NETLINK_SCSITRANSPORT)] }, NO_PROTOCOL));
    checks.push(check(const { &[is(0, libc::AF_NETLINK)] }, Action::Allow));
    if capabilities.contains(Capability::NetRaw) {
        checks.push(check(const { &[is(0, libc::AF_PACKET)] }, Action::Allow));
    }
    checks
}

/// Calls that need a capability, in the container's user namespace or on the host: allowed with it. Without, they are
/// decided by [`DENIED`] or by their arguments; clone3, whose flags are in memory, is then unknown, so that C libraries
/// fall back to clone.
#[rustfmt::skip]
const BY_CAPABILITY: &[(Capability, &[Syscall])] = {
    use Syscall::*;
    &[
        (Capability::DacReadSearch, &[open_by_handle_at]),
        (Capability::SysAdmin, &[
            bpf, clone, clone3, fanotify_init, fsconfig, fsmount, fsopen, fspick, lookup_dcookie, lsm_get_self_attr,
            lsm_list_modules, lsm_set_self_attr, mount, mount_setattr, move_mount, open_tree, open_tree_attr,
            perf_event_open, pivot_root, quotactl, quotactl_fd, setdomainname, sethostname, setns, syslog, umount,
            umount2, unshare,
        ]),
        (Capability::SysBoot, &[reboot]),
        (Capability::SysChroot, &[chroot]),
        (Capability::SysModule, &[delete_module, finit_module, init_module]),
        (Capability::SysPacct, &[acct]),
        (Capability::SysPtrace, &[kcmp, pidfd_getfd]),
        (Capability::SysRawio, &[ioperm, iopl]),
        (Capability::SysTime, &[clock_settime, clock_settime64, settimeofday, stime]),
        (Capability::SysTtyConfig, &[vhangup]),
        (Capability::Syslog, &[syslog]),
        (Capability::Bpf, &[bpf]),
        (Capability::Perfmon, &[perf_event_open]),
    ]
};

/// Fail with EPERM whatever the capabilities: keys are not namespaced; the rest is obsolete, reaches other processes'
/// memory placement, or is an exploit's tool (userfaultfd, vmsplice). Those of [`BY_CAPABILITY`] are here too.
#[rustfmt::skip]
const DENIED: &[Syscall] = {
    use Syscall::*;
    &[
        acct, add_key, bdflush, bpf, chroot, clock_settime, clock_settime64, delete_module, fanotify_init,
        finit_module, fsconfig, fsmount, fsopen, fspick, init_module, ioperm, iopl, kcmp, kexec_file_load, kexec_load,
        keyctl, lookup_dcookie, lsm_get_self_attr, lsm_list_modules, lsm_set_self_attr, migrate_pages, mount,
        mount_setattr, move_mount, move_pages, nfsservctl, oldfstat, oldlstat, oldolduname, oldstat, olduname,
        open_by_handle_at, open_tree, open_tree_attr, pciconfig_iobase, pciconfig_read, pciconfig_write,
        perf_event_open, pidfd_getfd, pivot_root, quotactl, quotactl_fd, reboot, request_key, setdomainname,
        sethostname, setns, settimeofday, sgetmask, ssetmask, stime, swapoff, swapon, sysfs, syslog, umount, umount2,
        uselib, userfaultfd, ustat, vhangup, vm86, vm86old, vmsplice,
    ]
};

/// Allowed whatever the arguments. Not here and not above: what has no code behind it in any kernel of today, io_uring
/// (a second way into the kernel that filters do not see), and what is decided by its arguments.
#[rustfmt::skip]
const ALLOWED: &[Syscall] = {
    use Syscall::*;
    &[
        accept, accept4, access, adjtimex, alarm, arch_prctl, arm_fadvise64_64, arm_sync_file_range, bind, breakpoint,
        brk, cacheflush, cachestat, capget, capset, chdir, chmod, chown, chown32, clock_adjtime, clock_adjtime64,
        clock_getres, clock_getres_time64, clock_gettime, clock_gettime64, clock_nanosleep, clock_nanosleep_time64,
        close, close_range, connect, copy_file_range, creat, dup, dup2, dup3, epoll_create, epoll_create1, epoll_ctl,
        epoll_pwait, epoll_pwait2, epoll_wait, eventfd, eventfd2, execve, execveat, exit, exit_group, faccessat,
        faccessat2, fadvise64, fadvise64_64, fallocate, fanotify_mark, fchdir, fchmod, fchmodat, fchmodat2, fchown,
        fchown32, fchownat, fcntl, fcntl64, fdatasync, fgetxattr, file_getattr, file_setattr, flistxattr, flock, fork,
        fremovexattr, fsetxattr, fstat, fstat64, fstatat64, fstatfs, fstatfs64, fsync, ftruncate, ftruncate64, futex,
        futex_requeue, futex_time64, futex_wait, futex_waitv, futex_wake, futimesat, get_mempolicy, get_robust_list,
        get_thread_area, get_tls, getcpu, getcwd, getdents, getdents64, getegid, getegid32, geteuid, geteuid32,
        getgid, getgid32, getgroups, getgroups32, getitimer, getpeername, getpgid, getpgrp, getpid, getppid,
        getpriority, getrandom, getresgid, getresgid32, getresuid, getresuid32, getrlimit, getrusage, getsid,
        getsockname, getsockopt, gettid, gettimeofday, getuid, getuid32, getxattr, getxattrat, inotify_add_watch,
        inotify_init, inotify_init1, inotify_rm_watch, io_cancel, io_destroy, io_getevents, io_pgetevents,
        io_pgetevents_time64, io_setup, io_submit, ioprio_get, ioprio_set, ipc, kill, landlock_add_rule,
        landlock_create_ruleset, landlock_restrict_self, lchown, lchown32, lgetxattr, link, linkat, listen, listmount,
        listxattr, listxattrat, llistxattr, _llseek, lremovexattr, lseek, lsetxattr, lstat, lstat64, madvise,
        map_shadow_stack, mbind, membarrier, memfd_create, memfd_secret, mincore, mkdir, mkdirat, mknod, mknodat,
        mlock, mlock2, mlockall, mmap, mmap2, modify_ldt, mprotect, mq_getsetattr, mq_notify, mq_open,
        mq_timedreceive, mq_timedreceive_time64, mq_timedsend, mq_timedsend_time64, mq_unlink, mremap, mseal, msgctl,
        msgget, msgrcv, msgsnd, msync, munlock, munlockall, munmap, name_to_handle_at, nanosleep, newfstatat,
        _newselect, nice, open, openat, openat2, pause, pidfd_open, pidfd_send_signal, pipe, pipe2, pkey_alloc,
        pkey_free, pkey_mprotect, poll, ppoll, ppoll_time64, prctl, pread64, preadv, preadv2, prlimit64,
        process_madvise, process_mrelease, process_vm_readv, process_vm_writev, pselect6, pselect6_time64, ptrace,
        pwrite64, pwritev, pwritev2, read, readahead, readdir, readlink, readlinkat, readv, recv, recvfrom, recvmmsg,
        recvmmsg_time64, recvmsg, remap_file_pages, removexattr, removexattrat, rename, renameat, renameat2,
        restart_syscall, rmdir, rseq, rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn,
        rt_sigsuspend, rt_sigtimedwait, rt_sigtimedwait_time64, rt_tgsigqueueinfo, sched_get_priority_max,
        sched_get_priority_min, sched_getaffinity, sched_getattr, sched_getparam, sched_getscheduler,
        sched_rr_get_interval, sched_rr_get_interval_time64, sched_setaffinity, sched_setattr, sched_setparam,
        sched_setscheduler, sched_yield, seccomp, select, semctl, semget, semop, semtimedop, semtimedop_time64, send,
        sendfile, sendfile64, sendmmsg, sendmsg, sendto, set_mempolicy, set_mempolicy_home_node, set_robust_list,
        set_thread_area, set_tid_address, set_tls, setfsgid, setfsgid32, setfsuid, setfsuid32, setgid, setgid32,
        setgroups, setgroups32, setitimer, setpgid, setpriority, setregid, setregid32, setresgid, setresgid32,
        setresuid, setresuid32, setreuid, setreuid32, setrlimit, setsid, setsockopt, setuid, setuid32, setxattr,
        setxattrat, shmat, shmctl, shmdt, shmget, shutdown, sigaction, sigaltstack, signal, signalfd, signalfd4,
        sigpending, sigprocmask, sigreturn, sigsuspend, splice, stat, stat64, statfs, statfs64, statmount, statx,
        symlink, symlinkat, sync, sync_file_range, syncfs, sysinfo, tee, tgkill, time, timer_create, timer_delete,
        timer_getoverrun, timer_gettime, timer_gettime64, timer_settime, timer_settime64, timerfd_create,
        timerfd_gettime, timerfd_gettime64, timerfd_settime, timerfd_settime64, times, tkill, truncate, truncate64,
        ugetrlimit, umask, uname, unlink, unlinkat, uprobe, uretprobe, utime, utimensat, utimensat_time64, utimes,
        vfork, wait4, waitid, waitpid, write, writev,
    ]
};

#[cfg(test)]
mod tests {
    use super::super::interpreter::{Call, run};
    use super::*;
    use crate::seccomp::compile::MAX_INSTRUCTIONS;

    const KILLED: u32 = libc::SECCOMP_RET_KILL_PROCESS;

    fn decide(filter: &Filter, arch: Arch, call: Syscall, arguments: [u64; 6]) -> u32 {
        let number = call.number(arch).expect("the call exists there");
        run(filter.instructions(), &Call::new(arch, number, arguments)).0
    }

    fn native(capabilities: &[Capability], call: Syscall, arguments: [u64; 6]) -> u32 {
        let filter = default_filter(CapabilitySet::of(capabilities), Arch::X86_64, ForeignAbi::Killed);
        decide(&filter, Arch::X86_64, call, arguments)
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;

    fn errno(number: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | number as u32
    }

    /// Calls whose verdict depends on their arguments.
    const BY_ARGUMENT: [Syscall; 7] = {
        use Syscall::*;
        [clone, ioctl, personality, socket, socketcall, socketpair, unshare]
    };

    /// Calls that no kernel has any more, or that are to look so.
    const UNAVAILABLE: &[&str] = &[
        "_sysctl",
        "afs_syscall",
        "clone3",
        "create_module",
        "epoll_ctl_old",
        "epoll_wait_old",
        "ftime",
        "get_kernel_syms",
        "getpmsg",
        "gtty",
        "idle",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "listns",
        "lock",
        "mpx",
        "prof",
        "profil",
        "putpmsg",
        "query_module",
        "security",
        "stty",
        "tuxcall",
        "ulimit",
        "usr26",
        "usr32",
        "vserver",
    ];

    #[test]
    fn every_call_of_the_table_is_decided_once() {
        for &call in Syscall::ALL {
            let lists = [
                super::ALLOWED.contains(&call),
                DENIED.contains(&call),
                BY_ARGUMENT.contains(&call),
                UNAVAILABLE.contains(&call.name()),
            ];
            assert_eq!(lists.iter().filter(|&&listed| listed).count(), 1, "{call:?} {lists:?}");
        }
        for (capability, calls) in BY_CAPABILITY {
            assert!(calls.iter().all(|call| !super::ALLOWED.contains(call)), "{capability}");
        }
    }

    #[test]
    fn all_numbers_are_decided_as_listed_on_all_interfaces() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let compat = arch.compat().expect("both have one");
            let filter = default_filter(CapabilitySet::EMPTY, arch, ForeignAbi::Allowed);
            assert!(filter.instructions().len() < MAX_INSTRUCTIONS);
            for abi in [arch, compat] {
                for number in (0..1024).chain(0xf_0000..0xf_0010).chain([u32::MAX]) {
                    let call = Syscall::ALL.iter().find(|call| call.number(abi) == Some(number));
                    let (got, looked) = run(filter.instructions(), &Call::new(abi, number, [u64::MAX; 6]));
                    match call {
                        Some(call) if BY_ARGUMENT.contains(call) => {}
                        Some(call) if super::ALLOWED.contains(call) => {
                            assert_eq!((got, looked), (ALLOWED, false), "{call:?}: the kernel can cache it");
                        }
                        Some(call) if DENIED.contains(call) => assert_eq!(got, errno(libc::EPERM), "{call:?}"),
                        _ => assert_eq!(got, errno(libc::ENOSYS), "{call:?} {number}"),
                    }
                }
            }
        }
    }

    #[test]
    fn foreign_interfaces_kill() {
        let filter = default_filter(CapabilitySet::all(), Arch::X86_64, ForeignAbi::Killed);
        for call in [
            Call::new(Arch::X86, 3, [0; 6]),
            Call::new(Arch::Aarch64, 63, [0; 6]),
            Call::new(Arch::X86_64, 0x4000_0000, [0; 6]),
            Call::new(Arch::X86_64, 0x4000_0200, [0; 6]),
            Call::new(Arch::X86_64, 0xffff_fffe, [0; 6]),
            Call { arch: 0, number: 0, arguments: [0; 6] },
        ] {
            assert_eq!(run(filter.instructions(), &call).0, KILLED, "{call:x?}");
        }
        let both = default_filter(CapabilitySet::EMPTY, Arch::X86_64, ForeignAbi::Allowed);
        assert_eq!(decide(&both, Arch::X86, Syscall::read, [0; 6]), ALLOWED);
    }

    /// CVE-2019-10063, CVE-2019-7303: the kernel looks at the low half.
    #[test]
    fn high_halves_of_narrow_arguments_change_nothing() {
        for high in [0, 1 << 32, 0xdead_beef << 32, u64::MAX << 32] {
            let ioctl = |command: u64| native(&[], Syscall::ioctl, [0, high | command, 0, 0, 0, 0]);
            assert_eq!(ioctl(libc::TIOCSTI), errno(libc::EPERM));
            assert_eq!(ioctl(libc::TIOCLINUX), errno(libc::EPERM));
            assert_eq!(ioctl(libc::TCGETS), ALLOWED);
            let socket = |family: i32| native(&[], Syscall::socket, [high | family as u64, 1, high, 0, 0, 0]);
            assert_eq!(socket(libc::AF_ALG), errno(libc::EAFNOSUPPORT));
            assert_eq!(socket(libc::AF_INET), ALLOWED);
            let clone = |flags: i32| native(&[], Syscall::clone, [high | flags as u64, 0, 0, 0, 0, 0]);
            assert_eq!(clone(libc::CLONE_NEWUSER), errno(libc::EPERM));
            assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD | libc::SIGCHLD), ALLOWED);
            let personality = |value: u64| native(&[], Syscall::personality, [high | value, 0, 0, 0, 0, 0]);
            assert_eq!(personality(0xffff_ffff), ALLOWED);
            assert_eq!(personality(0x40000), ALLOWED);
            assert_eq!(personality(0x0400_0000), errno(libc::EPERM));
        }
    }

    #[test]
    fn namespaces_take_cap_sys_admin() {
        for flag in [0x80, libc::CLONE_NEWNS, libc::CLONE_NEWCGROUP, libc::CLONE_NEWUSER, libc::CLONE_NEWNET] {
            let arguments = [flag as u64, 0, 0, 0, 0, 0];
            assert_eq!(native(&[], Syscall::unshare, arguments), errno(libc::EPERM), "{flag:#x}");
            assert_eq!(native(&[Capability::SysAdmin], Syscall::unshare, arguments), ALLOWED);
        }
        assert_eq!(native(&[], Syscall::unshare, [libc::CLONE_FS as u64, 0, 0, 0, 0, 0]), ALLOWED);
        assert_eq!(native(&[], Syscall::clone, [0x80 | libc::SIGCHLD as u64, 0, 0, 0, 0, 0]), ALLOWED);
        assert_eq!(native(&[], Syscall::clone3, [0; 6]), errno(libc::ENOSYS));
        for call in [Syscall::clone, Syscall::clone3, Syscall::mount, Syscall::open_tree_attr, Syscall::setns] {
            assert_eq!(native(&[Capability::SysAdmin], call, [u64::MAX; 6]), ALLOWED, "{call:?}");
        }
        assert_eq!(native(&[Capability::SysAdmin], Syscall::keyctl, [0; 6]), errno(libc::EPERM));
        assert_eq!(native(&[Capability::Syslog], Syscall::syslog, [0; 6]), ALLOWED);
        assert_eq!(native(&[Capability::SysChroot], Syscall::chroot, [0; 6]), ALLOWED);
        assert_eq!(native(&[], Syscall::chroot, [0; 6]), errno(libc::EPERM));
    }

    #[test]
    fn address_families_are_an_allow_list() {
        let socket = |capabilities: &[Capability], family: i32, protocol: i32| {
            native(capabilities, Syscall::socket, [family as u64, 1, protocol as u64, 0, 0, 0])
        };
        for family in 0..64 {
            let allowed = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].contains(&family);
            let wanted = if allowed { ALLOWED } else { errno(libc::EAFNOSUPPORT) };
            assert_eq!(socket(&[], family, 0), wanted, "{family}");
        }
        assert_eq!(socket(&[Capability::NetRaw], libc::AF_PACKET, 0), ALLOWED);
        assert_eq!(socket(&[], libc::AF_NETLINK, libc::NETLINK_AUDIT), errno(libc::EINVAL));
        assert_eq!(socket(&[Capability::AuditWrite], libc::AF_NETLINK, libc::NETLINK_AUDIT), ALLOWED);
        assert_eq!(socket(&[], libc::AF_NETLINK, libc::NETLINK_XFRM), errno(libc::EPROTONOSUPPORT));
        assert_eq!(socket(&[Capability::NetAdmin], libc::AF_NETLINK, libc::NETLINK_XFRM), ALLOWED);
        assert_eq!(socket(&[], libc::AF_NETLINK, libc::NETLINK_CRYPTO), errno(libc::EPROTONOSUPPORT));
        assert_eq!(socket(&[], libc::AF_INET, libc::NETLINK_AUDIT), ALLOWED);
    }

    #[test]
    fn socketcall_makes_no_sockets_where_that_matters() {
        for (foreign, wanted) in
            [(ForeignAbi::Allowed, ALLOWED), (ForeignAbi::AllowedWithoutSocketcall, errno(libc::EAFNOSUPPORT))]
        {
            let filter = default_filter(CapabilitySet::EMPTY, Arch::X86_64, foreign);
            assert_eq!(decide(&filter, Arch::X86, Syscall::socketcall, [1, 0, 0, 0, 0, 0]), wanted);
            assert_eq!(decide(&filter, Arch::X86, Syscall::socketcall, [2, 0, 0, 0, 0, 0]), ALLOWED);
        }
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -- --ignored --nocapture default_filter_is_made"]
    fn default_filter_is_made_in_microseconds() {
        let capabilities = crate::lsm::capability::DEFAULT;
        for foreign in [ForeignAbi::Killed, ForeignAbi::Allowed] {
            let started = std::time::Instant::now();
            for _ in 0..1000 {
                std::hint::black_box(default_filter(std::hint::black_box(capabilities), Arch::NATIVE, foreign));
            }
            let length = default_filter(capabilities, Arch::NATIVE, foreign).instructions().len();
            let first = started.elapsed() / 1000;
            println!("{foreign:?}: {length} instructions in {first:?}");
            assert!(first.as_micros() < 50 || cfg!(debug_assertions));
        }
    }
}
