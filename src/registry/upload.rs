//! Blobs and documents to a registry (distribution-spec v1.1, "Push"): streamed from their file, resumed where the
//! connection broke, and hashed on the way, so that nothing is acknowledged that is not what its digest says.

use std::fs::File;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use reqwest::blocking::{Body, Response};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::error::{RegistryError, shown};
use super::http::Payload;
use super::outgoing::{Content, Part};
use super::{Call, Registry, document, location};
use crate::failure::Explain;
use crate::oci::digest::Digest;
use crate::oci::manifest::MAX_DOCUMENT;

/// Blobs of at most so many bytes are sent with the request that ends the upload: two requests instead of three.
const SMALL: u64 = 1 << 20;
/// A connection that brings fewer bytes in a second than this is broken off, and the upload resumed.
const SLOWEST: u64 = 64 << 10;
/// A registry that moves a blob to its place may need so many times longer for that than for other answers.
const SLOW_COMMIT: u32 = 10;
/// Requests that something on the way finds too large are not made smaller than this, in bytes.
const SMALLEST_PART: u64 = 256 << 10;
/// Parts after the first that was too large have at most so many bytes.
const LARGEST_PART: u64 = 16 << 20;

/// Why a blob was not sent.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The registry did not take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It could not be read.
    #[error("reading the blob {digest}")]
    Reading {
        /// Its digest.
        digest: Digest,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Its bytes are not those that its digest was made of.
    #[error("blob {0} is damaged: its bytes have another digest or length; it was not pushed")]
    Damaged(Digest),
}

impl Explain for UploadError {
    fn code(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.code(),
            Self::Reading { cause, .. } => crate::state::record::io_code(cause),
            Self::Damaged(_) => "E_STORE_CORRUPT",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Reading { cause, .. } => crate::state::record::io_hint(cause),
            Self::Damaged(_) => Some("pull the image again, then push it".into()),
        }
    }
}

/// An upload that the registry has begun.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where the next request goes.
    url: Url,
    /// Bytes that each part but the last must have at least.
    smallest_part: u64,
}

/// What became of a wish for a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is there.
    Done,
    /// The registry would rather be sent it.
    Refused(Session),
}

impl Registry<'_> {
    /// Whether the repository has the blob (end-2, HEAD).
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.has("blobs", digest)
    }

    /// Whether the repository has the manifest or the index (end-3, HEAD).
    pub fn has_document(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.has("manifests", digest)
    }

    fn has(&self, kind: &str, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.address(kind, &digest.to_string());
        let headers = if kind == "manifests" { document::accept_documents() } else { HeaderMap::new() };
        let accepted = [StatusCode::NOT_FOUND];
        let response = self.http.persist(|| self.ask(&Method::HEAD, &url, &headers, &accepted))?;
        Ok(response.status().is_success())
    }

    /// Asks for the blob to be taken from another repository of this registry (end-11).
    pub fn mount(&self, digest: &Digest, source: &str) -> Result<Mount, RegistryError> {
        let mut url = self.address("blobs", "uploads/");
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", source);
        let (response, url) = self.begin(&url)?;
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            _ => self.session(&response, &url).map(Mount::Refused),
        }
    }

    /// Sends the blob of `size` bytes, of which `content` is the whole; `session` is one that a mount has begun. `moved` is
    /// told how many bytes the registry has by now. There is no limit to the breaks, as long as there is progress between.
    pub fn upload(
        &self,
        digest: &Digest,
        size: u64,
        content: File,
        session: Option<Session>,
        moved: &dyn Fn(u64),
    ) -> Result<(), UploadError> {
        let content = Arc::new(Content::new(content, digest, size));
        let upload =
            Upload { registry: self, digest, size, content, session, offset: 0, largest_part: u64::MAX, moved };
        upload.run()
    }

    /// Puts a manifest or an index under `selector`, a tag or its digest (end-7).
    pub fn put_document(
        &self,
        selector: &str,
        media_type: &str,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let url = self.address("manifests", selector);
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(RegistryError::TooLarge { url: shown(&url), limit: MAX_DOCUMENT });
        }
        let mut headers = HeaderMap::new();
        HeaderValue::from_str(media_type).into_iter().for_each(|value| drop(headers.insert(CONTENT_TYPE, value)));
        let patience = self.http.retry.stall * SLOW_COMMIT;
        let payload = || Payload::Content { body: Body::from(bytes.to_vec()), patience };
        self.http.persist(|| {
            let (response, url) = self.write(&Method::PUT, &url, &headers, &[], &payload)?;
            check_acknowledged(&response, &url, digest)
        })
    }

    fn begin(&self, url: &Url) -> Result<(Response, Url), RegistryError> {
        let empty = || Payload::Content { body: Body::from(Vec::new()), patience: self.http.retry.stall };
        self.http.persist(|| self.write(&Method::POST, url, &HeaderMap::new(), &[], &empty))
    }

    fn write(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        accepted: &[StatusCode],
        payload: &dyn Fn() -> Payload,
    ) -> Result<(Response, Url), RegistryError> {
        self.call(&Call { method, url, headers, accepted, payload }).map_err(|error| match error {
            RegistryError::Status { url, status: 405, message, .. } => RegistryError::ReadOnly { url, message },
            other => other,
        })
    }

    /// The session that an answer of `from` leads to.
    fn session(&self, response: &Response, from: &Url) -> Result<Session, RegistryError> {
        let url = location(response, from)?.ok_or_else(|| RegistryError::NoLocation { url: shown(from) })?;
        self.check_upload_target(from, &url)?;
        let smallest = response.headers().get("oci-chunk-min-length").and_then(|value| value.to_str().ok());
        let smallest_part = smallest.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Ok(Session { url, smallest_part })
    }
}

/// A blob on its way.
struct Upload<'a> {
    registry: &'a Registry<'a>,
    digest: &'a Digest,
    size: u64,
    content: Arc<Content>,
    session: Option<Session>,
    /// Bytes that the registry has acknowledged in this session.
    offset: u64,
    /// Requests are to have at most so many bytes.
    largest_part: u64,
    moved: &'a dyn Fn(u64),
}

impl Upload<'_> {
    fn run(mut self) -> Result<(), UploadError> {
        let mut failures = 0;
        loop {
            let before = self.offset;
            let failure = match self.advance() {
                Ok(Progress::Done) => return Ok(()),
                Ok(Progress::More) => continue,
                Err(failure) => failure,
            };
            if let Some(cause) = self.content.take_failure() {
                return Err(UploadError::Reading { digest: self.digest.clone(), cause });
            }
            let UploadError::Registry(failure) = failure else { return Err(failure) };
            if !self.can_recover(&failure) {
                return Err(failure.into());
            }
            let advanced = self.recover(&failure, before);
            failures = if advanced { 1 } else { failures + 1 };
            self.registry.http.wait_or_give_up(failures, failure)?;
            if self.is_there_already() {
                return Ok(());
            }
        }
    }

    /// The next request of the upload.
    fn advance(&mut self) -> Result<Progress, UploadError> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => {
                let (response, url) = self.registry.begin(&self.registry.address("blobs", "uploads/"))?;
                self.offset = 0;
                self.session.insert(self.registry.session(&response, &url)?).clone()
            }
        };
        if self.offset == self.size || (self.offset == 0 && self.size <= SMALL.min(self.largest_part)) {
            self.commit(&session)
        } else {
            self.send_part(session)
        }
    }

    /// Ends the upload (end-6); a small blob goes with it.
    fn commit(&self, session: &Session) -> Result<Progress, UploadError> {
        let rest = self.content.read(self.offset, self.size - self.offset);
        let rest = rest.map_err(|cause| UploadError::Reading { digest: self.digest.clone(), cause })?;
        if !self.content.is_sound() {
            self.cancel(session);
            return Err(UploadError::Damaged(self.digest.clone()));
        }
        let mut url = session.url.clone();
        url.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        let patience = self.registry.http.retry.stall * SLOW_COMMIT;
        let payload = || Payload::Content { body: Body::from(rest.clone()), patience };
        let (response, url) = self.registry.write(&Method::PUT, &url, &octets(), &[], &payload)?;
        check_acknowledged(&response, &url, self.digest)?;
        (self.moved)(self.size);
        Ok(Progress::Done)
    }

    /// Sends what follows what the registry has (end-5): everything, or as much as goes through.
    fn send_part(&mut self, session: Session) -> Result<Progress, UploadError> {
        let length = (self.size - self.offset).min(self.largest_part.max(session.smallest_part));
        let mut headers = octets();
        let range = format!("{}-{}", self.offset, self.offset + length - 1);
        HeaderValue::from_str(&range).into_iter().for_each(|range| drop(headers.insert(CONTENT_RANGE, range)));
        let patience = self.registry.http.retry.stall + Duration::from_secs(length / SLOWEST);
        let (sender, receiver) = mpsc::channel();
        let (content, offset, registry) = (&self.content, self.offset, self.registry);
        let sent = thread::scope(|scope| {
            // The progress is told here, where `moved` may be called: the reader of a request has to be owned by it.
            let sending = scope.spawn(move || {
                let payload = || {
                    let part = Part::new(Arc::clone(content), offset, length, sender.clone());
                    Payload::Content { body: Body::sized(part, length), patience }
                };
                registry.write(&Method::PATCH, &session.url, &headers, &[], &payload)
            });
            receiver.iter().for_each(self.moved);
            sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let (response, url) = sent?;
        let smallest_part = self.session.as_ref().map_or(0, |session| session.smallest_part);
        let session = self.registry.session(&response, &url)?;
        self.session = Some(Session { smallest_part: session.smallest_part.max(smallest_part), ..session });
        let got = received(&response).unwrap_or(offset + length);
        if got > offset + length || got <= offset {
            return Err(RegistryError::UploadRange { url: shown(&url) }.into());
        }
        self.offset = got;
        Ok(Progress::More)
    }

    /// Whether another attempt may end better.
    fn can_recover(&self, failure: &RegistryError) -> bool {
        match failure {
            // The session has ended, or disagrees with us on where it stands.
            RegistryError::NotFound { .. } | RegistryError::UploadRange { .. } => self.session.is_some(),
            RegistryError::Status { status: 413, .. } => self.part_length() > SMALLEST_PART,
            RegistryError::Status { status: 416, .. } => true,
            other => other.is_transient(),
        }
    }

    /// Finds out where the upload stands after a failure; whether the registry has more of it than `before`.
    fn recover(&mut self, failure: &RegistryError, before: u64) -> bool {
        let too_large = matches!(failure, RegistryError::Status { status: 413, .. });
        let length = self.part_length();
        self.offset = match &self.session {
            Some(session) => match self.registry.standing(session) {
                Ok((session, offset)) if offset <= self.content.hashed() => {
                    self.session = Some(session);
                    offset
                }
                // A session of which nobody knows where it stands is no use.
                Ok(_) | Err(_) => {
                    self.session = None;
                    0
                }
            },
            None => 0,
        };
        let advanced = self.offset > before;
        // Some proxies break off what they find too large instead of saying so.
        if too_large || (!advanced && length > LARGEST_PART) {
            self.largest_part = (length / 4).clamp(SMALLEST_PART, LARGEST_PART);
        }
        (self.moved)(self.offset);
        // A smaller part is an attempt of its own.
        advanced || too_large
    }

    fn part_length(&self) -> u64 {
        (self.size - self.offset).min(self.largest_part)
    }

    /// Whether the registry has the blob though it did not say so: its answer to the last request was lost.
    fn is_there_already(&self) -> bool {
        self.session.is_none() && self.content.is_sound() && self.registry.has_blob(self.digest).unwrap_or(false)
    }

    /// Ends the upload without a blob. A registry that does not understand forgets the session some day.
    fn cancel(&self, session: &Session) {
        let nothing = || Payload::Nothing;
        let _ = self.registry.write(&Method::DELETE, &session.url, &HeaderMap::new(), &[], &nothing);
    }
}

/// How far an upload is.
enum Progress {
    /// The registry has the blob.
    Done,
    /// There is more to do.
    More,
}

impl Registry<'_> {
    /// How many bytes of an upload the registry has (end-13).
    fn standing(&self, session: &Session) -> Result<(Session, u64), RegistryError> {
        let response = self.http.persist(|| self.ask(&Method::GET, &session.url, &HeaderMap::new(), &[]))?;
        let url = match location(&response, &session.url)? {
            Some(url) => {
                self.check_upload_target(&session.url, &url)?;
                url
            }
            None => session.url.clone(),
        };
        let missing = || RegistryError::UploadRange { url: shown(&session.url) };
        let offset = received(&response).ok_or_else(missing)?;
        Ok((Session { url, ..*session }, offset))
    }
}

/// The number of bytes in `Range: 0-LAST` or `Range: bytes=0-LAST`. For an upload that has begun, registries say `0-0`, as
/// they do for one that has a single byte, which is then sent again.
fn received(response: &Response) -> Option<u64> {
    let text = response.headers().get(RANGE)?.to_str().ok()?.trim();
    let last = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?;
    let last: u64 = last.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}

/// The digest that a registry says it has stored is the one that it was sent.
fn check_acknowledged(response: &Response, url: &Url, sent: &Digest) -> Result<(), RegistryError> {
    match document::announced_digest(response, url)? {
        Some(got) if got != *sent && got.algorithm() == sent.algorithm() => {
            Err(RegistryError::DigestMismatch { url: shown(url), expected: sent.clone(), got })
        }
        _ => Ok(()),
    }
}

fn octets() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))])
}
