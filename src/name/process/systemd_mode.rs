//! `--systemd`: whether a container is prepared for systemd as its first process (systemd's "Container Interface").

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::Refused;
use crate::name::serialize::as_text;

/// `--systemd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemdMode {
    /// If its program is systemd, by its name.
    #[default]
    ByName,
    /// Whatever its program is.
    Always,
    /// Not at all.
    Never,
}

/// Programs that are systemd although they are called something else, as podman has them.
const INITS: &[&str] = &["/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init"];

impl SystemdMode {
    /// Whether a container with this program is prepared.
    pub fn prepares(self, program: &OsStr) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::ByName => {
                Path::new(program).file_name() == Some(OsStr::new("systemd"))
                    || INITS.iter().any(|init| program == OsStr::new(init))
            }
        }
    }
}

impl FromStr for SystemdMode {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "true" => Ok(Self::ByName),
            "false" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            _ => Err(Refused::new(text, "true, false or always")),
        }
    }
}

impl fmt::Display for SystemdMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByName => "true",
            Self::Always => "always",
            Self::Never => "false",
        })
    }
}

as_text!(SystemdMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_known_by_its_names() {
        for (program, is_systemd) in [
            ("/sbin/init", true),
            ("/usr/sbin/init", true),
            ("/lib/systemd/systemd", true),
            ("systemd", true),
            ("init", false),
            ("/opt/init", false),
            ("sh", false),
        ] {
            assert_eq!(SystemdMode::ByName.prepares(program.as_ref()), is_systemd, "{program}");
            assert!(SystemdMode::Always.prepares(program.as_ref()) && !SystemdMode::Never.prepares(program.as_ref()));
        }
        for text in ["true", "false", "always"] {
            assert_eq!(text.parse::<SystemdMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert!("yes".parse::<SystemdMode>().is_err());
    }
}
