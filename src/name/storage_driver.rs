//! The ways to make a root file system of layers, and which of them is tried after which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way to make a root file system of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel's overlay, in the container's user namespace.
    #[default]
    Overlay,
    /// Our own overlay, served by a process of its own through FUSE.
    Fuse,
    /// No overlay: a copy of the layers for each container.
    Copy,
}

impl Driver {
    /// What is tried where this one cannot be had.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Overlay => Some(Self::Fuse),
            Self::Fuse => Some(Self::Copy),
            Self::Copy => None,
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Fuse => "fuse",
            Self::Copy => "copy",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of a driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no storage driver {0:?}: there are overlay, fuse and copy")]
pub struct UnknownDriver(String);

impl crate::failure::Explain for UnknownDriver {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some("without one, the first that can be had is taken; `coracle info` tells which that is".into())
    }
}

impl FromStr for Driver {
    type Err = UnknownDriver;

    /// The names of podman and docker for the same things are understood.
    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        match name {
            "overlay" | "overlay2" => Ok(Self::Overlay),
            "fuse" | "fuse-overlayfs" => Ok(Self::Fuse),
            "copy" | "vfs" => Ok(Self::Copy),
            _ => Err(UnknownDriver(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_said() {
        for driver in [Driver::Overlay, Driver::Fuse, Driver::Copy] {
            assert_eq!(driver.name().parse(), Ok(driver));
        }
        assert_eq!("fuse-overlayfs".parse(), Ok(Driver::Fuse));
        assert_eq!("vfs".parse(), Ok(Driver::Copy));
        assert!("btrfs".parse::<Driver>().is_err());
    }
}
