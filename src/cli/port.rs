//! `port`.

use clap::Args;

use super::dispatch;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::port::ExposedPorts;

/// List the ports that containers publish
///
/// A line for each: the container's port, and where it is published on the host. With PORT only where that is.
#[derive(Args, Clone, Debug)]
pub struct PortArgs {
    /// All containers
    #[arg(short, long, conflicts_with_all = ["container", "latest"])]
    all: bool,
    /// The container made last
    #[arg(short, long, conflicts_with = "port")]
    latest: bool,
    /// Name, id, or beginning of an id
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "latest"])]
    container: Option<String>,
    /// This port only: PORT or PORT/PROTOCOL
    #[arg(value_name = "PORT")]
    port: Option<String>,
}

impl Invocation for PortArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Of one container", "coracle port web"), ("One port", "coracle port web 80/tcp")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        // With --latest the first word is the port.
        let port = if self.latest { self.container.as_ref() } else { self.port.as_ref() };
        let container = match (&self.container, self.latest) {
            (_, true) => Some(dispatch::latest_container(&layout)?.to_string()),
            (name, false) => name.clone(),
        };
        let published = dispatch::published(&layout, container.as_deref())?;
        let mut lines = String::new();
        for (id, bindings) in published {
            // With several containers a line says whose it is, as podman's does.
            let owner = if container.is_none() { format!("{}\t", id.short()) } else { String::new() };
            match port {
                None => {
                    for binding in &bindings {
                        lines.push_str(&format!("{owner}{} -> {}\n", binding.inside(), binding.outside()));
                    }
                }
                Some(port) => {
                    let wanted: ExposedPorts = port.parse()?;
                    let is_wanted = |inside: u16| wanted.ports.ports().any(|port| port == inside);
                    let mut found = bindings
                        .iter()
                        .filter(|binding| binding.protocol == wanted.protocol && is_wanted(binding.container))
                        .peekable();
                    if found.peek().is_none() {
                        let message = format!("container {} does not publish the port {port:?}", id.short());
                        return Err(Failure::new("E_NOTFOUND", message));
                    }
                    found.for_each(|binding| lines.push_str(&format!("{}\n", binding.outside())));
                }
            }
        }
        output::write(&lines).map(|()| 0)
    }
}
