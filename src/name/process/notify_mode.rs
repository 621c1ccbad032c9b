//! `--sdnotify`: who tells the service manager that started us that the container is ready (sd_notify(3)).

use std::fmt;
use std::str::FromStr;

use super::Refused;
use crate::name::serialize::as_text;

/// `--sdnotify`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyMode {
    /// The container, through its monitor.
    #[default]
    Container,
    /// The monitor, when the container's program is executed.
    Monitor,
    /// The monitor, when the container is healthy.
    Healthy,
    /// Nobody.
    Ignore,
}

impl FromStr for NotifyMode {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "container" => Ok(Self::Container),
            "conmon" => Ok(Self::Monitor),
            "healthy" => Ok(Self::Healthy),
            "ignore" => Ok(Self::Ignore),
            _ => Err(Refused::new(text, "container, conmon, healthy or ignore")),
        }
    }
}

impl fmt::Display for NotifyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Monitor => "conmon",
            Self::Healthy => "healthy",
            Self::Ignore => "ignore",
        })
    }
}

as_text!(NotifyMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_themselves() {
        for text in ["container", "conmon", "healthy", "ignore"] {
            assert_eq!(text.parse::<NotifyMode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert!("monitor".parse::<NotifyMode>().is_err());
    }
}
