//! The program of the image `hello`: says what surrounds it. It runs inside the container, as its only process.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use crate::host::env;
use crate::name::capability::CapabilitySet;

/// Inode numbers of the namespaces that a machine starts with (linux/proc_ns.h). Network and mount namespaces have none.
const INITIAL: &[(&str, u64)] = &[
    ("cgroup", 0xEFFF_FFFB),
    ("ipc", 0xEFFF_FFFF),
    ("pid", 0xEFFF_FFFC),
    ("time", 0xEFFF_FFFA),
    ("user", 0xEFFF_FFFD),
    ("uts", 0xEFFF_FFFE),
];

const NAMESPACES: &[&str] = &["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

/// Prints the report; the exit status.
pub fn role_main() -> u8 {
    let report = report();
    match std::io::stdout().write_all(report.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn report() -> String {
    let mut lines = String::from("Hello from coracle. You are in a container of your own.\n\n");
    let status = read("/proc/self/status");
    let rows = [
        ("started in", elapsed()),
        ("processes", "this one is number ".to_owned() + &std::process::id().to_string()),
        ("user", user()),
        ("namespaces", namespaces()),
        ("root", root()),
        ("mounts", mounts()),
        ("capabilities", capabilities(&status)),
        ("seccomp", seccomp(&status)),
        ("network", network()),
        ("host name", read("/proc/sys/kernel/hostname")),
    ];
    for (name, value) in rows {
        let _ = writeln!(lines, "  {name:<13} {}", value.trim().replace('\n', "\n                "));
    }
    lines.push_str("\nTry:  coracle run --rm -it --rootfs /:O bash     (this machine, copy-on-write)\n");
    lines.push_str("      coracle run --rm -it debian bash           (a system from a registry)\n");
    lines
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Since the command was started, which the environment of this one image says.
fn elapsed() -> String {
    let started = env::get(&env::STARTED).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok();
    let now = now.map(|time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64);
    match (started, now) {
        (Some(started), Some(now)) => {
            format!("{:.1} ms, from the command to this line", (now.saturating_sub(started)) as f64 / 1e6)
        }
        _ => "unknown".into(),
    }
}

fn user() -> String {
    let map = read("/proc/self/uid_map");
    let own = nix::unistd::getuid();
    let mut text = format!("{own} in here");
    for line in map.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [inside, outside, count] = fields[..] {
            let _ = match count {
                "1" => write!(text, ", {outside} outside (user {inside} here is the only one there)"),
                _ => write!(text, "; {count} users from {inside} on are {outside} and up outside"),
            };
        }
    }
    text
}

fn namespaces() -> String {
    let (mut own, mut hosts) = (Vec::new(), Vec::new());
    for &name in NAMESPACES {
        let Ok(link) = fs::read_link(format!("/proc/self/ns/{name}")) else { continue };
        let link = link.to_string_lossy().into_owned();
        let inode = link.split(['[', ']']).nth(1).and_then(|digits| digits.parse::<u64>().ok());
        let initial = INITIAL.iter().any(|&(initial, number)| initial == name && inode == Some(number));
        if initial { hosts.push(name) } else { own.push(name) }
    }
    let mut text = format!("own: {}", own.join(" "));
    if !hosts.is_empty() {
        let _ = write!(text, "; the host's: {}", hosts.join(" "));
    }
    text
}

fn mount_table() -> Vec<(String, String, String)> {
    let table = read("/proc/self/mounts");
    let row = |line: &str| {
        let mut fields = line.split(' ').skip(1).map(str::to_owned);
        Some((fields.next()?, fields.next()?, fields.next()?))
    };
    table.lines().filter_map(row).collect()
}

fn root() -> String {
    let root = mount_table().into_iter().find(|(place, _, _)| place == "/");
    root.map_or_else(String::new, |(_, kind, options)| {
        let access = if options.split(',').any(|option| option == "ro") { "read-only" } else { "writable" };
        format!("{kind}, {access}")
    })
}

fn mounts() -> String {
    let mut hidden = 0;
    let mut shown = Vec::new();
    for (place, kind, _) in mount_table() {
        let deep = place.matches('/').count() > 1;
        if deep && (place.starts_with("/proc/") || place.starts_with("/sys/")) {
            hidden += 1;
        } else if place != "/" && !(place.starts_with("/dev/") && kind == "devtmpfs") {
            shown.push(place);
        }
    }
    format!("{}\n{hidden} places in /proc and /sys hidden or read-only", shown.join(" "))
}

fn status_field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
}

fn capabilities(status: &str) -> String {
    let bits = u64::from_str_radix(status_field(status, "CapEff"), 16).unwrap_or(0);
    let names: Vec<String> =
        CapabilitySet::from_bits(bits).iter().map(|capability| capability.name().to_lowercase()).collect();
    if names.is_empty() {
        "none".into()
    } else {
        format!("{} of 41, over this container only:\n{}", names.len(), wrap(&names))
    }
}

fn wrap(words: &[String]) -> String {
    words.chunks(6).map(|chunk| chunk.join(" ")).collect::<Vec<_>>().join("\n")
}

fn seccomp(status: &str) -> String {
    let filter = match status_field(status, "Seccomp") {
        "2" => "system calls are filtered",
        _ => "off",
    };
    let privileges = match status_field(status, "NoNewPrivs") {
        "1" => "no new privileges by execve",
        _ => "set-user-ID programs work, within this container",
    };
    format!("{filter}; {privileges}")
}

fn network() -> String {
    let devices = read("/proc/net/dev");
    let names: Vec<&str> = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    match names[..] {
        ["lo"] => "none but the loopback device".into(),
        _ => names.join(" "),
    }
}
