//! `--volumes-from` and `--image-volume`.

use std::str::FromStr;

use super::mount::Access;

/// `--volumes-from CONTAINER[:OPTIONS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// Name, identifier, or beginning of one.
    pub container: String,
    /// Whether all are read-only here; as they are there where absent.
    pub access: Option<Access>,
}

/// What becomes of the volumes that an image asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageVolumes {
    /// Each is an anonymous volume.
    #[default]
    Anonymous,
    /// Each is memory.
    Tmpfs,
    /// There are none.
    Ignore,
}

/// Why a word was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VolumesRefused {
    /// An option of `--volumes-from`.
    #[error("{0:?} is not CONTAINER[:OPTIONS]: the options are ro, rw and z, for example web:ro")]
    From(String),
    /// A word of `--image-volume`.
    #[error("{0:?} is not anonymous, bind (the same), tmpfs or ignore")]
    Image(String),
}

impl crate::failure::Explain for VolumesRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for VolumesFrom {
    type Err = VolumesRefused;

    fn from_str(text: &str) -> Result<Self, VolumesRefused> {
        let refused = || VolumesRefused::From(text.chars().take(160).collect());
        let (container, options) = text.split_once(':').unwrap_or((text, ""));
        let mut access = None;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" if access != Some(Access::ReadWrite) => access = Some(Access::ReadOnly),
                "rw" if access != Some(Access::ReadOnly) => access = Some(Access::ReadWrite),
                // What is mounted there has the label that it needs there.
                "z" => {}
                _ => return Err(refused()),
            }
        }
        match container.is_empty() {
            true => Err(refused()),
            false => Ok(Self { container: container.to_owned(), access }),
        }
    }
}

impl FromStr for ImageVolumes {
    type Err = VolumesRefused;

    fn from_str(text: &str) -> Result<Self, VolumesRefused> {
        match text {
            "anonymous" | "bind" => Ok(Self::Anonymous),
            "tmpfs" => Ok(Self::Tmpfs),
            "ignore" => Ok(Self::Ignore),
            _ => Err(VolumesRefused::Image(text.chars().take(80).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let from = |access| Ok(VolumesFrom { container: "web".into(), access });
        assert_eq!("web".parse(), from(None));
        assert_eq!("web:z".parse(), from(None));
        assert_eq!("web:ro,z".parse(), from(Some(Access::ReadOnly)));
        assert_eq!("web:rw".parse(), from(Some(Access::ReadWrite)));
        for bad in ["", ":ro", "web:rx", "web:ro,rw", "web:ro:rw"] {
            assert!(bad.parse::<VolumesFrom>().is_err(), "{bad}");
        }
        assert_eq!("bind".parse(), Ok(ImageVolumes::Anonymous));
        assert!("volume".parse::<ImageVolumes>().is_err());
    }
}
