//! What a listing tells of a volume.

use std::path::PathBuf;

use crate::state::schema::volume::VolumeRecord;

/// A volume, and who has it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What it is.
    pub record: VolumeRecord,
    /// Where its files are.
    pub mountpoint: PathBuf,
    /// Names of the containers that have it, whether they run or not.
    pub users: Vec<String>,
    /// Whether its first container has still to fill it.
    pub is_to_be_filled: bool,
}
