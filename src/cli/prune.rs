//! `container prune`.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use super::render::{output, size};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::filter::KEYS;
use crate::container::remove::IfRunning;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::filter::Filters;

/// Remove all containers that do not run
///
/// Prints the id of each, and how much room there is now. Asks first if there is somebody to ask.
#[derive(Args, Clone, Debug)]
pub struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove containers for which this is true only, as in ps, for example until=24h
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Invocation for PruneArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All that do not run", "coracle container prune --force"),
        ("Those of yesterday and before", "coracle container prune --force --filter until=24h"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let filters = Filters::parse(&self.filter, KEYS)?;
        if !self.force && !agrees() {
            return Ok(0);
        }
        let (mut code, mut freed) = (0, 0);
        for container in dispatch::list_containers(&layout, &filters)? {
            if super::selection::is_up(&container) {
                continue;
            }
            let room = dispatch::room_of_container(&layout, &container.id);
            match dispatch::remove_container(&layout, container.id.as_str(), IfRunning::Refuse) {
                Ok(()) => {
                    freed += room;
                    output::write(&format!("{}\n", container.id))?;
                }
                // Somebody has started or removed it meanwhile.
                Err(failure) if matches!(failure.code(), "E_BUSY" | "E_NOTFOUND") => {}
                Err(failure) => {
                    error::report(&failure);
                    code = EXIT_OWN_FAILURE;
                }
            }
        }
        dispatch::note_prune(&layout, freed);
        output::write(&format!("Total reclaimed space: {}\n", size::decimal(freed).replace(' ', "")))?;
        Ok(code)
    }
}

/// Asks whether to go on, on a terminal; who cannot be asked has decided.
fn agrees() -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return true;
    }
    let mut stderr = std::io::stderr();
    let question = b"All containers that do not run are removed. Go on? [y/N] ";
    let _ = stderr.write_all(question).and_then(|()| stderr.flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES")
}
