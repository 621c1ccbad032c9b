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
}

impl Record for VolumeRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "volume record";
}
