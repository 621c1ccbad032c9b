//! `init`, `start` and `restart`.

use clap::Args;

use super::dispatch;
use super::run::PresenceFlags;
use super::selection::{IfMissing, Selection, for_each, is_up};
use super::tree::{Globals, Invocation};
use crate::container::summary::Status;
use crate::failure::Failure;

/// Make containers ready to be started
///
/// Their namespaces, mounts and first process are made, and can be looked at and copied into; the program waits for `start`.
/// What is made ready and stopped instead is what it was before.
#[derive(Args, Clone, Debug, Default)]
pub struct InitArgs {
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for InitArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("To look before it runs", "coracle init web && coracle inspect --format '{{.State.Pid}}' web"),
        ("All that were made or have ended", "coracle init --all"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let can_be = |status| matches!(status, Status::Created | Status::Exited { .. });
        let names = self.selection.names(&layout, IfMissing::Report, |container| can_be(container.status))?;
        for_each(&names, IfMissing::Report, |name| dispatch::init(&layout, name))
    }
}

/// Start containers
///
/// Those that were made and not started yet, and those that have ended. Prints their names; with --attach, stays with one
/// container as `run` does.
#[derive(Args, Clone, Debug, Default)]
// The short form is that of --attach.
#[command(mut_arg("all", |all| all.short(None)))]
pub struct StartArgs {
    /// Show what the container writes, pass signals on, and end with its exit code
    #[arg(short = 'a', long, conflicts_with_all = ["all", "filter"])]
    attach: bool,
    /// Pass standard input on, if the container was made to read it; implies --attach
    #[arg(short, long, conflicts_with_all = ["all", "filter"])]
    interactive: bool,
    #[command(flatten)]
    presence: PresenceFlags,
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for StartArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("In the background", "coracle start web"),
        ("With its terminal", "coracle start -ai shell"),
        ("What a reboot has ended", "coracle start --filter restart-policy=always"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("0", "Success."), ("N", "With --attach: the container's exit code."), ("125", "A failure.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let names = self.selection.names(&layout, IfMissing::Report, |container| !is_up(container))?;
        if !self.attach && !self.interactive {
            return for_each(&names, IfMissing::Report, |name| dispatch::start(&layout, name));
        }
        match names.as_slice() {
            [name] => dispatch::start_attached(
                &layout,
                name,
                self.interactive,
                self.presence.signals(),
                self.presence.keys()?,
            ),
            _ => Err(Failure::new("E_CONFIG", "--attach and --interactive are for one container")),
        }
    }
}

/// Stop containers and start them again
///
/// Those that do not run are started.
#[derive(Args, Clone, Debug, Default)]
pub struct RestartArgs {
    /// Seconds that a container has to end before it is killed [default: the container's]
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,
    /// With --all: only those that run
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Invocation for RestartArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("At once", "coracle restart -t 0 web")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let selection = Selection { all: self.selection.all || self.running, ..self.selection };
        let names = selection.names(&layout, IfMissing::Report, |container| !self.running || is_up(container))?;
        let patience = super::stop::patience(self.time);
        for_each(&names, IfMissing::Report, |name| dispatch::restart(&layout, name, patience))
    }
}
