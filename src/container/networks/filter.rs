//! Which networks `--filter` means: podman-network-ls(1).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Summary;
use crate::failure::Failure;
use crate::name::filter::{Filters, Moment, WantedLabel, boolean, pattern};

/// The keys that are known.
pub const KEYS: &[&str] =
    &["dangling", "driver", "id", "internal", "label", "label!", "name", "network", "scope", "type", "until"];

/// Those of `prune`.
pub const PRUNE_KEYS: &[&str] = &["label", "label!", "until"];

type Condition = Box<dyn Fn(&Summary) -> bool>;

/// A filter whose values have been looked up.
pub struct NetworkFilter {
    conditions: Vec<Condition>,
}

impl NetworkFilter {
    /// Looks up what `filters` name, times before `now`.
    pub fn new(filters: &Filters, now: Timestamp) -> Result<Self, Failure> {
        let conditions = filters.iter().map(|(key, values)| condition(key, values.to_vec(), now));
        Ok(Self { conditions: conditions.collect::<Result<_, Failure>>()? })
    }

    /// Whether the network is meant.
    pub fn matches(&self, network: &Summary) -> bool {
        self.conditions.iter().all(|condition| condition(network))
    }
}

fn condition(key: &'static str, values: Vec<String>, now: Timestamp) -> Result<Condition, Failure> {
    let labels = || values.iter().map(|text| WantedLabel::of(text)).collect::<Vec<_>>();
    let booleans = || values.iter().map(|value| boolean(key, value)).collect::<Result<Vec<_>, _>>();
    Ok(match key {
        "dangling" => {
            let wanted = booleans()?;
            Box::new(move |network| wanted.contains(&network.users.is_empty()))
        }
        "internal" => {
            let wanted = booleans()?;
            Box::new(move |network| wanted.contains(&network.record.internal))
        }
        "driver" => Box::new(move |network| values.iter().any(|value| value == network.record.driver.as_str())),
        "scope" => Box::new(move |_| values.iter().any(|value| value == "local")),
        // Those that were made by a user, and those that were not.
        "type" => Box::new(move |network| {
            let kind = if network.is_default() { "builtin" } else { "custom" };
            values.iter().any(|value| value == kind)
        }),
        "id" => Box::new(move |network| values.iter().any(|value| network.record.id.starts_with(value.as_str()))),
        "name" | "network" => {
            let patterns = values.iter().map(|value| pattern(key, value)).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |network| patterns.iter().any(|pattern| pattern.is_match(network.record.name.as_str())))
        }
        "label" => {
            let wanted = labels();
            Box::new(move |network| wanted.iter().all(|label| label.is_in(&network.record.labels)))
        }
        "label!" => {
            let unwanted = labels();
            Box::new(move |network| !unwanted.iter().any(|label| label.is_in(&network.record.labels)))
        }
        _ => {
            let zone = TimeZone::system();
            let parsed =
                |value: &String| value.parse::<Moment>().map(|moment| moment.before(now, &zone).as_nanosecond());
            let times = values.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |network| times.iter().any(|&time| i128::from(network.record.created.0) < time))
        }
    })
}
