//! From the door to what is asked of registries besides images.

use std::path::PathBuf;

use super::{error, registry_access, reporter};
use crate::failure::Failure;
use crate::host::config::auth::{AuthFiles, Kept};
use crate::host::config::registries::Registries;
use crate::image;
use crate::image::request::{Progress, PullRequest, RegistryAccess};
use crate::image::search::{Found, SearchRequest, TagsRequest};
use crate::name::reference::Reference;
use crate::name::registry::RegistryName;
use crate::registry::Credential;

/// The names of all tags of an image's repository.
pub fn all_tags(request: &PullRequest, reference: &Reference) -> Result<Vec<Reference>, Failure> {
    let access = registry_access(request.access.clone());
    Ok(image::pull::all_tags(reference, &access, &*reporter(request.progress))?)
}

/// The registry that is meant where none is named: the first that is searched for short names.
pub fn default_registry() -> Result<RegistryName, Failure> {
    let searched = Registries::discover().searched();
    let first = searched.first().ok_or_else(|| {
        let failure = Failure::new("E_CONFIG", "no registry was named, and registries.conf names none");
        failure.with_hint("name one, for example docker.io")
    })?;
    Ok(first.parse()?)
}

/// Where logins are kept: in the file `compatible`, as docker does, or where podman does.
pub fn auth_files(authfile: Option<PathBuf>, compatible: Option<PathBuf>) -> AuthFiles {
    match compatible {
        Some(file) => AuthFiles::compatible(file),
        None => AuthFiles::discover(authfile, Registries::discover().credential_helpers()),
    }
}

/// What is kept for a registry.
pub fn known_login(files: &AuthFiles, name: &RegistryName) -> Result<Option<Credential>, Failure> {
    let lookup = files.find(name.registry(), name.namespace());
    lookup.warnings.iter().for_each(|warning| error::warn(warning));
    match (lookup.credential, lookup.failed_helpers.into_iter().next()) {
        (None, Some(failure)) => Err(failure.into()),
        (credential, _) => Ok(credential),
    }
}

/// Fails unless the registry knows whom `access` names.
pub fn check_login(name: &RegistryName, access: RegistryAccess) -> Result<(), Failure> {
    image::login::check(name, registry_access(access), &|line| error::warn(line))
}

/// Logs in, and keeps the login once the registry has accepted it.
pub fn login(name: &RegistryName, access: RegistryAccess, files: &AuthFiles) -> Result<Kept, Failure> {
    image::login::execute(name, registry_access(access), files, &|line| error::warn(line))
}

/// Repositories in each of the registries, in their order.
pub fn search(request: &SearchRequest, access: RegistryAccess) -> Result<Vec<Found>, Failure> {
    image::search::execute(request, &registry_access(access), &|line| error::warn(line))
}

/// Tags of a repository.
pub fn tags(request: &TagsRequest, access: RegistryAccess) -> Result<Vec<String>, Failure> {
    image::search::tags(request, &registry_access(access), &*reporter(Progress::Shown))
}
