//! The image configuration (image-spec "Image Configuration"), as far as a pull needs it.

use oci_spec::image::{Config, ImageConfiguration};
use serde_json::Value;

use super::digest::{DiffId, DigestSyntax};
use super::manifest::DescribedPlatform;
use super::strict_json::{self, JsonRefused};

/// What an image is for, which layers it has, and how it wants to be run.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// The platform, as written.
    pub platform: DescribedPlatform,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<DiffId>,
    /// When it was built, as written (RFC 3339).
    pub created: Option<String>,
    /// What a container gets unless told otherwise.
    pub config: Option<Config>,
    /// `config.Healthcheck`, an extension of docker's, as written.
    pub healthcheck: Option<Value>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigRefused {
    /// Not JSON, or of another shape.
    #[error("it is not a well-formed image configuration")]
    Json(#[from] JsonRefused),
    /// `rootfs.type` is not `layers`.
    #[error("its rootfs is of type {0:?}, not \"layers\"")]
    RootfsType(String),
    /// A layer's digest does not parse.
    #[error("one of its `diff_ids` is wrong")]
    DiffId(#[from] DigestSyntax),
}

impl ImageConfig {
    /// Reads a configuration, all of it, so that what a later `run` will read is known to be readable.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigRefused> {
        let value = strict_json::parse_value(bytes)?;
        let healthcheck = value.pointer("/config/Healthcheck").filter(|value| !value.is_null()).cloned();
        let whole: ImageConfiguration = strict_json::from_value(value)?;
        let rootfs = whole.rootfs();
        if rootfs.typ() != "layers" {
            return Err(ConfigRefused::RootfsType(rootfs.typ().clone()));
        }
        let diff_ids = rootfs.diff_ids().iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let platform = DescribedPlatform {
            os: whole.os().to_string(),
            architecture: whole.architecture().to_string(),
            variant: whole.variant().clone(),
        };
        let (created, config) = (whole.created().clone(), whole.config().clone());
        Ok(Self { platform, diff_ids, created, config, healthcheck })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_null_fields_are_no_obstacle() {
        let text = format!(
            r#"{{"architecture":"arm64","os":"linux","variant":"v8","docker_version":"20","container":"x","history":null,
                "config":{{"Cmd":null,"Entrypoint":null,"Env":null,"Labels":null,"Volumes":null,"OnBuild":null,"Hostname":"","ExposedPorts":null,"Healthcheck":{{"Test":["NONE"]}}}},
                "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            crate::oci::digest::Digest::of(b"")
        );
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.platform.normalized().unwrap().to_string(), "linux/arm64");
        assert_eq!(config.diff_ids.len(), 1);
        assert_eq!(config.healthcheck.unwrap()["Test"][0], "NONE");
        assert_eq!(config.config.unwrap().env(), &None);
    }

    #[test]
    fn what_cannot_be_a_configuration_is_refused() {
        let refused = [
            "",
            "{}",
            "[]",
            "null",
            r#"{"architecture":"amd64","os":"linux"}"#,
            r#"{"architecture":"amd64","os":"linux","rootfs":null}"#,
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"base","diff_ids":[]}}"#,
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}"#,
            r#"{"architecture":"amd64","os":"linux","os":"x","rootfs":{"type":"layers","diff_ids":[]}}"#,
        ];
        for text in refused {
            assert!(ImageConfig::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
