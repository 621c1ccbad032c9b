//! Flags about health checks.

use std::time::Duration;

use clap::Args;

use super::with;
use crate::failure::Failure;
use crate::name::duration::parse_duration;
use crate::name::health::{
    DEFAULT_TIME, HealthLogDestination, HealthRequest, OnFailure, StartupCheck, parse_health_command,
};

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
    /// Command that is asked first, in place of the other, until it succeeds
    #[arg(long, value_name = "COMMAND")]
    health_startup_cmd: Option<String>,
    /// Time between two of these [default: 30s]
    #[arg(long, value_name = "TIME", requires = "health_startup_cmd")]
    health_startup_interval: Option<String>,
    /// Time that one of these may take [default: 30s]
    #[arg(long, value_name = "TIME", requires = "health_startup_cmd")]
    health_startup_timeout: Option<String>,
    /// After so many failures of it the container is started again; 0 for never [default: 0]
    #[arg(long, value_name = "N", requires = "health_startup_cmd")]
    health_startup_retries: Option<u32>,
    /// So many successes in a row are enough [default: 1]
    #[arg(long, value_name = "N", requires = "health_startup_cmd")]
    health_startup_success: Option<u32>,
    /// Keep so many results; 0 for all [default: 5]
    #[arg(long, value_name = "N")]
    health_max_log_count: Option<u32>,
    /// Keep so many bytes of what a check writes; 0 for all [default: 4096]
    #[arg(long, value_name = "BYTES")]
    health_max_log_size: Option<u32>,
    /// Where results are kept beside the last, which inspect shows: local, events_logger, or a directory [default: local]
    #[arg(long, value_name = "WHERE")]
    health_log_destination: Option<String>,
    /// Make no health checks, whatever the image says
    #[arg(long, conflicts_with_all = ["health_cmd", "health_startup_cmd"])]
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
        let startup_time = |flag, text| Ok::<_, Failure>(time(flag, text)?.unwrap_or(DEFAULT_TIME));
        let startup = match self.health_startup_cmd.as_deref().map(parse_health_command) {
            None | Some(None) => None,
            Some(Some(command)) => Some(StartupCheck {
                command,
                interval: startup_time("--health-startup-interval", &self.health_startup_interval)?,
                timeout: startup_time("--health-startup-timeout", &self.health_startup_timeout)?,
                retries: self.health_startup_retries.unwrap_or(0),
                successes: self.health_startup_success.unwrap_or(1).max(1),
            }),
        };
        Ok(HealthRequest {
            off: self.no_healthcheck || command == Some(None),
            command: command.flatten(),
            interval: time("--health-interval", &self.health_interval)?,
            timeout: time("--health-timeout", &self.health_timeout)?,
            start_period: time("--health-start-period", &self.health_start_period)?,
            retries: self.health_retries,
            startup,
            log_count: self.health_max_log_count,
            log_size: self.health_max_log_size,
            log_destination: self.health_log_destination.as_deref().map(log_destination).transpose()?,
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

fn log_destination(text: &str) -> Result<HealthLogDestination, Failure> {
    match text {
        "local" => Ok(HealthLogDestination::Local),
        "events_logger" => Ok(HealthLogDestination::Events),
        path if std::path::Path::new(path).is_dir() => {
            let absolute = std::path::absolute(path);
            absolute.map(HealthLogDestination::Directory).map_err(|cause| {
                Failure::new("E_DIR", format!("--health-log-destination: finding the directory {path}: {cause}"))
            })
        }
        other => {
            let failure =
                Failure::new("E_CONFIG", format!("--health-log-destination: there is no directory {other:?}"));
            Err(failure.with_hint("local, events_logger, or a directory that exists"))
        }
    }
}
