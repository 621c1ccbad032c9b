//! What the processes of a group have used.

use super::group::Group;

/// What was used, as far as there are controllers that count it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds on processors.
    pub cpu: Option<f64>,
    /// Bytes of memory, without cached files that nobody has used lately: docker's figure.
    pub memory: Option<u64>,
    /// Bytes of memory that it can have.
    pub memory_limit: Option<u64>,
    /// Bytes read from and written to disks.
    pub disk: Option<(u64, u64)>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Group {
    /// What its processes have used.
    pub fn usage(&self) -> Usage {
        let number = |controller, file| self.read(controller, file)?.parse::<u64>().ok();
        let pids = number("pids", "pids.current");
        let stat = self.read("memory", "memory.stat").unwrap_or_default();
        if self.is_unified() {
            let cached = field(&stat, "inactive_file").unwrap_or(0);
            let cpu = self.read("cpu", "cpu.stat").and_then(|text| field(&text, "usage_usec"));
            return Usage {
                cpu: cpu.map(|microseconds| microseconds as f64 / 1e6),
                memory: number("memory", "memory.current").map(|bytes| bytes.saturating_sub(cached)),
                memory_limit: number("memory", "memory.max"),
                disk: self.read("io", "io.stat").map(|text| (sum(&text, "rbytes="), sum(&text, "wbytes="))),
                pids,
            };
        }
        let cached = field(&stat, "total_inactive_file").unwrap_or(0);
        let disk = self.read("blkio", "blkio.throttle.io_service_bytes_recursive");
        // "No limit" is the largest number of whole pages.
        let is_limit = |bytes: &u64| *bytes < i64::MAX as u64 / 2;
        Usage {
            cpu: number("cpuacct", "cpuacct.usage").map(|nanoseconds| nanoseconds as f64 / 1e9),
            memory: number("memory", "memory.usage_in_bytes").map(|bytes| bytes.saturating_sub(cached)),
            memory_limit: number("memory", "memory.limit_in_bytes").filter(is_limit),
            disk: disk.map(|text| (sum(&text, "Read "), sum(&text, "Write "))),
            pids,
        }
    }
}

/// The number in the line `NAME NUMBER`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The sum of the numbers after `key`.
fn sum(text: &str, key: &str) -> u64 {
    let numbers = text.split(key).skip(1).map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..digits).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        assert_eq!(field("low 0\noom_kill 3\noom_kill_x 4\n", "oom_kill"), Some(3));
        assert_eq!(field("oom_kill_disable 0\n", "oom_kill"), None);
        let io = "8:0 rbytes=10 wbytes=1 rios=1\n8:16 rbytes=5 wbytes=2 rios=1\n";
        assert_eq!((sum(io, "rbytes="), sum(io, "wbytes=")), (15, 3));
        assert_eq!(sum("254:0 Read 4096\n254:0 Write 7\nTotal 4103\n", "Read "), 4096);
    }
}
