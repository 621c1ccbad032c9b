//! `login`: a name and a password that a registry has accepted, kept for the next time.

use crate::failure::Failure;
use crate::host::config::auth::{AuthFiles, Kept};
use crate::host::config::registries::Registries;
use crate::name::registry::RegistryName;
use crate::registry::{Access, Credential, Purpose, Registry};

/// Fails unless the registry knows whom `access` names.
pub fn check(name: &RegistryName, access: Access, notice: &(dyn Fn(&str) + Sync)) -> Result<(), Failure> {
    let configured = Registries::discover();
    configured.warnings().for_each(|warning| notice(&warning));
    Ok(Registry::open(name.registry(), Purpose::Login, &configured, access, notice)?.check_login()?)
}

/// Asks the registry whether it knows whom `access` names, and keeps the login if it does.
pub fn execute(
    name: &RegistryName,
    access: Access,
    files: &AuthFiles,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Kept, Failure> {
    let Some(Credential::Password { user, password }) = access.credential.clone() else {
        return Err(Failure::new("E_CONFIG", "a login is a name and a password"));
    };
    check(name, access, notice)?;
    Ok(files.store(name, &user, &password)?)
}
