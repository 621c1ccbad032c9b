//! Which calls the supervisor of virtual ids answers, and which only seem to succeed where ids are pretended.
//!
//! Both filters lie below the container's profile, whose refusals win (seccomp(2)); what is not named here is allowed by them.

use super::compile::{Action, Check, Comparison, Condition, Filter, Ruleset, Verdict, compile};
use super::table::{Arch, Syscall};

const NOTIFY: Action = Action::Notify;
const ALLOW: Action = Action::Allow;
const SUCCEED: Action = Action::Errno(0);
const NO_SUCH_CALL: Action = Action::Errno(libc::ENOSYS as u16);

const fn is(argument: u8, value: u64) -> Condition {
    Condition { argument, comparison: Comparison::Equal, value }
}

const fn has(argument: u8, bits: i32) -> Condition {
    Condition { argument, comparison: Comparison::MaskedEqual(bits as u64), value: bits as u64 }
}

const fn check(conditions: &[Condition], action: Action) -> Check<'_> {
    Check { conditions, action }
}

/// Without O_DIRECTORY, which is part of O_TMPFILE: `__O_TMPFILE`.
const UNNAMED: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Those that make a file.
const OPEN: &[Check<'static>] = &[check(&[has(1, libc::O_CREAT)], NOTIFY), check(&[has(1, UNNAMED)], NOTIFY)];
const OPENAT: &[Check<'static>] = &[check(&[has(2, libc::O_CREAT)], NOTIFY), check(&[has(2, UNNAMED)], NOTIFY)];

/// Those about capabilities.
const PRCTL: &[Check<'static>] = &[
    check(&[is(0, libc::PR_GET_KEEPCAPS as u64)], NOTIFY),
    check(&[is(0, libc::PR_SET_KEEPCAPS as u64)], NOTIFY),
    check(&[is(0, libc::PR_GET_SECUREBITS as u64)], NOTIFY),
    check(&[is(0, libc::PR_SET_SECUREBITS as u64)], NOTIFY),
    check(&[is(0, libc::PR_CAPBSET_DROP as u64)], NOTIFY),
    check(&[is(0, libc::PR_CAP_AMBIENT as u64)], NOTIFY),
];

/// The limit that carries the credentials is not for programs to set: that seems to succeed, as a limit without a meaning may.
const PRLIMIT: &[Check<'static>] = &[check(
    &[is(1, libc::RLIMIT_LOCKS as u64), Condition { argument: 2, comparison: Comparison::NotEqual, value: 0 }],
    SUCCEED,
)];
const SETRLIMIT: &[Check<'static>] = &[check(&[is(0, libc::RLIMIT_LOCKS as u64)], SUCCEED)];

/// `SO_PEERGROUPS` (asm-generic/socket.h).
const SO_PEERGROUPS: u64 = 59;
const GETSOCKOPT: &[Check<'static>] = &[
    check(&[is(1, libc::SOL_SOCKET as u64), is(2, libc::SO_PEERCRED as u64)], NOTIFY),
    check(&[is(1, libc::SOL_SOCKET as u64), is(2, SO_PEERGROUPS)], NOTIFY),
];

/// Answered whatever their arguments.
#[rustfmt::skip]
const ASKED: &[Syscall] = {
    use Syscall::*;
    &[
        access, bind, capget, capset, chmod, chown, chown32, chroot, creat, execve, execveat, faccessat, faccessat2, fchmod, fchmodat, fchmodat2, fchown,
        fchown32, fchownat, fstat, fstat64, fstatat64, getegid, getegid32, geteuid, geteuid32, getgid, getgid32, getgroups,
        getgroups32, getresgid, getresgid32, getresuid, getresuid32, getuid, getuid32, landlock_restrict_self, lchown,
        lchown32, lstat, lstat64, mkdir, mkdirat, mknod, mknodat, newfstatat, openat2, pivot_root, setfsgid, setfsgid32,
        setfsuid, setfsuid32, setgid, setgid32, setgroups, setgroups32, setregid, setregid32, setresgid, setresgid32,
        setresuid, setresuid32, setreuid, setreuid32, setuid, setuid32, stat, stat64, statx, symlink, symlinkat,
    ]
};

/// A second way into the kernel, which filters do not see; and calls of the 32-bit interface that say the same as others.
const WITHHELD: &[Syscall] = {
    use Syscall::*;
    &[io_uring_setup, io_uring_enter, io_uring_register, oldstat, oldlstat, oldfstat]
};

/// What our own init passes in the arguments that capset(2) and execve(2) do not have, so that nobody is asked about these calls:
/// nobody can answer yet. Random: whoever knew it would be asked about one call less.
pub type Key = [u64; 2];

/// The filter whose notifications a supervisor answers, for these interfaces; others kill.
pub fn emulation_filter(abis: &[Arch], key: Key) -> Filter {
    let mut verdicts = [Verdict::always(ALLOW); Syscall::COUNT];
    let unasked = [is(4, key[0]), is(5, key[1])];
    let unasked = [check(&unasked, ALLOW)];
    // Its others must be zero (PR_CAP_AMBIENT(2const)).
    let unasked_prctl = [is(5, key[1])];
    let prctl: Vec<Check<'_>> = [check(&unasked_prctl, ALLOW)].into_iter().chain(PRCTL.iter().copied()).collect();
    let mut set = |call: Syscall, verdict| verdicts[call as usize] = verdict;
    ASKED.iter().for_each(|&call| set(call, Verdict::always(NOTIFY)));
    WITHHELD.iter().for_each(|&call| set(call, Verdict::always(NO_SUCH_CALL)));
    for (call, checks) in [
        (Syscall::open, OPEN),
        (Syscall::openat, OPENAT),
        (Syscall::prctl, &prctl[..]),
        (Syscall::prlimit64, PRLIMIT),
        (Syscall::setrlimit, SETRLIMIT),
        (Syscall::getsockopt, GETSOCKOPT),
    ] {
        set(call, Verdict { checks, otherwise: ALLOW });
    }
    for call in [Syscall::capset, Syscall::execve] {
        set(call, Verdict { checks: &unasked, otherwise: NOTIFY });
    }
    compile(&Ruleset { abis, verdicts: &verdicts, unknown: ALLOW }, 0)
}

/// Seem to succeed.
#[rustfmt::skip]
const PRETENDED: &[Syscall] = {
    use Syscall::*;
    &[
        capset, chown, chown32, fchown, fchown32, fchownat, lchown, lchown32, setfsgid, setfsgid32, setfsuid, setfsuid32,
        setgid, setgid32, setgroups, setgroups32, setregid, setregid32, setresgid, setresgid32, setresuid, setresuid32,
        setreuid, setreuid32, setuid, setuid32,
    ]
};

/// Whether a device is to be made (mknod(2)): the mode says it.
const fn kind(argument: u8, kind: u32) -> Condition {
    Condition { argument, comparison: Comparison::MaskedEqual(libc::S_IFMT as u64), value: kind as u64 }
}

const MKNOD: &[Check<'static>] =
    &[check(&[kind(1, libc::S_IFCHR)], SUCCEED), check(&[kind(1, libc::S_IFBLK)], SUCCEED)];
const MKNODAT: &[Check<'static>] =
    &[check(&[kind(2, libc::S_IFCHR)], SUCCEED), check(&[kind(2, libc::S_IFBLK)], SUCCEED)];

/// The filter that has changes of ids and owners do nothing, for these interfaces; others kill.
pub fn pretence_filter(abis: &[Arch]) -> Filter {
    let mut verdicts = [Verdict::always(ALLOW); Syscall::COUNT];
    let mut set = |call: Syscall, verdict| verdicts[call as usize] = verdict;
    PRETENDED.iter().for_each(|&call| set(call, Verdict::always(SUCCEED)));
    set(Syscall::mknod, Verdict { checks: MKNOD, otherwise: ALLOW });
    set(Syscall::mknodat, Verdict { checks: MKNODAT, otherwise: ALLOW });
    compile(&Ruleset { abis, verdicts: &verdicts, unknown: ALLOW }, 0)
}

#[cfg(test)]
mod tests {
    use super::super::interpreter::{Call, run};
    use super::*;

    fn decide(filter: &Filter, call: Syscall, arguments: [u64; 6]) -> u32 {
        let number = call.number(Arch::X86_64).expect("the call exists there");
        run(filter.instructions(), &Call::new(Arch::X86_64, number, arguments)).0
    }

    const NOTIFIED: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const NOTHING: u32 = libc::SECCOMP_RET_ERRNO;

    #[test]
    fn only_what_is_about_ids_is_asked_about() {
        let filter = emulation_filter(&[Arch::X86_64], [7, 1 << 40]);
        assert_eq!(decide(&filter, Syscall::execve, [0, 0, 0, 0, 7, 1 << 40]), ALLOWED);
        assert_eq!(decide(&filter, Syscall::execve, [0, 0, 0, 0, 7, 1]), NOTIFIED);
        assert_eq!(decide(&filter, Syscall::setuid, [33, 0, 0, 0, 0, 0]), NOTIFIED);
        assert_eq!(decide(&filter, Syscall::read, [0; 6]), ALLOWED);
        let open = |flags: i32| decide(&filter, Syscall::openat, [0, 0, flags as u64 | 1 << 40, 0, 0, 0]);
        assert_eq!(open(libc::O_RDONLY | libc::O_DIRECTORY), ALLOWED);
        assert_eq!(open(libc::O_WRONLY | libc::O_CREAT), NOTIFIED);
        assert_eq!(open(libc::O_WRONLY | libc::O_TMPFILE), NOTIFIED);
        let locks = u64::from(libc::RLIMIT_LOCKS);
        assert_eq!(decide(&filter, Syscall::prlimit64, [0, locks, 4096, 0, 0, 0]), NOTHING);
        assert_eq!(decide(&filter, Syscall::prlimit64, [0, locks, 0, 4096, 0, 0]), ALLOWED, "it may be read");
        assert_eq!(decide(&filter, Syscall::prlimit64, [0, 7, 4096, 0, 0, 0]), ALLOWED);
        assert_eq!(decide(&filter, Syscall::io_uring_setup, [0; 6]), NOTHING | libc::ENOSYS as u32);
        let number = Syscall::getuid.number(Arch::X86).expect("it has it");
        let foreign = run(filter.instructions(), &Call::new(Arch::X86, number, [0; 6])).0;
        assert_eq!(foreign, libc::SECCOMP_RET_KILL_PROCESS);
        let both = emulation_filter(&[Arch::X86_64, Arch::X86], [0; 2]);
        assert_eq!(run(both.instructions(), &Call::new(Arch::X86, number, [0; 6])).0, NOTIFIED);
        assert!(both.instructions().len() < 1000, "{}", both.instructions().len());
    }

    #[test]
    fn devices_are_pretended_and_pipes_are_made() {
        let filter = pretence_filter(&[Arch::X86_64]);
        for (kind, wanted) in [(libc::S_IFCHR, NOTHING), (libc::S_IFBLK, NOTHING), (libc::S_IFIFO, ALLOWED)] {
            assert_eq!(decide(&filter, Syscall::mknod, [0, u64::from(kind | 0o644), 0, 0, 0, 0]), wanted);
            assert_eq!(decide(&filter, Syscall::mknodat, [0, 0, u64::from(kind | 0o644), 0, 0, 0]), wanted);
        }
        assert_eq!(decide(&filter, Syscall::fchownat, [0; 6]), NOTHING);
        assert_eq!(decide(&filter, Syscall::newfstatat, [0; 6]), ALLOWED);
    }
}
