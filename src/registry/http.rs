//! One HTTP exchange at a time: which client, which trust, which proxy.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Body, Client, ClientBuilder, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Identity, Method, Url, redirect};

use super::cause;
use super::error::RegistryError;
use super::origin::is_loopback_host;
use super::retry::{self, RetryPolicy};
use super::{Secret, TlsVerify};
use crate::host::config::Broken;
use crate::host::config::certificates::Certificates;
use crate::oci::distribution;

/// How much of a refusal's body is read.
const LONGEST_REFUSAL: u64 = 64 * 1024;

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Those that the machine's authorities, or SSL_CERT_FILE's and SSL_CERT_DIR's, vouch for.
    Authorities,
    /// Nobody's: for plain HTTP, and to ask whether TLS is spoken at all. Needs no authorities to be installed.
    Nobody,
    /// Everybody's.
    Everybody,
}

/// Which way a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Straight, for loopback addresses.
    Direct,
    /// Through the proxy of the environment, if there is one.
    AsConfigured,
}

/// What tells clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    trust: Trust,
    way: Way,
    /// Whether it shows our own certificate, which is for the registry and nobody else.
    is_known: bool,
}

/// The registry's own host, and what is special about it.
pub(super) struct Home {
    address: Url,
    /// Whether it need not show a valid certificate.
    is_unverified: bool,
    /// Who may vouch for it, and for those to whom it sends us.
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
}

impl Home {
    /// The host of `address`. Fails if the certificates are none.
    pub(super) fn new(address: Url, is_unverified: bool, certificates: Certificates) -> Result<Self, RegistryError> {
        let broken = |path, why: &str| RegistryError::Certificates(Broken { path, place: None, why: why.into() });
        let mut authorities = Vec::new();
        for (path, pem) in certificates.authorities {
            match Certificate::from_pem_bundle(&pem) {
                Ok(found) if !found.is_empty() => authorities.extend(found),
                _ => return Err(broken(path, "it holds no certificate in PEM")),
            }
        }
        let identity = certificates.own.map(|own| {
            let pem = [own.certificate, b"\n".to_vec(), own.key].concat();
            Identity::from_pem(&pem)
                .map_err(|_| broken(own.path, "it and its key are no certificate and private key in PEM"))
        });
        Ok(Self { address, is_unverified, authorities, identity: identity.transpose()? })
    }
}

/// What is sent with a request.
pub(super) enum Payload {
    /// No body.
    Nothing,
    /// A form (WHATWG URL, "application/x-www-form-urlencoded").
    Form(Secret),
    /// Content of an image. Sending it and waiting for the answer may take `patience` together.
    Content { body: Body, patience: Duration },
}

/// HTTP clients, each made when first needed: reading the authorities' certificates takes milliseconds.
pub(super) struct Http<'a> {
    tls: TlsVerify,
    home: Home,
    pub(super) retry: RetryPolicy,
    pub(super) notice: &'a (dyn Fn(&str) + Sync),
    clients: Mutex<Vec<(Kind, Client)>>,
}

impl<'a> Http<'a> {
    /// No client yet.
    pub(super) fn new(tls: TlsVerify, home: Home, retry: RetryPolicy, notice: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self { tls, home, retry, notice, clients: Mutex::new(Vec::new()) }
    }

    /// Whether TLS is spoken at `url`. A certificate that would be refused is a yes: then there is no plain HTTP
    /// either.
    pub(super) fn speaks_tls(&self, url: &Url) -> Result<bool, RegistryError> {
        let trust = if self.is_unverified(url) { Trust::Everybody } else { Trust::Nobody };
        let client = self.client(trust, url)?;
        let mut probe = url.clone();
        probe.set_path("/v2/");
        Ok(match client.get(probe).send() {
            Ok(_) => true,
            Err(error) => cause::is_certificate_failure(&error) || cause::refuses_our_certificate(&error),
        })
    }

    /// One request and its response; redirects are not followed.
    pub(super) fn exchange(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        payload: Payload,
    ) -> Result<Response, RegistryError> {
        let trust = match url.scheme() {
            "http" => Trust::Nobody,
            _ if self.is_unverified(url) => Trust::Everybody,
            _ => Trust::Authorities,
        };
        let request = self.client(trust, url)?.request(method, url.clone()).headers(headers);
        let request = match payload {
            Payload::Nothing => request,
            Payload::Form(form) => {
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.reveal().to_owned())
            }
            Payload::Content { body, patience } => request.body(body).timeout(patience),
        };
        request.send().map_err(|error| RegistryError::of_transport(url, &error, self.retry.stall))
    }

    /// Asks again, after a while, while the failure may pass.
    pub(super) fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let mut failures = 0;
        loop {
            match attempt() {
                Err(failure) if failure.is_transient() => {
                    failures += 1;
                    self.wait_or_give_up(failures, failure)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Waits before another attempt, or fails if there were enough.
    pub(super) fn wait_or_give_up(&self, failures: u32, failure: RegistryError) -> Result<(), RegistryError> {
        let tries = self.retry.tries;
        if failures >= tries {
            return Err(RegistryError::Exhausted { tries, last: Box::new(failure) });
        }
        let delay = self.retry.delay(failures, failure.retry_after());
        let cause = std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default();
        (self.notice)(&format!(
            "{failure}{cause}; trying again in {:.1} s ({} of {tries})",
            delay.as_secs_f32(),
            failures + 1
        ));
        std::thread::sleep(delay);
        Ok(())
    }

    fn is_unverified(&self, url: &Url) -> bool {
        self.tls == TlsVerify::Off || (self.home.is_unverified && self.home.address.host_str() == url.host_str())
    }

    fn client(&self, trust: Trust, url: &Url) -> Result<Client, RegistryError> {
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        let is_known = self.home.identity.is_some() && place(url) == place(&self.home.address);
        let kind = Kind { trust, way: way_to(url), is_known };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == kind) {
            return Ok(client.clone());
        }
        let client = self.build(kind).map_err(|error| match trust {
            // The only thing that differs between the kinds of trust is the certificates that are read.
            Trust::Authorities if self.home.authorities.is_empty() => {
                RegistryError::NoRoots { origin: url.host_str().unwrap_or_default().to_owned() }
            }
            Trust::Authorities | Trust::Nobody | Trust::Everybody => RegistryError::of_client(&error),
        })?;
        clients.push((kind, client.clone()));
        Ok(client)
    }

    fn build(&self, kind: Kind) -> Result<Client, reqwest::Error> {
        let builder = match kind.trust {
            Trust::Authorities => builder(&self.retry).tls_certs_merge(self.home.authorities.iter().cloned()),
            Trust::Nobody => builder(&self.retry).tls_certs_only([]),
            Trust::Everybody => builder(&self.retry).tls_certs_only([]).tls_danger_accept_invalid_certs(true),
        };
        let builder = match kind.way {
            Way::Direct => builder.no_proxy(),
            Way::AsConfigured => builder,
        };
        match &self.home.identity {
            Some(identity) if kind.is_known => builder.identity(identity.clone()),
            _ => builder,
        }
        .build()
    }
}

fn way_to(url: &Url) -> Way {
    if url.host_str().is_some_and(is_loopback_host) { Way::Direct } else { Way::AsConfigured }
}

fn builder(retry: &RetryPolicy) -> ClientBuilder {
    // Fails if a provider is installed already, which is then the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(retry.stall)
        // Of the blocking client this is the limit of one wait for bytes, not of the whole transfer.
        .timeout(retry.stall)
        // And of a connection whose other end takes nothing of what we send.
        .tcp_user_timeout(retry.stall)
}

/// What a refusal says about itself.
pub(super) fn message_of(response: Response) -> Option<String> {
    let mut body = Vec::new();
    // A body that breaks off, or is too long, says what it says.
    let _ = response.take(LONGEST_REFUSAL).read_to_end(&mut body);
    distribution::refusal(&body)
}

/// The error for an unexpected status.
pub(super) fn status_error(url: String, response: Response) -> RegistryError {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let request_id = ["x-request-id", "docker-request-id", "x-amz-request-id"].iter().find_map(|name| header(name));
    let request_id = request_id.map(|id| id.chars().take(100).collect());
    let retry_after = retry::retry_after(response.headers());
    RegistryError::Status { url, status, message: message_of(response), retry_after, request_id }
}
