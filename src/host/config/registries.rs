//! containers-registries.conf(5): which registries are insecure, blocked, or somewhere else.
//!
//! Honoured are the keys `prefix`, `location`, `insecure` and `blocked` of `[[registry]]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::host::env;
use crate::name::reference::Reference;

/// What the files say about registries.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    entries: Vec<Entry>,
    /// Files that were passed over, and why.
    pub warnings: Vec<String>,
}

/// One `[[registry]]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    /// Whether certificates need not be valid and plain HTTP will do.
    #[serde(default)]
    pub insecure: bool,
    /// Whether nothing may be pulled from it.
    #[serde(default)]
    pub blocked: bool,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
}

impl Registries {
    /// The user's file, else the machine's, and the drop-ins of both.
    pub fn discover() -> Self {
        let config = env::get_absolute(&env::XDG_CONFIG_HOME)
            .or_else(|| env::get_absolute(&env::HOME).map(|home| home.join(".config")));
        let roots: Vec<PathBuf> = config.into_iter().chain(["/etc".into(), "/usr/share".into()]).collect();
        let named = env::get(&env::CONTAINERS_REGISTRIES_CONF).map(PathBuf::from);
        Self::read(named, roots)
    }

    fn read(named: Option<PathBuf>, roots: Vec<PathBuf>) -> Self {
        let mut registries = Self::default();
        let roots: Vec<PathBuf> = roots.into_iter().map(|root| root.join("containers")).collect();
        let main = named.or_else(|| roots.iter().map(|root| root.join("registries.conf")).find(|path| path.exists()));
        // Drop-ins come after the main file, sorted by name over all directories; the user's replaces one of the same name.
        let mut drop_ins = std::collections::BTreeMap::new();
        for root in roots.iter().rev() {
            for path in drop_ins_of(&root.join("registries.conf.d")) {
                drop_ins.insert(path.file_name().map(ToOwned::to_owned), path);
            }
        }
        for path in main.into_iter().chain(drop_ins.into_values()) {
            match parse(&path) {
                Ok(entries) => registries.entries.extend(entries),
                Err(why) => registries.warnings.push(format!("passing over {}: {why}", path.display())),
            }
        }
        registries
    }

    /// The entry with the longest prefix of `reference`, the last of those if there are several.
    pub fn entry(&self, reference: &Reference) -> Option<&Entry> {
        let name = reference.name();
        let matching = self.entries.iter().filter(|entry| entry.matches(&name, reference.registry()));
        matching.max_by_key(|entry| entry.effective_prefix().len())
    }
}

impl Entry {
    fn effective_prefix(&self) -> &str {
        if self.prefix.is_empty() { &self.location } else { &self.prefix }
    }

    fn matches(&self, name: &str, host: &str) -> bool {
        let prefix = self.effective_prefix();
        if let Some(domain) = prefix.strip_prefix('*') {
            return domain.starts_with('.') && host.ends_with(domain);
        }
        let rest = if prefix.is_empty() { None } else { name.strip_prefix(prefix) };
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where `reference` is to be had: its prefix replaced by `location`. `None` if it stays where it is or the
    /// result would be no reference.
    pub fn relocate(&self, reference: &Reference) -> Option<Reference> {
        if self.location.is_empty() || self.prefix.is_empty() || self.prefix == self.location {
            return None;
        }
        let name = reference.to_string();
        let rest = match self.prefix.strip_prefix('*') {
            Some(_) => name.strip_prefix(reference.registry()),
            None => name.strip_prefix(&self.prefix),
        };
        format!("{}{}", self.location, rest?).parse().ok()
    }
}

fn drop_ins_of(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "conf")).collect()
}

fn parse(path: &Path) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    Ok(file.registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(files: &[(&str, &str)]) -> Registries {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Registries::read(None, vec![directory.path().join("user"), directory.path().join("etc")])
    }

    #[test]
    fn the_longest_prefix_decides() {
        let text = r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            location = "r.io"
            insecure = true
            [[registry]]
            prefix = "r.io/secret"
            blocked = true
            [[registry]]
            prefix = "*.example.com"
            location = "mirror.example.net/all"
        "#;
        let registries =
            registries(&[("user/containers/registries.conf", text), ("etc/containers/registries.conf", "x")]);
        assert!(registries.warnings.is_empty(), "the user's file replaces the machine's");
        let entry = |text: &str| registries.entry(&text.parse().unwrap()).cloned();
        assert!(entry("r.io/app").unwrap().insecure);
        assert!(entry("r.io/secret/app").unwrap().blocked);
        assert!(!entry("r.io/secrets/app").unwrap().blocked);
        assert_eq!(entry("r.io:5000/app"), None);
        let moved: Reference = "a.example.com/x/y:1".parse().unwrap();
        let relocated = entry("a.example.com/x/y").unwrap().relocate(&moved).unwrap();
        assert_eq!(relocated.to_string(), "mirror.example.net/all/x/y:1");
        assert_eq!(entry("example.com/x"), None);
    }

    #[test]
    fn drop_ins_follow_and_broken_files_are_passed_over() {
        let registries = registries(&[
            ("etc/containers/registries.conf", "[[registry]]\nlocation = \"a.io\"\n"),
            ("etc/containers/registries.conf.d/10.conf", "broken"),
            ("user/containers/registries.conf.d/10.conf", "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n"),
            ("etc/containers/registries.conf.d/20.conf", "\n[[registry]\n"),
            ("etc/containers/registries.conf.d/README", "broken"),
        ]);
        assert!(registries.entry(&"a.io/x".parse().unwrap()).unwrap().insecure);
        assert_eq!(registries.warnings.len(), 1);
        assert!(registries.warnings[0].contains("20.conf: line 2"), "{}", registries.warnings[0]);
    }
}
