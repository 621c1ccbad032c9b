//! Resource limits of this process (getrlimit(2)).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use serde_json::{Value, json};

use super::kernel::one_line;

/// Soft and hard limit of `RLIMIT_*`.
pub fn of(resource: u32) -> Option<(u64, u64)> {
    crate::sys::process::rlimit(resource).ok()
}

/// How readily the kernel kills this process when memory is short (proc_pid_oom_score_adj(5)).
pub fn oom_score_adj() -> i16 {
    one_line(Path::new("/proc/self/oom_score_adj")).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Sets that.
pub fn set_oom_score_adj(score: i16) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj")?.write_all(score.to_string().as_bytes())
}

/// Soft and hard limits by the names that podman's `--ulimit` has for them; -1 is none.
pub fn limits() -> BTreeMap<&'static str, Value> {
    let resources = [
        ("core", Resource::RLIMIT_CORE),
        ("fsize", Resource::RLIMIT_FSIZE),
        ("memlock", Resource::RLIMIT_MEMLOCK),
        ("nofile", Resource::RLIMIT_NOFILE),
        ("nproc", Resource::RLIMIT_NPROC),
        ("stack", Resource::RLIMIT_STACK),
    ];
    let value = |limit: u64| if limit == RLIM_INFINITY { json!(-1) } else { json!(limit) };
    let limits = resources.into_iter().filter_map(|(name, resource)| {
        let (soft, hard) = getrlimit(resource).ok()?;
        Some((name, json!({ "soft": value(soft), "hard": value(hard) })))
    });
    limits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limits_are_not_above_hard_ones() {
        let limits = limits();
        let files = &limits["nofile"];
        let (soft, hard) = (files["soft"].as_i64().unwrap(), files["hard"].as_i64().unwrap());
        assert!(soft > 0 && (hard == -1 || soft <= hard));
    }
}
