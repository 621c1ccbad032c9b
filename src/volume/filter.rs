//! Which volumes `--filter` means: podman-volume-ls(1).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::summary::Summary;
use crate::failure::Failure;
use crate::name::filter::{FilterRefused, Filters, Moment, WantedLabel, boolean, pattern};

/// The keys that are known.
pub const KEYS: &[&str] =
    &["anonymous", "dangling", "driver", "label", "label!", "name", "opt", "scope", "since", "until"];

/// Those of `prune`.
pub const PRUNE_KEYS: &[&str] = &["all", "anonymous", "label", "label!", "name", "opt", "since", "until"];

type Condition = Box<dyn Fn(&Summary) -> bool>;

/// A filter whose values have been looked up.
pub struct VolumeFilter {
    conditions: Vec<Condition>,
}

impl VolumeFilter {
    /// Looks up what `filters` name, times before `now`.
    pub fn new(filters: &Filters, now: Timestamp) -> Result<Self, Failure> {
        let conditions = filters.iter().map(|(key, values)| condition(key, values.to_vec(), now));
        Ok(Self { conditions: conditions.collect::<Result<_, Failure>>()? })
    }

    /// Whether the volume is meant.
    pub fn matches(&self, volume: &Summary) -> bool {
        self.conditions.iter().all(|condition| condition(volume))
    }
}

fn condition(key: &'static str, values: Vec<String>, now: Timestamp) -> Result<Condition, Failure> {
    let labels = || values.iter().map(|text| WantedLabel::of(text)).collect::<Vec<_>>();
    Ok(match key {
        "dangling" => is_one_of(key, &values, |volume| volume.users.is_empty())?,
        "anonymous" => is_one_of(key, &values, |volume| volume.record.anonymous)?,
        // What prune removes, not what it is.
        "all" => Box::new(|_| true),
        "driver" => Box::new(move |volume| values.contains(&volume.record.driver)),
        "scope" => Box::new(move |_| values.iter().any(|value| value == "local")),
        "name" => {
            let patterns = values.iter().map(|value| pattern(key, value)).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |volume| patterns.iter().any(|pattern| pattern.is_match(volume.record.name.as_str())))
        }
        "opt" => {
            let wanted = labels();
            Box::new(move |volume| wanted.iter().any(|option| option.is_in(&volume.record.options)))
        }
        "label" => {
            let wanted = labels();
            Box::new(move |volume| wanted.iter().all(|label| label.is_in(&volume.record.labels)))
        }
        "label!" => {
            let unwanted = labels();
            Box::new(move |volume| !unwanted.iter().any(|label| label.is_in(&volume.record.labels)))
        }
        _ => moment(key, &values, now)?,
    })
}

/// What is or is not so for a volume.
fn is_one_of(key: &'static str, values: &[String], is: fn(&Summary) -> bool) -> Result<Condition, FilterRefused> {
    let wanted = values.iter().map(|value| boolean(key, value)).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |volume| wanted.contains(&is(volume))))
}

fn moment(key: &'static str, values: &[String], now: Timestamp) -> Result<Condition, Failure> {
    let zone = TimeZone::system();
    let parsed = |value: &String| value.parse::<Moment>().map(|moment| moment.before(now, &zone).as_nanosecond());
    let times = values.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
    let is_before = key == "until";
    Ok(Box::new(move |volume| {
        let created = i128::from(volume.record.created.0);
        times.iter().any(|&time| if is_before { created < time } else { created > time })
    }))
}
