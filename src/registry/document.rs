//! Small documents: manifests, indexes, configurations. Read into memory, up to a limit.

use std::io::Read;
use std::time::Duration;

use reqwest::blocking::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::error::{RegistryError, shown};
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::manifest::{Descriptor, Document, Fetched, MAX_CONFIG, MAX_DOCUMENT};
use crate::oci::media_type::ACCEPTED_DOCUMENTS;

/// Which document is asked for.
enum Wanted<'w> {
    Tag,
    Digest(&'w Digest),
    Described(&'w Descriptor),
}

impl Registry<'_> {
    /// The digest that `tag` has in the registry, without fetching the document (distribution-spec end-2, HEAD).
    /// `None` if the registry does not say.
    pub fn resolve_tag(&self, tag: &str) -> Result<Option<Digest>, RegistryError> {
        let url = self.address("manifests", tag);
        let accepted = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND];
        let response = self.http.persist(|| self.ask(&Method::HEAD, &url, &accept_documents(), &accepted))?;
        if !response.status().is_success() {
            return Ok(None);
        }
        announced_digest(&response, &url)
    }

    /// The document that `tag` names (end-3).
    pub fn document_by_tag(&self, tag: &str) -> Result<Fetched, RegistryError> {
        self.document(tag, &Wanted::Tag)
    }

    /// The document with this digest (end-3).
    pub fn document_by_digest(&self, digest: &Digest) -> Result<Fetched, RegistryError> {
        self.document(&digest.to_string(), &Wanted::Digest(digest))
    }

    /// The document that an index describes (end-3): its size and media type must be as described, too.
    pub fn document_described(&self, descriptor: &Descriptor) -> Result<Fetched, RegistryError> {
        self.document(&descriptor.digest.to_string(), &Wanted::Described(descriptor))
    }

    fn document(&self, selector: &str, wanted: &Wanted<'_>) -> Result<Fetched, RegistryError> {
        let url = self.address("manifests", selector);
        if let Wanted::Described(descriptor) = wanted {
            check_limit(descriptor.size, MAX_DOCUMENT, &url)?;
        }
        self.http.persist(|| {
            let response = self.ask(&Method::GET, &url, &accept_documents(), &[])?;
            let announced = announced_digest(&response, &url)?;
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let content_type = content_type.map(str::to_owned);
            let bytes = read_limited(response, &url, MAX_DOCUMENT, self.http.retry.stall)?;
            let expected = match wanted {
                Wanted::Tag => announced,
                Wanted::Digest(digest) => Some((*digest).clone()),
                Wanted::Described(descriptor) => {
                    check_size(&bytes, descriptor.size, &url)?;
                    Some(descriptor.digest.clone())
                }
            };
            let digest = check_digest(&bytes, expected, &url)?;
            let refused = |cause| RegistryError::Document { url: shown(&url), cause };
            let document = Document::parse(&bytes, content_type.as_deref()).map_err(refused)?;
            if let Wanted::Described(descriptor) = wanted {
                Document::parse(&bytes, Some(&descriptor.media_type)).map_err(refused)?;
            }
            Ok(Fetched { digest, bytes, document })
        })
    }

    /// The configuration that a manifest describes (end-2), verified.
    pub fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let url = self.address("blobs", &descriptor.digest.to_string());
        check_limit(descriptor.size, MAX_CONFIG, &url)?;
        self.http.persist(|| {
            let response = self.ask(&Method::GET, &url, &HeaderMap::new(), &[])?;
            let bytes = read_limited(response, &url, MAX_CONFIG, self.http.retry.stall)?;
            check_size(&bytes, descriptor.size, &url)?;
            check_digest(&bytes, Some(descriptor.digest.clone()), &url)?;
            Ok(bytes)
        })
    }
}

pub(super) fn accept_documents() -> HeaderMap {
    ACCEPTED_DOCUMENTS.iter().map(|media_type| (ACCEPT, HeaderValue::from_static(media_type))).collect()
}

/// The digest in `Docker-Content-Digest` (distribution-spec "Pulling manifests").
pub(super) fn announced_digest(response: &Response, url: &Url) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = response.headers().get("docker-content-digest") else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|cause| RegistryError::DigestHeader { url: shown(url), cause })
}

fn check_limit(size: u64, limit: u64, url: &Url) -> Result<(), RegistryError> {
    if size <= limit { Ok(()) } else { Err(RegistryError::TooLarge { url: shown(url), limit }) }
}

fn check_size(bytes: &[u8], expected: u64, url: &Url) -> Result<(), RegistryError> {
    let got = bytes.len() as u64;
    if got == expected { Ok(()) } else { Err(RegistryError::Size { url: shown(url), expected, got }) }
}

/// The digest of `bytes`, which must be the expected one where one is.
fn check_digest(bytes: &[u8], expected: Option<Digest>, url: &Url) -> Result<Digest, RegistryError> {
    let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let mut hasher = algorithm.hasher();
    hasher.update(bytes);
    let got = hasher.finish();
    match expected {
        Some(expected) if expected != got => Err(RegistryError::DigestMismatch { url: shown(url), expected, got }),
        _ => Ok(got),
    }
}

/// The body of `response`, all of it, if it has at most `limit` bytes.
pub(super) fn read_limited(
    mut response: Response,
    url: &Url,
    limit: u64,
    stall: Duration,
) -> Result<Vec<u8>, RegistryError> {
    check_limit(response.content_length().unwrap_or(0), limit, url)?;
    let mut body = Vec::new();
    let read = response.by_ref().take(limit + 1).read_to_end(&mut body);
    read.map_err(|error| RegistryError::of_transport(url, &error, stall))?;
    check_limit(body.len() as u64, limit, url)?;
    Ok(body)
}
