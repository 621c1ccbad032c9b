//! `attach`.

use clap::Args;

use super::dispatch;
use super::run::PresenceFlags;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Take part in a container that runs
///
/// Shows what it writes from now on, passes on what is typed if the container was made with --interactive, and ends with its
/// exit code. Several users of this account can be attached at once.
#[derive(Args, Clone, Debug, Default)]
pub struct AttachArgs {
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with = "container")]
    latest: bool,
    #[command(flatten)]
    presence: PresenceFlags,
    /// Name, id, or the beginning of one
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    container: Option<String>,
}

impl Invocation for AttachArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Until ctrl-p ctrl-q is typed", "coracle attach shell")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("N", "The container's exit code."), ("0", "The container was left running."), ("125", "A failure.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let selection = super::selection::Selection {
            latest: self.latest,
            containers: self.container.into_iter().collect(),
            ..Default::default()
        };
        let names = selection.names(&layout, super::selection::IfMissing::Report, |_| true)?;
        let name = names.first().map(String::as_str).unwrap_or_default();
        dispatch::attach(&layout, name, !self.no_stdin, self.presence.signals(), self.presence.keys()?)
    }
}
