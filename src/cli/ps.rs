//! `ps` and `container ls`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::dispatch;
use super::render::format::{Format, Header};
use super::render::{output, size, time};
use super::tree::{Globals, Invocation};
use crate::container::filter;
use crate::container::size::Size;
use crate::container::summary::{Status, Summary, namespaces};
use crate::failure::Failure;
use crate::name::filter::Filters;

/// List containers
///
/// Those that run; with --all, all of them.
#[derive(Args, Clone, Debug)]
pub struct PsArgs {
    /// Show containers that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
    /// Show the N containers made last, whether they run or not
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Show the container made last, whether it runs or not
    #[arg(short, long, conflicts_with = "last")]
    latest: bool,
    /// Show ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Print JSON (json), or a Go template for each container (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(long)]
    noheading: bool,
    /// Show containers for which this is true only, for example name=web, status=exited, label=KEY=VALUE, until=24h
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Sort by this
    #[arg(long, value_name = "KEY", value_enum, default_value_t = SortKey::Created, hide_possible_values = false)]
    sort: SortKey,
    /// Show how much room each takes
    #[arg(short, long)]
    size: bool,
    /// Show the numbers of namespaces
    #[arg(long, conflicts_with_all = ["format", "quiet", "size", "pod"])]
    ns: bool,
    /// Show pods; there are none
    #[arg(short, long)]
    pod: bool,
    /// Show containers of other programs in the same storage, too; there never are any
    #[arg(long)]
    external: bool,
    /// Do not trust what is known of states; nothing to do: the kernel is always asked
    #[arg(long)]
    sync: bool,
    /// Show them again every so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// The command line.
    #[value(help = None)]
    Command,
    /// When it was made.
    #[value(help = None)]
    Created,
    /// Identifier.
    #[value(help = None)]
    Id,
    /// The image's name.
    #[value(help = None)]
    Image,
    /// Name.
    #[value(help = None)]
    Names,
    /// When it was started.
    #[value(help = None, name = "runningfor")]
    RunningFor,
    /// How much room it takes.
    #[value(help = None)]
    Size,
    /// What it is doing.
    #[value(help = None)]
    Status,
}

const TABLE: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.Created}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

const NAMESPACES: &str = "table {{.ID}}\\t{{.Names}}\\t{{.Pid}}\\t{{.CGROUPNS}}\\t{{.IPC}}\\t{{.MNT}}\\t{{.NET}}\\t{{.PIDNS}}\\t\
                          {{.USERNS}}\\t{{.UTS}}";

/// Titles of the columns whose title is not their field's name.
const TITLES: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Created", "CREATED"),
    ("RunningFor", "CREATED"),
    ("ImageID", "IMAGE ID"),
    ("Pod", "POD ID"),
    ("PodName", "PODNAME"),
];

/// What templates can name.
const FIELDS: &[&str] = &[
    "ID",
    "Image",
    "ImageID",
    "Command",
    "Created",
    "CreatedAt",
    "CreatedHuman",
    "RunningFor",
    "Status",
    "State",
    "Ports",
    "Names",
    "Labels",
    "Mounts",
    "Networks",
    "Pod",
    "PodName",
    "Restarts",
    "Size",
    "ExposedPorts",
    "CIDFile",
    "IsInfra",
    "Namespaces",
    "CGROUPNS",
    "IPC",
    "MNT",
    "NET",
    "PIDNS",
    "USERNS",
    "UTS",
    "Pid",
    "Exited",
    "ExitCode",
    "ExitedAt",
    "StartedAt",
    "AutoRemove",
];

/// The longest command that a listing shows, in characters.
const COMMAND_LENGTH: usize = 17;

impl Invocation for PsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All containers", "coracle ps --all"),
        ("Those that failed", "coracle ps -a --filter exited=1"),
        ("Names and states", "coracle ps -a --format 'table {{.Names}}\\t{{.Status}}'"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let filters = Filters::parse(&self.filter, filter::KEYS)?;
        let format = Format::parse(&self.format())?;
        loop {
            let mut containers = self.shown(dispatch::list_containers(&layout, &filters)?);
            if self.needs_sizes() {
                dispatch::measure_containers(&layout, &mut containers)?;
            }
            self.sort(&mut containers);
            let text = self.text(&format, &containers, Timestamp::now(), &TimeZone::system())?;
            let Some(seconds) = self.watch else {
                output::write(&text)?;
                return Ok(0);
            };
            output::replace_screen(&text)?;
            if output::reader_leaves_within(Duration::from_secs(seconds)) {
                return Ok(0);
            }
        }
    }
}

impl PsArgs {
    /// The format that was given, or the one that the other flags mean.
    fn format(&self) -> String {
        if let Some(format) = &self.format {
            return format.clone();
        }
        match (self.quiet, self.ns) {
            (true, _) => "{{.ID}}".into(),
            (false, true) => NAMESPACES.into(),
            (false, false) => {
                let pod = if self.pod { "\\t{{.Pod}}\\t{{.PodName}}" } else { "" };
                let size = if self.size { "\\t{{.Size}}" } else { "" };
                format!("{TABLE}{pod}{size}")
            }
        }
    }

    /// Whether the numbers of namespaces are shown: each takes a system call.
    fn needs_namespaces(&self) -> bool {
        let fields = ["Namespaces", "CGROUPNS", "IPC", "MNT", "NET", "PIDNS", "USERNS", "UTS"];
        let names_one = |format: &String| fields.iter().any(|field| format.contains(field));
        self.ns || self.format.as_ref().is_some_and(names_one)
    }

    fn needs_sizes(&self) -> bool {
        self.size || self.sort == SortKey::Size
    }

    /// Those that were asked for, oldest first.
    fn shown(&self, mut containers: Vec<Summary>) -> Vec<Summary> {
        containers.sort_by(|one, other| one.created.cmp(&other.created).then_with(|| one.id.cmp(&other.id)));
        if let Some(last) = self.last.or(self.latest.then_some(1)) {
            return containers.split_off(containers.len().saturating_sub(last));
        }
        // Who asks for a status means those that do not run, too.
        let is_about_status = |filter: &String| filter.starts_with("status=") || filter.starts_with("exited=");
        if !self.all && !self.filter.iter().any(is_about_status) {
            containers.retain(super::selection::is_up);
        }
        containers
    }

    /// Sorts what is oldest first; what is alike stays in this order.
    fn sort(&self, containers: &mut [Summary]) {
        match self.sort {
            SortKey::Created => {}
            SortKey::Command => containers.sort_by(|one, other| one.command.cmp(&other.command)),
            SortKey::Id => containers.sort_by(|one, other| one.id.cmp(&other.id)),
            SortKey::Image => containers.sort_by(|one, other| one.image.cmp(&other.image)),
            SortKey::Names => containers.sort_by(|one, other| one.name.cmp(&other.name)),
            SortKey::RunningFor => containers.sort_by_key(|container| Times::of(container.status).started),
            SortKey::Size => containers.sort_by_key(|container| container.size.map(|size| size.written)),
            SortKey::Status => containers.sort_by_key(|container| container.status.as_str()),
        }
    }

    fn text(
        &self,
        format: &Format,
        containers: &[Summary],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<String, Failure> {
        let items: Vec<Value> = match format {
            Format::Json => containers.iter().map(|container| item(container, now, self.ns)).collect(),
            _ => Vec::new(),
        };
        let rows: Vec<Value> = match format {
            Format::Json => Vec::new(),
            _ => {
                let fields = self.fields();
                containers.iter().map(|container| self.row(container, &fields, now, zone)).collect()
            }
        };
        let header = if self.noheading || self.quiet { Header::Hidden } else { Header::Shown };
        format.list(&items, &rows, TITLES, header)
    }

    /// What templates see, under podman's names.
    fn row(&self, container: &Summary, fields: &[&str], now: Timestamp, zone: &TimeZone) -> Value {
        fields.iter().map(|&name| (name.to_owned(), self.cell(name, container, now, zone))).collect()
    }

    /// What rows are made of. There may be many: of our own table's only the cells that it shows are made.
    fn fields(&self) -> Vec<&'static str> {
        let format = self.format();
        let is_shown = |name: &&&str| self.format.is_some() || format.contains(&format!("{{{{.{name}}}}}"));
        FIELDS.iter().filter(is_shown).copied().collect()
    }

    /// What a template sees of the container under this name.
    fn cell(&self, name: &str, container: &Summary, now: Timestamp, zone: &TimeZone) -> Value {
        let times = Times::of(container.status);
        let namespace = |kind: &str| -> Value {
            let namespaces = if self.needs_namespaces() { namespaces(times.pid) } else { BTreeMap::new() };
            namespaces.get(kind).cloned().unwrap_or_default().into()
        };
        match name {
            "ID" if self.no_trunc => container.id.as_str().into(),
            "ID" => container.id.short().into(),
            "Image" => container.image.as_str().into(),
            "ImageID" => container.image_id.as_ref().map_or("", |id| id.hex()).into(),
            "Command" if self.no_trunc => container.command.join(" ").into(),
            "Command" => shortened(&container.command.join(" ")).into(),
            "Created" | "RunningFor" => time::ago(container.created, now).into(),
            "CreatedAt" => time::in_zone(container.created, zone).into(),
            "CreatedHuman" => time::duration(now.duration_since(container.created)).into(),
            "Status" => status(container, now).into(),
            "State" => container.status.as_str().into(),
            "Names" => container.name.as_str().into(),
            "Labels" => json!(container.labels),
            "Mounts" => container.mounts.join(",").into(),
            "Restarts" => container.restarts.into(),
            "Size" => container.size.map_or_else(String::new, size_text).into(),
            "IsInfra" => false.into(),
            "Namespaces" if self.needs_namespaces() => json!(namespaces(times.pid)),
            "Namespaces" => json!({}),
            "CGROUPNS" => namespace("cgroup"),
            "IPC" => namespace("ipc"),
            "MNT" => namespace("mnt"),
            "NET" => namespace("net"),
            "PIDNS" => namespace("pid"),
            "USERNS" => namespace("user"),
            "UTS" => namespace("uts"),
            "Pid" => times.pid.into(),
            "Exited" => times.exited.into(),
            "ExitCode" => times.code.into(),
            "ExitedAt" => times.finished.into(),
            "StartedAt" => times.started.into(),
            "AutoRemove" => container.remove_at_exit.into(),
            "Ports" => container.ports.column.as_str().into(),
            "ExposedPorts" => container.ports.exposed.join(", ").into(),
            // Networks and pods.
            _ => "".into(),
        }
    }
}

/// What `--format json` shows, under podman's names.
fn item(container: &Summary, now: Timestamp, with_namespaces: bool) -> Value {
    let times = Times::of(container.status);
    json!({
        "AutoRemove": container.remove_at_exit,
        "Command": container.command,
        "CreatedAt": time::ago(container.created, now),
        "Exited": times.exited,
        "ExitedAt": times.finished,
        "ExitCode": times.code,
        "Id": container.id.as_str(),
        "Image": container.image,
        "ImageID": container.image_id.as_ref().map_or("", |id| id.hex()),
        "IsInfra": false,
        "Labels": container.labels,
        "Mounts": container.mounts,
        "Names": [container.name.as_str()],
        "Namespaces": if with_namespaces { namespaces(times.pid) } else { BTreeMap::new() },
        "Networks": [],
        "Pid": times.pid,
        "Pod": "",
        "PodName": "",
        "Ports": container.ports.items,
        "Size": container.size.map(|size| json!({"rootFsSize": size.base, "rwSize": size.written})),
        "StartedAt": times.started,
        "State": container.status.as_str(),
        "Status": status(container, now),
        "Created": container.created.as_second(),
    })
}

/// `12kB (virtual 4.5MB)`.
fn size_text(size: Size) -> String {
    let short = |bytes: u64| size::decimal(bytes).replace(' ', "");
    format!("{} (virtual {})", short(size.written), short(size.base + size.written))
}

/// A status in podman's flat fields; times in seconds since 1970.
struct Times {
    pid: i32,
    exited: bool,
    code: u8,
    started: i64,
    finished: i64,
}

impl Times {
    fn of(status: Status) -> Self {
        let never =
            Self { pid: 0, exited: false, code: 0, started: time::NEVER_SECONDS, finished: time::NEVER_SECONDS };
        match status {
            Status::Created | Status::Restarting => never,
            Status::Initialized { pid } => Self { pid, ..never },
            Status::Running { pid, started } | Status::Paused { pid, started } => {
                Self { pid, started: started.as_second(), ..never }
            }
            Status::Exited { code, started, finished } => {
                let seconds = |time: Option<Timestamp>| time.map_or(time::NEVER_SECONDS, Timestamp::as_second);
                Self { exited: true, code, started: seconds(started), finished: seconds(finished), ..never }
            }
        }
    }
}

pub(super) fn status(container: &Summary, now: Timestamp) -> String {
    let health = container.health.as_ref().map(|health| format!(" ({health})")).unwrap_or_default();
    // `inspect` says what it lacks.
    let health = if container.is_degraded { " (Degraded)".into() } else { health };
    match container.status {
        Status::Created => "Created".into(),
        Status::Initialized { .. } => "Initialized".into(),
        Status::Restarting => "Restarting".into(),
        Status::Running { started, .. } => format!("Up {}{health}", time::duration(now.duration_since(started))),
        Status::Paused { started, .. } => format!("Up {} (Paused)", time::duration(now.duration_since(started))),
        Status::Exited { code, finished: Some(finished), .. } => {
            format!("Exited ({code}) {}", time::ago(finished, now))
        }
        Status::Exited { code, finished: None, .. } => format!("Exited ({code})"),
    }
}

fn shortened(command: &str) -> String {
    match command.char_indices().nth(COMMAND_LENGTH) {
        Some((end, _)) => format!("{}...", &command[..end]),
        None => command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_373_526;

    fn at(seconds_ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - seconds_ago).unwrap()
    }

    fn containers() -> Vec<Summary> {
        let of = |byte: u8, name: &str, age: i64, status: Status| Summary {
            id: crate::name::container::ContainerId::from_random([byte; 32]),
            name: name.parse().unwrap(),
            image: "docker.io/library/debian:12".into(),
            image_id: Some(crate::oci::digest::Digest::of(b"")),
            command: vec!["sh".into(), "-c".into(), "a long command line".into()],
            created: at(age),
            status,
            labels: [("k".to_owned(), "v".to_owned())].into(),
            mounts: vec!["/a".into(), "/b".into()],
            remove_at_exit: false,
            restarts: 0,
            health: None,
            is_degraded: false,
            size: Some(Size { written: 1000 * u64::from(byte), base: 4_500_000 }),
            ports: crate::container::summary::Ports::default(),
        };
        vec![
            of(1, "new", 0, Status::Created),
            of(2, "up", 7200, Status::Running { pid: 42, started: at(3) }),
            of(3, "down", 90, Status::Exited { code: 137, started: Some(at(80)), finished: Some(at(61)) }),
        ]
    }

    fn ps(words: &[&str]) -> String {
        use clap::FromArgMatches;
        let command = PsArgs::augment_args(clap::Command::new("ps").no_binary_name(true));
        let args = PsArgs::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let mut containers = args.shown(containers());
        args.sort(&mut containers);
        args.text(&Format::parse(&args.format()).unwrap(), &containers, at(0), &TimeZone::UTC).unwrap()
    }

    #[test]
    fn tables() {
        insta::assert_snapshot!(ps(&[]), @r"
        CONTAINER ID  IMAGE                        COMMAND               CREATED      STATUS        PORTS       NAMES
        020202020202  docker.io/library/debian:12  sh -c a long comm...  2 hours ago  Up 3 seconds              up
        ");
        insta::assert_snapshot!(ps(&["-a", "--noheading"]), @r"
        020202020202  docker.io/library/debian:12  sh -c a long comm...  2 hours ago             Up 3 seconds                                 up
        030303030303  docker.io/library/debian:12  sh -c a long comm...  About a minute ago      Exited (137) About a minute ago              down
        010101010101  docker.io/library/debian:12  sh -c a long comm...  Less than a second ago  Created                                      new
        ");
    }

    #[test]
    fn selections() {
        assert_eq!(ps(&["-q"]), "020202020202\n");
        assert_eq!(ps(&["-aq"]).lines().count(), 3);
        assert_eq!(ps(&["-l", "--format", "{{.Names}}"]), "new\n");
        assert_eq!(ps(&["-n", "2", "--format", "{{.Names}}"]), "down\nnew\n");
        assert_eq!(ps(&["-n", "9", "-q"]).lines().count(), 3);
        assert_eq!(ps(&["-q", "--no-trunc"]), format!("{}\n", "02".repeat(32)));
    }

    #[test]
    fn sorted() {
        let names = |key: &str| ps(&["-a", "--sort", key, "--format", "{{.Names}}"]).replace('\n', " ");
        assert_eq!(names("created"), "up down new ");
        assert_eq!(names("names"), "down new up ");
        assert_eq!(names("id"), "new up down ");
        assert_eq!(names("size"), "new up down ");
        assert_eq!(names("status"), "new down up ");
        assert_eq!(names("runningfor"), "new down up ");
    }

    #[test]
    fn more_columns() {
        let header = |words: &[&str]| {
            ps(words)
                .lines()
                .next()
                .unwrap()
                .split("  ")
                .map(str::trim)
                .filter(|title| !title.is_empty())
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(header(&["-s"]), "CONTAINER ID,IMAGE,COMMAND,CREATED,STATUS,PORTS,NAMES,SIZE");
        assert_eq!(header(&["-p"]), "CONTAINER ID,IMAGE,COMMAND,CREATED,STATUS,PORTS,NAMES,POD ID,PODNAME");
        assert_eq!(header(&["--ns"]), "CONTAINER ID,NAMES,PID,CGROUPNS,IPC,MNT,NET,PIDNS,USERNS,UTS");
        assert_eq!(ps(&["--format", "{{.Size}}"]), "2kB (virtual 4.5MB)\n");
    }

    #[test]
    fn templates() {
        assert_eq!(ps(&["--format", "{{.Label \"k\"}} {{.Labels.k}} {{.State}} {{.Pid}}"]), "v v running 42\n");
        assert_eq!(ps(&["--format", "{{.CreatedAt}}"]), "2026-11-22 16:52:06 +0000 UTC\n");
        assert_eq!(ps(&["-a", "--format", "table {{.ID}}\\t{{.Names}}", "--noheading"]).lines().count(), 3);
        assert!(ps(&["--format", "{{json .}}"]).starts_with("[\n"));
    }

    #[test]
    fn json_has_podmans_names() {
        let value: Value = serde_json::from_str(&ps(&["-a", "--format", "json"])).unwrap();
        let up = &value[0];
        let keys: Vec<&str> = up.as_object().unwrap().keys().map(String::as_str).collect();
        let podman = "AutoRemove Command CreatedAt Exited ExitedAt ExitCode Id Image ImageID IsInfra Labels Mounts \
                      Names Namespaces Networks Pid Pod PodName Ports Size StartedAt State Status Created";
        assert_eq!(keys, podman.split(' ').collect::<Vec<_>>());
        assert_eq!((&up["Names"], &up["Pid"]), (&json!(["up"]), &json!(42)));
        assert_eq!(value[1]["ExitCode"], 137);
        assert_eq!(value[2]["StartedAt"], time::NEVER_SECONDS);
    }
}
