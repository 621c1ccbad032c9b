//! `search`: what registries have.

use std::thread;

use super::progress::Progress;
use super::pull;
use crate::failure::Failure;
use crate::host::config::registries::Registries;
use crate::name::filter::{FilterRefused, Filters, refused};
use crate::name::reference::{DEFAULT_REGISTRY, Reference};
use crate::registry::{Access, Hit, Purpose, Registry, RegistryError};

/// The keys of `--filter`.
pub const KEYS: &[&str] = &["is-automated", "is-official", "stars"];

/// What is searched for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The registry to search; those of registries.conf where absent.
    pub registry: Option<String>,
    /// A part of a repository's name; may be empty where a registry is named.
    pub term: String,
    /// The most repositories of one registry.
    pub limit: usize,
    /// What they must be.
    pub filter: HitFilter,
}

/// Whose tags are listed.
#[derive(Clone, Debug)]
pub struct TagsRequest {
    /// The image; its tag does not matter.
    pub reference: Reference,
    /// The most tags.
    pub limit: usize,
}

/// What one registry has.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub registry: String,
    /// Repositories, or why there are none.
    pub hits: Result<Vec<Hit>, RegistryError>,
}

/// What must be true of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HitFilter {
    stars: u64,
    official: Option<bool>,
    automated: Option<bool>,
}

impl HitFilter {
    /// Reads the filters; of a key that is given several times the last counts.
    pub fn new(filters: &Filters) -> Result<Self, FilterRefused> {
        let mut filter = Self::default();
        for (key, values) in filters.iter() {
            let Some(value) = values.last() else { continue };
            match key {
                "stars" => filter.stars = value.parse().map_err(|_| refused(key, value, "a number"))?,
                "is-official" => filter.official = Some(boolean(key, value)?),
                _ => filter.automated = Some(boolean(key, value)?),
            }
        }
        Ok(filter)
    }

    fn matches(&self, hit: &Hit) -> bool {
        hit.stars >= self.stars
            && self.official.is_none_or(|wanted| wanted == hit.official)
            && self.automated.is_none_or(|wanted| wanted == hit.automated)
    }
}

fn boolean(key: &'static str, value: &str) -> Result<bool, FilterRefused> {
    value.parse().map_err(|_| refused(key, value, "true or false"))
}

/// Searches the registries, all at once. Fails if there is none to search.
pub fn execute(
    request: &SearchRequest,
    access: &Access,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Found>, Failure> {
    let configured = &Registries::discover();
    configured.warnings().for_each(|warning| notice(&warning));
    let registries = match &request.registry {
        Some(registry) => vec![registry.clone()],
        None => configured.searched(),
    };
    if registries.is_empty() {
        let failure = Failure::new("E_CONFIG", "registries.conf names no registry to search");
        return Err(failure.with_hint("name one, as in docker.io/TERM, or set unqualified-search-registries"));
    }
    Ok(thread::scope(|scope| {
        let search = |registry: String| {
            let searching = registry.clone();
            (registry, scope.spawn(move || one(&searching, request, configured, access, notice)))
        };
        let running: Vec<_> = registries.into_iter().map(search).collect();
        let joined = running.into_iter().map(|(registry, thread)| {
            let hits = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Found { registry, hits }
        });
        joined.collect()
    }))
}

/// What one registry has. Where registries.conf searches a part of a registry, only that is looked at.
fn one(
    place: &str,
    request: &SearchRequest,
    configured: &Registries,
    access: &Access,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Hit>, RegistryError> {
    let (registry, part) = place.split_once('/').unwrap_or((place, ""));
    let opened = Registry::open(registry, Purpose::Search, configured, access.clone(), notice)?;
    let mut hits = opened.search(&request.term, request.limit)?;
    hits.retain(|hit| request.filter.matches(hit) && hit.name.starts_with(part));
    Ok(hits)
}

/// The complete name of a repository that was found.
pub fn full_name(registry: &str, hit: &Hit) -> String {
    let registry = registry.split('/').next().unwrap_or_default();
    match registry {
        DEFAULT_REGISTRY if !hit.name.contains('/') => format!("{registry}/library/{}", hit.name),
        _ => format!("{registry}/{}", hit.name),
    }
}

/// The tags of a repository.
pub fn tags(request: &TagsRequest, access: &Access, progress: &dyn Progress) -> Result<Vec<String>, Failure> {
    Ok(pull::tags(&request.reference, request.limit, access, progress)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(name: &str, stars: u64, official: bool) -> Hit {
        Hit { name: name.into(), description: String::new(), stars, official, automated: false }
    }

    #[test]
    fn filters() {
        let kept = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            let filter = HitFilter::new(&Filters::parse(&given, KEYS)?)?;
            let hits = [hit("a", 5, true), hit("b", 0, false)];
            Ok::<_, FilterRefused>(
                hits.into_iter().filter(|hit| filter.matches(hit)).map(|hit| hit.name).collect::<String>(),
            )
        };
        assert_eq!(kept(&[]).unwrap(), "ab");
        assert_eq!(kept(&["stars=5"]).unwrap(), "a");
        assert_eq!(kept(&["is-official=true"]).unwrap(), "a");
        assert_eq!(kept(&["is-official=false"]).unwrap(), "b");
        assert_eq!(kept(&["is-automated=true"]).unwrap(), "");
        assert_eq!(kept(&["stars=6", "stars=1"]).unwrap(), "a");
        for refused in ["stars=many", "is-official=perhaps", "stars", "color=red"] {
            assert!(kept(&[refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn official_images_are_in_a_namespace() {
        assert_eq!(full_name("docker.io", &hit("debian", 0, true)), "docker.io/library/debian");
        assert_eq!(full_name("docker.io", &hit("user/app", 0, false)), "docker.io/user/app");
        assert_eq!(full_name("quay.io", &hit("app", 0, false)), "quay.io/app");
        assert_eq!(full_name("quay.io/team", &hit("team/app", 0, false)), "quay.io/team/app");
    }
}
