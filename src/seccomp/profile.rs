//! Profiles in docker's and podman's JSON format, of which the runtime specification's (config-linux.md, "Seccomp") is a
//! part. Nothing in a profile is ignored: what cannot be done as written is refused.
//!
//! Where the formats leave the meaning open, it is what runc, crun and libseccomp make of it: a rule whose action is the
//! default action says nothing; a rule without conditions beats those with, the first such one wins; conditions of one
//! rule must all be met, except that a rule with two on the same argument is met by any of them. Where several rules with
//! conditions are met, libseccomp has an order of its own; here the most restrictive action wins, as with several filters.

use serde::Deserialize;

use super::compile::{Action, Check, Comparison, Condition, Filter, MAX_INSTRUCTIONS, Ruleset, Verdict, compile};
use super::table::{Arch, Named, Syscall, names};
use crate::host::kernel::KernelVersion;
use crate::name::capability::{Capability, CapabilitySet};

/// Largest profile that is read, in bytes.
pub const MAX_PROFILE: usize = 1 << 20;

/// A profile that has been read.
#[derive(Clone, Debug)]
pub struct Profile {
    default: Action,
    rules: Vec<Rule>,
    /// 32-bit interfaces that may be used.
    compat: Vec<Arch>,
    flags: u32,
}

/// One entry of `syscalls`.
#[derive(Clone, Debug)]
struct Rule {
    calls: Vec<Syscall>,
    /// Any of these lists must be met entirely; if there is none, the rule has no conditions.
    alternatives: Vec<Vec<Condition>>,
    action: Action,
    includes: Scope,
    excludes: Scope,
}

/// `includes` or `excludes`.
#[derive(Clone, Debug)]
struct Scope {
    capabilities: CapabilitySet,
    /// Go's names, docker's `arches`; empty where absent.
    architectures: Vec<String>,
    min_kernel: Option<KernelVersion>,
}

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SeccompError {
    #[error("the profile has {0} bytes: more than {MAX_PROFILE}")]
    TooLarge(usize),
    #[error("the profile is not a seccomp profile in JSON")]
    Json(#[from] serde_json::Error),
    #[error("the profile names {what} {value:?}, which is not known")]
    Unknown { what: &'static str, value: String },
    #[error("the profile has both {0} and {1}")]
    Both(&'static str, &'static str),
    #[error("a rule of the profile names no system call")]
    NoName,
    #[error("the profile gives error number {0} to action {1}, which takes none, or none that large")]
    Errno(u64, String),
    #[error("the profile has a condition on argument {0}: expected 0 to 5")]
    Argument(u64),
    #[error("the profile asks for {0}, which takes a listener outside of the container: not supported")]
    Listener(&'static str),
    #[error("the profile makes a filter of {0} instructions or more: the kernel takes at most {MAX_INSTRUCTIONS}")]
    TooLong(usize),
}

impl crate::failure::Explain for SeccompError {
    fn code(&self) -> &'static str {
        "E_SECCOMP"
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unknown { what: "system call", .. } => {
                "correct the name; if it is newer than this program, remove it: unknown calls get the default action"
            }
            Self::Json(_) => "start from docker's or podman's profile, for example /usr/share/containers/seccomp.json",
            Self::TooLong(_) => "merge rules, or compare fewer arguments",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    default_action: String,
    default_errno_ret: Option<u64>,
    /// podman's, by name; it beats the number.
    default_errno: Option<String>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMapEntry>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMapEntry {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    /// docker's old form.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u64>,
    /// podman's, by name; it beats the number.
    errno: Option<String>,
    args: Option<Vec<Argument>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    includes: Option<Conditional>,
    excludes: Option<Conditional>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u64,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Conditional {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile.
pub fn load_profile(json: &[u8]) -> Result<Profile, SeccompError> {
    if json.len() > MAX_PROFILE {
        return Err(SeccompError::TooLarge(json.len()));
    }
    let document: Document = serde_json::from_slice(json)?;
    if document.listener_path.is_some() || document.listener_metadata.is_some() {
        return Err(SeccompError::Listener("listenerPath"));
    }
    let compat = compat_interfaces(document.architectures, document.arch_map)?;
    let flags = document.flags.unwrap_or_default();
    let flags = flags.iter().map(|name| flag(name)).collect::<Result<Vec<u32>, _>>()?;
    let default = action(&document.default_action, document.default_errno, document.default_errno_ret)?;
    let names = names();
    let known = |name: &str| names.get(name).copied().ok_or_else(|| unknown("system call", name));
    let entries = document.syscalls.unwrap_or_default().into_iter();
    let rules = entries.map(|entry| rule(entry, known)).collect::<Result<_, _>>()?;
    Ok(Profile { default, rules, compat, flags: flags.into_iter().fold(0, |all, flag| all | flag) })
}

impl Profile {
    /// The program for a container with these capabilities in its bounding set, on this kernel.
    pub fn compile(&self, capabilities: CapabilitySet, kernel: KernelVersion) -> Result<Filter, SeccompError> {
        self.compile_for(Arch::NATIVE, capabilities, kernel)
    }

    fn compile_for(
        &self,
        arch: Arch,
        capabilities: CapabilitySet,
        kernel: KernelVersion,
    ) -> Result<Filter, SeccompError> {
        let compat = arch.compat().filter(|compat| self.compat.contains(compat));
        let abis: Vec<Arch> = [arch].into_iter().chain(compat).collect();
        let mut checks: Vec<Vec<Check<'_>>> = vec![Vec::new(); Syscall::COUNT];
        let mut always = [None; Syscall::COUNT];
        let mut count = 0;
        let rules = self.rules.iter().filter(|rule| rule.applies(arch, capabilities, kernel));
        for rule in rules.filter(|rule| rule.action != self.default) {
            let Rule { alternatives, action, .. } = rule;
            let ours = rule.calls.iter().filter(|call| abis.iter().any(|&abi| call.number(abi).is_some()));
            for call in ours.map(|&call| call as usize) {
                if alternatives.is_empty() {
                    always[call].get_or_insert(*action);
                }
                // A check is at least two instructions: stop before a few names and conditions have multiplied.
                count += 2 * alternatives.len();
                if count > MAX_INSTRUCTIONS {
                    return Err(SeccompError::TooLong(count));
                }
                checks[call].extend(alternatives.iter().map(|conditions| Check { conditions, action: *action }));
            }
        }
        checks.iter_mut().for_each(|checks| checks.sort_by_key(|check| check.action.precedence()));
        let verdicts = std::array::from_fn(|call| match always[call] {
            Some(action) => Verdict::always(action),
            None => Verdict { checks: &checks[call], otherwise: self.default },
        });
        let filter = compile(&Ruleset { abis: &abis, verdicts: &verdicts, unknown: self.default }, self.flags);
        match filter.instructions().len() {
            0..=MAX_INSTRUCTIONS => Ok(filter),
            length => Err(SeccompError::TooLong(length)),
        }
    }
}

impl Rule {
    fn applies(&self, arch: Arch, capabilities: CapabilitySet, kernel: KernelVersion) -> bool {
        let Self { includes, excludes, .. } = self;
        let go_name = match arch {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
            Arch::X86 => "x86",
            Arch::Arm => "arm",
        };
        let names_us = |scope: &Scope| scope.architectures.iter().any(|name| name == go_name);
        let included = capabilities.intersection(includes.capabilities) == includes.capabilities
            && (includes.architectures.is_empty() || names_us(includes))
            && includes.min_kernel.is_none_or(|least| kernel >= least);
        let excluded = capabilities.intersection(excludes.capabilities) != CapabilitySet::EMPTY
            || names_us(excludes)
            || excludes.min_kernel.is_some_and(|least| kernel >= least);
        included && !excluded
    }
}

fn rule(entry: Entry, known: impl Fn(&str) -> Result<Named, SeccompError>) -> Result<Rule, SeccompError> {
    let names = match (entry.name, entry.names) {
        (Some(_), Some(_)) => return Err(SeccompError::Both("name", "names")),
        (Some(name), None) => vec![name],
        (None, Some(names)) if !names.is_empty() => names,
        (None, _) => return Err(SeccompError::NoName),
    };
    let mut calls = Vec::with_capacity(names.len());
    for name in &names {
        match known(name)? {
            Named::Call(call) => calls.push(call),
            Named::Elsewhere => {}
        }
    }
    Ok(Rule {
        calls,
        alternatives: alternatives(entry.args.unwrap_or_default())?,
        action: action(&entry.action, entry.errno, entry.errno_ret)?,
        includes: scope(entry.includes)?,
        excludes: scope(entry.excludes)?,
    })
}

/// One list of all conditions, or one for each where two are on the same argument.
fn alternatives(arguments: Vec<Argument>) -> Result<Vec<Vec<Condition>>, SeccompError> {
    let conditions: Vec<Condition> = arguments.iter().map(condition).collect::<Result<_, _>>()?;
    let mut seen = 0_u8;
    let mut repeated = false;
    for condition in &conditions {
        repeated |= seen >> condition.argument & 1 != 0;
        seen |= 1 << condition.argument;
    }
    Ok(match conditions.len() {
        0 => Vec::new(),
        _ if repeated => conditions.into_iter().map(|condition| vec![condition]).collect(),
        _ => vec![conditions],
    })
}

fn condition(argument: &Argument) -> Result<Condition, SeccompError> {
    let index = u8::try_from(argument.index).ok().filter(|&index| index < 6);
    let index = index.ok_or(SeccompError::Argument(argument.index))?;
    let (comparison, value) = match argument.op.as_str() {
        "SCMP_CMP_NE" => (Comparison::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Comparison::Less, argument.value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, argument.value),
        "SCMP_CMP_EQ" => (Comparison::Equal, argument.value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, argument.value),
        "SCMP_CMP_GT" => (Comparison::Greater, argument.value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::MaskedEqual(argument.value), argument.value_two),
        other => return Err(unknown("comparison", other)),
    };
    Ok(Condition { argument: index, comparison, value })
}

fn action(name: &str, errno_name: Option<String>, errno: Option<u64>) -> Result<Action, SeccompError> {
    let errno = match errno_name.filter(|name| !name.is_empty()) {
        Some(name) => Some(errno_number(&name)?),
        None => errno,
    };
    // 4095 is the kernel's MAX_ERRNO; it would silently use that for larger ones.
    let number = |most: u16| match errno {
        None => Ok(libc::EPERM as u16),
        Some(number) if number <= u64::from(most) => Ok(number as u16),
        Some(number) => Err(SeccompError::Errno(number, name.to_owned())),
    };
    let plain = match name {
        "SCMP_ACT_ERRNO" => return Ok(Action::Errno(number(4095)?)),
        "SCMP_ACT_TRACE" => return Ok(Action::Trace(number(u16::MAX)?)),
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_NOTIFY" => return Err(SeccompError::Listener("SCMP_ACT_NOTIFY")),
        other => return Err(unknown("action", other)),
    };
    match errno {
        None => Ok(plain),
        Some(number) => Err(SeccompError::Errno(number, name.to_owned())),
    }
}

fn errno_number(name: &str) -> Result<u64, SeccompError> {
    let name = match name {
        "EWOULDBLOCK" => "EAGAIN",
        "EDEADLOCK" => "EDEADLK",
        "ENOTSUP" => "EOPNOTSUPP",
        other => other,
    };
    // 133, EHWPOISON, is the last one on our architectures (asm-generic/errno.h).
    let number = (1..=133).find(|&number| format!("{:?}", nix::errno::Errno::from_raw(number)) == name);
    number.map(|number| number as u64).ok_or_else(|| unknown("error", name))
}

fn scope(conditional: Option<Conditional>) -> Result<Scope, SeccompError> {
    let Conditional { caps, arches, min_kernel } = conditional.unwrap_or_default();
    let mut capabilities = CapabilitySet::EMPTY;
    for name in caps.unwrap_or_default() {
        let capability: Capability = name.parse().map_err(|_| unknown("capability", &name))?;
        capabilities = capabilities.with(capability);
    }
    let architectures = arches.unwrap_or_default();
    if let Some(name) = architectures.iter().find(|name| !GO_ARCHITECTURES.contains(&name.as_str())) {
        return Err(unknown("architecture", name));
    }
    let min_kernel = min_kernel.map(|text| {
        let version = KernelVersion::of_release(&text);
        let exact = version.filter(|version| format!("{}.{}", version.major, version.minor) == text);
        exact.ok_or_else(|| unknown("kernel version", &text))
    });
    Ok(Scope { capabilities, architectures, min_kernel: min_kernel.transpose()? })
}

/// What docker and podman call architectures in `arches`.
const GO_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "arm",
    "arm64",
    "loong64",
    "loongarch64",
    "mips",
    "mips64",
    "mips64le",
    "mips64n32",
    "mipsel",
    "mipsel64",
    "mipsel64n32",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390",
    "s390x",
    "x32",
    "x86",
];

/// The 32-bit interfaces that the profile opens; the native one always is.
fn compat_interfaces(list: Option<Vec<String>>, map: Option<Vec<ArchMapEntry>>) -> Result<Vec<Arch>, SeccompError> {
    let (list, map) = (list.unwrap_or_default(), map.unwrap_or_default());
    if !list.is_empty() && !map.is_empty() {
        return Err(SeccompError::Both("architectures", "archMap"));
    }
    let listed = list.iter().map(|name| architecture(name)).collect::<Result<Vec<_>, _>>()?;
    let mut compat: Vec<Arch> = listed.into_iter().flatten().filter(|arch| arch.is_32_bit()).collect();
    for entry in map {
        let native = architecture(&entry.architecture)?;
        for name in entry.sub_architectures.unwrap_or_default() {
            let sub = architecture(&name)?;
            compat.extend(sub.filter(|&sub| native.and_then(Arch::compat) == Some(sub)));
        }
    }
    Ok(compat)
}

/// `None` for architectures that are not ours. x32 is one: its calls kill the process, whatever the profile says.
fn architecture(name: &str) -> Result<Option<Arch>, SeccompError> {
    const OTHERS: &[&str] = &[
        "LOONGARCH64",
        "M68K",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PARISC",
        "PARISC64",
        "PPC",
        "PPC64",
        "PPC64LE",
        "RISCV64",
        "S390",
        "S390X",
        "SH",
        "SHEB",
        "X32",
    ];
    match name.strip_prefix("SCMP_ARCH_") {
        Some("X86_64") => Ok(Some(Arch::X86_64)),
        Some("AARCH64") => Ok(Some(Arch::Aarch64)),
        Some("X86") => Ok(Some(Arch::X86)),
        Some("ARM") => Ok(Some(Arch::Arm)),
        Some(other) if OTHERS.contains(&other) => Ok(None),
        _ => Err(unknown("architecture", name)),
    }
}

fn flag(name: &str) -> Result<u32, SeccompError> {
    match name {
        // All threads get the filter: the process that installs ours has one.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(libc::SECCOMP_FILTER_FLAG_LOG as u32),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {
            Err(SeccompError::Listener("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
        }
        other => Err(unknown("flag", other)),
    }
}

fn unknown(what: &'static str, value: &str) -> SeccompError {
    SeccompError::Unknown { what, value: value.chars().take(80).collect() }
}

#[cfg(test)]
mod tests;
