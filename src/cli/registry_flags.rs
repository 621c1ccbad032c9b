//! Flags that say how to speak to registries and which platform's image is wanted: those of `pull` and `run`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::failure::Failure;
use crate::image::request::{Credentials, RegistryAccess};
use crate::oci::platform::Platform;

/// How to speak to registries.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryFlags {
    /// Look for the registry's credentials in this file only
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub authfile: Option<PathBuf>,
    /// Require HTTPS and check the registry's certificate [default: as registries.conf says, else true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = super::tree::parse_boolean
    )]
    pub tls_verify: Option<bool>,
}

impl RegistryFlags {
    /// In types; `credentials` are those of `--creds`.
    pub fn access(self, credentials: Option<Credentials>) -> RegistryAccess {
        RegistryAccess { authfile: self.authfile, credentials, tls_verify: self.tls_verify }
    }
}

/// Which platform's image is wanted.
#[derive(Args, Clone, Debug, Default)]
pub struct PlatformFlags {
    /// Platform of the image [default: the host's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,
    /// Architecture of the image [default: the host's]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Operating system of the image [default: linux]
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
}

impl PlatformFlags {
    /// The platform that the flags name, if they name one.
    pub fn platform(self) -> Result<Option<Platform>, Failure> {
        match (self.platform, self.os, self.arch) {
            (None, None, None) => Ok(None),
            (Some(platform), None, None) => Ok(Some(platform.parse()?)),
            (None, os, arch) => {
                let host = Platform::host();
                let text = format!("{}/{}", os.unwrap_or(host.os), arch.unwrap_or(host.architecture));
                Ok(Some(text.parse()?))
            }
            _ => Err(Failure::new("E_CONFIG", "--platform cannot be combined with --arch and --os")
                .with_hint("--platform OS/ARCH says it all")),
        }
    }
}

/// `--creds USER:PASSWORD`.
pub fn parse_credentials(text: &str) -> Result<Credentials, Failure> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        // The text is not repeated: it may be a password.
        _ => Err(Failure::new("E_CONFIG", "--creds is not of the form USER:PASSWORD")
            .with_hint("other users can read a command line: an auth file keeps the password to yourself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_from_flags() {
        let platform = |platform: Option<&str>, arch: Option<&str>, os: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let flags = PlatformFlags { platform: owned(platform), arch: owned(arch), os: owned(os) };
            flags.platform().map(|platform| platform.map(|platform| platform.to_string())).map_err(|e| e.code())
        };
        assert_eq!(platform(None, None, None), Ok(None));
        assert_eq!(platform(Some("linux/arm64"), None, None), Ok(Some("linux/arm64".into())));
        assert_eq!(platform(None, Some("aarch64"), None), Ok(Some("linux/arm64".into())));
        let windows = format!("windows/{}", Platform::host().architecture);
        assert_eq!(platform(None, None, Some("windows")), Ok(Some(windows)));
        assert_eq!(platform(Some("linux/arm64"), Some("arm64"), None), Err("E_CONFIG"));
        assert_eq!(platform(None, Some("--x"), None), Err("E_CONFIG"));
    }

    #[test]
    fn credentials_are_never_shown() {
        let credentials = parse_credentials("me:pass:word").unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("me", "pass:word"));
        assert!(!format!("{credentials:?}").contains("pass"));
        for text in ["secret", ":secret", ""] {
            let failure = parse_credentials(text).unwrap_err();
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}
