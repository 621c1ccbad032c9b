//! `pause` and `unpause`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error, one_container};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::container::ContainerId;
use crate::state::layout::Layout;

/// Stop all processes of containers until they are resumed
///
/// Where the container has no control group of its own, its processes are stopped by SIGSTOP, which those outside of it
/// that wait for them can notice.
#[derive(Args, Clone, Debug)]
pub struct PauseArgs {
    #[command(flatten)]
    which: Which,
}

/// Let the processes of paused containers go on
///
/// Prints the name of each container that was resumed.
#[derive(Args, Clone, Debug)]
pub struct UnpauseArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// All containers that can be
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile", "latest"])]
    all: bool,
    /// Take the container whose id is in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cidfile: Vec<PathBuf>,
    /// Take the container made last
    #[arg(short, long)]
    latest: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "cidfile", "latest"])]
    containers: Vec<String>,
}

impl Invocation for PauseArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One container", "coracle pause web"), ("All that run", "coracle pause --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let can_be = |layout: &Layout| dispatch::running_containers(layout, dispatch::Paused::No);
        let (code, any) = self.which.each(&layout, can_be, dispatch::pause)?;
        if any {
            error::warn("stopped by signals, since containers have no control group of their own");
        }
        Ok(code)
    }
}

impl Invocation for UnpauseArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One container", "coracle unpause web"), ("All that are paused", "coracle unpause --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let can_be = |layout: &Layout| dispatch::running_containers(layout, dispatch::Paused::Yes);
        let (code, _) = self.which.each(&layout, can_be, dispatch::unpause)?;
        Ok(code)
    }
}

impl Which {
    /// Does something with each, and goes on after a failure; the exit code, and whether it was done with any.
    fn each(
        &self,
        layout: &Layout,
        can_be: impl Fn(&Layout) -> Vec<ContainerId>,
        act: fn(&Layout, &ContainerId) -> Result<(), Failure>,
    ) -> Result<(u8, bool), Failure> {
        let mut names = self.containers.clone();
        for path in &self.cidfile {
            names.push(one_container::cidfile(path)?);
        }
        if self.latest {
            names.push(one_container::latest(layout)?.to_string());
        }
        if self.all {
            names.extend(can_be(layout).iter().map(ToString::to_string));
        }
        let (mut code, mut any) = (0, false);
        for name in names {
            match one_container::find(layout, &name).and_then(|id| act(layout, &id)) {
                Ok(()) => {
                    any = true;
                    output::write(&format!("{name}\n"))?;
                }
                Err(failure) => {
                    error::report(&failure);
                    code = EXIT_OWN_FAILURE;
                }
            }
        }
        Ok((code, any))
    }
}
