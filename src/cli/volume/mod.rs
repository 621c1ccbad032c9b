//! `volume ...`.

pub mod create;
pub mod export;
pub mod inspect;
pub mod list;
pub mod mount;
pub mod remove;

use serde_json::{Value, json};

use crate::container::summary::time as moment;
use crate::volume::summary::Summary;

/// What listings and `inspect` show, under podman's and docker's names.
fn value(volume: &Summary) -> Value {
    let record = &volume.record;
    json!({
        "Name": record.name,
        "Driver": record.driver,
        "Mountpoint": volume.mountpoint.display().to_string(),
        "CreatedAt": moment(record.created).to_string(),
        "Labels": record.labels,
        "Scope": "local",
        "Options": record.options,
        "Anonymous": record.anonymous,
        "UID": record.owner.0.unwrap_or_default(),
        "GID": record.owner.1.unwrap_or_default(),
        "MountCount": volume.users.len(),
        "NeedsCopyUp": volume.is_to_be_filled,
        "Containers": volume.users,
    })
}
