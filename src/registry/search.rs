//! What a registry has: docker's search API, the catalog, tags.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::document::read_limited;
use super::error::{RegistryError, shown};
use super::http::Payload;
use super::origin::Origin;
use super::{Registry, http};
use crate::name::reference::DEFAULT_REGISTRY;
use crate::oci::manifest::MAX_DOCUMENT;

/// How much of a list is asked for at once.
const PAGE: &str = "1000";
/// More pages than this are not read.
const MAX_PAGES: usize = 100;

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hit {
    /// Its name within the registry.
    pub name: String,
    /// What its owner says of it.
    #[serde(default)]
    pub description: String,
    /// How many users like it.
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    /// Whether the registry's owner vouches for it.
    #[serde(default, rename = "is_official")]
    pub official: bool,
    /// Whether it is built by the registry.
    #[serde(default, rename = "is_automated")]
    pub automated: bool,
}

#[derive(Deserialize)]
struct Hits {
    results: Vec<Hit>,
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Registry<'_> {
    /// Repositories that have to do with `term`, at most `limit`: what docker's search API says (docker.io has nothing
    /// else), else those of the catalog whose name contains it.
    pub fn search(&self, term: &str, limit: usize) -> Result<Vec<Hit>, RegistryError> {
        let hits = if term.is_empty() { None } else { self.search_api(term, limit)? };
        match hits {
            Some(mut hits) => {
                hits.truncate(limit);
                Ok(hits)
            }
            None => self.search_catalog(term, limit),
        }
    }

    /// `None` if the registry has no such API. Nobody is asked who we are there.
    fn search_api(&self, term: &str, limit: usize) -> Result<Option<Vec<Hit>>, RegistryError> {
        let is_hub = self.authorizer.registry() == DEFAULT_REGISTRY;
        let mut url = self.base.clone();
        if is_hub {
            url.set_host(Some("index.docker.io")).map_err(|_| RegistryError::Address { host: url.to_string() })?;
        }
        url.set_path("/v1/search");
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
        let response = self.http.persist(|| {
            let response = self.http.exchange(Method::GET, &url, HeaderMap::new(), Payload::Nothing)?;
            match response.status().as_u16() {
                200 => Ok(Some(response)),
                429 | 500.. => Err(http::status_error(shown(&url), response)),
                _ if is_hub => Err(http::status_error(shown(&url), response)),
                _ => Ok(None),
            }
        })?;
        let Some(response) = response else { return Ok(None) };
        let body = read_limited(response, &url, MAX_DOCUMENT, self.http.retry.stall)?;
        match serde_json::from_slice::<Hits>(&body) {
            Ok(hits) => Ok(Some(hits.results)),
            Err(_) if is_hub => Err(RegistryError::Answer { url: shown(&url) }),
            // Some registries answer everything with a page for people.
            Err(_) => Ok(None),
        }
    }

    /// Repositories whose name contains `term` (distribution's "Listing Repositories"); that of this very name comes first.
    fn search_catalog(&self, term: &str, limit: usize) -> Result<Vec<Hit>, RegistryError> {
        let mut found: Vec<Hit> = Vec::new();
        self.list("/v2/_catalog", |page: Catalog| {
            let fitting = page.repositories.unwrap_or_default().into_iter().filter(|name| name.contains(term));
            for name in fitting {
                let at = if name == term { 0 } else { found.len() };
                found.insert(at, Hit { name, description: String::new(), stars: 0, official: false, automated: false });
            }
            found.len() < limit
        })?;
        found.truncate(limit);
        Ok(found)
    }

    /// The repository's tags, at most `limit` (distribution-spec end-8).
    pub fn tags(&self, limit: usize) -> Result<Vec<String>, RegistryError> {
        let mut found = Vec::new();
        let path = format!("/v2/{}/tags/list", self.authorizer.purpose().repository());
        self.list(&path, |page: Tags| {
            found.extend(page.tags.unwrap_or_default());
            found.len() < limit
        })?;
        found.truncate(limit);
        Ok(found)
    }

    /// Reads a list page by page, as long as `take` wants more and the pages come from where the first one came from.
    fn list<T: DeserializeOwned>(&self, path: &str, mut take: impl FnMut(T) -> bool) -> Result<(), RegistryError> {
        let mut url = self.base.clone();
        url.set_path(path);
        url.query_pairs_mut().append_pair("n", PAGE);
        for _ in 0..MAX_PAGES {
            let (page, next) = self.http.persist(|| self.page(&url))?;
            if !take(page) {
                return Ok(());
            }
            match next {
                None => return Ok(()),
                Some(next) if Origin::of(&next).as_ref() == Some(&self.origin) => url = next,
                Some(_) => break,
            }
        }
        Err(RegistryError::NextPage { url: shown(&url) })
    }

    fn page<T: DeserializeOwned>(&self, url: &Url) -> Result<(T, Option<Url>), RegistryError> {
        let response = self.ask(&Method::GET, url, &HeaderMap::new(), &[])?;
        let link = response.headers().get(LINK).and_then(|value| value.to_str().ok());
        let next = link.and_then(next_page).map(|next| url.join(next));
        let next = next.transpose().map_err(|_| RegistryError::NextPage { url: shown(url) })?;
        let body = read_limited(response, url, MAX_DOCUMENT, self.http.retry.stall)?;
        let page = serde_json::from_slice(&body).map_err(|_| RegistryError::Answer { url: shown(url) })?;
        Ok((page, next))
    }
}

/// The address of `<ADDRESS>; rel="next"` (RFC 8288).
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|one| one.trim().replace('"', "").eq_ignore_ascii_case("rel=next"));
    is_next.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        assert_eq!(next_page(r#"</v2/_catalog?last=b&n=2>; rel="next""#), Some("/v2/_catalog?last=b&n=2"));
        assert_eq!(next_page("<http://r.io/x>;rel=next"), Some("http://r.io/x"));
        for other in ["", "/v2/x", r#"</x>; rel="prev""#, "<x", "</x>"] {
            assert_eq!(next_page(other), None, "{other}");
        }
    }
}
