use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::super::compile::narrowed;
use super::super::interpreter::{Call, run};
use super::*;
use crate::failure::Explain;

const KERNEL: KernelVersion = KernelVersion { major: 6, minor: 18 };

/// A rule's or the default's return value, from the document itself.
fn return_value(action: &Value, errno: Option<&Value>, name: Option<&Value>) -> u32 {
    let number = match name.and_then(Value::as_str) {
        Some("EPERM") => 1,
        Some("EINVAL") => 22,
        Some("ENOSYS") => 38,
        Some(other) => panic!("teach the test {other}"),
        None => errno.and_then(Value::as_u64).unwrap_or(1) as u32,
    };
    match action.as_str().expect("an action") {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | number,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | number,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        other => panic!("teach the test {other}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has(values: &Value, wanted: &str) -> bool {
    list(values).iter().any(|value| value == wanted)
}

fn applies(rule: &Value, go_arch: &str, capabilities: CapabilitySet) -> bool {
    let held = |name: &Value| capabilities.contains(name.as_str().expect("a name").parse().expect("a capability"));
    let new_enough = |text: &str| {
        let numbers: Vec<u32> = text.split('.').map(|number| number.parse().expect("a number")).collect();
        (KERNEL.major, KERNEL.minor) >= (numbers[0], numbers[1])
    };
    let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
    let arches = &includes["arches"];
    list(&includes["caps"]).iter().all(held)
        && (list(arches).is_empty() || has(arches, go_arch))
        && includes["minKernel"].as_str().is_none_or(new_enough)
        && !list(&excludes["caps"]).iter().any(held)
        && !has(&excludes["arches"], go_arch)
        && !excludes["minKernel"].as_str().is_some_and(new_enough)
}

/// High halves of return values (SECCOMP_RET_*).
const SEVEREST_FIRST: [u32; 7] = [0x8000, 0, 0x3, 0x5, 0x7ff0, 0x7ffc, 0x7fff];

/// What the document says of a call, read anew for every call.
fn judge(document: &Value, arch: Arch, capabilities: CapabilitySet, call: Syscall, arguments: &[u64; 6]) -> u32 {
    let go_arch = if matches!(arch, Arch::X86_64 | Arch::X86) { "amd64" } else { "arm64" };
    let narrow = call.narrow_arguments(arch);
    let met = |condition: &Value| {
        let index = condition["index"].as_u64().expect("an index") as usize;
        let number = |name: &str| condition[name].as_u64().unwrap_or_default();
        let is_narrow = narrow >> index & 1 != 0;
        let argument = if is_narrow { arguments[index] & 0xffff_ffff } else { arguments[index] };
        let wanted = |value| if is_narrow { narrowed(value).map_or(u64::MAX, u64::from) } else { value };
        let value = wanted(number("value"));
        match condition["op"].as_str().expect("an op") {
            "SCMP_CMP_NE" => argument != value,
            "SCMP_CMP_LT" => argument < value,
            "SCMP_CMP_LE" => argument <= value,
            "SCMP_CMP_EQ" => argument == value,
            "SCMP_CMP_GE" => argument >= value,
            "SCMP_CMP_GT" => argument > value,
            "SCMP_CMP_MASKED_EQ" => argument & number("value") == wanted(number("valueTwo")),
            other => panic!("{other}"),
        }
    };
    let default = return_value(&document["defaultAction"], document.get("defaultErrnoRet"), None);
    let mut met_actions = Vec::new();
    for rule in list(&document["syscalls"]) {
        let action = return_value(&rule["action"], rule.get("errnoRet"), rule.get("errno"));
        if action == default || !has(&rule["names"], call.name()) || !applies(rule, go_arch, capabilities) {
            continue;
        }
        let conditions = list(&rule["args"]);
        if conditions.is_empty() {
            return action;
        }
        let mut indices: Vec<u64> = conditions.iter().filter_map(|condition| condition["index"].as_u64()).collect();
        indices.sort_unstable();
        indices.dedup();
        let matches =
            if indices.len() < conditions.len() { conditions.iter().any(met) } else { conditions.iter().all(met) };
        if matches {
            met_actions.push(action);
        }
    }
    // A rule without conditions further down would have returned.

    let severest = |kind: &u32| met_actions.iter().copied().find(|action| action >> 16 == *kind);
    SEVEREST_FIRST.iter().find_map(severest).unwrap_or(default)
}

/// Every value that the document compares with, its neighbours, and both with noise in the high half.
fn boundary_values(document: &Value) -> Vec<u64> {
    let conditions = list(&document["syscalls"]).iter().flat_map(|rule| list(&rule["args"]));
    let mut values: Vec<u64> = conditions
        .flat_map(|condition| [condition["value"].as_u64(), condition["valueTwo"].as_u64()])
        .flatten()
        .flat_map(|value| [value.wrapping_sub(1), value, value.wrapping_add(1), value | 0xbad << 32, !value])
        .chain([0, u64::MAX])
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

#[test]
fn podmans_profile_loads_unchanged_and_decides_the_same() {
    let path = "/usr/share/containers/seccomp.json";
    let Ok(json) = std::fs::read(path) else {
        println!("SKIPPED: no {path} on this machine");
        return;
    };
    let profile = load_profile(&json).expect("podman's own profile");
    let document: Value = serde_json::from_slice(&json).expect("JSON");
    let values = boundary_values(&document);
    let singles = Capability::ALL.iter().map(|&capability| CapabilitySet::of(&[capability]));
    let sets = [CapabilitySet::EMPTY, CapabilitySet::all(), crate::lsm::capability::DEFAULT];
    for capabilities in sets.into_iter().chain(singles) {
        for native in [Arch::X86_64, Arch::Aarch64] {
            let filter = profile.compile_for(native, capabilities, KERNEL).expect("it fits");
            for arch in [Some(native), native.compat()].into_iter().flatten() {
                for (turn, &call) in Syscall::ALL.iter().enumerate() {
                    let Some(number) = call.number(arch) else { continue };
                    for step in 0..values.len() {
                        let at = |argument: usize| values[(step * (argument + 1) + turn) % values.len()];
                        let arguments = std::array::from_fn(at);
                        let (got, _) = run(filter.instructions(), &Call::new(arch, number, arguments));
                        let wanted = judge(&document, arch, capabilities, call, &arguments);
                        assert_eq!(got, wanted, "{arch:?} {call:?} {arguments:x?} {capabilities:?}");
                    }
                }
            }
        }
    }
}

/// The constructs of docker's profile that podman's does not have.
#[test]
fn dockers_constructs_mean_what_they_mean_to_docker() {
    let document = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
        "syscalls": [
            {"names": ["read", "s390_pci_mmio_read", "riscv_hwprobe"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "comment": "no namespaces",
             "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": null, "includes": null},
            {"name": "uname", "action": "SCMP_ACT_LOG"},
        ],
    });
    let profile = load_profile(document.to_string().as_bytes()).expect("a profile");
    let filter = profile.compile_for(Arch::X86_64, CapabilitySet::EMPTY, KERNEL).expect("it fits");
    let decide = |arch: Arch, call: Syscall, first: u64| {
        let number = call.number(arch).expect("the call exists there");
        run(filter.instructions(), &Call::new(arch, number, [first, 0, 0, 0, 0, 0])).0
    };
    let (allow, eperm) = (0x7fff_0000, 0x0005_0001);
    assert_eq!(decide(Arch::X86_64, Syscall::read, 0), allow);
    assert_eq!(decide(Arch::X86, Syscall::read, 0), allow);
    assert_eq!(decide(Arch::X86_64, Syscall::ptrace, 0), allow);
    assert_eq!(decide(Arch::X86_64, Syscall::kcmp, 0), eperm);
    assert_eq!(decide(Arch::X86_64, Syscall::clone, 17), allow);
    assert_eq!(decide(Arch::X86_64, Syscall::clone, 0x1000_0000), eperm);
    assert_eq!(decide(Arch::X86_64, Syscall::clone3, 0), 0x0005_0026);
    assert_eq!(decide(Arch::X86_64, Syscall::uname, 0), 0x7ffc_0000);
    assert_eq!(decide(Arch::X86_64, Syscall::write, 0), eperm);
    let killed = |arch: Arch, number| run(filter.instructions(), &Call::new(arch, number, [0; 6])).0 == 0x8000_0000;
    assert!(killed(Arch::X86_64, 0x4000_0000), "x32, although listed");
    assert!(killed(Arch::Aarch64, 63));
}

#[test]
fn interfaces_that_are_not_listed_kill() {
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}"#;
    let filter = load_profile(json).and_then(|profile| profile.compile(CapabilitySet::EMPTY, KERNEL));
    let filter = filter.expect("a runtime-spec profile");
    assert_eq!(run(filter.instructions(), &Call::new(Arch::X86, 3, [0; 6])).0, 0x8000_0000);
    assert_eq!(u64::from(filter.flags), libc::SECCOMP_FILTER_FLAG_LOG);
}

#[test]
fn what_cannot_be_done_as_written_is_refused() {
    let rule = |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
    let long = (0..5000).map(|value| {
        let index = r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "op": "SCMP_CMP_EQ""#;
        format!(r#"{index}, "value": {value}}}]}}"#)
    });
    let condition = r#"{"index": 1, "op": "SCMP_CMP_EQ", "value": 5}"#;
    let multiplied = format!(
        r#"{{"names": [{}], "action": "SCMP_ACT_TRAP", "args": [{}]}}"#,
        vec![r#""read""#; 20_000].join(","),
        vec![condition; 10_000].join(","),
    );
    let profiles = [
        String::new(),
        "[]".into(),
        "{}".into(),
        r#"{"defaultAction": "ALLOW"}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW"} x"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_TRAP"}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EWHAT"}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x.sock"}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW"]}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}"#.into(),
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
            "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#
            .into(),
        rule(r#"{"names": ["raed"], "action": "SCMP_ACT_TRAP"}"#),
        rule(r#"{"names": [], "action": "SCMP_ACT_TRAP"}"#),
        rule(r#"{"action": "SCMP_ACT_TRAP"}"#),
        rule(r#"{"name": "read", "names": ["read"], "action": "SCMP_ACT_TRAP"}"#),
        rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "exludes": {}}"#),
        rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "excludes": {"caps": ["CAP_ROOT"]}}"#),
        rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "includes": {"arches": ["z80"]}}"#),
        rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "includes": {"minKernel": "4.x"}}"#),
        rule(
            r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
        ),
        rule(r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 0, "op": "EQ"}]}"#),
        rule(
            r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}"#,
        ),
        rule(&long.collect::<Vec<_>>().join(",")),
        rule(&multiplied),
        " ".repeat(MAX_PROFILE + 1),
    ];
    for json in profiles {
        let shown: String = json.chars().take(120).collect();
        let result = load_profile(json.as_bytes()).and_then(|profile| profile.compile(CapabilitySet::EMPTY, KERNEL));
        assert_eq!(result.expect_err(&shown).code(), "E_SECCOMP", "{shown}");
    }
}

#[test]
fn error_names_are_known() {
    for (name, number) in [("EPERM", 1), ("ENOSYS", 38), ("ENOTSUP", 95), ("EAFNOSUPPORT", 97), ("EHWPOISON", 133)] {
        assert_eq!(errno_number(name).expect(name), number);
    }
}

#[test]
fn kernel_versions() {
    let version = |major, minor| Some(KernelVersion { major, minor });
    assert_eq!(KernelVersion::of_release("6.18.44-amd64"), version(6, 18));
    assert_eq!(KernelVersion::of_release("4.8"), version(4, 8));
    assert_eq!(KernelVersion::of_release("6.1-rc1"), version(6, 1));
    assert!(version(4, 18) > version(4, 8));
    for text in ["", "6", "6.", ".1", "x.1"] {
        assert_eq!(KernelVersion::of_release(text), None, "{text}");
    }
}

const CALLS: &[&str] = &["read", "ioctl", "socket", "mmap", "clone", "socketcall", "mseal", "breakpoint", "rtas"];
const ACTIONS: &[&str] = &["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRAP", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"];
const OPS: &[&str] =
    &["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

fn word() -> impl Strategy<Value = u64> {
    let half = select(&[0_u64, 1, 2, 0x8000_0000, 0xffff_ffff][..]);
    (half.clone(), half).prop_map(|(high, low)| high << 32 | low)
}

fn conditional() -> impl Strategy<Value = Value> {
    let caps = select(vec![json!(null), json!([]), json!(["CAP_BPF"]), json!(["CAP_BPF", "CAP_CHOWN"])]);
    let arches = select(vec![json!(null), json!([]), json!(["amd64", "x32"]), json!(["arm64"])]);
    let kernel = select(vec![json!(null), json!("4.8"), json!("6.18"), json!("6.19")]);
    (caps, arches, kernel)
        .prop_map(|(caps, arches, kernel)| json!({"caps": caps, "arches": arches, "minKernel": kernel}))
}

fn document() -> impl Strategy<Value = Value> {
    let argument = (0..3_u64, select(OPS), word(), word())
        .prop_map(|(index, op, value, two)| json!({"index": index, "op": op, "value": value, "valueTwo": two}));
    let action = || {
        let plain = select(ACTIONS).prop_map(|action| json!({"action": action}));
        let errno = (0..4096_u64).prop_map(|errno| json!({"action": "SCMP_ACT_ERRNO", "errnoRet": errno}));
        prop_oneof![plain, errno]
    };
    let mostly_empty = || prop_oneof![3 => Just(json!({})), 1 => conditional()];
    let rule = (vec(select(CALLS), 1..4), action(), vec(argument, 0..4), mostly_empty(), mostly_empty()).prop_map(
        |(names, mut rule, args, includes, excludes)| {
            let rest = [("names", json!(names)), ("args", json!(args)), ("includes", includes), ("excludes", excludes)];
            rest.into_iter().for_each(|(key, value)| rule[key] = value);
            rule
        },
    );
    (action(), vec(rule, 0..12)).prop_map(|(default, rules)| {
        let map = json!([
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ]);
        let errno = default.get("errnoRet").cloned().unwrap_or_default();
        json!({"defaultAction": default["action"], "defaultErrnoRet": errno, "archMap": map, "syscalls": rules})
    })
}

proptest! {
    #[test]
    fn filters_decide_as_the_document_says(
        document in document(),
        arguments in vec([word(), word(), word()], 6),
        given in select(vec![CapabilitySet::EMPTY, CapabilitySet::of(&[Capability::Bpf]), CapabilitySet::all()]),
    ) {
        let profile = load_profile(document.to_string().as_bytes()).expect("a profile");
        for native in [Arch::X86_64, Arch::Aarch64] {
            let filter = profile.compile_for(native, given, KERNEL).expect("it fits");
            for arch in [Some(native), native.compat()].into_iter().flatten() {
                for call in Syscall::ALL.iter().filter(|call| CALLS.contains(&call.name())) {
                    let Some(number) = call.number(arch) else { continue };
                    for [a, b, c] in &arguments {
                        let arguments = [*a, *b, *c, 0, 0, 0];
                        let (got, _) = run(filter.instructions(), &Call::new(arch, number, arguments));
                        prop_assert_eq!(got, judge(&document, arch, given, *call, &arguments), "{:?} {:?}", arch, call);
                    }
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = load_profile(&bytes);
    }

    /// One byte of a good profile changed, removed or doubled.
    #[test]
    fn damaged_profiles_are_read_or_refused(document in document(), place: prop::sample::Index, byte: u8, kind in 0..3) {
        let mut json = document.to_string().into_bytes();
        let place = place.index(json.len());
        match kind {
            0 => json[place] = byte,
            1 => drop(json.remove(place)),
            _ => json.insert(place, byte),
        }
        if let Ok(profile) = load_profile(&json) {
            let filter = profile.compile(CapabilitySet::EMPTY, KERNEL).expect("it fits");
            prop_assert!(filter.instructions().len() <= MAX_INSTRUCTIONS);
        }
    }
}
