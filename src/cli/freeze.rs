//! `pause` and `unpause`.

use clap::Args;

use super::selection::{IfMissing, Selection, for_each};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::freeze::Means;
use crate::container::summary::{Status, Summary};
use crate::failure::Failure;

/// Stop all processes of containers until they are resumed
///
/// Where the container has no control group of its own, its processes are stopped by SIGSTOP, which those outside of it
/// that wait for them can notice.
#[derive(Args, Clone, Debug)]
pub struct PauseArgs {
    #[command(flatten)]
    selection: Selection,
}

/// Let the processes of paused containers go on
///
/// Prints the name of each container that was resumed.
#[derive(Args, Clone, Debug)]
pub struct UnpauseArgs {
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for PauseArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One container", "coracle pause web"), ("All that run", "coracle pause --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let is_meant = |container: &Summary| matches!(container.status, Status::Running { .. });
        let names = self.selection.names(&layout, IfMissing::Report, is_meant)?;
        let mut any = false;
        let code = for_each(&names, IfMissing::Report, |name| {
            let means = dispatch::pause(&layout, &dispatch::find_container(&layout, name)?)?;
            any |= means == Means::Signals;
            Ok(())
        })?;
        if any {
            error::warn(
                "stopped by signals: a container has a control group only with a limit, or with --cgroups=enabled",
            );
        }
        Ok(code)
    }
}

impl Invocation for UnpauseArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One container", "coracle unpause web"), ("All that are paused", "coracle unpause --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let is_meant = |container: &Summary| matches!(container.status, Status::Paused { .. });
        let names = self.selection.names(&layout, IfMissing::Report, is_meant)?;
        for_each(&names, IfMissing::Report, |name| {
            dispatch::unpause(&layout, &dispatch::find_container(&layout, name)?)
        })
    }
}
