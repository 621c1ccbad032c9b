//! Which containers `--filter` means: podman-ps(1).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::list::{self, Listed};
use super::status;
use super::summary::{Status, time};
use crate::failure::Failure;
use crate::name::filter::{Filters, Moment, WantedLabel, pattern, refused};
use crate::name::reference::Reference;
use crate::name::restart_policy::RestartPolicy;
use crate::state::layout::Layout;
use crate::state::schema::container::{HealthRecord, MountRecord};

/// The keys that are known.
pub const KEYS: &[&str] = &[
    "ancestor",
    "before",
    "command",
    "exited",
    "health",
    "id",
    "label",
    "label!",
    "name",
    "network",
    "pod",
    "restart-policy",
    "should-start-on-boot",
    "since",
    "status",
    "until",
    "volume",
];

/// podman's words for what a container is doing. `stopped` is another word for `exited`.
const STATUSES: &[&str] = &[
    "created",
    "initialized",
    "running",
    "paused",
    "restarting",
    "stopping",
    "exited",
    "stopped",
    "removing",
    "dead",
    "unknown",
];

type Condition = Box<dyn Fn(&Listed) -> bool>;

/// A filter whose values have been looked up.
#[derive(Default)]
pub struct ContainerFilter {
    conditions: Vec<Condition>,
}

impl ContainerFilter {
    /// Looks up what `filters` name: containers, and times before `now`.
    pub fn new(filters: &Filters, layout: &Layout, now: Timestamp) -> Result<Self, Failure> {
        let conditions = filters.iter().map(|(key, values)| condition(key, values, layout, now));
        Ok(Self { conditions: conditions.collect::<Result<_, Failure>>()? })
    }

    /// Whether the container is meant.
    pub fn matches(&self, container: &Listed) -> bool {
        self.conditions.iter().all(|condition| condition(container))
    }
}

fn condition(key: &'static str, values: &[String], layout: &Layout, now: Timestamp) -> Result<Condition, Failure> {
    let values = values.to_vec();
    Ok(match key {
        "id" => any(values, |container, id| container.record.id.as_str().starts_with(id)),
        "ancestor" => any(values, is_made_from),
        "network" => any(values, |container, network| container.record.network == network),
        "volume" => any(values, is_mounted),
        // There are no pods, so that nothing is in one.
        "pod" => any(values, |_, _| false),
        "name" => matching(key, &values, |container| Some(container.record.name.to_string()))?,
        "command" => matching(key, &values, |container| {
            let process = &container.record.process;
            process.entrypoint.iter().chain(&process.command).next().cloned()
        })?,
        "label" => {
            let wanted: Vec<WantedLabel> = values.iter().map(|text| WantedLabel::of(text)).collect();
            Box::new(move |container| wanted.iter().all(|label| label.is_in(&container.record.labels)))
        }
        "label!" => {
            let unwanted: Vec<WantedLabel> = values.iter().map(|text| WantedLabel::of(text)).collect();
            Box::new(move |container| !unwanted.iter().any(|label| label.is_in(&container.record.labels)))
        }
        "exited" => exited(&values)?,
        "status" => with_status(&values)?,
        "health" => word(key, values, &["starting", "healthy", "unhealthy", "none"], health)?,
        "restart-policy" => word(key, values, &["no", "always", "on-failure", "unless-stopped"], restart_policy)?,
        "should-start-on-boot" => word(key, values, &["true", "false"], should_start)?,
        "before" | "since" => neighbour(key, &values, layout)?,
        _ => until(&values, now)?,
    })
}

/// Whether a container's health is checked, and with what result. The first word is the container's, the others are what may
/// be asked for.
pub fn health(container: &Listed) -> &'static str {
    match container.health.as_ref().map(|health| health.status.as_str()) {
        Some(HealthRecord::HEALTHY) => "healthy",
        Some(HealthRecord::UNHEALTHY) => "unhealthy",
        Some(_) => "starting",
        None if container.record.health.is_some() => "starting",
        None => "none",
    }
}

fn restart_policy(container: &Listed) -> &'static str {
    container.record.restart.parse::<RestartPolicy>().unwrap_or_default().name()
}

/// Whether a container is to run after a reboot: one that a user had stopped and that was made so stays stopped.
fn should_start(container: &Listed) -> &'static str {
    let by_user = matches!(&container.status, status::Status::Stopped(stopped) if stopped.by_user);
    match container.record.restart.parse::<RestartPolicy>().unwrap_or_default() {
        RestartPolicy::Always => "true",
        RestartPolicy::UnlessStopped if !by_user => "true",
        _ => "false",
    }
}

fn any(values: Vec<String>, is_one: fn(&Listed, &str) -> bool) -> Condition {
    Box::new(move |container| values.iter().any(|value| is_one(container, value)))
}

fn matching(key: &'static str, values: &[String], text: fn(&Listed) -> Option<String>) -> Result<Condition, Failure> {
    let patterns = values.iter().map(|value| pattern(key, value)).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |container| {
        text(container).is_some_and(|text| patterns.iter().any(|pattern| pattern.is_match(&text)))
    }))
}

fn word(
    key: &'static str,
    values: Vec<String>,
    words: &[&str],
    of: fn(&Listed) -> &'static str,
) -> Result<Condition, Failure> {
    if let Some(other) = values.iter().find(|value| !words.contains(&value.as_str())) {
        return Err(refused(key, other, words.join(", ")).into());
    }
    Ok(Box::new(move |container| values.iter().any(|value| value == of(container))))
}

fn exited(values: &[String]) -> Result<Condition, Failure> {
    let code = |value: &String| value.parse::<i32>().map_err(|_| refused("exited", value, "an exit code"));
    let codes = values.iter().map(code).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |container| match &container.status {
        status::Status::Stopped(stopped) => codes.contains(&i32::from(stopped.code)),
        _ => false,
    }))
}

fn with_status(values: &[String]) -> Result<Condition, Failure> {
    if let Some(other) = values.iter().find(|value| !STATUSES.contains(&value.as_str())) {
        return Err(refused("status", other, STATUSES.join(", ")).into());
    }
    let wanted: Vec<String> =
        values.iter().map(|value| if value == "stopped" { "exited".to_owned() } else { value.clone() }).collect();
    Ok(Box::new(move |container| {
        let word = Status::of(container).as_str();
        wanted.iter().any(|wanted| wanted == word)
    }))
}

/// Whether the container was made from this image: its id, the beginning of it, or its name.
fn is_made_from(container: &Listed, wanted: &str) -> bool {
    let Some(image) = &container.record.image else { return false };
    let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let is_id = !digits.is_empty() && image.id.hex().starts_with(digits);
    let is_name = image.name == wanted || image.name.parse().is_ok_and(|name: Reference| name.is_meant_by(wanted));
    is_id || is_name
}

/// `PLACE` is the source, which may be a volume, or the destination of a mount; `SOURCE:DESTINATION` is both.
fn is_mounted(container: &Listed, place: &str) -> bool {
    let both = place.split_once(':');
    let is_source = |mount: &MountRecord, text: &str| {
        mount.source == text || mount.volume.as_ref().is_some_and(|name| name.as_str() == text)
    };
    container.record.mounts.iter().any(|mount| match both {
        Some((source, destination)) => is_source(mount, source) && mount.destination == destination,
        None => is_source(mount, place) || mount.destination == place,
    })
}

fn neighbour(key: &'static str, values: &[String], layout: &Layout) -> Result<Condition, Failure> {
    let mut times = Vec::new();
    for name in values {
        let id = list::find(layout, name)
            .map_err(|error| Failure::from(refused(key, name, format!("a container ({error})"))))?;
        times.extend(list::load(layout, &id)?.map(|container| container.record.created));
    }
    let is_before = key == "before";
    Ok(Box::new(move |container| {
        let created = container.record.created;
        times.iter().any(|&time| if is_before { created < time } else { created > time })
    }))
}

fn until(values: &[String], now: Timestamp) -> Result<Condition, Failure> {
    let zone = TimeZone::system();
    let moment = |value: &String| value.parse::<Moment>().map(|moment| moment.before(now, &zone));
    let times = values.iter().map(moment).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |container| times.iter().any(|&limit| time(container.record.created) < limit)))
}
