//! Which boot of the host this is.

use std::sync::OnceLock;

/// `/proc/sys/kernel/random/boot_id`: a new one at every boot (random(4)).
pub fn boot_id() -> Option<String> {
    static KNOWN: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned());
    KNOWN.get_or_init(read).clone()
}

/// When a process was started, in clock ticks since boot (proc_pid_stat(5), field 22).
pub fn process_start(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may contain spaces and parentheses.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_start_is_known() {
        assert!(process_start(std::process::id() as i32).is_some_and(|start| start > 0));
        assert!(boot_id().is_some_and(|id| id.len() == 36));
    }
}
