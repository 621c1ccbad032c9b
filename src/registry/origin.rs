//! Scheme, host and port: what a secret is bound to (RFC 6454; SECURITY.md R13).

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

/// An HTTP origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of `url`, if it is an HTTP address.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let scheme = Some(url.scheme()).filter(|scheme| matches!(*scheme, "http" | "https"))?;
        Some(Self { scheme: scheme.into(), host: url.host_str()?.into(), port: url.port_or_known_default()? })
    }

    /// Whether it is reached through TLS.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// `host`, or `host:port` where the port is not the scheme's own: as registries are named in references.
    pub(super) fn registry_name(&self) -> String {
        match (self.scheme.as_str(), self.port) {
            ("https", 443) | ("http", 80) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether it is on this machine's loopback device.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }

    /// Whether it is an address that only means something on the local link, such as the metadata services of clouds.
    pub(super) fn is_link_local(&self) -> bool {
        match address(&self.host) {
            Some(IpAddr::V4(address)) => address.is_link_local() || address.is_unspecified(),
            Some(IpAddr::V6(address)) => address.is_unicast_link_local() || address.is_unspecified(),
            None => false,
        }
    }

    /// Whether `other` is so close that it may be trusted with this origin's secrets: the same host, one a
    /// subdomain of the other, or both direct children of one registrable domain (`registry-1.docker.io` and
    /// `auth.docker.io`).
    pub(super) fn is_family_of(&self, other: &Origin) -> bool {
        let (a, b) = (self.host.as_str(), other.host.as_str());
        if a == b {
            return true;
        }
        if address(a).is_some() || address(b).is_some() {
            return false;
        }
        let below = |child: &str, parent: &str| child.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        let parent = |host: &'_ str| host.split_once('.').map(|(_, parent)| parent.to_owned());
        let siblings = parent(a).is_some_and(|parent_a| Some(&parent_a) == parent(b).as_ref() && may_own(&parent_a));
        siblings || (below(a, b) && may_own(b)) || (below(b, a) && may_own(a))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Whether `domain` is likely one owner's, and not a public suffix such as `com` or `co.uk`. There is no list of public
/// suffixes here; where this guesses wrong, a secret is not sent, and the user is told what to configure.
fn may_own(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').filter(|label| !label.is_empty()).collect();
    match labels[..] {
        [] | [_] => false,
        [second, top] => !(top.len() == 2 && second.len() <= 3),
        _ => true,
    }
}

/// Whether `host`, as in a URL, is this machine's loopback device.
pub(super) fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(&Url::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        assert_eq!(origin("https://r.io/a"), origin("https://R.io:443/b?c"));
        for other in ["http://r.io/", "https://r.io:444/", "https://s.r.io/", "http://r.io:443/"] {
            assert_ne!(origin("https://r.io/"), origin(other), "{other}");
        }
        assert_eq!(Origin::of(&Url::parse("file:///etc/passwd").unwrap()), None);
        assert_eq!(origin("http://r.io:5000/").registry_name(), "r.io:5000");
        assert_eq!(origin("https://r.io/").registry_name(), "r.io");
    }

    #[test]
    fn loopback_is_recognised_in_all_spellings() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1.2.3/",
            "http://[::1]/",
            "http://localhost/",
            "http://0x7f.1/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(origin(text).is_loopback(), "{text}");
        }
        for text in ["http://128.0.0.1/", "http://localhost.evil.io/", "http://[::2]/", "http://127.0.0.1.evil.io/"] {
            assert!(!origin(text).is_loopback(), "{text}");
        }
        for text in ["http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/", "http://0.0.0.0/"]
        {
            assert!(origin(text).is_link_local(), "{text}");
        }
    }

    #[test]
    fn families_are_small() {
        let family =
            |a: &str, b: &str| origin(&format!("https://{a}/")).is_family_of(&origin(&format!("https://{b}/")));
        for (a, b) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("ghcr.io", "ghcr.io"),
            ("127.0.0.1:5000", "127.0.0.1:5001"),
            ("r.example.co.uk", "auth.example.co.uk"),
        ] {
            assert!(family(a, b) && family(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("docker.io", "evil.io"),
            ("good.co.uk", "evil.co.uk"),
            ("registry-1.docker.io", "auth.docker.io.evil.com"),
            ("docker.io", "evildocker.io"),
            ("127.0.0.1", "127.0.0.2"),
            ("10.0.0.1", "9.0.0.1"),
            ("localhost", "registry"),
            ("a.com", "com"),
        ] {
            assert!(!family(a, b) && !family(b, a), "{a} {b}");
        }
    }
}
