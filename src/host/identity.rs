//! Which user and group ids this process could map into a user namespace (user_namespaces(7)).

use serde::Serialize;

/// What can be mapped. The rule that a run goes by is `identity::map`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// `range`: every id that this process has; `single`: its own id only.
    pub kind: &'static str,
    /// Own user id.
    pub uid: u32,
    /// Own group id.
    pub gid: u32,
    /// Why.
    pub reason: String,
    /// Our own map of user ids: lines of `/proc/self/uid_map`.
    pub uid_map: Vec<String>,
    /// Our own map of group ids.
    pub gid_map: Vec<String>,
}

/// CAP_SETGID and CAP_SETUID (capabilities(7)).
const MAPPING_CAPABILITIES: u64 = 1 << 6 | 1 << 7;

impl Mapping {
    /// That of this process.
    pub fn here() -> Self {
        let lines = |path: &str| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let capable = effective_capabilities(&status) & MAPPING_CAPABILITIES == MAPPING_CAPABILITIES;
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let (uid_map, gid_map) = (lines("/proc/self/uid_map"), lines("/proc/self/gid_map"));
        let (kind, reason) = match (uid, capable) {
            (0, true) if uid_map != ["0 0 1"] => {
                ("range", "root with CAP_SETUID and CAP_SETGID may map every id that it has itself")
            }
            (0, true) => ("single", "this process has one id, and may map that one"),
            _ => ("single", "without privilege a process may map its own id"),
        };
        Self { kind, uid, gid, reason: reason.into(), uid_map, gid_map }
    }
}

/// `CapEff` of `/proc/PID/status` (proc_pid_status(5)).
fn effective_capabilities(status: &str) -> u64 {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_a_process() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t00000000000000c0\n"), MAPPING_CAPABILITIES);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }
}
