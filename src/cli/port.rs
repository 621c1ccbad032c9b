//! `port`.

use clap::Args;

use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;

/// List the ports that containers publish
///
/// No container publishes any yet: nothing is printed.
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
        let Some(container) = container else { return Ok(0) };
        dispatch::find_container(&layout, &container)?;
        match port {
            Some(port) => {
                Err(Failure::new("E_NOTFOUND", format!("container {container} does not publish the port {port:?}")))
            }
            None => Ok(0),
        }
    }
}
