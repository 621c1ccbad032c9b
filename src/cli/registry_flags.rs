//! Flags that say how to speak to registries and which platform's image is wanted, of all verbs that do.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::image::request::{Credentials, RegistryAccess};
use crate::name::duration::parse_duration;
use crate::oci::platform::Platform;

/// Which registry may be believed, and who we are to it.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryFlags {
    /// Look for the registry's credentials in this file only
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub authfile: Option<PathBuf>,
    /// Take authorities (*.crt) and client certificates (*.cert, *.key) from this directory only
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cert_dir: Option<PathBuf>,
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
        let Self { authfile, cert_dir, tls_verify } = self;
        RegistryAccess { authfile, cert_dir, credentials, tls_verify, ..RegistryAccess::default() }
    }
}

/// How to speak to registries that images come from or go to.
#[derive(Args, Clone, Debug, Default)]
pub struct TransferFlags {
    #[command(flatten)]
    registry: RegistryFlags,
    /// Credentials for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,
    /// Try again so many times when the registry fails [default: 4]
    #[arg(long, value_name = "NUMBER")]
    pub retry: Option<u32>,
    /// Wait so long before each of these, as in 10s [default: a quarter of a second, then twice as long each time]
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,
}

impl TransferFlags {
    /// In types.
    pub fn access(self) -> Result<RegistryAccess, Failure> {
        let credentials = self.creds.as_deref().map(parse_credentials).transpose()?;
        let conf = ContainersConf::here();
        let retry_delay = match self.retry_delay.as_deref() {
            Some(given) => Some(parse_duration(given)?),
            None => conf.parsed("retry_delay", "a duration like 10s", |text| parse_duration(text).ok())?,
        };
        let configured = conf.parsed("retry", "a number of attempts", |text| text.parse().ok())?;
        let retry = self.retry.or(configured);
        Ok(RegistryAccess { retry, retry_delay, ..self.registry.access(credentials) })
    }
}

/// How to speak to registries that images come from.
#[derive(Args, Clone, Debug, Default)]
pub struct PullFlags {
    #[command(flatten)]
    transfer: TransferFlags,
    /// Which images may be pulled, instead of what policy.json says
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub signature_policy: Option<PathBuf>,
    /// Refused: encrypted images cannot be decrypted
    #[arg(long, value_name = "KEY", hide = true)]
    decryption_key: Vec<String>,
}

impl PullFlags {
    /// In types.
    pub fn access(self) -> Result<RegistryAccess, Failure> {
        if !self.decryption_key.is_empty() {
            let failure = Failure::new("E_CONFIG", "--decryption-key: encrypted images cannot be decrypted");
            return Err(failure.with_hint("decrypt the image with `skopeo copy --decryption-key`, and load the copy"));
        }
        Ok(RegistryAccess { signature_policy: self.signature_policy, ..self.transfer.access()? })
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
    /// Variant of the architecture, as v7 of arm [default: the host's]
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
}

impl PlatformFlags {
    /// The platform that the flags name, if they name one.
    pub fn platform(self) -> Result<Option<Platform>, Failure> {
        match (self.platform, self.os, self.arch, self.variant) {
            (None, None, None, None) => Ok(None),
            (Some(platform), None, None, None) => Ok(Some(platform.parse()?)),
            (None, os, arch, variant) => {
                let host = Platform::host();
                let mut text = format!("{}/{}", os.unwrap_or(host.os), arch.unwrap_or(host.architecture));
                variant.iter().for_each(|variant| text.push_str(&format!("/{variant}")));
                Ok(Some(text.parse()?))
            }
            _ => Err(Failure::new("E_CONFIG", "--platform cannot be combined with --arch, --os and --variant")
                .with_hint("--platform OS/ARCH[/VARIANT] says it all")),
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
            let flags = PlatformFlags { platform: owned(platform), arch: owned(arch), os: owned(os), variant: None };
            flags.platform().map(|platform| platform.map(|platform| platform.to_string())).map_err(|e| e.code())
        };
        assert_eq!(platform(None, None, None), Ok(None));
        assert_eq!(platform(Some("linux/arm64"), None, None), Ok(Some("linux/arm64".into())));
        assert_eq!(platform(None, Some("aarch64"), None), Ok(Some("linux/arm64".into())));
        let windows = format!("windows/{}", Platform::host().architecture);
        assert_eq!(platform(None, None, Some("windows")), Ok(Some(windows)));
        assert_eq!(platform(Some("linux/arm64"), Some("arm64"), None), Err("E_CONFIG"));
        assert_eq!(platform(None, Some("--x"), None), Err("E_CONFIG"));
        let arm = PlatformFlags { arch: Some("arm".into()), variant: Some("v6".into()), ..PlatformFlags::default() };
        assert_eq!(arm.platform().unwrap().unwrap().to_string(), "linux/arm/v6");
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
