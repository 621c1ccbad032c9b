//! Health checks: what is asked of a container again and again, and what the answers mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A check, with every number settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Program and arguments, executed in the container; exit code 0 is health.
    pub command: Vec<String>,
    /// Time between two checks; none are made by themselves where it is zero.
    pub interval: Duration,
    /// Time that one may take.
    pub timeout: Duration,
    /// Time after a start in which failures do not count.
    pub start_period: Duration,
    /// So many failures in a row are ill health.
    pub retries: u32,
    /// What is done about it.
    pub on_failure: OnFailure,
    /// What is asked first, until it is answered well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupCheck>,
    /// What is kept of the answers.
    #[serde(default)]
    pub log: HealthLog,
}

/// A check that is made in place of the other until it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartupCheck {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time that one may take.
    pub timeout: Duration,
    /// After so many failures the container is started again; 0 for never.
    pub retries: u32,
    /// So many successes in a row are enough.
    pub successes: u32,
}

/// What is kept of a container's checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLog {
    /// How many results; 0 for all of them.
    pub count: u32,
    /// How many bytes of what each wrote; 0 for all of them.
    pub size: u32,
    /// Where.
    pub destination: HealthLogDestination,
}

impl Default for HealthLog {
    /// Docker's numbers.
    fn default() -> Self {
        Self { count: 5, size: 4096, destination: HealthLogDestination::Local }
    }
}

/// Where results are kept beside the last ones, which `inspect` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthLogDestination {
    /// Nowhere else.
    #[default]
    Local,
    /// In the events.
    Events,
    /// In a file `ID-healthcheck.log` of this directory, one JSON object a line.
    Directory(std::path::PathBuf),
}

/// What is done about a container in ill health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing.
    #[default]
    None,
    /// It is killed.
    Kill,
    /// It is killed and started again.
    Restart,
    /// It is stopped.
    Stop,
}

/// What of a check is given on the command line; the rest is the image's, or docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRequest {
    /// `--no-healthcheck`, `--health-cmd none`: the image's is not made.
    pub off: bool,
    /// `--health-cmd`.
    pub command: Option<Vec<String>>,
    /// `--health-interval`.
    pub interval: Option<Duration>,
    /// `--health-timeout`.
    pub timeout: Option<Duration>,
    /// `--health-start-period`.
    pub start_period: Option<Duration>,
    /// `--health-retries`.
    pub retries: Option<u32>,
    /// `--health-on-failure`.
    pub on_failure: OnFailure,
    /// `--health-startup-cmd` and its companions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupCheck>,
    /// `--health-max-log-count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_count: Option<u32>,
    /// `--health-max-log-size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u32>,
    /// `--health-log-destination`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_destination: Option<HealthLogDestination>,
}

impl HealthRequest {
    fn log(&self, before: HealthLog) -> HealthLog {
        HealthLog {
            count: self.log_count.unwrap_or(before.count),
            size: self.log_size.unwrap_or(before.size),
            destination: self.log_destination.clone().unwrap_or(before.destination),
        }
    }
}

/// Docker's numbers.
pub const DEFAULT_TIME: Duration = Duration::from_secs(30);
const DEFAULT_RETRIES: u32 = 3;

impl HealthRequest {
    /// The check of a container whose image has `image` as `Healthcheck` in its configuration.
    pub fn settle(&self, image: Option<&serde_json::Value>) -> Option<HealthCheck> {
        let of_image = |name: &str| image.and_then(|image| image.get(name));
        let time = |given: Option<Duration>, name: &str, default| {
            let nanoseconds = of_image(name).and_then(serde_json::Value::as_u64).filter(|&nanoseconds| nanoseconds > 0);
            given.or(nanoseconds.map(Duration::from_nanos)).unwrap_or(default)
        };
        if self.off {
            return None;
        }
        let retries = of_image("Retries").and_then(serde_json::Value::as_u64).filter(|&retries| retries > 0);
        Some(HealthCheck {
            command: self.command.clone().or_else(|| command_of(of_image("Test")?))?,
            interval: time(self.interval, "Interval", DEFAULT_TIME),
            timeout: time(self.timeout, "Timeout", DEFAULT_TIME),
            start_period: time(self.start_period, "StartPeriod", Duration::ZERO),
            retries: self.retries.or(retries.map(|retries| retries as u32)).unwrap_or(DEFAULT_RETRIES).max(1),
            on_failure: self.on_failure,
            startup: self.startup.clone(),
            log: self.log(HealthLog::default()),
        })
    }
}

impl HealthRequest {
    /// The check that was made before, with what is given here.
    pub fn change(&self, before: Option<HealthCheck>) -> Option<HealthCheck> {
        if self.off {
            return None;
        }
        let Some(before) = before else { return self.settle(None) };
        Some(HealthCheck {
            command: self.command.clone().unwrap_or(before.command),
            interval: self.interval.unwrap_or(before.interval),
            timeout: self.timeout.unwrap_or(before.timeout),
            start_period: self.start_period.unwrap_or(before.start_period),
            retries: self.retries.unwrap_or(before.retries).max(1),
            on_failure: if self.on_failure == OnFailure::None { before.on_failure } else { self.on_failure },
            startup: self.startup.clone().or(before.startup),
            log: self.log(before.log),
        })
    }
}

/// What `Test` of an image's configuration says: `["CMD", ...]` or `["CMD-SHELL", line]`.
fn command_of(test: &serde_json::Value) -> Option<Vec<String>> {
    let words: Vec<String> = test.as_array()?.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    match words.split_first() {
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
        Some((kind, [line])) if kind == "CMD-SHELL" => Some(shell(line)),
        _ => None,
    }
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(String::from).to_vec()
}

/// `--health-cmd`: a JSON array of words, or a line for the shell. `None` for `none`.
pub fn parse_health_command(text: &str) -> Option<Vec<String>> {
    if text == "none" {
        return None;
    }
    let words = serde_json::from_str::<Vec<String>>(text).ok().filter(|words| !words.is_empty());
    Some(match words {
        Some(words) => match words.split_first() {
            Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
            Some((kind, [line])) if kind == "CMD-SHELL" => shell(line),
            _ => words,
        },
        None => shell(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(parse_health_command("none"), None);
        assert_eq!(parse_health_command("curl -f x || exit 1"), Some(shell("curl -f x || exit 1")));
        assert_eq!(parse_health_command(r#"["curl","-f"]"#), Some(vec!["curl".into(), "-f".into()]));
        assert_eq!(parse_health_command(r#"["CMD-SHELL","a b"]"#), Some(shell("a b")));
        assert_eq!(parse_health_command(r#"["CMD","a"]"#), Some(vec!["a".into()]));
    }

    #[test]
    fn the_images_check_and_what_is_given() {
        let image = serde_json::json!({"Test": ["CMD-SHELL", "ok"], "Interval": 5_000_000_000_u64, "Retries": 7});
        let settled = HealthRequest::default().settle(Some(&image)).unwrap();
        assert_eq!((settled.command, settled.interval.as_secs(), settled.retries), (shell("ok"), 5, 7));
        assert_eq!(settled.timeout, DEFAULT_TIME);
        let given = HealthRequest { retries: Some(1), interval: Some(Duration::ZERO), ..Default::default() };
        let settled = given.settle(Some(&image)).unwrap();
        assert_eq!((settled.interval, settled.retries), (Duration::ZERO, 1));
        assert_eq!(HealthRequest { off: true, ..Default::default() }.settle(Some(&image)), None);
        assert_eq!(HealthRequest::default().settle(Some(&serde_json::json!({"Test": ["NONE"]}))), None);
        assert_eq!(HealthRequest::default().settle(None), None);
    }

    #[test]
    fn what_is_not_given_stays() {
        let before = HealthRequest { command: Some(shell("ok")), retries: Some(7), ..Default::default() }.settle(None);
        let changed = HealthRequest { retries: Some(1), ..Default::default() }.change(before.clone()).unwrap();
        assert_eq!((changed.command, changed.retries), (shell("ok"), 1));
        assert_eq!(HealthRequest { off: true, ..Default::default() }.change(before), None);
        assert_eq!(HealthRequest { retries: Some(1), ..Default::default() }.change(None), None);
    }
}
