//! What a process may call that turns hostile bytes into files, once it is shut in with the directory it fills: a list of
//! what that takes. Everything else kills the process, for nothing but an attack would call it.

use super::compile::{Action, Check, Comparison, Condition, Filter, Ruleset, Verdict, compile};
use super::table::{Arch, Syscall};

/// The program for the process `pid`, which has one thread and executes nothing.
pub fn parser_filter(arch: Arch, pid: u32) -> Filter {
    let mut verdicts = [DEADLY; Syscall::COUNT];
    let mut set = |call: Syscall, verdict| verdicts[call as usize] = verdict;
    ALLOWED.iter().for_each(|&call| set(call, Verdict::always(Action::Allow)));
    let aborts = [is(0, pid as u64), is(2, libc::SIGABRT as u64)];
    let aborts = [allow_if(&aborts)];
    set(Syscall::tgkill, only(&aborts));
    set(Syscall::mmap, only(NOT_EXECUTABLE));
    set(Syscall::mprotect, only(NOT_EXECUTABLE));
    set(Syscall::fcntl, only(FLAGS_OF_DESCRIPTORS));
    set(Syscall::mknodat, only(NO_DEVICE));
    compile(&Ruleset { abis: &[arch], verdicts: &verdicts, unknown: Action::KillProcess }, 0)
}

const DEADLY: Verdict<'static> = Verdict::always(Action::KillProcess);

const fn only<'a>(checks: &'a [Check<'a>]) -> Verdict<'a> {
    Verdict { checks, otherwise: Action::KillProcess }
}

const fn allow_if(conditions: &[Condition]) -> Check<'_> {
    Check { conditions, action: Action::Allow }
}

const fn is(argument: u8, value: u64) -> Condition {
    Condition { argument, comparison: Comparison::Equal, value }
}

/// Memory is data.
const NOT_EXECUTABLE: &[Check<'static>] = {
    const PROTECTION: Comparison = Comparison::MaskedEqual(libc::PROT_EXEC as u64);
    &[allow_if(&[Condition { argument: 2, comparison: PROTECTION, value: 0 }])]
};

/// Other commands duplicate descriptors, lock files, or send signals.
const FLAGS_OF_DESCRIPTORS: &[Check<'static>] = &[
    allow_if(&[is(1, libc::F_GETFD as u64)]),
    allow_if(&[is(1, libc::F_SETFD as u64)]),
    allow_if(&[is(1, libc::F_GETFL as u64)]),
];

/// Device 0:0 is no device: whiteouts have it, and named pipes.
const NO_DEVICE: &[Check<'static>] = &[allow_if(&[is(3, 0)])];

const ALLOWED: &[Syscall] = {
    use Syscall::*;
    &[
        // Bytes in, bytes out.
        read,
        write,
        writev,
        close,
        lseek, //
        // Files: all by descriptor and name, resolved below a directory that is open.
        openat,
        openat2,
        mkdirat,
        symlinkat,
        linkat,
        unlinkat,
        renameat2,
        fstat,
        newfstatat,
        getdents64,
        fstatfs,
        // What files have beside their contents.
        fchmod,
        fchmodat,
        fchown,
        fchownat,
        utimensat,
        fgetxattr,
        fsetxattr,
        fremovexattr,
        // Memory, and what the run-time library does at the end, good or bad.
        brk,
        munmap,
        mremap,
        madvise,
        getrandom,
        rt_sigprocmask,
        rt_sigaction,
        rt_sigreturn,
        sigaltstack,
        getpid,
        gettid,
        exit,
        exit_group,
    ]
};

#[cfg(test)]
mod tests {
    use super::super::interpreter::{Call, run};
    use super::*;

    const PID: u32 = 4711;

    fn decide(call: Syscall, arguments: [u64; 6]) -> Option<u32> {
        let number = call.number(Arch::NATIVE)?;
        let filter = parser_filter(Arch::NATIVE, PID);
        Some(run(filter.instructions(), &Call::new(Arch::NATIVE, number, arguments)).0)
    }

    const ALLOW: Option<u32> = Some(libc::SECCOMP_RET_ALLOW);
    const KILL: Option<u32> = Some(libc::SECCOMP_RET_KILL_PROCESS);

    #[test]
    fn what_is_not_listed_kills() {
        let checked = [Syscall::tgkill, Syscall::mmap, Syscall::mprotect, Syscall::fcntl, Syscall::mknodat];
        for &call in Syscall::ALL.iter().filter(|call| call.number(Arch::NATIVE).is_some()) {
            let wanted = if ALLOWED.contains(&call) { ALLOW } else { KILL };
            let deadly_or_allowed = decide(call, [u64::MAX; 6]);
            assert_eq!(deadly_or_allowed, if checked.contains(&call) { KILL } else { wanted }, "{}", call.name());
        }
        let filter = parser_filter(Arch::NATIVE, PID);
        for call in [Call::new(Arch::NATIVE, 4000, [0; 6]), Call::new(Arch::X86, 3, [0; 6])] {
            assert_eq!(run(filter.instructions(), &call).0, libc::SECCOMP_RET_KILL_PROCESS);
        }
    }

    #[test]
    fn memory_is_never_executable() {
        for call in [Syscall::mmap, Syscall::mprotect] {
            let with = |protection| decide(call, [0, 4096, protection, 0, 0, 0]);
            assert_eq!(with((libc::PROT_READ | libc::PROT_WRITE) as u64), ALLOW);
            assert_eq!(with((libc::PROT_READ | libc::PROT_EXEC) as u64), KILL);
        }
    }

    #[test]
    fn nobody_else_gets_a_signal() {
        let kill = |pid: u32, signal| decide(Syscall::tgkill, [pid.into(), pid.into(), signal as u64, 0, 0, 0]);
        assert_eq!(kill(PID, libc::SIGABRT), ALLOW);
        assert_eq!(kill(PID, libc::SIGKILL), KILL);
        assert_eq!(kill(PID + 1, libc::SIGABRT), KILL);
        assert_eq!(decide(Syscall::fcntl, [3, libc::F_SETOWN as u64, 1, 0, 0, 0]), KILL);
        assert_eq!(decide(Syscall::fcntl, [3, libc::F_GETFD as u64, 0, 0, 0, 0]), ALLOW);
    }

    #[test]
    fn nodes_are_whiteouts_and_pipes() {
        let make = |device| decide(Syscall::mknodat, [3, 0, libc::S_IFCHR.into(), device, 0, 0]);
        assert_eq!(make(0), ALLOW);
        assert_eq!(make(0x103), KILL);
    }
}
