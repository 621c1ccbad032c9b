//! Who we are to a registry: anonymous, by name and password, or by a token that a token server gave
//! (distribution's "Token Authentication Specification" and its OAuth2 form).
//!
//! A secret is sent to the registry's own origin, and to a token server only if that belongs to the registry's family
//! or has an entry of its own in the authentication files (SECURITY.md R13).

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::document::read_limited;
use super::error::{RegistryError, shown};
use super::http::{self, Http, Payload};
use super::origin::Origin;
use super::{Credential, Secret};
use crate::host::config::auth::AuthFiles;
use crate::host::config::base64;
use crate::host::config::credential_helper::HelperFailure;
use crate::oci::manifest::MAX_DOCUMENT;

/// How we introduce ourselves to token servers.
const CLIENT_ID: &str = "coracle";
/// Tokens that do not say how long they live, live this long.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Tokens that claim to live longer are renewed anyway.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);

/// What we want of a registry, and so of its tokens (distribution's "Token Scope Documentation").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To pull from this repository.
    Pull(String),
    /// To push to this repository, and to read others of the registry that may have blobs for it.
    Push {
        /// The one.
        repository: String,
        /// The others.
        sources: Vec<String>,
    },
    /// To list its repositories.
    Search,
    /// To be known to it.
    Login,
}

impl Purpose {
    /// The repository that it is about, or nothing.
    pub(super) fn repository(&self) -> &str {
        match self {
            Self::Pull(repository) | Self::Push { repository, .. } => repository,
            Self::Search | Self::Login => "",
        }
    }

    fn scopes(&self) -> Vec<String> {
        match self {
            Self::Pull(repository) => vec![format!("repository:{repository}:pull")],
            Self::Push { repository, sources } => {
                let sources = sources.iter().map(|source| format!("repository:{source}:pull"));
                std::iter::once(format!("repository:{repository}:pull,push")).chain(sources).collect()
            }
            Self::Search => vec!["registry:catalog:*".into()],
            Self::Login => Vec::new(),
        }
    }
}

/// As in "does not let you".
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(repository) => write!(f, "pull {repository}"),
            Self::Push { repository, .. } => write!(f, "push to {repository}"),
            Self::Search => f.write_str("list its repositories"),
            Self::Login => f.write_str("log in"),
        }
    }
}

/// Authorization for one purpose. Threads share one session, so that a token is fetched once.
pub(super) struct Authorizer {
    registry: String,
    purpose: Purpose,
    files: AuthFiles,
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    /// Counts the times that `header` changed, so that a thread whose request failed can tell that another one has
    /// renewed it meanwhile.
    generation: u64,
    header: Option<HeaderValue>,
    bearer: Option<Bearer>,
    /// Outer `None`: not looked up yet.
    credential: Option<Option<Credential>>,
    helper_failure: Option<HelperFailure>,
}

/// Where a token came from and how long it is good.
struct Bearer {
    realm: Realm,
    service: Option<String>,
    renew_at: Instant,
}

struct Realm {
    url: Url,
    /// Whether the registry's credential may be sent there.
    trusted: bool,
}

/// The header to send, and which one it is.
pub(super) struct Authorization {
    pub(super) generation: u64,
    pub(super) value: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct TokenReply {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Authorizer {
    /// Nobody in particular, until the registry asks. `credential` is used instead of what the files hold.
    pub(super) fn new(registry: &str, purpose: Purpose, credential: Option<Credential>, files: AuthFiles) -> Self {
        let session = Session { credential: credential.map(Some), ..Session::default() };
        Self { registry: registry.into(), purpose, files, session: Mutex::new(session) }
    }

    /// The header for the next request to the registry's own origin. A token that is about to expire is renewed.
    pub(super) fn header(&self, http: &Http<'_>) -> Result<Authorization, RegistryError> {
        let mut session = self.lock();
        if let Some(bearer) = session.bearer.take_if(|bearer| Instant::now() >= bearer.renew_at) {
            self.renew(http, &mut session, bearer.realm, bearer.service)?;
        }
        Ok(Authorization { generation: session.generation, value: session.header.clone() })
    }

    /// Answers a 401: after this, `header` gives something better, or this fails. `generation` is that of the header
    /// that was not good enough.
    pub(super) fn answer(
        &self,
        http: &Http<'_>,
        origin: &Origin,
        challenges: &[Challenge],
        generation: u64,
    ) -> Result<(), RegistryError> {
        let mut session = self.lock();
        if session.generation != generation {
            return Ok(());
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service)),
            Challenge::Basic => None,
        });
        if let Some((realm, service)) = bearer {
            let realm = self.judge(origin, realm)?;
            return self.renew(http, &mut session, realm, service.clone());
        }
        if !challenges.contains(&Challenge::Basic) || session.header.is_some() {
            return Err(self.denial(&mut session, None));
        }
        match self.credential(http, &mut session) {
            Some(Credential::Password { user, password }) => {
                session.set_header(basic(&user, &password));
                Ok(())
            }
            _ => Err(self.denial(&mut session, None)),
        }
    }

    /// The registry's name.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// What it is for.
    pub(super) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// The error for a request that is denied for good.
    pub(super) fn denied(&self, message: Option<String>) -> RegistryError {
        self.denial(&mut self.lock(), message)
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn denial(&self, session: &mut Session, message: Option<String>) -> RegistryError {
        let registry = self.registry.clone();
        if let Some(cause) = session.helper_failure.take() {
            return RegistryError::Helper { registry, cause };
        }
        let who = match &session.credential {
            Some(Some(Credential::Password { user, .. })) => format!("the user {user:?}"),
            Some(Some(_)) => "the bearer of your token".into(),
            Some(None) | None => "anonymous users".into(),
        };
        RegistryError::Denied { registry, purpose: self.purpose.to_string(), who, message }
    }

    /// Our credential for the registry, looked up at the first use.
    fn credential(&self, http: &Http<'_>, session: &mut Session) -> Option<Credential> {
        if session.credential.is_none() {
            let lookup = self.files.find(&self.registry, self.purpose.repository());
            lookup.warnings.iter().for_each(|warning| (http.notice)(warning));
            session.helper_failure = lookup.failed_helpers.into_iter().next();
            session.credential = Some(lookup.credential);
        }
        session.credential.clone().flatten()
    }

    /// Whether we go to the token server that a registry names, and with what.
    fn judge(&self, registry: &Origin, realm: &str) -> Result<Realm, RegistryError> {
        let refused = |why| {
            let realm = realm.chars().take(200).collect();
            Err(RegistryError::Realm { registry: self.registry.clone(), realm, why })
        };
        let Ok(url) = Url::parse(realm) else { return refused("which is not an address") };
        let Some(origin) = Origin::of(&url) else { return refused("which is not an address on the web") };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("which holds a user's name");
        }
        if registry.is_https() && !origin.is_https() {
            return refused("which is not encrypted");
        }
        if origin.is_link_local() || (origin.is_loopback() && !registry.is_loopback()) {
            return refused("which is an address of this machine or of its link");
        }
        Ok(Realm { trusted: registry.is_family_of(&origin), url })
    }

    /// Gets a token and makes it the session's.
    fn renew(
        &self,
        http: &Http<'_>,
        session: &mut Session,
        realm: Realm,
        service: Option<String>,
    ) -> Result<(), RegistryError> {
        let asked_at = Instant::now();
        let credential = self.credential(http, session);
        if let Some(Credential::RegistryToken(token)) = &credential {
            if session.header.is_some() {
                return Err(self.denial(session, None));
            }
            session.set_header(bearer(token, &realm)?);
            return Ok(());
        }
        let credential =
            if realm.trusted { credential } else { self.credential_for_stranger(http, &realm, credential) };
        let scopes = self.purpose.scopes();
        let ask = |scopes: &[String]| Question::new(&realm.url, service.as_deref(), scopes, credential.as_ref());
        let reply = match (self.fetch(http, session, ask(&scopes)), scopes.split_first()) {
            // Some refuse as a whole what they could grant in part. Nothing but a mount is lost without the rest.
            (Err(RegistryError::Denied { .. }), Some((own, others))) if !others.is_empty() => {
                self.fetch(http, session, ask(std::slice::from_ref(own)))?
            }
            (reply, _) => reply?,
        };
        let lifetime = reply.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs).min(LONGEST_LIFETIME);
        let token = reply.token.or(reply.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| RegistryError::Token { realm: shown(&realm.url) })?;
        session.set_header(bearer(&Secret::new(token), &realm)?);
        session.bearer = Some(Bearer { realm, service, renew_at: asked_at + lifetime * 9 / 10 });
        Ok(())
    }

    /// The credential that the files hold for a token server outside the registry's family: it is not sent `withheld`.
    fn credential_for_stranger(
        &self,
        http: &Http<'_>,
        realm: &Realm,
        withheld: Option<Credential>,
    ) -> Option<Credential> {
        let name = Origin::of(&realm.url)?.registry_name();
        let own = self.files.find(&name, "").credential;
        if own.is_none() && withheld.is_some() {
            (http.notice)(&format!(
                "the credentials for {} are not sent to its token server {name}, which belongs to another domain; \
                 if it may have them, add an entry for {name} to the authentication file",
                self.registry
            ));
        }
        own
    }

    fn fetch(&self, http: &Http<'_>, session: &mut Session, ask: Question) -> Result<TokenReply, RegistryError> {
        let url = ask.url;
        let payload = ask.form.map_or(Payload::Nothing, Payload::Form);
        let response = http.exchange(ask.method, &url, ask.headers, payload)?;
        match response.status().as_u16() {
            200..=299 => {
                let body = read_limited(response, &url, MAX_DOCUMENT, http.retry.stall)?;
                serde_json::from_slice(&body).map_err(|_| RegistryError::Token { realm: shown(&url) })
            }
            // Answering would mean sending a secret to whomever the token server names.
            300..=399 => Err(RegistryError::RedirectTarget { url: shown(&url) }),
            400 | 401 | 403 => Err(self.denial(session, http::message_of(response))),
            _ => Err(http::status_error(shown(&url), response)),
        }
    }
}

impl Session {
    fn set_header(&mut self, value: HeaderValue) {
        self.header = Some(value);
        self.generation += 1;
    }
}

/// What a token server is asked.
struct Question {
    method: Method,
    url: Url,
    headers: HeaderMap,
    form: Option<Secret>,
}

impl Question {
    fn new(realm: &Url, service: Option<&str>, scopes: &[String], credential: Option<&Credential>) -> Self {
        let asked = [("client_id", CLIENT_ID)].into_iter().chain(service.map(|service| ("service", service)));
        let mut url = realm.clone();
        let mut headers = HeaderMap::new();
        if let Some(Credential::IdentityToken(token)) = credential {
            let grant = [("grant_type", "refresh_token"), ("refresh_token", token.reveal())];
            // OAuth2 has one scope with spaces in it (RFC 6749 section 3.3).
            let scope = scopes.join(" ");
            let form = Some(encode_form(grant.into_iter().chain([("scope", scope.as_str())]).chain(asked)));
            return Self { method: Method::POST, url, headers, form };
        }
        let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
        url.query_pairs_mut().extend_pairs(scopes.chain(asked));
        if let Some(Credential::Password { user, password }) = credential {
            headers.insert(AUTHORIZATION, basic(user, password));
        }
        Self { method: Method::GET, url, headers, form: None }
    }
}

/// `fields` as a form is sent (WHATWG URL, "application/x-www-form-urlencoded").
fn encode_form<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> Secret {
    let mut carrier = Url::parse("http://localhost/").ok();
    if let Some(url) = carrier.as_mut() {
        url.query_pairs_mut().extend_pairs(fields);
    }
    Secret::new(carrier.as_ref().and_then(Url::query).unwrap_or_default())
}

/// The header for name and password (RFC 7617).
fn basic(user: &str, password: &Secret) -> HeaderValue {
    let encoded = base64::encode(format!("{user}:{}", password.reveal()).as_bytes());
    sensitive(&format!("Basic {encoded}")).unwrap_or_else(|| HeaderValue::from_static("Basic"))
}

fn bearer(token: &Secret, realm: &Realm) -> Result<HeaderValue, RegistryError> {
    sensitive(&format!("Bearer {}", token.reveal())).ok_or_else(|| RegistryError::Token { realm: shown(&realm.url) })
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(registry: &str, realm: &str) -> Result<bool, String> {
        let authorizer = Authorizer::new("r.io", Purpose::Login, None, AuthFiles::compatible("/nonexistent".into()));
        let origin = Origin::of(&Url::parse(registry).unwrap()).unwrap();
        authorizer.judge(&origin, realm).map(|realm| realm.trusted).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_family_is_trusted_with_secrets() {
        assert_eq!(judge("https://registry-1.docker.io/", "https://auth.docker.io/token"), Ok(true));
        assert_eq!(judge("https://r.io/", "https://evil.example/token"), Ok(false));
        assert_eq!(judge("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token"), Ok(true));
        assert_eq!(judge("http://127.0.0.1:5000/", "http://evil.example/token"), Ok(false));
    }

    #[test]
    fn realms_nobody_may_be_sent_to_are_refused() {
        for realm in [
            "http://auth.r.io/",
            "file:///etc/passwd",
            "unix:/run/docker.sock",
            "https://169.254.169.254/latest/",
            "https://[fe80::1]/",
            "https://127.0.0.1/",
            "https://localhost:2375/",
            "https://user:password@auth.r.io/",
            "/token",
            "",
            "javascript:alert(1)",
        ] {
            assert!(judge("https://r.io/", realm).is_err(), "{realm}");
        }
        assert!(judge("http://r.io/", "http://auth.r.io/").is_ok(), "an insecure registry may have an insecure realm");
    }

    #[test]
    fn questions_carry_what_the_credential_is_good_for() {
        let realm = Url::parse("https://auth.r.io/token?x=1").unwrap();
        let scopes = Purpose::Pull("team/app".into()).scopes();
        let anonymous = Question::new(&realm, Some("the service"), &scopes, None);
        let expected = "x=1&scope=repository%3Ateam%2Fapp%3Apull&client_id=coracle&service=the+service";
        assert_eq!(anonymous.url.query(), Some(expected));
        assert!(anonymous.headers.is_empty());
        let unscoped = Question::new(&realm, None, &Purpose::Login.scopes(), None);
        assert_eq!(unscoped.url.query(), Some("x=1&client_id=coracle"));
        let login = Credential::password("Aladdin", "open sesame");
        let known = Question::new(&realm, None, &scopes, Some(&login));
        assert_eq!(known.headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(known.headers[AUTHORIZATION].is_sensitive());
        let token = Credential::IdentityToken(Secret::new("a&b"));
        let scopes = Purpose::Push { repository: "a".into(), sources: vec!["b".into()] }.scopes();
        let traded = Question::new(&realm, None, &scopes, Some(&token));
        assert_eq!(traded.method, Method::POST);
        let form = traded.form.unwrap();
        assert!(form.reveal().contains("refresh_token=a%26b"));
        assert!(
            form.reveal().contains("scope=repository%3Aa%3Apull%2Cpush+repository%3Ab%3Apull"),
            "{}",
            form.reveal()
        );
        let asked = Question::new(&realm, None, &scopes, None);
        assert_eq!(asked.url.query_pairs().filter(|(key, _)| key == "scope").count(), 2);
        assert!(!traded.url.as_str().contains("a%26b"), "a secret does not belong in an address");
    }
}
