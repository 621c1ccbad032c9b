//! Records of secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Timestamp;
use crate::name::secret::SecretName;
use crate::state::record::Record;

/// `secrets/NAME.json`: a secret. Replaced as a whole.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Identifier: 25 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: SecretName,
    /// When it was made.
    pub created: Timestamp,
    /// When it was replaced the last time.
    pub updated: Timestamp,
    /// Who keeps it: `file` or `shell`.
    pub driver: String,
    /// Options of the driver.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its bytes in base64, where the driver is `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Record for SecretRecord {
    const VERSION: u32 = 1;
    const KIND: &'static str = "secret";
}
