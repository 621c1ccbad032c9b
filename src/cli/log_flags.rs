//! `--log-driver` and `--log-opt`, of all commands that make containers.

use std::path::Path;

use clap::Args;

use crate::container::request::{LogDriver, LogRequest, Terminal};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;

/// Where the container's output is kept.
#[derive(Args, Clone, Debug, Default)]
pub struct LogFlags {
    /// Where output is kept: json-file, k8s-file, journald, none or passthrough [default: json-file, or with --rm in the
    /// foreground nowhere]
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of the log driver: max-size=SIZE, max-file=N, path=FILE, tag=TEXT
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
    /// Driver and options of containers.conf, where no driver is given.
    #[arg(skip)]
    configured: (Option<String>, Vec<String>),
    /// Directory of logs of containers.conf, where no path is given.
    #[arg(skip)]
    configured_directory: Option<String>,
}

impl LogFlags {
    /// Takes what is not given from containers.conf.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        let has = |key: &str| self.log_opt.iter().any(|option| option.starts_with(&format!("{key}=")));
        self.configured_directory = conf.text("log_path").filter(|_| !has("path"));
        if self.log_driver.is_some() {
            return;
        }
        let size = conf.text("log_size_max").filter(|size| !size.starts_with('-') && size != "0" && !has("max-size"));
        let tag =
            conf.text("log_tag").filter(|_| !has("tag") && conf.text("log_driver").as_deref() == Some("journald"));
        let options = [("max-size", size), ("tag", tag)];
        let options = options.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
        self.configured = (conf.text("log_driver"), options);
    }

    /// In types. A path is taken below `working_directory`.
    pub fn request(&self, working_directory: &Path, terminal: Terminal) -> Result<LogRequest, Failure> {
        let (driver, options) = &self.configured;
        let driver = self.log_driver.as_ref().or(driver.as_ref()).map(String::as_str);
        let driver = super::run::parsed("--log-driver", driver)?.unwrap_or(LogDriver::JsonFile);
        if driver == LogDriver::Passthrough && terminal == Terminal::New {
            let failure =
                Failure::new("E_CONFIG", "--log-driver passthrough: a container with a terminal has no other output");
            return Err(failure.with_hint("leave --tty out, or take another driver"));
        }
        let request = LogRequest::parse(driver, &[&self.log_opt[..], options].concat(), working_directory)
            .map_err(|error| super::run::of_flag("--log-opt", error))?;
        // What is in files is: of what is in the journal nobody names the place.
        let is_in_files = matches!(driver, LogDriver::JsonFile | LogDriver::K8sFile);
        let directory = self.configured_directory.as_ref().filter(|_| is_in_files);
        let directory = directory.map(|directory| working_directory.join(directory));
        let is_chosen = self.log_driver.is_some() || !self.log_opt.is_empty() || directory.is_some();
        Ok(LogRequest { is_chosen, directory, ..request })
    }
}
