//! `history`: the steps by which an image was made.

use serde_json::Value;

use super::inspect;
use crate::failure::Failure;
use crate::state::schema::image::ImageRecord;
use crate::store::{Store, StoreError};

/// One step (image-spec, "OCI Image Configuration", `history`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, as the configuration has it (RFC 3339); absent if it does not say.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// What its author says.
    pub comment: String,
    /// Unpacked size in bytes of the layer that it made; 0 for a step that made none.
    pub size: u64,
}

/// The steps, newest first. An image whose configuration tells no history has one without words for each layer.
pub fn execute(store: &Store, image: &ImageRecord) -> Result<Vec<Step>, Failure> {
    if image.is_list() {
        return Ok(Vec::new());
    }
    let config = inspect::document(store, &image.id)?;
    let sizes = image.layers.iter().map(|layer| Ok(store.layers().manifest(&layer.diff_id)?.bytes));
    let sizes = sizes.collect::<Result<Vec<u64>, StoreError>>()?;
    let history = config["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut steps = steps(history, &sizes);
    steps.reverse();
    Ok(steps)
}

fn steps(history: &[Value], sizes: &[u64]) -> Vec<Step> {
    let mut sizes = sizes.iter().copied();
    let mut steps = Vec::new();
    for entry in history {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let is_empty = entry["empty_layer"].as_bool().unwrap_or_default();
        steps.push(Step {
            created: entry["created"].as_str().map(str::to_owned),
            created_by: text("created_by"),
            comment: text("comment"),
            size: if is_empty { 0 } else { sizes.next().unwrap_or_default() },
        });
    }
    let untold = |size| Step { created: None, created_by: String::new(), comment: String::new(), size };
    steps.extend(sizes.map(untold));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layers_are_those_of_the_steps_that_made_some() {
        let history = json!([
            { "created": "2026-01-01T00:00:00Z", "created_by": "ADD" },
            { "created_by": "ENV", "empty_layer": true },
            { "created_by": "RUN", "comment": "c" },
        ]);
        let steps = steps(history.as_array().unwrap(), &[10, 20]);
        let told: Vec<(&str, u64)> = steps.iter().map(|step| (step.created_by.as_str(), step.size)).collect();
        assert_eq!(told, [("ADD", 10), ("ENV", 0), ("RUN", 20)]);
        assert_eq!(steps[0].created.as_deref(), Some("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn a_history_may_be_short_or_long_or_missing() {
        assert_eq!(steps(&[], &[1, 2]).len(), 2);
        let two = [json!({"created_by": "A"}), json!({"created_by": "B"})];
        assert_eq!(steps(&two, &[1]).iter().map(|step| step.size).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(steps(&two, &[1, 2, 3]).iter().map(|step| step.size).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
