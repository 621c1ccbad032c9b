//! Why a registry could not be used.

use std::error::Error;
use std::time::Duration;

use reqwest::Url;

use super::cause::{
    Cause, any, innermost, is_certificate_failure, refuses_our_certificate, says_no_connection, says_no_such_name,
};
use crate::failure::Explain;
use crate::host::config::Broken;
use crate::host::config::credential_helper::HelperFailure;
use crate::host::config::registries::RegistriesRefused;
use crate::oci::digest::{Digest, DigestSyntax};
use crate::oci::manifest::DocumentRefused;

/// Why a registry could not be used. Addresses are shown without their query.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not an address.
    #[error("{host:?} is not the address of a registry")]
    Address {
        /// Host and port.
        host: String,
    },
    /// registries.conf says no, or cannot be used.
    #[error(transparent)]
    Configuration(#[from] RegistriesRefused),
    /// A certificate for the registry cannot be used.
    #[error("reading the certificates for the registry")]
    Certificates(#[source] Broken),
    /// No HTTP client could be made.
    #[error("setting up an HTTP client")]
    Client(#[source] Cause),
    /// No certificate authorities are installed.
    #[error(
        "no certificate authorities are installed on this machine, so that {origin} cannot be told from an impostor"
    )]
    NoRoots {
        /// Whom to ask.
        origin: String,
    },
    /// No connection, or it broke.
    #[error("asking {url}")]
    Transport {
        /// Address.
        url: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// No such name.
    #[error("looking for {url}: the name of the host is not known")]
    NoHost {
        /// Address.
        url: String,
    },
    /// Silence.
    #[error("{url} sent nothing for {} seconds", stall.as_secs_f32())]
    Silent {
        /// Address.
        url: String,
        /// How long it was given.
        stall: Duration,
    },
    /// The other side's certificate is not valid for it.
    #[error("{url} does not prove to be who it should be")]
    Certificate {
        /// Address.
        url: String,
        /// What is wrong with the certificate.
        #[source]
        cause: Cause,
    },
    /// We showed no certificate, or none that the other side believes.
    #[error("{url} wants to see a certificate of ours that it knows")]
    OwnCertificate {
        /// Address.
        url: String,
        /// How it said so.
        #[source]
        cause: Cause,
    },
    /// It refuses.
    #[error("{url} answered {status}{}", said(message))]
    Status {
        /// Address.
        url: String,
        /// Status code.
        status: u16,
        /// What else it said.
        message: Option<String>,
        /// The wait it asked for.
        retry_after: Option<Duration>,
        /// The number it gave the request, for its administrators.
        request_id: Option<String>,
    },
    /// Tried often enough.
    #[error("giving up after {tries} tries")]
    Exhausted {
        /// How often.
        tries: u32,
        /// The last failure.
        #[source]
        last: Box<RegistryError>,
    },
    /// No such manifest, blob or repository.
    #[error("{url} does not exist{}", said(message))]
    NotFound {
        /// Address.
        url: String,
        /// What else it said.
        message: Option<String>,
    },
    /// Credentials are missing or not good enough.
    #[error("{registry} does not let {who} {purpose}{}", said(message))]
    Denied {
        /// Host and port.
        registry: String,
        /// `pull` and the repository, for example.
        purpose: String,
        /// `anonymous users` or a user's name.
        who: String,
        /// What else it said.
        message: Option<String>,
    },
    /// Nobody may write there.
    #[error("{url} takes no uploads{}", said(message))]
    ReadOnly {
        /// Address.
        url: String,
        /// What else it said.
        message: Option<String>,
    },
    /// An upload is sent to where nobody may be sent.
    #[error("{from} sends an upload to {to}, which is an address of this machine or of its link")]
    UploadTarget {
        /// Address.
        from: String,
        /// Target.
        to: String,
    },
    /// An answer without what it must have.
    #[error("{url} accepts an upload without saying where to send it")]
    NoLocation {
        /// Address.
        url: String,
    },
    /// The credential helper failed, and the registry wants to know who we are.
    #[error("{registry} wants to know who you are")]
    Helper {
        /// Host and port.
        registry: String,
        /// Why we could not say.
        #[source]
        cause: HelperFailure,
    },
    /// A token server we do not talk to.
    #[error("{registry} sends us for a token to {realm:?}, {why}")]
    Realm {
        /// Host and port.
        registry: String,
        /// The token server's address.
        realm: String,
        /// Why not.
        why: &'static str,
    },
    /// The token server's answer holds no token.
    #[error("{realm} gave no usable token")]
    Token {
        /// The token server's address.
        realm: String,
    },
    /// Redirected once too often.
    #[error("{url} redirects more than {} times", super::MAX_REDIRECTS)]
    Redirects {
        /// The last address.
        url: String,
    },
    /// Redirected to nowhere.
    #[error("{url} redirects to something that is no address on the web")]
    RedirectTarget {
        /// Address.
        url: String,
    },
    /// Redirected from TLS to plain HTTP.
    #[error("{from} redirects to {to}, which is not encrypted")]
    Downgrade {
        /// Address.
        from: String,
        /// Target.
        to: String,
    },
    /// A list that goes on at another origin, or for ever.
    #[error("{url} continues its list where it should not")]
    NextPage {
        /// Address.
        url: String,
    },
    /// An answer that is not the document that it should be.
    #[error("{url} gave an answer that is not understood")]
    Answer {
        /// Address.
        url: String,
    },
    /// More than is ever needed.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// Address.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The connection broke, or the other side stopped too early.
    #[error("{url} broke off after {got} of {expected} bytes")]
    Short {
        /// Address.
        url: String,
        /// By its descriptor.
        expected: u64,
        /// As received.
        got: u64,
        /// How it broke.
        #[source]
        cause: Cause,
    },
    /// The part of a blob that was sent is not the part that was asked for.
    #[error("{url} sent another part than the one from byte {expected} on")]
    Range {
        /// Address.
        url: String,
        /// First byte asked for.
        expected: u64,
    },
    /// It does not say how much of an upload it has, or says what cannot be.
    #[error("{url} does not tell how much of the upload has arrived")]
    UploadRange {
        /// Address.
        url: String,
    },
    /// Another length than announced.
    #[error("{url} has {got} bytes instead of {expected}")]
    Size {
        /// Address.
        url: String,
        /// By its descriptor.
        expected: u64,
        /// As sent.
        got: u64,
    },
    /// Other content than asked for.
    #[error("{url} has the digest {got} instead of {expected}")]
    DigestMismatch {
        /// Address.
        url: String,
        /// Asked for, or announced.
        expected: Digest,
        /// Of what was sent.
        got: Digest,
    },
    /// A header that should be a digest is not.
    #[error("reading the digest that {url} announces")]
    DigestHeader {
        /// Address.
        url: String,
        /// What is wrong with it.
        #[source]
        cause: DigestSyntax,
    },
    /// A manifest or index that we do not accept.
    #[error("refusing the document {url}")]
    Document {
        /// Address.
        url: String,
        /// Why.
        #[source]
        cause: DocumentRefused,
    },
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}

impl Explain for RegistryError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "E_NOTFOUND",
            Self::Denied { .. } | Self::ReadOnly { .. } | Self::Realm { .. } | Self::Token { .. } => "E_AUTH",
            Self::Helper { cause, .. } => cause.code(),
            Self::NoRoots { .. } | Self::Certificate { .. } | Self::OwnCertificate { .. } => "E_TLS",
            Self::Configuration(cause) => cause.code(),
            Self::Certificates(_) => "E_CONFIG",
            Self::Silent { .. } => "E_TIMEOUT",
            Self::Exhausted { last, .. } => last.code(),
            Self::Redirects { .. }
            | Self::RedirectTarget { .. }
            | Self::NextPage { .. }
            | Self::UploadTarget { .. } => "E_REDIRECT",
            Self::Downgrade { .. } => "E_TLS_DOWNGRADE",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Size { .. } | Self::Short { .. } => "E_SIZE_MISMATCH",
            Self::DigestMismatch { .. } => "E_DIGEST_MISMATCH",
            Self::DigestHeader { cause, .. } => cause.code(),
            Self::Document { cause, .. } => cause.code(),
            Self::Address { .. }
            | Self::Client(_)
            | Self::Transport { .. }
            | Self::NoHost { .. }
            | Self::NoLocation { .. }
            | Self::Range { .. }
            | Self::Answer { .. }
            | Self::UploadRange { .. }
            | Self::Status { .. } => "E_REGISTRY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRoots { .. } => {
                Some("install the package `ca-certificates`, or name a file of certificates in SSL_CERT_FILE".into())
            }
            Self::Certificate { cause, .. } => Some(certificate_hint(&cause.to_string())),
            Self::Denied { registry, .. } => Some(format!(
                "check the names and the password; `coracle login {registry}` keeps them, `--creds` gives them once"
            )),
            Self::NoHost { .. } => Some("check the registry's name, and that this machine has a name server".into()),
            Self::Transport { cause, .. } if says_no_connection(cause) => {
                Some("check the registry's name and port, and that this machine may connect to it".into())
            }
            Self::NotFound { .. } => Some("check the repository's name and the tag".into()),
            Self::Helper { cause, .. } => cause.hint(),
            Self::Configuration(cause) => cause.hint(),
            Self::Certificates(_) => Some("repair it, or move it out of the way".into()),
            Self::OwnCertificate { .. } => Some(
                "put it and its key as NAME.cert and NAME.key into ~/.config/containers/certs.d/HOST[:PORT], or name \
                 their directory with --cert-dir"
                    .into(),
            ),
            Self::Exhausted { last, .. } => last.hint(),
            Self::Status { status: 429, .. } => {
                Some("wait, or log in to the registry: known users may pull more often".into())
            }
            Self::Status { status: 409 | 412, .. } => {
                Some("if the registry protects its tags, push under another tag".into())
            }
            Self::Status { status: 413, .. } => {
                Some("the registry, or a proxy before it, limits the size of requests: have the limit raised".into())
            }
            Self::ReadOnly { .. } => Some("this registry serves images only: push to another".into()),
            Self::Status { request_id: Some(id), .. } => {
                Some(format!("the registry's administrators can look up the request by its number {id:?}"))
            }
            Self::DigestMismatch { .. } | Self::Size { .. } => {
                Some("the registry, or a proxy on the way, changed the content; nothing of it was kept".into())
            }
            Self::Document { cause: DocumentRefused::SchemaOne, .. } => {
                Some("have the image pushed again with a tool that is not older than 2017".into())
            }
            _ => None,
        }
    }
}

fn certificate_hint(cause: &str) -> String {
    let cause = cause.to_lowercase();
    if cause.contains("expired") || cause.contains("not valid yet") {
        return "check this machine's clock; if it is right, the registry's administrators must renew the certificate"
            .into();
    }
    "if the registry has an authority of its own, put that one's certificate as NAME.crt into \
     ~/.config/containers/certs.d/HOST[:PORT], or name its directory with --cert-dir; --tls-verify=false gives up the check"
        .into()
}

impl RegistryError {
    /// Whether the same question may well be answered if it is asked again.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Silent { .. } | Self::Short { .. } => true,
            Self::Status { status, retry_after, .. } => {
                matches!(status, 408 | 429 | 500 | 502..=504) && super::retry::is_bearable(*retry_after)
            }
            _ => false,
        }
    }

    /// The wait that the registry asked for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What a failure of the HTTP client means.
    pub(super) fn of_transport(url: &Url, error: &(dyn Error + 'static), stall: Duration) -> Self {
        let url = shown(url);
        let cause = innermost(error);
        if says_no_such_name(&cause) {
            return Self::NoHost { url };
        }
        if any(error, &|error| error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)) {
            return Self::Silent { url, stall };
        }
        if refuses_our_certificate(error) {
            return Self::OwnCertificate { url, cause };
        }
        if is_certificate_failure(error) { Self::Certificate { url, cause } } else { Self::Transport { url, cause } }
    }

    /// A client that could not be made.
    pub(super) fn of_client(error: &reqwest::Error) -> Self {
        Self::Client(innermost(error))
    }

    /// A body that ended before it was complete.
    pub(super) fn of_early_end(url: &Url) -> Self {
        Self::Transport { url: shown(url), cause: Cause::new("the connection ended") }
    }

    /// The same, if it is a broken connection, told as what it did to a blob.
    pub(super) fn into_short(self, got: u64, expected: u64) -> Self {
        match self {
            Self::Transport { url, cause } => Self::Short { url, expected, got, cause },
            other => other,
        }
    }
}

/// `url` as it may be shown: without user, query and fragment.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    fn of(cause: io::Error) -> RegistryError {
        let url = Url::parse("https://user:password@r.io:5000/v2/?token=secret#x").unwrap_or_else(|_| unreachable!());
        RegistryError::of_transport(&url, &Outer(cause), Duration::from_secs(30))
    }

    #[test]
    fn failures_of_the_transport_are_told_apart() {
        let refused = of(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(refused.to_string(), "asking https://r.io:5000/v2/", "an address without secrets");
        assert!(refused.is_transient() && refused.source().is_some_and(|cause| cause.to_string().contains("refused")));

        let text = "no records found for Query { name: Name(\"r.io.\"), query_type: AAAA, query_class: IN }";
        let unknown = of(io::Error::other(text));
        assert!(matches!(unknown, RegistryError::NoHost { .. }) && !unknown.is_transient());

        // An io::Error around a TLS error is how these arrive.
        let issuer = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let impostor = of(io::Error::new(io::ErrorKind::InvalidData, issuer));
        assert_eq!((impostor.code(), impostor.is_transient()), ("E_TLS", false));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let expired = of(io::Error::new(io::ErrorKind::InvalidData, expired));
        assert!(expired.hint().is_some_and(|hint| hint.contains("clock")), "{:?} {expired:?}", expired.hint());
        let stranger = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let stranger = of(io::Error::new(io::ErrorKind::InvalidData, stranger));
        assert!(matches!(stranger, RegistryError::OwnCertificate { .. }) && !stranger.is_transient());
        let no_tls = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(of(io::Error::new(io::ErrorKind::InvalidData, no_tls)).is_transient());
    }

    #[test]
    fn waits_that_are_too_long_are_refusals() {
        let status = |status, seconds: Option<u64>| RegistryError::Status {
            url: "u".into(),
            status,
            message: None,
            retry_after: seconds.map(Duration::from_secs),
            request_id: None,
        };
        assert!(status(503, None).is_transient() && status(429, Some(60)).is_transient());
        assert!(!status(429, Some(61)).is_transient() && !status(404, None).is_transient());
        assert!(status(429, None).hint().is_some_and(|hint| hint.contains("log in")));
    }
}
