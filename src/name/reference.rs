//! Image references: `[registry/]repository[:tag][@digest]` (distribution-spec "Pulling manifests"; the grammar is that
//! of docker's reference package).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::oci::digest::Digest;

/// The registry that a short name belongs to when nothing else is configured.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of a reference that names neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// A complete image reference: the registry is always present, and so is a tag or a digest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    short: bool,
}

impl Reference {
    /// `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path within its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, absent only where a digest is present.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, where the reference names one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the user named no registry, so that it was completed with the default one. Local images named
    /// `localhost/NAME` are also tried for such a reference.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// The repository as users write it where they write no registry: without docker.io's `library/`.
    pub fn short_name(&self) -> &str {
        self.repository.strip_prefix("library/").unwrap_or(&self.repository)
    }

    /// The same tag and digest under another `registry/repository`, if that is one.
    pub fn named(&self, name: &str) -> Option<Self> {
        let named = name.parse::<Self>().ok().filter(|named| !named.short)?;
        Some(Self { tag: self.tag.clone(), digest: self.digest.clone(), ..named })
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether a user who typed `text` means this: the same name, and the tag if there was one. A name without a registry
    /// means any registry's, as in podman.
    pub fn is_meant_by(&self, text: &str) -> bool {
        let Ok(wanted) = text.parse::<Self>() else { return false };
        let repository = if wanted.is_short() {
            let short = wanted.short_name();
            self.repository == short || self.repository.ends_with(&format!("/{short}"))
        } else {
            self.name() == wanted.name()
        };
        let has_tag = text.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        repository && (!has_tag || (self.tag == wanted.tag && self.digest == wanted.digest))
    }

    /// The same image in the registry `localhost`, where locally made images live.
    pub fn in_localhost(&self) -> Self {
        let repository = self.short_name().to_owned();
        Self { registry: "localhost".into(), repository, short: false, ..self.clone() }
    }
}

/// Why a reference was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceSyntax {
    /// Nothing there.
    #[error("an image reference cannot be empty")]
    Empty,
    /// Uppercase letters are not allowed in a repository.
    #[error("{0:?} is not an image reference: the repository must be lowercase")]
    Uppercase(String),
    /// Does not follow the grammar.
    #[error("{0:?} is not an image reference: expected [registry/]repository[:tag][@digest]")]
    Malformed(String),
    /// The digest does not parse.
    #[error("{0:?} is not an image reference")]
    Digest(String, #[source] crate::oci::digest::DigestSyntax),
}

impl crate::failure::Explain for ReferenceSyntax {
    fn code(&self) -> &'static str {
        match self {
            Self::Digest(..) => "E_DIGEST_SYNTAX",
            _ => "E_NAME_INVALID",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Uppercase(text) => Some(format!("try {:?}", text.to_lowercase())),
            _ => None,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceSyntax;

    fn from_str(text: &str) -> Result<Self, ReferenceSyntax> {
        let shown = || text.chars().take(300).collect::<String>();
        let malformed = || ReferenceSyntax::Malformed(shown());
        if text.is_empty() {
            return Err(ReferenceSyntax::Empty);
        }
        let text_without_transport = text.strip_prefix("docker://").unwrap_or(text);
        let (rest, digest) = match text_without_transport.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|e| ReferenceSyntax::Digest(shown(), e))?)),
            None => (text_without_transport, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to a registry's port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed());
        }
        // The first component is a registry if it could not be a repository's: it has a dot, a port, or is localhost.
        let (registry, repository, short) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned(), false)
            }
            _ => (DEFAULT_REGISTRY, path.to_owned(), true),
        };
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            other => other,
        };
        let official = registry == DEFAULT_REGISTRY && !repository.contains('/');
        if !is_registry(registry) || repository.len() > 255 {
            return Err(malformed());
        }
        if !repository.split('/').all(is_path_component) {
            let lowercase = repository.to_lowercase();
            return Err(if lowercase != repository && lowercase.split('/').all(is_path_component) {
                ReferenceSyntax::Uppercase(shown())
            } else {
                malformed()
            });
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        let repository = if official { format!("library/{repository}") } else { repository };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest, short })
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec).
fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.len() <= 128
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec).
pub(super) fn is_path_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !word(first) || !word(last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// A host name, an IPv4 address or a bracketed IPv6 address, with an optional port.
pub(super) fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, port.strip_prefix(':').or(Some("x"))),
            None => return false,
        },
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let host_ok = if registry.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        host.len() <= 253 && host.split('.').all(label)
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host_ok && port.is_none_or(digits)
}

/// The complete form, as `docker.io/library/debian:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("refused: {error}"), |reference| reference.to_string())
    }

    #[test]
    fn short_forms_are_completed() {
        let digest = Digest::of(b"");
        let cases = [
            ("debian".to_owned(), "docker.io/library/debian:latest".to_owned()),
            ("debian:12".into(), "docker.io/library/debian:12".into()),
            ("user/app".into(), "docker.io/user/app:latest".into()),
            ("index.docker.io/debian".into(), "docker.io/library/debian:latest".into()),
            ("127.0.0.1:5000/debian".into(), "127.0.0.1:5000/debian:latest".into()),
            ("localhost/hello".into(), "localhost/hello:latest".into()),
            ("[::1]:5000/a/b:c".into(), "[::1]:5000/a/b:c".into()),
            ("docker://quay.io/a/b".into(), "quay.io/a/b:latest".into()),
            (format!("debian@{digest}"), format!("docker.io/library/debian@{digest}")),
            (format!("r.io/a:b@{digest}"), format!("r.io/a:b@{digest}")),
        ];
        for (given, expected) in cases {
            assert_eq!(complete(&given), expected);
            assert_eq!(complete(&expected), expected, "the complete form is stable");
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        let long = "a".repeat(256);
        let refused = [
            "",
            "-v",
            "--privileged",
            "a/",
            "/a",
            "a//b",
            "a:b:c",
            "a:",
            "Debian",
            "a..b",
            "a___b",
            "_a",
            "a@sha256:x",
            "a b",
            "a\n",
            "r.io:99999/a",
            "r.io:x/a",
            "r_.-io./a",
            ";id",
            "$(id)",
            "../a",
            "a/../b",
            &long,
        ];
        for text in refused {
            assert!(complete(text).starts_with("refused"), "{text} -> {}", complete(text));
        }
    }
}
