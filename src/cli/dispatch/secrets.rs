//! Secrets.

use crate::cli::error;
use crate::failure::Failure;
use crate::secret::{self, IfThere, NewSecret};
use crate::state::layout::Layout;
use crate::state::lock;
use crate::state::schema::secret::SecretRecord;
use crate::store::Store;

/// Makes a secret; its identifier.
pub fn create_secret(layout: &Layout, new: NewSecret, if_there: IfThere) -> Result<String, Failure> {
    Store::open(layout.clone())?;
    let _alone = lock::secrets_exclusive(layout, &mut super::say_waiting)?;
    Ok(secret::create(layout, new, if_there)?)
}

/// All secrets. One whose record is damaged is reported and left out.
pub fn list_secrets(layout: &Layout) -> Vec<SecretRecord> {
    let (secrets, failures) = secret::list(layout);
    failures.iter().for_each(error::report);
    secrets
}

/// A secret by its name or identifier; `E_NOTFOUND` if there is none.
pub fn find_secret(layout: &Layout, text: &str) -> Result<SecretRecord, Failure> {
    Ok(secret::find(layout, text)?)
}

/// Removes a secret; its identifier.
pub fn remove_secret(layout: &Layout, text: &str) -> Result<String, Failure> {
    let secret = secret::find(layout, text)?;
    let _alone = lock::secrets_exclusive(layout, &mut super::say_waiting)?;
    secret::remove(layout, &secret)?;
    Ok(secret.id)
}
