//! `network update` and `network reload`.

use std::net::IpAddr;

use clap::Args;

use crate::cli::dispatch::networks as dispatch;
use crate::cli::render::output;
use crate::cli::run::of_flag;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::network::parse_address;

/// Change the name servers of a network
///
/// Containers in it feel it at once.
#[derive(Args, Clone, Debug)]
pub struct UpdateArgs {
    /// Name server to add, or several with commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    dns_add: Vec<String>,
    /// Name server to take away, or several with commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    dns_drop: Vec<String>,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
}

impl Invocation for UpdateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Another name server", "coracle network update --dns-add 192.0.2.53 front")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let parse = |flag: &'static str, texts: &[String]| -> Result<Vec<IpAddr>, Failure> {
            texts.iter().map(|text| parse_address(text).map_err(|error| of_flag(flag, error))).collect()
        };
        let (added, dropped) = (parse("--dns-add", &self.dns_add)?, parse("--dns-drop", &self.dns_drop)?);
        dispatch::update(&globals.layout()?, &self.network, |record| {
            record.name_servers.retain(|server| !dropped.contains(server));
            let new: Vec<IpAddr> =
                added.iter().filter(|server| !record.name_servers.contains(server)).copied().collect();
            record.name_servers.extend(new);
        })?;
        output::write(&format!("{}\n", self.network))?;
        Ok(0)
    }
}

/// See to it that the networks of containers work
///
/// What was killed is started again. Firewall rules of the host, if there are any, cannot be removed by others.
#[derive(Args, Clone, Debug)]
pub struct ReloadArgs {
    /// All containers that run
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// Names or IDs of containers
    #[arg(value_name = "CONTAINER", required_unless_present = "all")]
    containers: Vec<String>,
}

impl Invocation for ReloadArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("All", "coracle network reload --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        for id in dispatch::reload(&globals.layout()?, &self.containers)? {
            output::write(&format!("{id}\n"))?;
        }
        Ok(0)
    }
}
