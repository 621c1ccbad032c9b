//! Which containers a command is about.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::render::output;
use super::{dispatch, error};
use crate::container::filter::KEYS;
use crate::container::summary::{Status, Summary};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::state::layout::Layout;
use crate::state::record;

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
        if self.latest {
            return Ok(vec![dispatch::latest_container(layout)?.to_string()]);
        }
        if self.all || !self.filter.is_empty() {
            let mut containers = dispatch::list_containers(layout, &Filters::parse(&self.filter, KEYS)?)?;
            containers.sort_by_key(|container| std::cmp::Reverse(container.created));
            containers.retain(is_meant);
            return Ok(containers.into_iter().map(|container| container.id.to_string()).collect());
        }
        let mut names = self.containers.clone();
        for path in &self.cidfile {
            match cidfile(path) {
                Ok(id) => names.push(id),
                Err(failure) if failure.code() == "E_NOTFOUND" && if_missing == IfMissing::Ignore => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(names)
    }
}

/// What `--cidfile` names.
pub fn cidfile(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    text.map(|text| text.trim().to_owned())
        .map_err(|cause| record::failure(&format!("--cidfile: reading {}", path.display()), &cause))
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
