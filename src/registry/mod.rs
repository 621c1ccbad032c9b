//! The client side of a registry (distribution-spec v1.1, "Pull" and "Push"): who we say we are, what we ask for, and what we
//! believe of the answers.
//!
//! Every byte, header and status comes from a stranger: documents and blobs are believed only when their digest and
//! size match, secrets go to the origin they belong to and nowhere else (SECURITY.md R12, R13), everything read into
//! memory has a limit (R14).

mod authorizer;
mod cause;
mod challenge;
mod document;
mod error;
mod http;
mod origin;
mod outgoing;
mod platform;
mod retry;
mod search;
mod transfer;
mod upload;
pub mod web;

use std::path::PathBuf;

use reqwest::blocking::Response;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};

pub use crate::host::config::credential::{Credential, Secret};
pub use authorizer::Purpose;
pub use error::RegistryError;
pub use platform::{NoSuchPlatform, select};
pub use retry::{Growth, RetryPolicy};
pub use search::Hit;
pub use transfer::Transfer;
pub use upload::{Mount, Session, UploadError};

use crate::host::config::auth::AuthFiles;
use crate::host::config::certificates::Certificates;
use crate::host::config::registries::{Endpoint, Registries};
use crate::name::reference::DEFAULT_REGISTRY;
use authorizer::Authorizer;
use http::{Home, Http, Payload};
use origin::{Origin, is_loopback_host};

/// More redirects than this lead nowhere.
const MAX_REDIRECTS: usize = 5;

/// Whether certificates must be valid (`--tls-verify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVerify {
    /// They must, except for registries that registries.conf calls insecure; registries on this machine's loopback
    /// device may also speak plain HTTP.
    #[default]
    AsConfigured,
    /// They must, even there.
    Required,
    /// They need not be, and plain HTTP will do.
    Off,
}

/// How to reach a registry.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether certificates must be valid.
    pub tls: TlsVerify,
    /// Who to be, instead of whom the authentication files say.
    pub credential: Option<Credential>,
    /// The authentication file to use instead of the usual ones.
    pub authfile: Option<PathBuf>,
    /// The directory with the registry's certificates, instead of the usual ones.
    pub cert_dir: Option<PathBuf>,
    /// The policy for images that are pulled, instead of the usual ones.
    pub signature_policy: Option<PathBuf>,
    /// How often and how long to try.
    pub retry: RetryPolicy,
}

/// One repository of a registry, or all of it. Dropping it joins the threads that its HTTP clients started.
pub struct Registry<'a> {
    http: Http<'a>,
    base: Url,
    origin: Origin,
    authorizer: Authorizer,
}

impl<'a> Registry<'a> {
    /// What is for `purpose` in the registry `name` (`host[:port]`) itself, whatever registries.conf has in its place: that
    /// is for pulls. Nothing is sent, except to registries that may speak plain HTTP: these are asked whether they speak
    /// TLS. `notice` is called with one line for each thing the user may want to know.
    pub fn open(
        name: &str,
        purpose: Purpose,
        configured: &Registries,
        access: Access,
        notice: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, RegistryError> {
        let whole = format!("{name}/{}", purpose.repository());
        let is_insecure = configured.is_insecure(whole.trim_end_matches('/'))?;
        Self::connect(name, purpose, configured, (is_insecure, access), notice)
    }

    /// The repository at `endpoint`, which `configured` named, to pull from it.
    pub fn at(
        endpoint: &Endpoint,
        configured: &Registries,
        access: Access,
        notice: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, RegistryError> {
        let purpose = Purpose::Pull(endpoint.reference.repository().into());
        Self::connect(endpoint.reference.registry(), purpose, configured, (endpoint.insecure, access), notice)
    }

    fn connect(
        name: &str,
        purpose: Purpose,
        configured: &Registries,
        (is_insecure, access): (bool, Access),
        notice: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, RegistryError> {
        let files = AuthFiles::discover(access.authfile, configured.credential_helpers());
        let authorizer = Authorizer::new(name, purpose, access.credential, files);
        let insecure = is_insecure && access.tls == TlsVerify::AsConfigured;
        let host = match name {
            DEFAULT_REGISTRY => "registry-1.docker.io",
            other => other,
        };
        let address = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/")).map_err(|_| RegistryError::Address { host: host.to_owned() })
        };
        let secure = address("https")?;
        let certificates = Certificates::of_registry(name, access.cert_dir.as_deref());
        let home = Home::new(secure.clone(), insecure, certificates.map_err(RegistryError::Certificates)?)?;
        let http = Http::new(access.tls, home, access.retry, notice);
        let on_loopback = is_loopback_host(secure.host_str().unwrap_or_default());
        let plain_will_do = match access.tls {
            TlsVerify::AsConfigured => on_loopback || insecure,
            TlsVerify::Required => false,
            TlsVerify::Off => true,
        };
        let base = if plain_will_do && !http.speaks_tls(&secure)? { address("http")? } else { secure };
        let origin = Origin::of(&base).ok_or_else(|| RegistryError::Address { host: host.to_owned() })?;
        Ok(Self { http, base, origin, authorizer })
    }

    /// Whether the registry knows us. Fails if it does not, or if there is none.
    pub fn check_login(&self) -> Result<(), RegistryError> {
        let mut url = self.base.clone();
        url.set_path("/v2/");
        self.http.persist(|| self.ask(&Method::GET, &url, &HeaderMap::new(), &[])).map(drop)
    }

    /// An address of this repository: `kind` is `manifests` or `blobs`, `what` a tag or a digest. Both names have been
    /// parsed and contain nothing that an address would need escaped.
    fn address(&self, kind: &str, what: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{kind}/{what}", self.authorizer.purpose().repository()));
        url
    }

    /// One answer to one question without content; see [`Self::call`].
    fn ask(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        accepted: &[StatusCode],
    ) -> Result<Response, RegistryError> {
        self.call(&Call { method, url, headers, accepted, payload: &|| Payload::Nothing }).map(|(response, _)| response)
    }

    /// One answer to one question, redirects followed and challenges answered, not tried again; and who answered. The
    /// status is a success or one of those that the call accepts.
    fn call(&self, call: &Call<'_>) -> Result<(Response, Url), RegistryError> {
        let mut url = call.url.clone();
        let mut redirects = 0;
        let mut answered = false;
        loop {
            let at_home = Origin::of(&url).as_ref() == Some(&self.origin);
            let mut headers = call.headers.clone();
            let mut generation = 0;
            if at_home {
                let authorization = self.authorizer.header(&self.http)?;
                generation = authorization.generation;
                authorization.value.map(|value| headers.insert(AUTHORIZATION, value));
            }
            let response = self.http.exchange(call.method.clone(), &url, headers, (call.payload)())?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && at_home && !answered {
                answered = true;
                let challenges = challenge::parse_all(response.headers().get_all(WWW_AUTHENTICATE));
                self.authorizer.answer(&self.http, &self.origin, &challenges, generation)?;
            } else if call.follows(status) {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    return Err(RegistryError::Redirects { url: error::shown(&url) });
                }
                let target = location(&response, &url)?;
                url = target.ok_or_else(|| RegistryError::RedirectTarget { url: error::shown(&url) })?;
                if call.writes() {
                    self.check_upload_target(call.url, &url)?;
                }
            } else if status.is_success() || call.accepted.contains(&status) {
                return Ok((response, url));
            } else {
                return Err(self.refusal(&url, response, at_home));
            }
        }
    }

    /// Whether content may be sent to `target`: not to a service of this machine or of its link, unless the registry is
    /// one itself.
    fn check_upload_target(&self, from: &Url, target: &Url) -> Result<(), RegistryError> {
        let forbidden = Origin::of(target)
            .is_none_or(|origin| origin.is_link_local() || (origin.is_loopback() && !self.origin.is_loopback()));
        match forbidden {
            true => Err(RegistryError::UploadTarget { from: error::shown(from), to: error::shown(target) }),
            false => Ok(()),
        }
    }

    /// What an unsuccessful answer means.
    fn refusal(&self, url: &Url, response: Response, at_home: bool) -> RegistryError {
        let shown = error::shown(url);
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if at_home => {
                let message = http::message_of(response);
                self.authorizer.denied(message)
            }
            StatusCode::NOT_FOUND => RegistryError::NotFound { url: shown, message: http::message_of(response) },
            _ => http::status_error(shown, response),
        }
    }
}

/// A question to the registry.
struct Call<'c> {
    method: &'c Method,
    url: &'c Url,
    headers: &'c HeaderMap,
    /// Statuses that are answers, too.
    accepted: &'c [StatusCode],
    /// Made anew for each attempt.
    payload: &'c dyn Fn() -> Payload,
}

impl Call<'_> {
    fn writes(&self) -> bool {
        ![Method::GET, Method::HEAD].contains(self.method)
    }

    /// Whether the answer sends us elsewhere. Some redirections turn every method into GET (RFC 9110 section 15.4): these
    /// lead no upload anywhere.
    fn follows(&self, status: StatusCode) -> bool {
        match status.as_u16() {
            307 | 308 => true,
            301..=303 => !self.writes(),
            _ => false,
        }
    }
}

/// The address that `response` names in `Location`; `None` if it names none.
fn location(response: &Response, from: &Url) -> Result<Option<Url>, RegistryError> {
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let refused = || RegistryError::RedirectTarget { url: error::shown(from) };
    let location = location.to_str().map_err(|_| refused())?;
    let mut target = from.join(location).map_err(|_| refused())?;
    match (from.scheme(), target.scheme()) {
        ("https", "http") => {
            let (from, to) = (error::shown(from), error::shown(&target));
            return Err(RegistryError::Downgrade { from, to });
        }
        (_, "http" | "https") => {}
        _ => return Err(refused()),
    }
    // A name and password in the address would become a header of our own.
    let cleaned = target.set_username("").and_then(|()| target.set_password(None));
    cleaned.map_err(|()| refused())?;
    Ok(Some(target))
}
