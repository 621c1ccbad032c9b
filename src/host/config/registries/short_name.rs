//! Short names: what a name without a registry may stand for (containers-registries.conf(5), "Short-Name Aliasing").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{Broken, parse_toml, read_if_there, replace};
use super::Registries;
use super::file::{Alias, ShortNameMode};
use crate::host::env;
use crate::name::reference::{DEFAULT_REGISTRY, Reference};

/// What a short name may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Complete names, in the order in which they are tried. Never empty.
    pub references: Vec<Reference>,
    /// Which of them it is.
    pub choice: Choice,
}

/// Who chooses among candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nobody: the first that exists is meant.
    First,
    /// The user, if there is a terminal.
    Offered,
    /// The user; nobody can do it for them.
    Required,
}

/// The names that users have chosen, as podman remembers them.
#[derive(Default, Deserialize)]
struct Remembered {
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
}

impl Registries {
    /// What `reference`, of which the user typed no registry, may stand for: its alias, else the name in each of the
    /// registries that are searched. `None` if there are none. Warnings are told to `warn`.
    pub fn candidates(&self, reference: &Reference, warn: &dyn Fn(&str)) -> Option<Candidates> {
        let short = reference.short_name();
        let remembered = match remembered() {
            Ok(aliases) => aliases,
            Err(broken) => {
                warn(&format!("passing over {broken}"));
                BTreeMap::new()
            }
        };
        let alias = remembered.get(short).or_else(|| self.settings.aliases.get(short));
        if let Some(full) = alias.and_then(|Alias(name)| reference.named(name)) {
            return Some(Candidates { references: vec![full], choice: Choice::First });
        }
        let searched = self.searched();
        let references = searched.iter().filter_map(|registry| reference.named(&format!("{registry}/{short}")));
        let references: Vec<Reference> = references.collect();
        let choice = match self.settings.short_name_mode.unwrap_or_default() {
            _ if references.len() < 2 => Choice::First,
            ShortNameMode::Enforcing => Choice::Required,
            ShortNameMode::Permissive => Choice::Offered,
            ShortNameMode::Disabled => Choice::First,
        };
        (!references.is_empty()).then_some(Candidates { references, choice })
    }

    /// The registries to search for short names, in order: docker.io where nothing is configured.
    pub fn searched(&self) -> Vec<String> {
        let configured = self.settings.unqualified_search_registries.clone();
        configured.unwrap_or_else(|| vec![DEFAULT_REGISTRY.into()])
    }
}

/// Notes that the user chose `reference` for this short name.
pub fn remember(short: &Reference, reference: &Reference) -> Result<(), Broken> {
    let Some(path) = remembered_path() else { return Ok(()) };
    let unwritable =
        |cause: std::io::Error| Broken { why: format!("writing it: {cause}"), ..Broken::unreadable(&path, &cause) };
    replace::replace(&path, |before| {
        // A broken file has nothing that could be kept.
        let before = before.and_then(|bytes| String::from_utf8(bytes).ok());
        let parsed = before.and_then(|text| parse_toml::<Remembered>(&path, &text).ok());
        let mut aliases = parsed.unwrap_or_default().aliases;
        aliases.insert(short.short_name().into(), Alias(reference.name()));
        Ok(Some(written(&aliases).into_bytes()))
    })
    .map_err(unwritable)
}

/// The file of podman's that is for machines to write.
fn remembered_path() -> Option<PathBuf> {
    let cache = env::get_absolute(&env::XDG_CACHE_HOME);
    let cache = cache.or_else(|| env::get_absolute(&env::HOME).map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("containers/short-name-aliases.conf"))
}

fn remembered() -> Result<BTreeMap<String, Alias>, Broken> {
    remembered_path().map_or_else(|| Ok(BTreeMap::new()), |path| read_remembered(&path))
}

fn read_remembered(path: &Path) -> Result<BTreeMap<String, Alias>, Broken> {
    match read_if_there(path)? {
        Some(text) => parse_toml::<Remembered>(path, &text).map(|file| file.aliases),
        None => Ok(BTreeMap::new()),
    }
}

/// In TOML. A name that would need escapes is none, and is left out.
fn written(aliases: &BTreeMap<String, Alias>) -> String {
    let mut text = String::from("[aliases]\n");
    for (short, Alias(full)) in aliases.iter().filter(|(short, _)| short.parse::<Reference>().is_ok()) {
        text.push_str(&format!("  \"{short}\" = \"{full}\"\n"));
    }
    text
}
