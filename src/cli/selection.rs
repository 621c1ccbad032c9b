//! Which containers a command is about.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::render::output;
use super::{dispatch, error};
use crate::container::filter::KEYS;
use crate::container::summary::{Status, Summary};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::state::layout::Layout;

/// Containers by name, by file, or all.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// All containers that the command can be used on
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile", "latest"])]
    pub all: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile"])]
    pub latest: bool,
    /// The container whose id is in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cidfile: Vec<PathBuf>,
    /// Containers that the filter means, as KEY=VALUE (see ps)
    #[arg(short, long, value_name = "FILTER", conflicts_with_all = ["containers", "cidfile", "latest"])]
    pub filter: Vec<String>,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "latest", "cidfile", "filter"])]
    pub containers: Vec<String>,
}

/// What is done about a container that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is an error.
    Report,
    /// It is no failure (`--ignore`).
    Ignore,
}

impl Selection {
    /// The containers, as the user named them; of all, those that `is_meant` accepts.
    pub fn names(
        &self,
        layout: &Layout,
        if_missing: IfMissing,
        is_meant: impl Fn(&Summary) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let filters = Filters::parse(&self.filter, KEYS)?;
        if self.all || self.latest || !self.filter.is_empty() {
            let mut containers = dispatch::list_containers(layout, &filters)?;
            containers.sort_by_key(|container| std::cmp::Reverse(container.created));
            if self.latest {
                containers.truncate(1);
                if containers.is_empty() {
                    return Err(Failure::new("E_NOTFOUND", "--latest: there is no container"));
                }
            } else {
                containers.retain(is_meant);
            }
            return Ok(containers.into_iter().map(|container| container.id.to_string()).collect());
        }
        let mut names = self.containers.clone();
        for path in &self.cidfile {
            match std::fs::read_to_string(path) {
                Ok(id) => names.push(id.trim().to_owned()),
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && if_missing == IfMissing::Ignore => {}
                Err(cause) => return Err(Failure::new("E_IO", format!("--cidfile: reading {path:?}: {cause}"))),
            }
        }
        Ok(names)
    }
}

/// Does something to each of them and prints the names of those with which it was done; the exit code.
pub fn for_each(
    names: &[String],
    if_missing: IfMissing,
    mut act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut code = 0;
    for name in names {
        match act(name) {
            Ok(()) => output::write(&format!("{name}\n"))?,
            Err(failure) if failure.code() == "E_NOTFOUND" && if_missing == IfMissing::Ignore => {}
            Err(failure) => {
                error::report(&failure);
                code = crate::failure::EXIT_OWN_FAILURE;
            }
        }
    }
    Ok(code)
}

/// Whether the container runs, or is about to run again.
pub fn is_up(container: &Summary) -> bool {
    matches!(container.status, Status::Running { .. } | Status::Paused { .. } | Status::Restarting)
}
