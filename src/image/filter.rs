//! Which images `--filter` means: podman-images(1).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::list::Summary;
use crate::failure::Failure;
use crate::name::filter::{Filters, Moment, WantedLabel, boolean, glob, refused};

/// The keys that are known.
pub const KEYS: &[&str] = &[
    "after",
    "before",
    "containers",
    "dangling",
    "id",
    "intermediate",
    "label",
    "label!",
    "readonly",
    "reference",
    "since",
    "until",
];
/// Those of the commands that remove what is not used.
pub const PRUNE_KEYS: &[&str] = &["label", "label!", "until"];

type Condition = Box<dyn Fn(&Summary) -> bool>;

/// A filter whose values have been looked up.
pub struct ImageFilter {
    conditions: Vec<Condition>,
}

impl ImageFilter {
    /// Looks up what `filters` name among `images`, and times before `now`.
    pub fn new(filters: &Filters, images: &[Summary], now: Timestamp) -> Result<Self, Failure> {
        let conditions = filters.iter().map(|(key, values)| condition(key, values, images, now));
        Ok(Self { conditions: conditions.collect::<Result<_, Failure>>()? })
    }

    /// Whether the image is meant.
    pub fn matches(&self, image: &Summary) -> bool {
        self.conditions.iter().all(|condition| condition(image))
    }
}

fn condition(key: &'static str, values: &[String], images: &[Summary], now: Timestamp) -> Result<Condition, Failure> {
    let labels = || values.iter().map(|text| WantedLabel::of(text)).collect::<Vec<_>>();
    Ok(match key {
        "id" => {
            let values = values.to_vec();
            Box::new(move |image| values.iter().any(|id| has_id(image, id)))
        }
        "reference" => {
            let values = values.to_vec();
            Box::new(move |image| values.iter().any(|text| is_named(image, text)))
        }
        "dangling" => is_one_of(key, values, |image| image.references.is_empty())?,
        "containers" => is_one_of(key, values, |image| image.containers > 0)?,
        // An image is never a step of another's building, nor in a store that cannot be written.
        "intermediate" | "readonly" => is_one_of(key, values, |_| false)?,
        "label" => {
            let wanted = labels();
            Box::new(move |image| wanted.iter().all(|label| label.is_in(&image.labels)))
        }
        "label!" => {
            let unwanted = labels();
            Box::new(move |image| !unwanted.iter().any(|label| label.is_in(&image.labels)))
        }
        "after" | "before" | "since" => neighbour(key, values, images)?,
        _ => until(values, now)?,
    })
}

fn has_id(image: &Summary, digits: &str) -> bool {
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    !digits.is_empty() && image.id.hex().starts_with(digits)
}

/// A name as users type it, or a shell pattern for a complete name, with its tag or without.
fn is_named(image: &Summary, text: &str) -> bool {
    let pattern = glob(text);
    image.references.iter().any(|reference| {
        let (whole, name) = (reference.to_string(), reference.name());
        // As podman, `debian*` means any name of which a last part is so.
        let parts = [whole.as_str(), name.as_str()].into_iter().flat_map(tails);
        reference.is_meant_by(text)
            || pattern.as_ref().is_some_and(|pattern| parts.into_iter().any(|part| pattern.is_match(part)))
    })
}

/// The text, and what follows each of its slashes.
fn tails(text: &str) -> impl Iterator<Item = &str> {
    std::iter::once(text).chain(text.match_indices('/').map(|(at, _)| &text[at + 1..]))
}

/// What is or is not so for an image.
fn is_one_of(key: &'static str, values: &[String], is: fn(&Summary) -> bool) -> Result<Condition, Failure> {
    let wanted = values.iter().map(|value| boolean(key, value)).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |image| wanted.contains(&is(image))))
}

fn neighbour(key: &'static str, values: &[String], images: &[Summary]) -> Result<Condition, Failure> {
    let find = |value: &String| {
        let named = images.iter().find(|image| image.references.iter().any(|name| name.is_meant_by(value)));
        named
            .or_else(|| images.iter().find(|image| has_id(image, value)))
            .ok_or_else(|| refused(key, value, "an image"))
    };
    let times = values.iter().map(|value| find(value).map(|image| image.created)).collect::<Result<Vec<_>, _>>()?;
    let is_before = key == "before";
    Ok(Box::new(move |image| {
        times.iter().any(|&time| if is_before { image.created < time } else { image.created > time })
    }))
}

fn until(values: &[String], now: Timestamp) -> Result<Condition, Failure> {
    let zone = TimeZone::system();
    let moment = |value: &String| value.parse::<Moment>().map(|moment| moment.before(now, &zone));
    let times = values.iter().map(moment).collect::<Result<Vec<_>, _>>()?;
    // An image that does not say when it was built is as old as can be.
    Ok(Box::new(move |image| times.iter().any(|&limit| image.created.is_none_or(|created| created < limit))))
}
