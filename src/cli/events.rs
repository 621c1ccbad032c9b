//! `events` and `system events`.

use std::os::fd::AsFd;

use clap::{ArgAction, Args};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::dispatch;
use super::render::format::Format;
use super::render::{output, time};
use super::tree::{Globals, Invocation, parse_boolean};
use crate::container::event::{EXIT_CODE, HEALTH_STATUS};
use crate::failure::Failure;
use crate::name::filter::{Filters, Moment, WantedLabel};
use crate::state::journal::{Begin, Event, Follower, Woken};

/// Show what happens to containers and images
///
/// From now on; with --since or --until also what has happened, as far as it is kept. Events are kept until the host is
/// restarted, and the oldest are dropped when there are many.
#[derive(Args, Clone, Debug)]
pub struct EventsArgs {
    /// Show events for which this is true only, for example event=died, container=web, type=image, label=KEY
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show events since this time: a duration (2h), a date, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Show events until this time, and end then; a duration is one from now on
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Wait for more events; with =false, show those that are kept, and end
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true", value_parser = parse_boolean)]
    stream: bool,
    /// The same as --stream=false
    #[arg(long)]
    no_stream: bool,
    /// Print JSON (json), or a Go template for each event
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show ids in full; with =false, their beginnings
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true", value_parser = parse_boolean)]
    no_trunc: bool,
}

const KEYS: &[&str] = &["container", "event", "image", "label", "pod", "type", "volume"];

impl Invocation for EventsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("As they happen", "coracle events"),
        ("What ended in the last hour", "coracle events --since 1h --stream=false --filter event=died"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let filters = Filters::parse(&self.filter, KEYS)?;
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        let since = self.since.map(|moment| moment.before(now, &zone));
        let until = self.until.map(|moment| moment.after(now, &zone));
        let streams = self.stream && !self.no_stream;
        let format = self.format.as_deref().map(Format::parse).transpose()?;
        let is_shown = |event: &Event| {
            let at = happened_at(event);
            since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until) && matches(&filters, event)
        };
        let write = |events: &[Event]| {
            let lines = events.iter().filter(|event| is_shown(event));
            let lines = lines.map(|event| self.line(event, format.as_ref(), &zone)).collect::<Result<String, _>>()?;
            if lines.is_empty() { Ok(()) } else { output::write(&lines) }
        };
        if !streams {
            return write(&dispatch::kept_events(&layout)).map(|()| 0);
        }
        let from = if since.is_some() || until.is_some() { Begin::AtFirst } else { Begin::Now };
        let mut follower = dispatch::follow_events(&layout, from)?;
        follow(&mut follower, until, write)
    }
}

/// Shows events until the time has come, or nobody reads them.
fn follow(
    follower: &mut Follower<'_>,
    until: Option<Timestamp>,
    write: impl Fn(&[Event]) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let stdout = std::io::stdout();
    loop {
        write(&follower.new_events())?;
        let left = until.map(|until| until.duration_since(Timestamp::now()).as_millis().max(0));
        if left == Some(0) {
            return Ok(0);
        }
        // The clock may be set meanwhile.
        let left = left.map(|left| u64::try_from(left).unwrap_or(u64::MAX).min(60_000));
        if follower.wait(stdout.as_fd(), left) == Woken::ReaderGone {
            return Ok(0);
        }
    }
}

fn happened_at(event: &Event) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(event.time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn matches(filters: &Filters, event: &Event) -> bool {
    filters.iter().all(|(key, values)| match key {
        "label" => values.iter().all(|label| WantedLabel::of(label).is_in(&event.attributes)),
        "event" => values.iter().any(|value| {
            let is_word = |word: &str| value.eq_ignore_ascii_case(word);
            is_word(&event.status) || other_words(event).iter().any(|word| is_word(word))
        }),
        "type" => values.iter().any(|value| value == &event.kind),
        "container" | "pod" | "volume" => event.kind == key && values.iter().any(|value| names(event, value)),
        _ => values.iter().any(|value| (event.kind == "image" && names(event, value)) || is_image(event, value)),
    })
}

fn names(event: &Event, text: &str) -> bool {
    event.name == text || (!text.is_empty() && event.id.starts_with(text.strip_prefix("sha256:").unwrap_or(text)))
}

/// Whether the event's image, or the image that it is about, is meant by this name.
fn is_image(event: &Event, text: &str) -> bool {
    let name = if event.kind == "image" { &event.name } else { &event.image };
    let reference = name.parse::<crate::name::reference::Reference>();
    name == text || reference.is_ok_and(|reference| reference.is_meant_by(text))
}

/// What docker, and podman's manual, call the same.
fn other_words(event: &Event) -> &'static [&'static str] {
    match (event.kind.as_str(), event.status.as_str()) {
        ("container", "died") => &["die", "exited"],
        ("container", "remove") => &["destroy"],
        ("container", "exec") => &["exec_start"],
        ("container", "exec_died") => &["exec_die"],
        ("image", "remove") => &["delete"],
        ("image", "loadfromarchive") => &["load"],
        _ => &[],
    }
}

impl EventsArgs {
    fn line(&self, event: &Event, format: Option<&Format>, zone: &TimeZone) -> Result<String, Failure> {
        match format {
            None => Ok(self.text(event, zone)),
            Some(Format::Json) => Ok(format!("{}\n", self.object(event, time::rfc3339(happened_at(event))))),
            Some(format) => {
                let mut object = self.object(event, time::in_zone(happened_at(event), zone));
                for (field, _, absent) in FIELDS {
                    if object.get(field).is_none() {
                        object[field] = json!(absent);
                    }
                }
                format.one(&object)
            }
        }
    }

    fn id<'a>(&self, event: &'a Event) -> &'a str {
        if self.no_trunc { &event.id } else { event.id.get(..12).unwrap_or(&event.id) }
    }

    /// podman's line.
    fn text(&self, event: &Event, zone: &TimeZone) -> String {
        let time = time::in_zone(happened_at(event), zone);
        let Event { kind, status, name, image, .. } = event;
        let id = self.id(event);
        match kind.as_str() {
            "container" => {
                let more: String = event.attributes.iter().map(|(key, value)| format!(", {key}={value}")).collect();
                one_line(&format!("{time} {kind} {status} {id} (image={image}, name={name}{more})"))
            }
            _ => one_line([time.as_str(), kind, status, id, name].join(" ").trim_end()),
        }
    }

    /// What templates see, and JSON shows, under podman's names.
    fn object(&self, event: &Event, time: String) -> Value {
        let mut object = json!({
            "ID": self.id(event),
            "Image": event.image,
            "Name": event.name,
            "Status": event.status,
            "Time": time,
            "Type": event.kind,
            "Attributes": event.attributes,
        });
        for (field, attribute, _) in FIELDS {
            if let Some(value) = event.attributes.get(attribute) {
                object[field] = value.parse().map_or_else(|_| json!(value), |number: i64| json!(number));
            }
        }
        object
    }
}

/// Fields that podman has for some attributes: name, attribute, and what a template sees of events without it.
const FIELDS: [(&str, &str, &str); 2] = [("ContainerExitCode", EXIT_CODE, "0"), ("HealthStatus", HEALTH_STATUS, "")];

/// A label may have line feeds; an event is one line.
fn one_line(text: &str) -> String {
    text.replace('\n', " ") + "\n"
}
