//! Flags about health checks.

use std::time::Duration;

use clap::Args;

use super::with;
use crate::failure::Failure;
use crate::name::duration::parse_duration;
use crate::name::health::{HealthRequest, OnFailure, parse_health_command};

/// How the health of a container is checked: of `run`, `create` and `update`.
#[derive(Args, Clone, Debug, Default)]
pub struct HealthFlags {
    /// Command that shows whether the container is well: a line for its shell, or a JSON array of words; none for none
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks [default: the image's, or 30s]
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,
    /// Time that a check may take [default: the image's, or 30s]
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,
    /// Time after a start in which failures do not count
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,
    /// So many failures in a row are ill health [default: the image's, or 3]
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// What is done about ill health: none, kill, restart or stop
    #[arg(long, value_name = "ACTION")]
    health_on_failure: Option<String>,
    /// Make no health checks, whatever the image says
    #[arg(long, conflicts_with = "health_cmd")]
    no_healthcheck: bool,
}

impl HealthFlags {
    /// In types.
    pub fn request(&self) -> Result<HealthRequest, Failure> {
        let time = |flag, text: &Option<String>| match text.as_deref() {
            // podman's word for checks that are only made when asked for.
            Some("disable") => Ok(Some(Duration::ZERO)),
            text => with(flag, text, parse_duration),
        };
        let command = self.health_cmd.as_deref().map(parse_health_command);
        Ok(HealthRequest {
            off: self.no_healthcheck || command == Some(None),
            command: command.flatten(),
            interval: time("--health-interval", &self.health_interval)?,
            timeout: time("--health-timeout", &self.health_timeout)?,
            start_period: time("--health-start-period", &self.health_start_period)?,
            retries: self.health_retries,
            on_failure: match self.health_on_failure.as_deref() {
                None | Some("none") => OnFailure::None,
                Some("kill") => OnFailure::Kill,
                Some("restart") => OnFailure::Restart,
                Some("stop") => OnFailure::Stop,
                Some(other) => {
                    let message = format!("--health-on-failure: {other:?} is not none, kill, restart or stop");
                    return Err(Failure::new("E_CONFIG", message));
                }
            },
        })
    }
}
