//! `--restart`.

use std::fmt;
use std::str::FromStr;

use super::serialize::as_text;

/// Whether a container that has ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When its exit code is not 0, so many times where a number is given.
    OnFailure(Option<u32>),
    /// Whenever it ends, unless a user stopped it.
    Always,
    /// The same; what brings containers back after a reboot leaves one alone that a user had stopped.
    UnlessStopped,
}

impl RestartPolicy {
    /// Whether a container that has ended with `code`, and was restarted `restarts` times before, is to be started again.
    pub fn restarts(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(limit) => code != 0 && limit.is_none_or(|limit| restarts < limit),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// The policy without its number, as docker and podman name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How many times at most; 0 for no limit.
    pub fn limit(self) -> u32 {
        match self {
            Self::OnFailure(limit) => limit.unwrap_or(0),
            _ => 0,
        }
    }
}

/// Why a policy was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a restart policy: expected no, always, unless-stopped, on-failure or on-failure:N")]
pub struct UnknownRestartPolicy(String);

impl crate::failure::Explain for UnknownRestartPolicy {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for RestartPolicy {
    type Err = UnknownRestartPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownRestartPolicy> {
        let refused = || UnknownRestartPolicy(text.chars().take(80).collect());
        match text.split_once(':') {
            None => match text {
                "" | "no" | "never" => Ok(Self::No),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                "on-failure" => Ok(Self::OnFailure(None)),
                _ => Err(refused()),
            },
            // Docker: 0 is no limit.
            Some(("on-failure", "0")) => Ok(Self::OnFailure(None)),
            Some(("on-failure", limit)) => {
                limit.parse().map(|limit| Self::OnFailure(Some(limit))).map_err(|_| refused())
            }
            Some(_) => Err(refused()),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::OnFailure(Some(limit)) => write!(f, ":{limit}"),
            _ => Ok(()),
        }
    }
}

as_text!(RestartPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("never".parse(), Ok(RestartPolicy::No));
        assert_eq!("on-failure:0".parse(), Ok(RestartPolicy::OnFailure(None)));
        for text in ["No", "on-failure:", "on-failure:-1", "on-failure:x", "always:3", ":"] {
            assert!(text.parse::<RestartPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn when_a_container_is_started_again() {
        let three = RestartPolicy::OnFailure(Some(3));
        assert!(three.restarts(1, 2) && !three.restarts(1, 3) && !three.restarts(0, 0));
        assert!(RestartPolicy::Always.restarts(0, 1000) && !RestartPolicy::No.restarts(1, 0));
    }
}
