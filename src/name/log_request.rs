//! Where a container's output is kept: `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::Explain;

/// How output is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Docker's format: one JSON object a line with `log`, `stream`, `time`.
    #[default]
    JsonFile,
    /// The format of Kubernetes' container runtime interface: `TIME STREAM P|F TEXT`.
    K8sFile,
    /// systemd's journal.
    Journald,
    /// Not at all.
    None,
    /// It is the caller's: the container gets the standard output and error of the command that runs it.
    Passthrough,
}

impl LogDriver {
    /// All, in the order of the manual.
    pub const ALL: [Self; 5] = [Self::JsonFile, Self::K8sFile, Self::Journald, Self::None, Self::Passthrough];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::K8sFile => "k8s-file",
            Self::Journald => "journald",
            Self::None => "none",
            Self::Passthrough => "passthrough",
        }
    }
}

impl FromStr for LogDriver {
    type Err = BadLog;

    fn from_str(text: &str) -> Result<Self, BadLog> {
        let driver = Self::ALL.into_iter().find(|driver| driver.as_str() == text);
        driver.ok_or_else(|| BadLog::Driver(text.to_owned()))
    }
}

/// `--log-driver` and `--log-opt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// How output is kept.
    pub driver: LogDriver,
    /// Bytes after which a new file is begun; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// How many files are kept, the one being written included; one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_files: Option<u32>,
    /// The file, absolute; one in the container's directory where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The directory, absolute, in which a directory for each container has its file; where no path was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// What entries of the journal are marked with, placeholders included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whether the user chose any of this. Of interest to the command that has it, and to nobody later.
    #[serde(skip)]
    pub is_chosen: bool,
}

/// What a tag may stand for, docker's names: these are replaced when the container is started.
pub const TAG_PLACEHOLDERS: &[&str] = &["{{.ID}}", "{{.FullID}}", "{{.Name}}", "{{.ImageName}}"];

/// Why a log cannot be kept as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    /// No such driver.
    #[error("{0:?} is not a log driver")]
    Driver(String),
    /// Not `KEY=VALUE`.
    #[error("{0:?} is not a log option: expected KEY=VALUE")]
    Form(String),
    /// The driver has no such option.
    #[error("the log driver {} has no option {option:?}", driver.as_str())]
    Option {
        /// The driver.
        driver: LogDriver,
        /// The option's name.
        option: String,
    },
    /// A value that the option cannot have.
    #[error("{option}: {value:?} is not {expected}")]
    Value {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// Compressed logs.
    #[error(
        "compress: rotated files stay as they are, since the container would wait for its monitor while that compresses them"
    )]
    Compress,
}

impl Explain for BadLog {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Driver(_) => format!("the drivers are {}", LogDriver::ALL.map(LogDriver::as_str).join(", ")),
            Self::Option { driver, .. } => match options_of(*driver) {
                [] => "leave it out".into(),
                options => format!("its options are {}", options.join(", ")),
            },
            Self::Compress => "leave it out, and limit the space with max-size and max-file".into(),
            Self::Form(_) | Self::Value { .. } => return None,
        })
    }
}

fn options_of(driver: LogDriver) -> &'static [&'static str] {
    match driver {
        LogDriver::JsonFile | LogDriver::K8sFile => &["max-size", "max-file", "path"],
        LogDriver::Journald => &["tag"],
        LogDriver::None | LogDriver::Passthrough => &[],
    }
}

impl LogRequest {
    /// What `options`, each `KEY=VALUE`, ask of `driver`. A path is taken below `working_directory`.
    pub fn parse(driver: LogDriver, options: &[String], working_directory: &Path) -> Result<Self, BadLog> {
        let mut request = Self { driver, ..Self::default() };
        for text in options {
            let (key, value) = text.split_once('=').ok_or_else(|| BadLog::Form(text.clone()))?;
            let known = options_of(driver).contains(&key) || (key == "compress" && driver == LogDriver::JsonFile);
            if !known {
                return Err(BadLog::Option { driver, option: key.to_owned() });
            }
            request.set(key, value, working_directory)?;
        }
        Ok(request)
    }

    fn set(&mut self, key: &str, value: &str, working_directory: &Path) -> Result<(), BadLog> {
        let bad = |option, expected| BadLog::Value { option, value: value.to_owned(), expected };
        match key {
            "max-size" if value == "-1" => self.max_size = None,
            "max-size" => {
                let size = parse_size(value).filter(|&size| size > 0);
                self.max_size = Some(size.ok_or_else(|| bad("max-size", "a size such as 500k, 10m or 1g"))?);
            }
            "max-file" => {
                let count = value.parse().ok().filter(|&count: &u32| (1..=MAX_FILES).contains(&count));
                self.max_files = Some(count.ok_or_else(|| bad("max-file", "a number from 1 to 1000"))?);
            }
            "path" if value.is_empty() => return Err(bad("path", "the path of a file")),
            "path" => self.path = Some(working_directory.join(value)),
            "compress" if value == "false" => {}
            "compress" => return Err(BadLog::Compress),
            _ => self.tag = Some(parse_tag(value).ok_or_else(|| bad("tag", TAG_FORM))?),
        }
        Ok(())
    }

    /// The options as docker's `inspect` shows them.
    pub fn options(&self) -> BTreeMap<String, String> {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let options = [
            ("max-size", self.max_size.map(|size| size.to_string())),
            ("max-file", self.max_files.map(|count| count.to_string())),
            ("path", path),
            ("tag", self.tag.clone()),
        ];
        options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// More files than anybody looks through: each start of a file renames all of them.
const MAX_FILES: u32 = 1000;

const TAG_FORM: &str = "text, in which {{.ID}}, {{.FullID}}, {{.Name}} and {{.ImageName}} are replaced";

/// Refused is what has other actions of templates, or is more than a line.
fn parse_tag(value: &str) -> Option<String> {
    let rest = TAG_PLACEHOLDERS.iter().fold(value.to_owned(), |rest, placeholder| rest.replace(placeholder, ""));
    (!rest.contains("{{") && !rest.contains(char::is_control)).then(|| value.to_owned())
}

/// A number of bytes, or of KiB, MiB or GiB (docker's units).
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[number.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: LogDriver, options: &[&str]) -> Result<LogRequest, BadLog> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        LogRequest::parse(driver, &options, Path::new("/here"))
    }

    #[test]
    fn options_of_files() {
        let request = parse(LogDriver::JsonFile, &["max-size=10m", "max-file=3", "path=a/b", "compress=false"]);
        let request = request.unwrap();
        assert_eq!((request.max_size, request.max_files), (Some(10 << 20), Some(3)));
        assert_eq!(request.path.as_deref(), Some(Path::new("/here/a/b")));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<LogRequest>(&text).unwrap(), request);
        assert_eq!(request.options()["max-size"], "10485760");
        assert_eq!(parse(LogDriver::K8sFile, &["max-size=-1"]).unwrap().max_size, None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for option in ["max-size=", "max-size=0", "max-size=1x", "max-size=99999999999g", "max-file=0", "path=", "max"]
        {
            assert!(parse(LogDriver::JsonFile, &[option]).is_err(), "{option}");
        }
        assert_eq!(parse(LogDriver::JsonFile, &["compress=true"]), Err(BadLog::Compress));
        assert!(parse(LogDriver::JsonFile, &["tag=x"]).is_err());
        assert!(parse(LogDriver::None, &["max-size=1m"]).is_err());
        assert!("syslog".parse::<LogDriver>().is_err());
    }

    #[test]
    fn tags() {
        assert!(parse(LogDriver::Journald, &["tag=web/{{.Name}}"]).is_ok());
        assert!(parse(LogDriver::Journald, &["tag={{.Nonsense}}"]).is_err());
        assert!(parse(LogDriver::Journald, &["tag=a\nPRIORITY=0"]).is_err());
    }
}
