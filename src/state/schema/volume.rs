//! Records of volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Timestamp;
use crate::name::volume::VolumeName;
use crate::state::record::Record;

/// `volumes/NAME/record.json`: what a volume is. Written once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Name.
    pub name: VolumeName,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it was made for a container and goes with it.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of its driver: `type`, `device`, `o`.
    pub options: BTreeMap<String, String>,
    /// Who keeps its files: `local`, or the name of a driver.
    #[serde(default = "VolumeRecord::local")]
    pub driver: String,
    /// User and group that its directory belongs to, as far as they were given.
    #[serde(default)]
    pub owner: (Option<u32>, Option<u32>),
}

impl VolumeRecord {
    /// The driver that keeps files in the store.
    pub fn local() -> String {
        "local".into()
    }

    /// Whether its files are kept by ourselves.
    pub fn is_local(&self) -> bool {
        self.driver == "local"
    }
}

impl Record for VolumeRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "volume record";
}
