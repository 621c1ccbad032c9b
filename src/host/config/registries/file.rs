//! What one registries.conf says, as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::super::{Broken, parse_toml, read_if_there};
use super::entry::Entry;
use crate::name::reference::Reference;

/// A file, or all of them together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct File {
    #[serde(rename = "registry")]
    pub(super) entries: Vec<Entry>,
    #[serde(deserialize_with = "search_registries")]
    pub(super) unqualified_search_registries: Option<Vec<String>>,
    pub(super) short_name_mode: Option<ShortNameMode>,
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) credential_helpers: Option<Vec<String>>,
    /// What only version 1 of the format has.
    registries: Option<serde::de::IgnoredAny>,
}

/// What is done about a short name that several registries may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShortNameMode {
    /// The user is asked; where there is no terminal, it is refused.
    Enforcing,
    /// The user is asked; where there is no terminal, all are tried.
    #[default]
    #[serde(alias = "")]
    Permissive,
    /// All are tried.
    Disabled,
}

/// What a short name stands for: `registry/repository`. Empty where an earlier file's alias is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias(pub(super) String);

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.parse::<Reference>();
        let has_tag = text.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        match parsed {
            _ if text.is_empty() => Ok(Self(text)),
            Ok(reference) if !reference.is_short() && !has_tag => Ok(Self(reference.name())),
            _ => Err(D::Error::custom(format!("{text:?} is not registry/repository, without tag and digest"))),
        }
    }
}

fn search_registries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let mut registries = Vec::<String>::deserialize(deserializer)?;
    for registry in &mut registries {
        registry.truncate(registry.trim_end_matches('/').len());
        if !format!("{registry}/name").parse::<Reference>().is_ok_and(|reference| !reference.is_short()) {
            return Err(D::Error::custom(format!("{registry:?} is not the address of a registry")));
        }
    }
    Ok(Some(registries))
}

impl File {
    /// The file at `path`; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Broken> {
        let Some(text) = read_if_there(path)? else { return Ok(None) };
        let file: Self = parse_toml(path, &text)?;
        match file.registries {
            None => Ok(Some(file)),
            Some(_) => {
                let why = "this is version 1 of the format, which is not read any more: write \
                           unqualified-search-registries = [\"HOST\"] for [registries.search], and a table [[registry]] \
                           with location = \"HOST\" and insecure = true or blocked = true for the others";
                Err(Broken::at(path, &text, text.find("[registries").unwrap_or(0), why))
            }
        }
    }

    /// Adds what a later file says, which has the last word.
    pub(super) fn extend(&mut self, later: Self) {
        for entry in later.entries {
            self.entries.retain(|known| known.prefix() != entry.prefix());
            self.entries.push(entry);
        }
        self.aliases.extend(later.aliases);
        self.unqualified_search_registries =
            later.unqualified_search_registries.or(self.unqualified_search_registries.take());
        self.short_name_mode = later.short_name_mode.or(self.short_name_mode);
        self.credential_helpers = later.credential_helpers.or(self.credential_helpers.take());
    }
}
