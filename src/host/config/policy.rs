//! containers-policy.json(5): which images may be pulled. Requirements that need signatures to be verified are not met here,
//! and are never taken for met.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Broken, read_if_there, user_directory};
use crate::failure::Explain;
use crate::name::reference::Reference;

/// The policy.
#[derive(Debug)]
pub struct Policy {
    path: PathBuf,
    document: Document,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// What an image must fulfil. Keys besides `type` are those of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Requirement {
    InsecureAcceptAnything,
    Reject,
    SignedBy,
    SignedBaseLayer,
    SigstoreSigned,
}

/// Why an image may not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PolicyRefused {
    /// It may not.
    #[error("the policy {} rejects {reference}", path.display())]
    Rejected {
        /// The policy's file.
        path: PathBuf,
        /// The image.
        reference: String,
    },
    /// A signature is required.
    #[error("the policy {} wants a signature of {reference}, and signatures cannot be verified yet", path.display())]
    Signature {
        /// The policy's file.
        path: PathBuf,
        /// The image.
        reference: String,
    },
    /// Nobody knows what it says.
    #[error("the policy for images cannot be read")]
    Broken(#[from] Broken),
    /// Nothing is required, which is not the same as nothing being wrong.
    #[error("the policy {} has an empty list of requirements for {reference}", path.display())]
    Empty {
        /// The policy's file.
        path: PathBuf,
        /// The image.
        reference: String,
    },
}

impl Explain for PolicyRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Rejected { .. } | Self::Signature { .. } => "E_POLICY",
            Self::Broken(_) | Self::Empty { .. } => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rejected { .. } => {
                "whoever wrote the policy did so for a reason; --signature-policy names another".into()
            }
            Self::Signature { .. } => {
                "verify the signature with another tool; --signature-policy names a policy that accepts the image"
                    .into()
            }
            Self::Broken(_) | Self::Empty { .. } => "repair it, or name another with --signature-policy".into(),
        })
    }
}

impl Policy {
    /// The file `explicit` (`--signature-policy`), else the user's, else the machine's; `None` if there is none, in which
    /// case everything is accepted.
    pub fn discover(explicit: Option<PathBuf>) -> Result<Option<Self>, Broken> {
        if let Some(path) = explicit {
            let missing = || Broken::unreadable(&path, &std::io::ErrorKind::NotFound.into());
            return Self::read(path.clone())?.ok_or_else(missing).map(Some);
        }
        let roots = user_directory().into_iter().chain(["/etc/containers".into()]);
        for path in roots.map(|root| root.join("policy.json")) {
            if let Some(policy) = Self::read(path)? {
                return Ok(Some(policy));
            }
        }
        Ok(None)
    }

    fn read(path: PathBuf) -> Result<Option<Self>, Broken> {
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(document) => Ok(Some(Self { path, document })),
            Err(error) => {
                let why = error.to_string();
                let why = why.split(" at line ").next().unwrap_or_default().to_owned();
                Err(Broken { path, place: Some((error.line(), error.column())), why })
            }
        }
    }

    /// Fails unless the image may be pulled from a registry: all requirements of the longest scope that it is in.
    pub fn check(&self, reference: &Reference) -> Result<(), PolicyRefused> {
        let requirements = self.requirements(reference);
        let (path, reference) = (self.path.clone(), reference.to_string());
        if requirements.is_empty() {
            return Err(PolicyRefused::Empty { path, reference });
        }
        if requirements.contains(&Requirement::Reject) {
            return Err(PolicyRefused::Rejected { path, reference });
        }
        match requirements.iter().all(|requirement| *requirement == Requirement::InsecureAcceptAnything) {
            true => Ok(()),
            false => Err(PolicyRefused::Signature { path, reference }),
        }
    }

    fn requirements(&self, reference: &Reference) -> &[Requirement] {
        let Some(scopes) = self.document.transports.get("docker") else { return &self.document.default };
        let found = scopes_of(reference).into_iter().find_map(|scope| scopes.get(&scope));
        found.unwrap_or(&self.document.default)
    }
}

/// The scopes that an image is in, the narrowest first: itself, its repository, the namespaces above that, the registry, the
/// domains above that, all.
fn scopes_of(reference: &Reference) -> Vec<String> {
    let mut scopes = vec![reference.to_string()];
    let mut name = reference.name();
    while let Some(slash) = name.rfind('/') {
        scopes.push(name.clone());
        name.truncate(slash);
    }
    scopes.push(name.clone());
    let mut domain = name.split(':').next().unwrap_or_default();
    while let Some((_, above)) = domain.split_once('.') {
        scopes.push(format!("*.{above}"));
        domain = above;
    }
    scopes.push(String::new());
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, Broken> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.json");
        std::fs::write(&path, text).unwrap();
        Policy::discover(Some(path)).map(Option::unwrap)
    }

    fn code(policy: &Policy, reference: &str) -> &'static str {
        policy.check(&reference.parse().unwrap()).map_or_else(|refused| refused.code(), |()| "accepted")
    }

    #[test]
    fn the_narrowest_scope_decides() {
        let policy = policy(
            r#"{"default": [{"type": "reject"}], "transports": {
                "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]},
                "docker": {
                    "docker.io/library": [{"type": "insecureAcceptAnything"}],
                    "docker.io/library/evil": [{"type": "reject"}],
                    "docker.io/library/evil:good": [{"type": "insecureAcceptAnything"}],
                    "r.io:5000": [{"type": "insecureAcceptAnything"}],
                    "r.io:5000/signed": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
                    "r.io:5000/sigstore": [{"type": "insecureAcceptAnything"}, {"type": "sigstoreSigned", "keyPath": "/k"}],
                    "*.example.com": [{"type": "insecureAcceptAnything"}],
                    "*.b.example.com": [{"type": "reject"}],
                    "empty.io": []
                }}}"#,
        )
        .unwrap();
        for (reference, expected) in [
            ("debian", "accepted"),
            ("evil", "E_POLICY"),
            ("evil:good", "accepted"),
            ("docker.io/user/app", "E_POLICY"),
            ("r.io:5000/x", "accepted"),
            ("r.io/x", "E_POLICY"),
            ("r.io:5000/signed/app", "E_POLICY"),
            ("r.io:5000/sigstore", "E_POLICY"),
            ("a.example.com/x", "accepted"),
            ("a.example.com:443/x", "accepted"),
            ("a.b.example.com/x", "E_POLICY"),
            ("example.com/x", "E_POLICY"),
            ("empty.io/x", "E_CONFIG"),
        ] {
            assert_eq!(code(&policy, reference), expected, "{reference}");
        }
    }

    #[test]
    fn a_transport_has_a_default_of_its_own() {
        let text = r#"{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"": [{"type": "reject"}]}}}"#;
        assert_eq!(code(&policy(text).unwrap(), "r.io/x"), "E_POLICY");
        let text =
            r#"{"default": [{"type": "insecureAcceptAnything"}], "transports": {"dir": {"": [{"type": "reject"}]}}}"#;
        assert_eq!(code(&policy(text).unwrap(), "r.io/x"), "accepted");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, why) in [
            ("", "EOF"),
            ("{}", "default"),
            (r#"{"default": [{"type": "acceptAnything"}]}"#, "acceptAnything"),
            (r#"{"default": [{"type": "reject"}], "transport": {}}"#, "transport"),
            (r#"{"default": [{"typ": "reject"}]}"#, "type"),
        ] {
            let broken = policy(text).unwrap_err();
            assert!(broken.why.contains(why) && broken.place.is_some(), "{text}: {broken}");
        }
        assert!(Policy::discover(Some("/nonexistent".into())).is_err());
    }
}
