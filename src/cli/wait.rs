//! `wait`.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::wait::{Condition, NO_CODE};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::container::ContainerId;
use crate::name::duration::parse_duration;
use crate::state::layout::Layout;

/// Wait for containers to end
///
/// Prints the exit code of each, in the order in which they were named: -1 if there is none.
#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// Wait for this; of several, for the first that comes true [default: stopped]
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', hide_possible_values = false,
        value_parser = PossibleValuesParser::new(Condition::ALL.iter().map(|(word, _)| *word)))]
    condition: Vec<String>,
    /// How often to look at a container of which the kernel tells nothing: milliseconds, or a duration
    #[arg(short, long, value_name = "INTERVAL", default_value = "250ms", value_parser = parse_interval)]
    interval: Duration,
    /// A container that does not exist has the exit code -1, and is no failure
    #[arg(long)]
    ignore: bool,
    /// Of several containers, wait for the first only
    #[arg(long)]
    exit_first_match: bool,
    /// The container made last
    #[arg(short, long, conflicts_with = "containers")]
    latest: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    containers: Vec<String>,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(_) => parse_duration(text).ok(),
    };
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "expected milliseconds, or a duration as 2s".into())
}

impl Invocation for WaitArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("The exit code of a detached container", "coracle wait web"),
        ("Until it runs", "coracle wait --condition running web"),
        ("Until one of two ends", "coracle wait --exit-first-match web worker"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let conditions = self.conditions();
        let names = match self.latest {
            true => vec![dispatch::latest_container(&layout)?.to_string()],
            false => self.containers.clone(),
        };
        // All are found before the first is waited for: the others may be removed meanwhile.
        let found: Vec<_> = names.iter().map(|name| dispatch::find_container(&layout, name)).collect();
        let mut exit_code = 0;
        let mut awaited = Vec::new();
        for id in found {
            match id {
                Ok(id) if self.exit_first_match => awaited.push(id),
                Ok(id) => exit_code = exit_code.max(self.wait(&layout, &[id], &conditions)?),
                Err(failure) if self.ignore && failure.code() == "E_NOTFOUND" => {
                    output::write(&format!("{NO_CODE}\n"))?;
                }
                Err(failure) => {
                    error::report(&failure);
                    exit_code = EXIT_OWN_FAILURE;
                }
            }
        }
        if !awaited.is_empty() {
            exit_code = exit_code.max(self.wait(&layout, &awaited, &conditions)?);
        }
        Ok(exit_code)
    }
}

impl WaitArgs {
    fn conditions(&self) -> Vec<Condition> {
        let wanted = Condition::ALL.iter().filter(|(word, _)| self.condition.iter().any(|given| given == word));
        let conditions: Vec<Condition> = wanted.map(|(_, condition)| *condition).collect();
        if conditions.is_empty() { vec![Condition::Exited] } else { conditions }
    }

    fn wait(&self, layout: &Layout, ids: &[ContainerId], conditions: &[Condition]) -> Result<u8, Failure> {
        match dispatch::wait_for_containers(layout, ids, conditions, self.interval) {
            Ok(code) => output::write(&format!("{code}\n")).map(|()| 0),
            Err(failure) => {
                error::report(&failure);
                Ok(EXIT_OWN_FAILURE)
            }
        }
    }
}
