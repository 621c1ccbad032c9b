//! `update`.

use std::ffi::OsString;

use clap::Args;

use super::render::output;
use super::run::health::HealthFlags;
use super::run::resources::LimitFlags;
use super::run::{all_parsed, env_settings, parsed};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::update::{Changes, Felt};
use crate::failure::Failure;
use crate::name::health::HealthRequest;

/// Change the limits of a container
///
/// Those of one that runs at once. What is not named stays as it is.
#[derive(Args, Clone, Debug, Default)]
pub struct UpdateArgs {
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitFlags,
    /// Start it again when it ends: no, always, unless-stopped, on-failure, on-failure:N
    #[arg(long, value_name = "POLICY", help_heading = "End")]
    restart: Option<String>,
    #[command(flatten, next_help_heading = "Health")]
    health: HealthFlags,
    /// Set an environment variable for what is executed in it from now on
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    env: Vec<OsString>,
    /// Take an environment variable away, in the same sense
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    unsetenv: Vec<String>,
    /// Limit of each process that is executed in it from now on: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", help_heading = "Process")]
    ulimit: Vec<String>,
    /// Name, id, or beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Invocation for UpdateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("More memory", "coracle update --memory 1g web"),
        ("Half a processor, and back again", "coracle update --cpus 0.5 web; coracle update --cpus 0 web"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "WHAT CAN BE CHANGED",
        "The limits of a container that runs can be changed if it has a control group: if it was started with a limit, or with \
         --cgroups=enabled. What happens when it ends can be changed at any time, but for a container of run --rm. Health \
         checks are those of the next start; variables and limits of single processes those of what exec executes from now on, and of \
         the next start.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let health = self.health.request()?;
        let changes = Changes {
            resources: self.limits.changes()?,
            restart: parsed("--restart", self.restart.as_deref())?,
            env: env_settings(&[], &self.env)?,
            unset: self.unsetenv,
            ulimits: all_parsed("--ulimit", &self.ulimit)?,
            health: if health == HealthRequest::default() { Vec::new() } else { vec![health] },
        };
        let layout = globals.layout()?;
        let id = dispatch::find_container(&layout, &self.container)?;
        if dispatch::update(&layout, id.as_str(), &changes)? == Felt::InPartLater {
            error::warn(
                "health checks, and variables and limits of the program itself, are changed from the container's next start",
            );
        }
        output::write(&format!("{id}\n"))?;
        Ok(0)
    }
}
