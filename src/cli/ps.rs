//! `ps` and `container ls`.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::dispatch;
use super::render::format::{Format, Header};
use super::render::{output, time};
use super::tree::{Globals, Invocation};
use crate::container::summary::{Status, Summary};
use crate::failure::Failure;

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
}

const TABLE: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.Created}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

/// Titles of the columns whose title is not their field's name.
const TITLES: &[(&str, &str)] =
    &[("ID", "CONTAINER ID"), ("Created", "CREATED"), ("RunningFor", "CREATED"), ("ImageID", "IMAGE ID")];

/// The longest command that a listing shows, in characters.
const COMMAND_LENGTH: usize = 17;

impl Invocation for PsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All containers", "coracle ps --all"),
        ("Names and states", "coracle ps -a --format 'table {{.Names}}\\t{{.Status}}'"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let format = self.format.as_deref().unwrap_or(if self.quiet { "{{.ID}}" } else { TABLE });
        let format = Format::parse(format)?;
        let containers = self.shown(dispatch::list_containers(&globals.layout()?)?);
        output::write(&self.text(&format, &containers, Timestamp::now(), &TimeZone::system())?)?;
        Ok(0)
    }
}

impl PsArgs {
    /// Those that were asked for, oldest first.
    fn shown(&self, mut containers: Vec<Summary>) -> Vec<Summary> {
        containers.sort_by(|one, other| one.created.cmp(&other.created).then_with(|| one.id.cmp(&other.id)));
        if let Some(last) = self.last.or(self.latest.then_some(1)) {
            return containers.split_off(containers.len().saturating_sub(last));
        }
        if !self.all {
            containers.retain(|container| matches!(container.status, Status::Running { .. } | Status::Restarting));
        }
        containers
    }

    fn text(
        &self,
        format: &Format,
        containers: &[Summary],
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<String, Failure> {
        let items: Vec<Value> = containers.iter().map(|container| item(container, now)).collect();
        let rows: Vec<Value> = containers.iter().map(|container| self.row(container, now, zone)).collect();
        let header = if self.noheading || self.quiet { Header::Hidden } else { Header::Shown };
        format.list(&items, &rows, TITLES, header)
    }

    /// What templates see, under podman's names.
    fn row(&self, container: &Summary, now: Timestamp, zone: &TimeZone) -> Value {
        let id = if self.no_trunc { container.id.as_str() } else { container.id.short() };
        let command = container.command.join(" ");
        let command = if self.no_trunc { command } else { shortened(&command) };
        let times = Times::of(container.status);
        json!({
            "ID": id,
            "Image": container.image,
            "ImageID": container.image_id.as_ref().map_or("", |id| id.hex()),
            "Command": command,
            "Created": time::ago(container.created, now),
            "CreatedAt": time::in_zone(container.created, zone),
            "CreatedHuman": time::duration(now.duration_since(container.created)),
            "RunningFor": time::ago(container.created, now),
            "Status": status(container.status, now),
            "State": container.status.as_str(),
            "Ports": "",
            "Names": container.name.as_str(),
            "Labels": container.labels,
            "Mounts": container.mounts.join(","),
            "Networks": "",
            "Pid": times.pid,
            "Exited": times.exited,
            "ExitCode": times.code,
            "ExitedAt": times.finished,
            "StartedAt": times.started,
            "AutoRemove": container.remove_at_exit,
        })
    }
}

/// What `--format json` shows, under podman's names.
fn item(container: &Summary, now: Timestamp) -> Value {
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
        "Namespaces": {},
        "Networks": [],
        "Pid": times.pid,
        "Pod": "",
        "PodName": "",
        "Ports": null,
        "Size": null,
        "StartedAt": times.started,
        "State": container.status.as_str(),
        "Status": status(container.status, now),
        "Created": container.created.as_second(),
    })
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
            Status::Running { pid, started } => Self { pid, started: started.as_second(), ..never },
            Status::Exited { code, started, finished } => {
                let seconds = |time: Option<Timestamp>| time.map_or(time::NEVER_SECONDS, Timestamp::as_second);
                Self { exited: true, code, started: seconds(started), finished: seconds(finished), ..never }
            }
        }
    }
}

fn status(status: Status, now: Timestamp) -> String {
    match status {
        Status::Created => "Created".into(),
        Status::Restarting => "Restarting".into(),
        Status::Running { started, .. } => format!("Up {}", time::duration(now.duration_since(started))),
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
        let format = args.format.as_deref().unwrap_or(if args.quiet { "{{.ID}}" } else { TABLE });
        let containers = args.shown(containers());
        args.text(&Format::parse(format).unwrap(), &containers, at(0), &TimeZone::UTC).unwrap()
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
