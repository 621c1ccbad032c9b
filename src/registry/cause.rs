//! What lies below a failure of the HTTP client.

use std::error::Error;
use std::fmt;
use std::io;

use nix::errno::Errno;

/// The innermost cause of a transport failure. The layers above it repeat each other and the address, which may hold a
/// secret in its query.
#[derive(Debug)]
pub struct Cause(String);

impl Cause {
    /// One of our own.
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// Whether the other side spoke TLS and showed a certificate that was refused.
pub(super) fn is_certificate_failure(error: &(dyn Error + 'static)) -> bool {
    any(error, &|error| matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// Whether the other side spoke TLS and broke off because of our certificate, or of its absence (RFC 8446 section 6.2).
pub(super) fn refuses_our_certificate(error: &(dyn Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    let is_meant = |alert: &Alert| {
        matches!(
            *alert,
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::DecryptError
                | Alert::AccessDenied
        )
    };
    any(error, &|error| matches!(error.downcast_ref(), Some(rustls::Error::AlertReceived(alert)) if is_meant(alert)))
}

/// Whether the resolver found no address of any kind. Its error types are not to be had from here, only their text.
pub(super) fn says_no_such_name(cause: &Cause) -> bool {
    cause.0.starts_with("no records found for Query")
}

/// Whether nobody listens there, or it cannot be reached.
pub(super) fn says_no_connection(cause: &Cause) -> bool {
    [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENETUNREACH]
        .into_iter()
        .any(|errno| cause.0 == io::Error::from(errno).to_string())
}

/// Whether `matches` holds for one of the causes of `error`.
pub(super) fn any(error: &(dyn Error + 'static), matches: &dyn Fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if matches(error) {
            return true;
        }
        current = below(error);
    }
    false
}

/// The cause below all others.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> Cause {
    let mut current = error;
    while let Some(cause) = below(current) {
        current = cause;
    }
    // Even innermost, the client's own errors quote the address.
    Cause(match current.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "timed out".into(),
        Some(_) => "the HTTP exchange failed".into(),
        None => current.to_string(),
    })
}

/// The cause of `error`. An `io::Error` that wraps another error gives that one's cause, and hides it itself.
fn below<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
}
