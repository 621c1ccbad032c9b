//! Secrets: what containers get that nobody else is to see. A secret is one file, which only its user can read, or what a
//! program of the user's knows.

mod error;
mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;

pub use error::SecretError;

use crate::failure::Failure;
use crate::host::config::base64;
use crate::name::concealed::Concealed;
use crate::name::secret::SecretName;
use crate::state::layout::Layout;
use crate::state::record;
use crate::state::schema::container::Timestamp;
use crate::state::schema::secret::SecretRecord;
use crate::sys::random;

/// As podman's and docker's.
pub const LARGEST: usize = 512_000;

/// Digits of an identifier.
const ID_LENGTH: usize = 25;

/// A secret to be made.
pub struct NewSecret {
    /// Its name.
    pub name: SecretName,
    /// Who keeps it.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is secret.
    pub data: Concealed,
}

/// What becomes of a secret that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    /// It stays: an error.
    Refuse,
    /// It stays.
    Keep,
    /// It is replaced; its identifier stays.
    Replace,
}

/// Makes a secret; its identifier.
pub fn create(layout: &Layout, new: NewSecret, if_there: IfThere) -> Result<String, SecretError> {
    if new.data.reveal().is_empty() || new.data.reveal().len() > LARGEST {
        return Err(SecretError::Size { name: new.name, size: new.data.reveal().len() });
    }
    shell::check(&new.driver, &new.options)?;
    let directory = layout.secrets();
    let failed = |cause| SecretError::Io { doing: "making", path: directory.clone(), cause };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
    let there = get(layout, &new.name)?;
    let now = Timestamp::now();
    let (id, created) = match (&there, if_there) {
        (Some(_), IfThere::Refuse) => return Err(SecretError::Exists(new.name)),
        (Some(there), IfThere::Keep) => return Ok(there.id.clone()),
        (Some(there), IfThere::Replace) => (there.id.clone(), there.created),
        (None, _) => (new_id()?, now),
    };
    if let Some(there) = &there {
        shell::forget(there)?;
    }
    let mut record = SecretRecord {
        id: id.clone(),
        name: new.name,
        created,
        updated: now,
        driver: new.driver,
        options: new.options,
        labels: new.labels,
        data: None,
    };
    match record.driver.as_str() {
        "file" => record.data = Some(base64::encode(new.data.reveal())),
        _ => shell::store(&record, &new.data)?,
    }
    record::write_durable(&layout.tmp(), &layout.secret(&record.name), &record)?;
    Ok(id)
}

fn new_id() -> Result<String, SecretError> {
    let bytes: [u8; 32] = random::bytes().map_err(|errno| SecretError::Random(errno.into()))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits[..ID_LENGTH].to_owned())
}

/// The secret of exactly this name.
fn get(layout: &Layout, name: &SecretName) -> Result<Option<SecretRecord>, SecretError> {
    Ok(record::read(&layout.secret(name))?)
}

/// The secret of this name or identifier, or the only one whose identifier begins so.
pub fn find(layout: &Layout, text: &str) -> Result<SecretRecord, SecretError> {
    let missing = || SecretError::Missing(text.chars().take(160).collect());
    let name: SecretName = text.parse().map_err(|_| missing())?;
    if let Some(record) = get(layout, &name)? {
        return Ok(record);
    }
    let mut begun = list(layout).0.into_iter().filter(|record| record.id.starts_with(text));
    match (begun.next(), begun.next()) {
        (Some(record), None) => Ok(record),
        _ => Err(missing()),
    }
}

/// All secrets, in the order of their names. One whose record is damaged is named in the second list.
pub fn list(layout: &Layout) -> (Vec<SecretRecord>, Vec<Failure>) {
    record::all(&record::names(&layout.secrets()), |name| get(layout, name))
}

/// What is secret.
pub fn reveal(record: &SecretRecord) -> Result<Concealed, SecretError> {
    match (&record.data, record.driver.as_str()) {
        (Some(data), "file") => {
            base64::decode(data).map(Concealed::new).ok_or_else(|| SecretError::Damaged(record.name.clone()))
        }
        (None, "file") => Err(SecretError::Damaged(record.name.clone())),
        _ => shell::lookup(record),
    }
}

/// Removes a secret.
pub fn remove(layout: &Layout, record: &SecretRecord) -> Result<(), SecretError> {
    shell::forget(record)?;
    let path = layout.secret(&record.name);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(SecretError::Io { doing: "removing", path, cause })
        }
        _ => Ok(()),
    }
}
