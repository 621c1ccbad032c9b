//! `[[registry]]`: what is said of the images whose names begin with a prefix, and where they are to be had.

use serde::Deserialize;

use crate::name::reference::Reference;

/// One `[[registry]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub(super) struct Entry {
    prefix: String,
    /// What stands in place of the prefix; absent where names stay as they are.
    location: Option<String>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    mirrors: Vec<Mirror>,
}

/// A place that may have the same images.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    used_for: Pulls,
}

/// Which pulls a mirror is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

/// A place to pull from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The image's name there.
    pub reference: Reference,
    /// Whether certificates need not be valid and plain HTTP will do.
    pub insecure: bool,
    /// Whether it is a mirror, after which others are to be tried.
    pub is_mirror: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
    pull_from_mirror: Option<Pulls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<Pulls>,
}

impl TryFrom<Table> for Entry {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        if table.pull_from_mirror.is_some() {
            return Err("pull-from-mirror belongs into [[registry.mirror]]".into());
        }
        let location = table.location.filter(|location| !location.is_empty()).as_deref().map(place).transpose()?;
        let prefix = match table.prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => checked_prefix(&prefix)?,
            None => location.clone().ok_or("a [[registry]] has neither prefix nor location")?,
        };
        if location.is_none() && !prefix.starts_with("*.") {
            return Err(format!("the prefix {prefix:?} has no location, which only a prefix with a wildcard may lack"));
        }
        let only_by_digest = table.mirror_by_digest_only;
        let mirrors = table.mirror.into_iter().map(|mirror| {
            let used_for = match mirror.pull_from_mirror {
                Some(_) if only_by_digest => {
                    return Err("pull-from-mirror and mirror-by-digest-only exclude each other".to_owned());
                }
                None if only_by_digest => Pulls::DigestOnly,
                given => given.unwrap_or_default(),
            };
            Ok(Mirror { location: place(&mirror.location)?, insecure: mirror.insecure, used_for })
        });
        let mirrors = mirrors.collect::<Result<_, _>>()?;
        Ok(Self { prefix, location, insecure: table.insecure, blocked: table.blocked, mirrors })
    }
}

/// `host[:port][/path]`, to which the rest of a name can be appended.
fn place(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    match trimmed {
        "" => Err("a location is empty".into()),
        _ if trimmed.contains("://") => Err(format!("{text:?} is an address: a host's name is wanted")),
        _ => Ok(trimmed.into()),
    }
}

fn checked_prefix(text: &str) -> Result<String, String> {
    match text.strip_prefix("*.") {
        Some(domain) if domain.is_empty() || domain.contains(['/', ':', '*']) => {
            Err(format!("{text:?} is not a prefix: a wildcard stands before a domain, without port and path"))
        }
        Some(_) => Ok(text.into()),
        None if text.contains('*') => Err(format!("{text:?} is not a prefix: a wildcard can only be its beginning")),
        None => place(text),
    }
}

impl Entry {
    /// What names must begin with, or `*.DOMAIN`.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How much of `name`, in bytes, its prefix stands for; `None` if the entry is for others.
    pub(super) fn match_length(&self, name: &str) -> Option<usize> {
        let registry = name.split('/').next().unwrap_or_default();
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = registry.split_once(':').map_or(registry, |(host, _)| host);
            return host.ends_with(domain).then_some(registry.len());
        }
        let rest = name.strip_prefix(&self.prefix)?;
        // A colon after a host is that of a port, which makes it another registry.
        let has_path = self.prefix.contains('/');
        let ends = rest.is_empty() || rest.starts_with('/') || (has_path && rest.starts_with([':', '@']));
        ends.then_some(self.prefix.len())
    }

    /// Where to pull `reference`: from the mirrors that are meant for it, then from where it belongs. A name that would be
    /// none there is refused with that name.
    pub(super) fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, String> {
        let by_digest = reference.digest().is_some();
        let is_meant = |mirror: &&Mirror| match mirror.used_for {
            Pulls::All => true,
            Pulls::DigestOnly => by_digest,
            Pulls::TagOnly => !by_digest,
        };
        let mut endpoints = Vec::new();
        for mirror in self.mirrors.iter().filter(is_meant) {
            let reference = self.moved(reference, &mirror.location)?;
            endpoints.push(Endpoint { reference, insecure: mirror.insecure, is_mirror: true });
        }
        let reference = match &self.location {
            Some(location) if *location != self.prefix => self.moved(reference, location)?,
            _ => reference.clone(),
        };
        endpoints.push(Endpoint { reference, insecure: self.insecure, is_mirror: false });
        Ok(endpoints)
    }

    /// `reference` with its prefix replaced by `location`.
    fn moved(&self, reference: &Reference, location: &str) -> Result<Reference, String> {
        let name = reference.to_string();
        let rest = self.match_length(&name).and_then(|length| name.get(length..)).unwrap_or_default();
        let moved = format!("{location}{rest}");
        moved.parse::<Reference>().ok().filter(|reference| !reference.is_short()).ok_or(moved)
    }
}
