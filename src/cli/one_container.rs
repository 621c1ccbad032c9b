//! The one container that a command is about, for commands that fail with 125 where there is none.

use std::path::Path;

use crate::container::list;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::container::ContainerId;
use crate::state::layout::Layout;

/// The container that a name, an identifier or the beginning of one stands for.
pub fn find(layout: &Layout, text: &str) -> Result<ContainerId, Failure> {
    list::find(layout, text).map_err(|error| Failure::from(error).with_exit_code(EXIT_OWN_FAILURE))
}

/// The container made last.
pub fn latest(layout: &Layout) -> Result<ContainerId, Failure> {
    let (listed, _) = list::execute(layout);
    let latest = listed.into_iter().next().map(|container| container.record.id);
    latest.ok_or_else(|| Failure::new("E_NOTFOUND", "--latest: there is no container"))
}

/// What `--cidfile` names.
pub fn cidfile(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|cause| Failure::new("E_IO", format!("--cidfile: reading {path:?}: {cause}")))?;
    Ok(text.trim().to_owned())
}
