//! `network connect` and `network disconnect`.

use std::net::IpAddr;

use clap::Args;

use crate::cli::dispatch::networks as dispatch;
use crate::cli::run::{of_flag, parsed};
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::network::{Attachment, NetworkRefused, parse_address, parse_alias};
use crate::net::named;

/// Attach a container to another network
///
/// One that runs gets another device at once; one that does not gets it when it is started.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Another name of the container in this network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Address of the container in this network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// The same of IPv6
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Hardware address of the container in this network
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Name or ID of the container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Invocation for ConnectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Under another name", "coracle network connect --alias db back postgres")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut attachment = Attachment::new(named::find(&layout, &self.network)?.name);
        let aliases = self.alias.iter().map(|alias| parse_alias(alias).map_err(|error| of_flag("--alias", error)));
        attachment.aliases = aliases.collect::<Result<_, _>>()?;
        attachment.mac = parsed("--mac-address", self.mac_address.as_deref())?;
        for (flag, text) in [("--ip", &self.ip), ("--ip6", &self.ip6)] {
            let Some(text) = text else { continue };
            match parse_address(text).map_err(|error| of_flag(flag, error))? {
                IpAddr::V4(address) if flag == "--ip" => attachment.ip = Some(address),
                IpAddr::V6(address) if flag == "--ip6" => attachment.ip6 = Some(address),
                _ => return Err(of_flag(flag, NetworkRefused::Address(text.clone()))),
            }
        }
        dispatch::connect(&layout, &self.container, attachment)?;
        Ok(0)
    }
}

/// Detach a container from a network
#[derive(Args, Clone, Debug)]
pub struct DisconnectArgs {
    /// Accepted for podman and docker: nothing has to be forced
    #[arg(short, long)]
    force: bool,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Name or ID of the container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Invocation for DisconnectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One of them", "coracle network disconnect back postgres")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let network = named::find(&layout, &self.network)?;
        dispatch::disconnect(&layout, &self.container, &network)?;
        Ok(0)
    }
}
