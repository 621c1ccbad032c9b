//! What `/proc` says of a process. Paths are relative to the host's `/proc`, where workers are.

use nix::errno::Errno;

use crate::identity::table;

/// The field of this name of proc_pid_status(5).
fn field(pid: i32, name: &str) -> Result<String, Errno> {
    let text = std::fs::read_to_string(format!("{pid}/status")).map_err(|_| Errno::ESRCH)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|line| line.trim().to_owned()).ok_or(Errno::ESRCH)
}

/// The creation mask of a process.
pub fn umask(pid: i32) -> Result<u32, Errno> {
    u32::from_str_radix(&field(pid, "Umask")?, 8).map_err(|_| Errno::ESRCH)
}

/// Whether it has no_new_privs.
pub fn gains_nothing(pid: i32) -> Result<bool, Errno> {
    Ok(field(pid, "NoNewPrivs")? != "0")
}

/// The process of a thread.
pub fn leader(pid: i32) -> Result<i32, Errno> {
    field(pid, "Tgid")?.parse().map_err(|_| Errno::ESRCH)
}

/// The number of a thread in the container.
pub fn number_inside(pid: i32) -> Result<i32, Errno> {
    let numbers = field(pid, "NSpid")?;
    // Ours first, then the container's, then those of namespaces in it.
    numbers.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).ok_or(Errno::ESRCH)
}

/// The limit that carries the credentials, in a text of proc_pid_limits(5).
pub fn limit_in(limits: &str) -> Option<u64> {
    debug_assert_eq!(table::RESOURCE, 10);
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_in_the_kernels_text() {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap();
        assert!(limit_in(&text).is_some());
        assert_eq!(
            limit_in("Max file locks            486539264            unlimited            locks"),
            Some(486_539_264)
        );
        assert_eq!(limit_in(""), None);
    }
}
