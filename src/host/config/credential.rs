//! Secrets for registries.

use std::fmt;

/// A secret text: it can be sent, not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be put on the wire and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What proves to a registry who the user is. It has no `Display`, and its `Debug` shows no secret.
///
/// ```compile_fail
/// let credential = coracle::host::config::credential::Credential::password("user", "secret");
/// println!("{credential}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Name and password, or a personal access token in its place.
    Password {
        /// User's name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// An OAuth2 refresh token (`identitytoken`), to be traded for bearer tokens.
    IdentityToken(Secret),
    /// A bearer token ready for use (`registrytoken`).
    RegistryToken(Secret),
}

impl Credential {
    /// Name and password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { user: user.into(), password: Secret::new(password) }
    }

    /// What a credential helper or an `auth` field gives: the name `<token>` marks an identity token
    /// (docker-credential-helpers).
    pub fn from_login(user: String, secret: String) -> Self {
        match user.as_str() {
            "<token>" => Self::IdentityToken(Secret::new(secret)),
            _ => Self::Password { user, password: Secret::new(secret) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let all = [
            Credential::password("user", "hunter2"),
            Credential::IdentityToken(Secret::new("hunter2")),
            Credential::RegistryToken(Secret::new("hunter2")),
        ];
        for credential in all {
            assert!(!format!("{credential:?} {credential:#?}").contains("hunter2"));
        }
    }
}
