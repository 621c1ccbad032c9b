//! `os/architecture[/variant]` (image-spec, "image index": `platform`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image was built for, or what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `GOOS` word, for example `linux`.
    pub os: String,
    /// `GOARCH` word, for example `amd64`.
    pub architecture: String,
    /// CPU variant, for example `v8`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this binary was built for.
    pub fn host() -> Self {
        let (architecture, variant) = normalize(std::env::consts::ARCH, None);
        Self { os: "linux".into(), architecture, variant }
    }

    /// Whether an image for `self` satisfies the request `wanted`: the same system and architecture, and the same
    /// variant where the request names one.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant.is_none() || self.variant == wanted.variant)
    }
}

fn normalize(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, implied) = match architecture {
        "x86_64" | "x86-64" => ("amd64", None),
        "aarch64" => ("arm64", None),
        "armhf" | "arm" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        "i386" | "i686" | "x86" => ("386", None),
        "powerpc64le" => ("ppc64le", None),
        other => (other, None),
    };
    let variant = match (architecture, variant) {
        // v8 is the only arm64 variant in use: naming it adds nothing.
        ("arm64", Some("v8" | "8")) => None,
        (_, Some(variant)) => Some(variant.to_owned()),
        (_, None) => implied.map(str::to_owned),
    };
    (architecture.to_owned(), variant)
}

/// Why a platform was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a platform: expected os/architecture or os/architecture/variant, for example linux/arm64")]
pub struct PlatformSyntax(String);

impl crate::failure::Explain for PlatformSyntax {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for Platform {
    type Err = PlatformSyntax;

    fn from_str(text: &str) -> Result<Self, PlatformSyntax> {
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformSyntax(text.into())),
        };
        if !word(os) || !word(architecture) || !variant.is_none_or(word) {
            return Err(PlatformSyntax(text.into()));
        }
        let (architecture, variant) = normalize(&architecture.to_lowercase(), variant);
        Ok(Self { os: os.to_lowercase(), architecture, variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        let parse = |text: &str| text.parse::<Platform>().unwrap().to_string();
        assert_eq!(parse("linux/x86_64"), "linux/amd64");
        assert_eq!(parse("aarch64"), "linux/arm64");
        assert_eq!(parse("linux/arm64/v8"), "linux/arm64");
        assert_eq!(parse("linux/arm"), "linux/arm/v7");
        assert!("linux/".parse::<Platform>().is_err());
        assert!("a/b/c/d".parse::<Platform>().is_err());
        assert!("linux/../x".parse::<Platform>().is_err());
    }
}
