//! `create`.

use clap::Args;

use super::dispatch;
use super::run::{ContainerFlags, defaults};
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::host::security;

/// Make a container without starting it
///
/// Takes the options of `run`. Prints the container's id; `start` starts it.
#[derive(Args, Clone, Debug, Default)]
#[command(override_usage = "coracle create [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub struct CreateArgs {
    #[command(flatten)]
    container: ContainerFlags,
}

impl Invocation for CreateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("A container to be started later", "coracle create --name web nginx")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let working_directory = std::env::current_dir();
        let working_directory = working_directory
            .map_err(|cause| Failure::new("E_DIR", format!("finding the working directory: {cause}")))?;
        let asked = defaults::settle(self.container, ContainerFlags::take_defaults, |container| {
            container.into_asked(&working_directory, security::Modules::here)
        })?;
        dispatch::create(&globals.layout()?, asked)
    }
}
