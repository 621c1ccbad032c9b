//! `secret ...`.

pub mod create;
pub mod inspect;
pub mod list;
pub mod remove;

use serde_json::{Value, json};

use crate::container::summary::time as moment;
use crate::state::schema::secret::SecretRecord;

/// What listings and `inspect` show, under podman's and docker's names.
fn value(secret: &SecretRecord) -> Value {
    json!({
        "ID": secret.id,
        "CreatedAt": moment(secret.created).to_string(),
        "UpdatedAt": moment(secret.updated).to_string(),
        "Spec": {
            "Name": secret.name.as_str(),
            "Driver": { "Name": secret.driver, "Options": secret.options },
            "Labels": secret.labels,
        },
    })
}
