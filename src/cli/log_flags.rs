//! `--log-driver` and `--log-opt`, of all commands that make containers.

use std::path::Path;

use clap::Args;

use crate::container::request::{LogDriver, LogRequest, Terminal};
use crate::failure::Failure;

/// Where the container's output is kept.
#[derive(Args, Clone, Debug, Default)]
pub struct LogFlags {
    /// Where output is kept: json-file, k8s-file, journald, none or passthrough
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    log_driver: String,
    /// Option of the log driver: max-size=SIZE, max-file=N, path=FILE, tag=TEXT
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
}

impl LogFlags {
    /// In types. A path is taken below `working_directory`.
    pub fn request(&self, working_directory: &Path, terminal: Terminal) -> Result<LogRequest, Failure> {
        let driver = self.log_driver.parse::<LogDriver>();
        let driver = driver.map_err(|error| super::run::of_flag("--log-driver", error))?;
        if driver == LogDriver::Passthrough && terminal == Terminal::New {
            let failure =
                Failure::new("E_CONFIG", "--log-driver passthrough: a container with a terminal has no other output");
            return Err(failure.with_hint("leave --tty out, or take another driver"));
        }
        LogRequest::parse(driver, &self.log_opt, working_directory)
            .map_err(|error| super::run::of_flag("--log-opt", error))
    }
}
