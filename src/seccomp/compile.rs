//! Rules to classic BPF (seccomp(2), Documentation/userspace-api/seccomp_filter.rst).
//!
//! The program finds the interface, then the call by binary search over ranges of numbers, then looks at arguments.
//! Where a call is allowed whatever its arguments, only the interface and the number are loaded on the way: the kernel
//! sees that when the filter is installed and never runs it for that call again (the action cache of Linux 5.11).

use libc::sock_filter;

use super::table::{Arch, Syscall};

/// What becomes of a call (`SECCOMP_RET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made, and logged.
    Log,
    /// It fails with this errno, at most 4095.
    Errno(u16),
    /// A supervisor is asked, which has the listener of the filter; without one it fails with ENOSYS.
    Notify,
    /// A tracer is asked, and told this number; without a tracer it fails with ENOSYS.
    Trace(u16),
    /// The thread gets SIGSYS.
    Trap,
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
}

impl Action {
    /// The filter's return value.
    pub fn return_value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }

    /// The kernel's order among filters that disagree, the most restrictive first (seccomp(2)).
    pub fn precedence(self) -> i32 {
        (self.return_value() & libc::SECCOMP_RET_ACTION_FULL) as i32
    }
}

/// How an argument is compared, all of it unsigned (libseccomp's `SCMP_CMP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `≠`
    NotEqual,
    /// `<`
    Less,
    /// `≤`
    LessOrEqual,
    /// `>`
    Greater,
    /// `≥`
    GreaterOrEqual,
    /// `=` after bitwise and with this mask.
    MaskedEqual(u64),
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// 0 to 5.
    pub argument: u8,
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

/// An action for calls that meet all of the conditions, at most one for each argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// What the arguments must be.
    pub conditions: &'a [Condition],
    /// What happens then.
    pub action: Action,
}

/// What happens to a call: the action of the first check it passes, else `otherwise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// In order.
    pub checks: &'a [Check<'a>],
    /// If none is passed.
    pub otherwise: Action,
}

impl Verdict<'_> {
    /// The same action whatever the arguments.
    pub const fn always(action: Action) -> Self {
        Self { checks: &[], otherwise: action }
    }
}

/// What happens to every call.
pub struct Ruleset<'a> {
    /// The interfaces that may be used, the likeliest first; any other kills the process.
    pub abis: &'a [Arch],
    /// By `Syscall as usize`.
    pub verdicts: &'a [Verdict<'a>; Syscall::COUNT],
    /// For numbers that the table does not have.
    pub unknown: Action,
}

/// A program for the kernel.
#[derive(Clone)]
pub struct Filter {
    instructions: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*` to install it with.
    pub flags: u32,
}

impl Filter {
    /// The program.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.instructions
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({} instructions, flags {:#x})", self.instructions.len(), self.flags)
    }
}

/// Longest program the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Offsets in `struct seccomp_data` (linux/seccomp.h), little endian.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JUMP_GREATER_OR_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// x32's numbers are x86_64's with this bit.
const X32_BIT: u32 = 0x4000_0000;

/// What a tracer sets the number to in order to have no call made; the filter still sees it.
const SKIPPED_BY_TRACER: u32 = u32::MAX;

/// The program for `ruleset`; it may be longer than [`MAX_INSTRUCTIONS`].
pub fn compile(ruleset: &Ruleset<'_>, flags: u32) -> Filter {
    let mut program = Vec::with_capacity(1024);
    program.push(statement(LOAD, OFFSET_ARCH));
    for &arch in ruleset.abis {
        // The section can be longer than a conditional jump reaches.
        program.push(jump(JUMP_EQUAL, arch.audit(), 1, 0));
        let skip = program.len();
        program.push(statement(JUMP, 0));
        emit_section(&mut program, ruleset, arch);
        program[skip].k = (program.len() - skip - 1) as u32;
    }
    program.push(statement(RETURN, Action::KillProcess.return_value()));
    Filter { instructions: program, flags }
}

/// The decisions for one interface.
fn emit_section(program: &mut Vec<sock_filter>, ruleset: &Ruleset<'_>, arch: Arch) {
    program.push(statement(LOAD, OFFSET_NUMBER));
    if arch == Arch::X86_64 {
        program.push(jump(JUMP_GREATER_OR_EQUAL, X32_BIT, 0, 3));
        program.push(jump(JUMP_EQUAL, SKIPPED_BY_TRACER, 0, 1));
        program.push(statement(RETURN, ruleset.unknown.return_value()));
        program.push(statement(RETURN, Action::KillProcess.return_value()));
    }
    emit_search(program, &ranges(ruleset, arch));
}

/// A run of numbers, up to the next one's first, with one decision.
struct Range<'a> {
    first: u32,
    verdict: Verdict<'a>,
    narrow: u8,
}

/// All numbers of `arch`, in as few ranges as there can be.
fn ranges<'a>(ruleset: &Ruleset<'a>, arch: Arch) -> Vec<Range<'a>> {
    let mut calls: Vec<(u32, Syscall)> =
        Syscall::ALL.iter().filter_map(|&call| Some((call.number(arch)?, call))).collect();
    calls.sort_unstable_by_key(|&(number, _)| number);
    let unknown = Verdict::always(ruleset.unknown);
    let mut ranges = Vec::with_capacity(calls.len());
    let mut next = 0;
    for (number, call) in calls {
        if number != next {
            append(&mut ranges, Range { first: next, verdict: unknown, narrow: 0 });
        }
        let verdict = ruleset.verdicts[call as usize];
        append(&mut ranges, Range { first: number, verdict, narrow: call.narrow_arguments(arch) });
        next = number + 1;
    }
    append(&mut ranges, Range { first: next, verdict: unknown, narrow: 0 });
    ranges
}

/// Adds `range`, unless the last one decides the same.
fn append<'a>(ranges: &mut Vec<Range<'a>>, range: Range<'a>) {
    let same = ranges.last().is_some_and(|last| {
        last.verdict == range.verdict && (last.verdict.checks.is_empty() || last.narrow == range.narrow)
    });
    if !same {
        ranges.push(range);
    }
}

/// Binary search for the number in the accumulator among `ranges`, and what follows from it.
fn emit_search(program: &mut Vec<sock_filter>, ranges: &[Range<'_>]) {
    let (lower, upper) = match ranges {
        [] => return,
        [range] => return emit_verdict(program, range),
        _ => ranges.split_at(ranges.len() / 2),
    };
    let branch = program.len();
    program.push(jump(JUMP_GREATER_OR_EQUAL, upper[0].first, 0, 0));
    emit_search(program, lower);
    let distance = program.len() - branch - 1;
    match u8::try_from(distance) {
        Ok(distance) => program[branch].jt = distance,
        Err(_) => {
            program[branch].jf = 1;
            program.insert(branch + 1, statement(JUMP, distance as u32));
        }
    }
    emit_search(program, upper);
}

fn emit_verdict(program: &mut Vec<sock_filter>, range: &Range<'_>) {
    for check in range.verdict.checks {
        emit_check(program, check, range.narrow);
    }
    program.push(statement(RETURN, range.verdict.otherwise.return_value()));
}

/// Returns the check's action if all conditions are met, else falls through. Made from the end, because a jump says how
/// much is left to skip.
fn emit_check(program: &mut Vec<sock_filter>, check: &Check<'_>, narrow: u8) {
    let mut rest = vec![statement(RETURN, check.action.return_value())];
    for condition in check.conditions.iter().rev() {
        let mut code = tests(condition, narrow >> condition.argument & 1 != 0).resolve(rest.len());
        code.append(&mut rest);
        rest = code;
    }
    program.append(&mut rest);
}

/// Where a test inside a condition leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// To the next instruction.
    Next,
    /// The condition is met.
    Met,
    /// It is not.
    Failed,
}

/// A condition's instructions, with jumps by meaning.
struct Tests(Vec<(sock_filter, Target, Target)>);

impl Tests {
    fn load(&mut self, offset: u32) {
        self.0.push((statement(LOAD, offset), Target::Next, Target::Next));
    }

    fn mask(&mut self, mask: u32) {
        self.0.push((statement(AND, mask), Target::Next, Target::Next));
    }

    fn test(&mut self, code: u16, value: u32, if_true: Target, if_false: Target) {
        self.0.push((jump(code, value, 0, 0), if_true, if_false));
    }

    /// Swaps the outcomes.
    fn negated(mut self) -> Self {
        for (_, if_true, if_false) in &mut self.0 {
            for target in [if_true, if_false] {
                *target = match *target {
                    Target::Next => Target::Next,
                    Target::Met => Target::Failed,
                    Target::Failed => Target::Met,
                };
            }
        }
        self
    }

    /// The instructions, where `skip` more follow that a failed condition jumps over: at most six conditions of six
    /// instructions, so that every distance fits.
    fn resolve(self, skip: usize) -> Vec<sock_filter> {
        let count = self.0.len();
        let resolved = self.0.into_iter().enumerate().map(|(index, (mut instruction, if_true, if_false))| {
            let left = count - index - 1;
            let distance = |target| match target {
                Target::Next => 0,
                Target::Met => left as u8,
                Target::Failed => (left + skip) as u8,
            };
            instruction.jt = distance(if_true);
            instruction.jf = distance(if_false);
            instruction
        });
        resolved.collect()
    }
}

/// The tests that `condition` takes. Of a `narrow` argument, only the half that the kernel looks at is compared.
fn tests(condition: &Condition, narrow: bool) -> Tests {
    let Condition { argument, comparison, value } = *condition;
    if narrow {
        return narrow_tests(argument, comparison, value);
    }
    match comparison {
        Comparison::Equal => equal_tests(argument, u64::MAX, value),
        Comparison::NotEqual => equal_tests(argument, u64::MAX, value).negated(),
        Comparison::MaskedEqual(mask) => equal_tests(argument, mask, value),
        Comparison::Greater => order_tests(argument, JUMP_GREATER, value),
        Comparison::LessOrEqual => order_tests(argument, JUMP_GREATER, value).negated(),
        Comparison::GreaterOrEqual => order_tests(argument, JUMP_GREATER_OR_EQUAL, value),
        Comparison::Less => order_tests(argument, JUMP_GREATER_OR_EQUAL, value).negated(),
    }
}

fn equal_tests(argument: u8, mask: u64, value: u64) -> Tests {
    let mut tests = Tests(Vec::with_capacity(6));
    for (offset, mask, value) in [(high(argument), mask >> 32, value >> 32), (low(argument), mask, value)] {
        let last = if offset == low(argument) { Target::Met } else { Target::Next };
        tests.load(offset);
        if mask as u32 != u32::MAX {
            tests.mask(mask as u32);
        }
        tests.test(JUMP_EQUAL, value as u32, last, Target::Failed);
    }
    tests
}

/// `code` compares the low halves where the high ones are equal.
fn order_tests(argument: u8, code: u16, value: u64) -> Tests {
    let mut tests = Tests(Vec::with_capacity(5));
    tests.load(high(argument));
    tests.test(JUMP_GREATER, (value >> 32) as u32, Target::Met, Target::Next);
    tests.test(JUMP_EQUAL, (value >> 32) as u32, Target::Next, Target::Failed);
    tests.load(low(argument));
    tests.test(code, value as u32, Target::Met, Target::Failed);
    tests
}

fn narrow_tests(argument: u8, comparison: Comparison, value: u64) -> Tests {
    let mut tests = Tests(Vec::with_capacity(3));
    let Some(value) = narrowed(value) else {
        // The argument, zero-extended, is less than the value and never equal to it.
        use Comparison::*;
        let met = matches!(comparison, NotEqual | Less | LessOrEqual);
        let target = if met { Target::Met } else { Target::Failed };
        tests.test(JUMP_EQUAL, 0, target, target);
        return tests;
    };
    tests.load(low(argument));
    let (code, negated) = match comparison {
        Comparison::Equal => (JUMP_EQUAL, false),
        Comparison::NotEqual => (JUMP_EQUAL, true),
        Comparison::Greater => (JUMP_GREATER, false),
        Comparison::LessOrEqual => (JUMP_GREATER, true),
        Comparison::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, false),
        Comparison::Less => (JUMP_GREATER_OR_EQUAL, true),
        Comparison::MaskedEqual(mask) => {
            tests.mask(mask as u32);
            (JUMP_EQUAL, false)
        }
    };
    tests.test(code, value, Target::Met, Target::Failed);
    if negated { tests.negated() } else { tests }
}

/// `value` as a 32-bit argument is seen; `None` if no such argument can have it. Negative numbers may be written with 64
/// bits.
pub(super) fn narrowed(value: u64) -> Option<u32> {
    u32::try_from(value).ok().or_else(|| i32::try_from(value as i64).ok().map(|negative| negative as u32))
}

fn low(argument: u8) -> u32 {
    OFFSET_ARGUMENTS + 8 * u32::from(argument)
}

fn high(argument: u8) -> u32 {
    low(argument) + 4
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::interpreter::{Call, run};
    use super::*;

    /// What a verdict means, without any BPF.
    fn judge(verdict: &Verdict<'_>, narrow: u8, arguments: &[u64; 6]) -> Action {
        let met = |condition: &Condition| {
            let argument = arguments[usize::from(condition.argument)];
            let (argument, value) = match (narrow >> condition.argument & 1, narrowed(condition.value)) {
                (0, _) => (argument, condition.value),
                (_, Some(value)) => (argument & 0xffff_ffff, u64::from(value)),
                (_, None) => (argument & 0xffff_ffff, u64::MAX),
            };
            match condition.comparison {
                Comparison::Equal => argument == value,
                Comparison::NotEqual => argument != value,
                Comparison::Less => argument < value,
                Comparison::LessOrEqual => argument <= value,
                Comparison::Greater => argument > value,
                Comparison::GreaterOrEqual => argument >= value,
                Comparison::MaskedEqual(mask) => argument & mask == value,
            }
        };
        let passed = verdict.checks.iter().find(|check| check.conditions.iter().all(met));
        passed.map_or(verdict.otherwise, |check| check.action)
    }

    /// A few bits, so that equality and carries between the halves happen.
    fn word() -> impl Strategy<Value = u64> {
        let half = prop_oneof![Just(0_u32), Just(1), Just(2), Just(0x8000_0000), Just(u32::MAX), any::<u32>()];
        (half.clone(), half).prop_map(|(high, low)| u64::from(high) << 32 | u64::from(low))
    }

    fn comparison() -> impl Strategy<Value = Comparison> {
        prop_oneof![
            Just(Comparison::Equal),
            Just(Comparison::NotEqual),
            Just(Comparison::Less),
            Just(Comparison::LessOrEqual),
            Just(Comparison::Greater),
            Just(Comparison::GreaterOrEqual),
            word().prop_map(Comparison::MaskedEqual),
        ]
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![Just(Action::Allow), Just(Action::Trap), (0..4096_u16).prop_map(Action::Errno)]
    }

    type OwnedVerdict = (Vec<(Vec<Condition>, Action)>, Action);

    fn verdict() -> impl Strategy<Value = OwnedVerdict> {
        let condition = (0..6_u8, comparison(), word()).prop_map(|(argument, comparison, value)| Condition {
            argument,
            comparison,
            value,
        });
        let conditions = vec(condition, 1..5).prop_map(|mut conditions| {
            conditions.sort_by_key(|condition| condition.argument);
            conditions.dedup_by_key(|condition| condition.argument);
            conditions
        });
        (vec((conditions, action()), 0..4), action())
    }

    proptest! {
        #[test]
        fn the_program_decides_as_the_rules_say(
            owned in vec(verdict(), 1..12),
            unknown in action(),
            spread in any::<u64>(),
            arguments in vec([word(), word(), word(), word(), word(), word()], 8),
        ) {
            let checks: Vec<Vec<Check>> = owned
                .iter()
                .map(|(checks, _)| {
                    checks.iter().map(|(conditions, action)| Check { conditions, action: *action }).collect()
                })
                .collect();
            let verdicts: [Verdict; Syscall::COUNT] = std::array::from_fn(|call| {
                let which = (call as u64).wrapping_mul(spread | 1) as usize % owned.len();
                Verdict { checks: &checks[which], otherwise: owned[which].1 }
            });
            for arch in Arch::ALL {
                let filter = compile(&Ruleset { abis: &[arch], verdicts: &verdicts, unknown }, 0);
                for (index, &call) in Syscall::ALL.iter().enumerate() {
                    let Some(number) = call.number(arch) else { continue };
                    let arguments = arguments[index % arguments.len()];
                    let wanted = judge(&verdicts[index], call.narrow_arguments(arch), &arguments);
                    let (got, _) = run(filter.instructions(), &Call::new(arch, number, arguments));
                    prop_assert_eq!(got, wanted.return_value(), "{:?} {:?} {:x?}", arch, call, arguments);
                }
            }
        }

        #[test]
        fn a_condition_is_tested_at_its_boundaries(
            comparison in comparison(), value in word(), nearby in -2_i64..3, high in any::<u32>(), narrow: bool,
        ) {
            let conditions = [Condition { argument: 3, comparison, value }];
            let check = Check { conditions: &conditions, action: Action::Trap };
            let verdict = Verdict { checks: &[check], otherwise: Action::Allow };
            let narrow = u8::from(narrow) << 3;
            let mut program = Vec::new();
            emit_verdict(&mut program, &Range { first: 0, verdict, narrow });
            let near = value.wrapping_add_signed(nearby);
            for argument in [near, near & 0xffff_ffff | u64::from(high) << 32, value & u64::from(high)] {
                let arguments = [0, 0, 0, argument, 0, 0];
                let (got, _) = run(&program, &Call::new(Arch::X86_64, 0, arguments));
                prop_assert_eq!(got, judge(&verdict, narrow, &arguments).return_value(), "{:x}", argument);
            }
        }
    }

    #[test]
    fn jumps_over_more_than_255_instructions_arrive() {
        let conditions: Vec<Condition> = (0..6)
            .map(|argument| Condition { argument, comparison: Comparison::MaskedEqual(0xff00_0000_00ff), value: 7 })
            .collect();
        let checks: Vec<Check> =
            (0..20).map(|errno| Check { conditions: &conditions, action: Action::Errno(errno) }).collect();
        let mut verdicts = [Verdict::always(Action::Allow); Syscall::COUNT];
        for call in [Syscall::read, Syscall::socket, Syscall::mseal] {
            verdicts[call as usize].checks = &checks;
        }
        let unknown = Action::KillThread;
        let filter = compile(&Ruleset { abis: &[Arch::X86, Arch::X86_64], verdicts: &verdicts, unknown }, 0);
        for arch in [Arch::X86, Arch::X86_64] {
            for &call in Syscall::ALL {
                let Some(number) = call.number(arch) else { continue };
                let checked = !verdicts[call as usize].checks.is_empty();
                for (arguments, wanted) in [([7; 6], Action::Errno(0)), ([6; 6], Action::Allow)] {
                    let wanted = if checked { wanted } else { Action::Allow };
                    let (got, _) = run(filter.instructions(), &Call::new(arch, number, arguments));
                    assert_eq!(got, wanted.return_value(), "{call:?}");
                }
            }
        }
    }
}
