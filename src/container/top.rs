//! `top`: the processes of a container, as its own `ps` would show them, read from the host's `/proc`. Nothing of the
//! container is executed (CVE-2022-1227).

use std::collections::BTreeMap;

use super::live::Live;
use crate::failure::Failure;
use crate::host::processes::{self, Process};
use crate::identity::passwd;
use crate::name::capability::CapabilitySet;
use crate::name::container::ContainerId;
use crate::rootfs::view::View;
use crate::state::layout::Layout;

/// A column: its name, its name as a format of ps(1), its title, its cells.
struct Column {
    name: &'static str,
    code: &'static str,
    title: &'static str,
    cell: fn(&Process, &Context) -> String,
}

/// What is known beside a process.
struct Context {
    uptime: f64,
    ticks: f64,
    uid_map: String,
    gid_map: String,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Numbers inside by numbers outside.
    numbers: BTreeMap<i32, i32>,
}

/// What is shown if nothing is asked for, as podman does.
const DEFAULT: &[&str] = &["user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"];

const COLUMNS: &[Column] = &[
    Column { name: "args", code: "%a", title: "COMMAND", cell: |process, _| command(process) },
    Column { name: "capamb", code: "", title: "AMBIENT CAPS", cell: |process, _| capabilities(process, "CapAmb") },
    Column { name: "capbnd", code: "", title: "BOUNDING CAPS", cell: |process, _| capabilities(process, "CapBnd") },
    Column { name: "capeff", code: "", title: "EFFECTIVE CAPS", cell: |process, _| capabilities(process, "CapEff") },
    Column { name: "capinh", code: "", title: "INHERITED CAPS", cell: |process, _| capabilities(process, "CapInh") },
    Column { name: "capprm", code: "", title: "PERMITTED CAPS", cell: |process, _| capabilities(process, "CapPrm") },
    Column { name: "comm", code: "%c", title: "COMMAND", cell: |process, _| process.name.clone() },
    Column { name: "etime", code: "%t", title: "ELAPSED", cell: |process, context| duration(context.age(process)) },
    Column { name: "group", code: "%G", title: "GROUP", cell: |process, context| context.group(process, 1) },
    Column { name: "hgroup", code: "", title: "HGROUP", cell: |process, _| number(process.id("Gid", 1)) },
    Column { name: "hpid", code: "", title: "HPID", cell: |process, _| process.pid.to_string() },
    Column { name: "huser", code: "", title: "HUSER", cell: |process, _| number(process.id("Uid", 1)) },
    Column { name: "nice", code: "%n", title: "NI", cell: |process, _| process.nice.to_string() },
    Column { name: "pcpu", code: "%C", title: "%CPU", cell: |process, context| context.percentage(process) },
    Column { name: "pgid", code: "%r", title: "PGID", cell: |process, _| process.inner_number("NSpgid").to_string() },
    Column { name: "pid", code: "%p", title: "PID", cell: |process, context| context.number(process.pid).to_string() },
    Column {
        name: "ppid",
        code: "%P",
        title: "PPID",
        cell: |process, context| context.number(process.parent).to_string(),
    },
    Column { name: "rgroup", code: "%g", title: "RGROUP", cell: |process, context| context.group(process, 0) },
    Column { name: "rss", code: "", title: "RSS", cell: |process, _| (process.resident_bytes / 1024).to_string() },
    Column { name: "ruser", code: "%u", title: "RUSER", cell: |process, context| context.user(process, 0) },
    Column { name: "seccomp", code: "", title: "SECCOMP", cell: |process, _| seccomp(process) },
    Column { name: "state", code: "", title: "STATE", cell: |process, _| process.state.to_string() },
    Column { name: "time", code: "%x", title: "TIME", cell: |process, context| duration(context.cpu_time(process)) },
    Column { name: "tty", code: "%y", title: "TTY", cell: |process, _| terminal(process.terminal) },
    Column { name: "user", code: "%U", title: "USER", cell: |process, context| context.user(process, 1) },
    Column { name: "vsz", code: "%z", title: "VSZ", cell: |process, _| (process.virtual_bytes / 1024).to_string() },
];

/// Names of all columns.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.name)
}

/// The table: titles first, a row for each process. `wanted` are names of columns or formats of ps(1); none stands for the
/// usual ones.
pub fn execute(layout: &Layout, id: &ContainerId, wanted: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    let columns = chosen(wanted)?;
    let live = Live::find(layout, id)?;
    let members = processes::of_container(live.processes.init).into_iter().filter_map(Process::read);
    let members: Vec<Process> = members.collect();
    let context = Context::of(&live, &members);
    live.check()?;
    let titles = columns.iter().map(|column| column.title.to_owned()).collect();
    let rows = members.iter().map(|process| columns.iter().map(|column| (column.cell)(process, &context)).collect());
    Ok(std::iter::once(titles).chain(rows).collect())
}

fn chosen(wanted: &[String]) -> Result<Vec<&'static Column>, Failure> {
    let words = wanted.iter().flat_map(|words| words.split([',', ' '])).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let words = if words.is_empty() { DEFAULT } else { &words[..] };
    let find = |word: &&str| {
        COLUMNS.iter().find(|column| column.name == *word || column.code == *word).ok_or_else(|| {
            let names: Vec<&str> = columns().collect();
            Failure::new("E_CONFIG", format!("there is no column {word:?}"))
                .with_hint(format!("the columns are: {}", names.join(" ")))
        })
    };
    words.iter().map(find).collect()
}

impl Context {
    fn of(live: &Live, members: &[Process]) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", live.processes.init));
        // The root of a reaper is nobody's to see; that of its child is the same.
        let shown = live.member().map_or(live.processes.init, |(number, _)| number);
        let view = View::new(vec![format!("/proc/{shown}/root").into()]);
        Self {
            uptime: processes::uptime(),
            ticks: processes::ticks_per_second() as f64,
            uid_map: read("uid_map").unwrap_or_default(),
            gid_map: read("gid_map").unwrap_or_default(),
            users: names(&view, c"etc/passwd", passwd::PASSWD),
            groups: names(&view, c"etc/group", passwd::GROUP),
            numbers: members.iter().map(|process| (process.pid, process.inner_number("NSpid"))).collect(),
        }
    }

    /// The number inside of a process; 0 for one that is not inside.
    fn number(&self, pid: i32) -> i32 {
        self.numbers.get(&pid).copied().unwrap_or(0)
    }

    /// Seconds since it was started.
    fn age(&self, process: &Process) -> f64 {
        (self.uptime - process.start as f64 / self.ticks).max(0.0)
    }

    /// Seconds on a processor.
    fn cpu_time(&self, process: &Process) -> f64 {
        process.cpu_ticks as f64 / self.ticks
    }

    fn percentage(&self, process: &Process) -> String {
        let age = self.age(process);
        format!("{:.3}", if age > 0.0 { 100.0 * self.cpu_time(process) / age } else { 0.0 })
    }

    fn user(&self, process: &Process, which: usize) -> String {
        named(process.id("Uid", which), &self.uid_map, &self.users)
    }

    fn group(&self, process: &Process, which: usize) -> String {
        named(process.id("Gid", which), &self.gid_map, &self.groups)
    }
}

/// The name inside of an id outside, or its number where it has no name; an id that the container does not have is `?`.
fn named(outside: Option<u32>, map: &str, names: &BTreeMap<u32, String>) -> String {
    let inside = outside.and_then(|id| inside(map, id));
    inside.map_or_else(|| "?".into(), |id| names.get(&id).cloned().unwrap_or_else(|| id.to_string()))
}

/// The id inside, by the lines of a `uid_map` (user_namespaces(7)).
fn inside(map: &str, outside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (first, host, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
        let offset = outside.checked_sub(host).filter(|offset| *offset < count)?;
        first.checked_add(offset)
    })
}

/// Names by number of a user database; none if the container's is not one. The first line of a number counts.
fn names(view: &View, path: &std::ffi::CStr, shown: &'static str) -> BTreeMap<u32, String> {
    let file = view.open(path).ok().flatten();
    let bytes = file.and_then(|file| passwd::read(&file, shown).ok()).unwrap_or_default();
    let mut names = BTreeMap::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let mut fields = line.split(':');
        if let (Some(name), _, Some(Ok(id))) = (fields.next(), fields.next(), fields.next().map(str::parse::<u32>)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

fn command(process: &Process) -> String {
    if process.arguments.is_empty() { format!("[{}]", process.name) } else { process.arguments.join(" ") }
}

fn number(id: Option<u32>) -> String {
    id.map_or_else(|| "?".into(), |id| id.to_string())
}

/// podman's words: `full`, `none`, or names without `CAP_`.
fn capabilities(process: &Process, field: &str) -> String {
    let set = CapabilitySet::from_bits(u64::from_str_radix(process.status(field), 16).unwrap_or(0));
    if set == CapabilitySet::EMPTY {
        return "none".into();
    }
    if set == CapabilitySet::all() {
        return "full".into();
    }
    set.iter().map(|capability| capability.name()).collect::<Vec<_>>().join(",")
}

fn seccomp(process: &Process) -> String {
    match process.status("Seccomp") {
        "0" => "disabled",
        "1" => "strict",
        "2" => "filter",
        _ => "?",
    }
    .into()
}

/// A terminal by its device number: `pts/3`.
fn terminal(device: u64) -> String {
    let (major, minor) = (libc::major(device), libc::minor(device));
    match major {
        0 => "?".into(),
        // Pseudo-terminals (devices.txt of the kernel's documentation).
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// As Go prints durations: `1h2m3.45s`.
pub fn duration(seconds: f64) -> String {
    let hundredths = (seconds * 100.0) as u64;
    let (minutes, rest) = (hundredths / 6000, hundredths % 6000);
    let seconds = match rest % 100 {
        0 => format!("{}s", rest / 100),
        _ => format!("{}.{:02}s", rest / 100, rest % 100),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_by_format() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
            chosen(&wanted).map(|columns| columns.iter().map(|column| column.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["pid,huser", "%C"]).unwrap(), ["pid", "huser", "pcpu"]);
        assert_eq!(names(&[]).unwrap(), DEFAULT);
        assert!(names(&["nosuch"]).is_err() && names(&["%q"]).is_err());
    }

    #[test]
    fn ids_are_those_inside() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!([1000, 100_000, 100_099, 0].map(|id| inside(map, id)), [Some(0), Some(1), Some(100), None]);
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!([0.0, 2.5, 61.0, 3723.45].map(duration), ["0s", "2.50s", "1m1s", "1h2m3.45s"]);
        assert_eq!([0, 0x8803, 0x401].map(terminal), ["?", "pts/3", "tty1"]);
    }
}
