//! `mount` and `unmount`, also of `container`.

use clap::Args;
use serde_json::{Value, json};

use super::render::{json as render_json, output, table};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::list::Listed;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::image::mount::IfBusy;
use crate::state::layout::Layout;

/// Show the files of a container in a directory
///
/// Mounts the container's root and prints where. What is written there is written into the container; one that runs is shown
/// read-only. Its volumes are not mounted. Without a container, lists those that are mounted. Works in the namespaces of
/// `coracle unshare`, whose end is the end of the mount, and for root.
#[derive(Args, Clone, Debug)]
pub struct MountArgs {
    /// Mount all containers
    #[arg(short, long, conflicts_with_all = ["containers", "latest"])]
    all: bool,
    /// Mount the container made last
    #[arg(short, long, conflicts_with = "containers")]
    latest: bool,
    /// Print JSON (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json"])]
    format: Option<String>,
    /// Show ids in full
    #[arg(long, visible_alias = "notruncate")]
    no_trunc: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Invocation for MountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Put a file into a container", "coracle unshare sh -c 'cp settings $(coracle mount web)/etc/'"),
        ("What is mounted", "coracle mount"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let names = match (self.all, self.latest) {
            (true, _) => {
                dispatch::all_containers(&layout).iter().map(|container| container.record.id.to_string()).collect()
            }
            (_, true) => vec![dispatch::latest_container(&layout)?.to_string()],
            _ => self.containers.clone(),
        };
        if names.is_empty() && !self.all {
            return self.list(&layout, |_| true);
        }
        let (mut mounted, mut code) = (Vec::new(), 0);
        for name in &names {
            match dispatch::mount_container(&layout, name) {
                Ok(done) => mounted.push(done),
                Err(failure) => {
                    error::report(&failure);
                    code = EXIT_OWN_FAILURE;
                }
            }
        }
        if self.format.is_none() && names.len() == 1 {
            for (_, path) in &mounted {
                output::write(&format!("{}\n", path.display()))?;
            }
            return Ok(code);
        }
        self.list(&layout, |container| mounted.iter().any(|(id, _)| *id == container.record.id))?;
        Ok(code)
    }
}

impl MountArgs {
    /// Those of the mounted containers that are wanted.
    fn list(&self, layout: &Layout, is_wanted: impl Fn(&Listed) -> bool) -> Result<u8, Failure> {
        let mounted = dispatch::mounted_containers(layout)?.into_iter().filter(|(container, _)| is_wanted(container));
        let text = match &self.format {
            Some(_) => {
                let items = mounted.map(|(container, path)| {
                    let record = container.record;
                    json!({ "id": record.id.as_str(), "Names": [record.name.as_str()],
                        "mountpoint": path.display().to_string() })
                });
                render_json::indented(&items.collect::<Vec<Value>>())?
            }
            None => {
                let rows = mounted.map(|(container, path)| {
                    let id = &container.record.id;
                    format!("{}\t{}", if self.no_trunc { id.as_str() } else { id.short() }, path.display())
                });
                table::align(&rows.collect::<Vec<_>>())
            }
        };
        output::write(&text).map(|()| 0)
    }
}

/// Take the mounts of containers away
///
/// Prints the name of each.
#[derive(Args, Clone, Debug)]
pub struct UnmountArgs {
    /// Unmount all containers
    #[arg(short, long, conflicts_with_all = ["containers", "latest"])]
    all: bool,
    /// Unmount the container made last
    #[arg(short, long, conflicts_with = "containers")]
    latest: bool,
    /// Unmount a container whose files somebody uses, too
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "latest"])]
    containers: Vec<String>,
}

impl Invocation for UnmountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("All of them", "coracle unmount --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let names = match (self.all, self.latest) {
            (true, _) => dispatch::mounted_containers(&layout)?
                .iter()
                .map(|(container, _)| container.record.id.to_string())
                .collect(),
            (_, true) => vec![dispatch::latest_container(&layout)?.to_string()],
            _ => self.containers,
        };
        let if_busy = if self.force { IfBusy::Detach } else { IfBusy::Refuse };
        super::selection::for_each(&names, super::selection::IfMissing::Report, |name| {
            dispatch::unmount_container(&layout, name, if_busy)
        })
    }
}

/// Clean up after containers
///
/// Nothing is ever left to do: a container's monitor cleans up after it, and where that was killed the next command does.
#[derive(Args, Clone, Debug)]
pub struct CleanupArgs {
    /// Accepted as podman's
    #[arg(long)]
    rm: bool,
    /// Accepted as podman's
    #[arg(long)]
    rmi: bool,
    /// Accepted as podman's
    #[arg(long)]
    stopped_only: bool,
    #[command(flatten)]
    selection: super::selection::Selection,
}

impl Invocation for CleanupArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("All", "coracle container cleanup --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        if self.rm || self.rmi {
            let failure = Failure::new("E_CONFIG", "--rm, --rmi: nothing is removed by cleaning up");
            return Err(failure.with_hint("coracle rm CONTAINER removes a container, coracle rmi IMAGE an image"));
        }
        let names = self.selection.names(&layout, super::selection::IfMissing::Report, |_| true)?;
        super::selection::for_each(&names, super::selection::IfMissing::Report, |name| {
            dispatch::find_container(&layout, name).map(drop)
        })
    }
}
