//! Registries as `login`, `logout` and `search` name them: `host[:port][/namespace]`.

use std::fmt;
use std::str::FromStr;

use super::reference::{DEFAULT_REGISTRY, is_path_component, is_registry};

/// A registry, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryName {
    registry: String,
    namespace: Option<String>,
}

/// Why a registry's name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not the name of a registry: expected host[:port][/namespace]")]
pub struct RegistryNameRefused(String);

impl crate::failure::Explain for RegistryNameRefused {
    fn code(&self) -> &'static str {
        "E_NAME_INVALID"
    }
}

impl RegistryName {
    /// `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path behind it, or nothing.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// Whether only a part of the registry is meant.
    pub fn has_namespace(&self) -> bool {
        self.namespace.is_some()
    }
}

impl FromStr for RegistryName {
    type Err = RegistryNameRefused;

    /// An address, as docker takes it, stands for its host.
    fn from_str(text: &str) -> Result<Self, RegistryNameRefused> {
        let refused = || RegistryNameRefused(text.chars().take(160).collect());
        let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let name = address.unwrap_or(text).trim_end_matches('/');
        let (registry, namespace) = match name.split_once('/') {
            Some((registry, "v1" | "v2")) => (registry, None),
            Some((registry, namespace)) => (registry, Some(namespace)),
            None => (name, None),
        };
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            other => other,
        };
        if !is_registry(registry) || !namespace.is_none_or(|path| path.split('/').all(is_path_component)) {
            return Err(refused());
        }
        Ok(Self { registry: registry.into(), namespace: namespace.map(str::to_owned) })
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}", self.registry),
            None => f.write_str(&self.registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_their_parts() {
        for (text, expected) in [
            ("quay.io", "quay.io"),
            ("localhost:5000/", "localhost:5000"),
            ("registry", "registry"),
            ("quay.io/team/app", "quay.io/team/app"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("http://r.io:5000/v2", "r.io:5000"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(text.parse::<RegistryName>().unwrap().to_string(), expected);
        }
        for text in ["", "/", "a b", "https://", "r.io/Team", "r.io//x", "r.io:x", "user@r.io", "-p"] {
            assert!(text.parse::<RegistryName>().is_err(), "{text}");
        }
    }
}
