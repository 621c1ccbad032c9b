//! `logout`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::dispatch;
use super::login::not_logged_in;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::registry::RegistryName;

/// Forget the login to a registry
///
/// It is removed from all files and credential helpers that `login` and `pull` look into, docker's included. What the
/// registry itself knows stays as it is.
#[derive(Args, Clone, Debug)]
pub struct LogoutArgs {
    /// Forget the logins to all registries
    #[arg(short, long, conflicts_with = "registry")]
    all: bool,
    /// Forget what is in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    authfile: Option<PathBuf>,
    /// Forget what is in this file of docker's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "authfile")]
    compat_auth_file: Option<PathBuf>,
    /// Registry, as host[:port][/namespace]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Invocation for LogoutArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One registry", "coracle logout quay.io"), ("All registries", "coracle logout --all")];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        let files = dispatch::registry::auth_files(self.authfile, self.compat_auth_file);
        if self.all {
            files.erase_all()?;
            return output::write("Removed login credentials for all registries\n").map(|()| 0);
        }
        let name: RegistryName = match &self.registry {
            Some(name) => name.parse()?,
            None => dispatch::registry::default_registry()?,
        };
        if !files.erase(&name)? {
            return Err(not_logged_in(&name));
        }
        output::write(&format!("Removed login credentials for {name}\n")).map(|()| 0)
    }
}
