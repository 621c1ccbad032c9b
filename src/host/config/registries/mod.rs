//! containers-registries.conf(5), version 2: which registries are insecure, blocked, mirrored or somewhere else, and what
//! short names stand for.
//!
//! The files are read when a registry is to be asked, and not before: nothing that is local depends on them.

mod entry;
mod file;
mod short_name;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use entry::Endpoint;
pub use file::ShortNameMode;
pub use short_name::{Candidates, Choice, remember};

use super::{Broken, user_directory};
use crate::failure::Explain;
use crate::host::env::{self, Variable};
use crate::name::reference::Reference;
use entry::Entry;
use file::File;

/// Stands for the authentication files among credential helpers.
pub(super) const AUTH_FILES: &str = "containers-auth.json";

/// What the files say about registries.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    settings: File,
    broken: Vec<Broken>,
    /// A file that cannot be read says, somewhere, that something is blocked.
    may_block: Option<Broken>,
}

/// Why the files do not let a registry be asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesRefused {
    /// They say no.
    #[error("registries.conf blocks {0}")]
    Blocked(String),
    /// What they make of a name is none.
    #[error("registries.conf has {0} pulled from {1:?}, which is not the name of an image")]
    Moved(String, String),
    /// What they say cannot be told.
    #[error("a configuration file is needed that cannot be used")]
    Broken(#[source] Broken),
    /// No registry is searched for short names.
    #[error("{0:?} is a short name, and registries.conf names no registry to search for it")]
    NoCandidate(String),
    /// Several registries may have it, and nobody can be asked.
    #[error("{short:?} is a short name that may stand for {}", listed(candidates))]
    Ambiguous {
        /// As typed.
        short: String,
        /// What it may stand for.
        candidates: Vec<Reference>,
    },
}

fn listed(candidates: &[Reference]) -> String {
    let names: Vec<String> = candidates.iter().map(Reference::to_string).collect();
    names.join(" or ")
}

impl Explain for RegistriesRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "E_REGISTRY",
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Blocked(_) => "whoever administers the machine, or you, wrote so for a reason".into(),
            Self::Moved(..) => "a location is HOST[:PORT][/PATH], and the host has a dot or a port".into(),
            Self::Broken(_) => "repair it, or move it out of the way".into(),
            Self::NoCandidate(short) => {
                format!("say which registry you mean, as in docker.io/{short}, or set unqualified-search-registries")
            }
            Self::Ambiguous { candidates, .. } => match candidates.first() {
                Some(first) => format!("say which you mean, for example {first}"),
                None => "say which you mean".into(),
            },
        })
    }
}

impl Registries {
    /// The user's file, else the machine's, and the drop-ins of both. Files that the environment names are used instead.
    pub fn discover() -> Self {
        let path = |variable: &Variable| env::get(variable).map(PathBuf::from);
        let named = path(&env::CONTAINERS_REGISTRIES_CONF).or_else(|| path(&env::REGISTRIES_CONFIG_PATH));
        let roots: Vec<PathBuf> =
            user_directory().into_iter().chain(["/etc/containers".into(), "/usr/share/containers".into()]).collect();
        let drop_ins = match path(&env::CONTAINERS_REGISTRIES_CONF_DIR) {
            Some(directory) => vec![directory],
            None => roots.iter().map(|root| root.join("registries.conf.d")).collect(),
        };
        let main = named.or_else(|| roots.iter().map(|root| root.join("registries.conf")).find(|path| path.exists()));
        Self::read(main, &drop_ins)
    }

    /// Drop-ins come after the main file, sorted by name over all directories; of one name the first directory's counts.
    fn read(main: Option<PathBuf>, directories: &[PathBuf]) -> Self {
        let mut registries = Self::default();
        let mut drop_ins = BTreeMap::new();
        for directory in directories.iter().rev() {
            for path in drop_ins_of(directory) {
                drop_ins.insert(path.file_name().map(ToOwned::to_owned), path);
            }
        }
        for path in main.into_iter().chain(drop_ins.into_values()) {
            match File::read(&path) {
                Ok(Some(file)) => registries.settings.extend(file),
                // It was named, or has gone meanwhile.
                Ok(None) => registries.pass_over(Broken::unreadable(&path, &std::io::ErrorKind::NotFound.into())),
                Err(broken) => registries.pass_over(broken),
            }
        }
        registries
    }

    fn pass_over(&mut self, broken: Broken) {
        let says_blocked = std::fs::read(&broken.path).map(|text| String::from_utf8_lossy(&text).contains("block"));
        if says_blocked.unwrap_or(true) {
            self.may_block.get_or_insert_with(|| broken.clone());
        }
        self.broken.push(broken);
    }

    /// Files that were passed over, and why, one line each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.broken.iter().map(|broken| format!("passing over {broken}"))
    }

    /// Fails if a file was passed over: what it says of short names would be needed.
    pub fn all_were_read(&self) -> Result<(), RegistriesRefused> {
        self.broken.first().map_or(Ok(()), |broken| Err(RegistriesRefused::Broken(broken.clone())))
    }

    /// Where to pull `reference`, in the order in which to try: mirrors, then the place itself.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, RegistriesRefused> {
        let entry = self.allowed(&reference.to_string())?;
        let itself = || vec![Endpoint { reference: reference.clone(), insecure: false, is_mirror: false }];
        let endpoints = entry.map_or_else(|| Ok(itself()), |entry| entry.endpoints(reference));
        endpoints.map_err(|moved| RegistriesRefused::Moved(reference.to_string(), moved))
    }

    /// Whether the registry or repository `name` need not have a valid certificate and may speak plain HTTP, for what
    /// neither mirrors nor other locations are used for: pushing, searching and logging in.
    pub fn is_insecure(&self, name: &str) -> Result<bool, RegistriesRefused> {
        Ok(self.allowed(name)?.is_some_and(|entry| entry.insecure))
    }

    /// Programs, and `AUTH_FILES`, to ask for credentials, in order.
    pub fn credential_helpers(&self) -> Vec<String> {
        self.settings.credential_helpers.clone().unwrap_or_else(|| vec![AUTH_FILES.into()])
    }

    /// The entry for `name`, which nothing blocks.
    fn allowed(&self, name: &str) -> Result<Option<&Entry>, RegistriesRefused> {
        if let Some(broken) = &self.may_block {
            return Err(RegistriesRefused::Broken(broken.clone()));
        }
        let matching = self.settings.entries.iter().filter(|entry| entry.match_length(name).is_some());
        match matching.max_by_key(|entry| entry.prefix().len()) {
            Some(entry) if entry.blocked => Err(RegistriesRefused::Blocked(name.into())),
            entry => Ok(entry),
        }
    }
}

fn drop_ins_of(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "conf")).collect()
}

#[cfg(test)]
mod tests;
