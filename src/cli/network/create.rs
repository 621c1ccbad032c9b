//! `network create`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;

use crate::cli::configuration::{configured, tell_unused};
use crate::cli::dispatch::networks as dispatch;
use crate::cli::error;
use crate::cli::render::output;
use crate::cli::run::of_flag;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::label::parse_label;
use crate::name::network::{NetworkName, parse_address};
use crate::net::link::Sharing;
use crate::net::named::{Draft, NamedError};
use crate::state::schema::container::Timestamp;
use crate::state::schema::network::{NetworkDriver, NetworkRecord, RouteRecord, SubnetRecord};
use crate::sys::random;

/// Make a network
///
/// Prints its name. Containers in a network reach each other, by name, too, and, if it is not --internal, the outside; containers in
/// other networks they do not reach. The way outside is a program, slirp4netns or pasta, or for root devices and firewall rules of the host.
///
/// Networks of the kinds macvlan and ipvlan, for root, put containers into the network of a device of the host. Their addresses are
/// named with --subnet and --ip-range: nobody is asked for them by DHCP.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Kind of the network: bridge, or, for root, macvlan or ipvlan
    #[arg(short, long, default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// Its addresses, for example 10.89.5.0/24; for IPv4 and IPv6 once each, or more [default: a free subnet]
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<String>,
    /// Address of its router, in the order of the subnets [default: the first of each]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<String>,
    /// Addresses that containers get without asking for one: a subnet of a subnet, or FIRST-LAST
    #[arg(long, value_name = "RANGE")]
    ip_range: Vec<String>,
    /// Nothing outside of it can be reached
    #[arg(long)]
    internal: bool,
    /// It has addresses of IPv6, too
    #[arg(long)]
    ipv6: bool,
    /// Name server that is asked for names outside [default: the host's]
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Containers do not find each other by name
    #[arg(long)]
    disable_dns: bool,
    /// Route that containers get: DESTINATION,GATEWAY[,METRIC]
    #[arg(long, value_name = "ROUTE")]
    route: Vec<String>,
    /// Name of its bridge, or of the device of the host that is shared
    #[arg(long, value_name = "NAME")]
    interface_name: Option<String>,
    /// mtu=BYTES, no_default_route=true; for macvlan and ipvlan parent=DEVICE of the host, and mode=MODE; docker's names are understood, too
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Label of the network
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// That there is a network of this name is no failure; it stays as it is
    #[arg(long)]
    ignore: bool,
    /// Accepted for docker: containers can be attached to every network
    #[arg(long, hide = true)]
    attachable: bool,
    /// Accepted for docker: the range of a network is this machine
    #[arg(long, hide = true, value_name = "SCOPE")]
    scope: Option<String>,
    /// Accepted for podman and docker: addresses are given here in one way
    #[arg(long, hide = true, value_name = "DRIVER")]
    ipam_driver: Option<String>,
    /// Its name [default: chosen at random]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Invocation for CreateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("For some containers", "coracle network create front"),
        ("With certain addresses", "coracle network create --subnet 10.89.5.0/24 --subnet fd00:5::/64 back"),
        ("From which nothing gets out", "coracle network create --internal secrets"),
        (
            "In the network of a device of the host, for root",
            "coracle network create -d macvlan -o parent=eth0 --subnet 192.168.1.0/24 --ip-range 192.168.1.200/29 lan",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let draft = self.draft()?;
        let layout = globals.layout()?;
        configured();
        let name = draft.record.name.clone();
        match dispatch::create(&layout, draft) {
            Err(failure) if failure.code() == "E_EXISTS" && self.ignore => {}
            other => other?,
        }
        tell_unused(&layout);
        output::write(&format!("{name}\n"))?;
        Ok(0)
    }
}

impl CreateArgs {
    fn draft(&self) -> Result<Draft, Failure> {
        let driver = match self.driver.as_str() {
            "bridge" => NetworkDriver::Bridge,
            "macvlan" => NetworkDriver::MacVlan,
            "ipvlan" => NetworkDriver::IpVlan,
            other => {
                let message = format!("--driver {other:?}: there are no networks of this kind");
                return Err(Failure::new("E_UNSUPPORTED", message).with_hint("there are bridge, macvlan and ipvlan"));
            }
        };
        for (flag, value) in [("--ipam-driver", &self.ipam_driver), ("--scope", &self.scope)] {
            let is_usual = value.as_deref().is_none_or(|value| matches!(value, "host-local" | "default" | "local"));
            if !is_usual {
                let message = format!("{flag} {}: there is no such thing here", value.as_deref().unwrap_or_default());
                return Err(Failure::new("E_UNSUPPORTED", message));
            }
        }
        let mut options = BTreeMap::new();
        let mut device = self.interface_name.clone();
        for option in &self.opt {
            self.option(driver, option, &mut options, &mut device)?;
        }
        if driver != NetworkDriver::Bridge {
            self.check_shared(driver)?;
        }
        let labels = self.label.iter().map(|text| parse_label(text).map_err(|error| of_flag("--label", error)));
        let device = device.map(|name| name.parse().map_err(|error| of_flag("--interface-name", error))).transpose()?;
        let servers = self.dns.iter().map(|text| parse_address(text).map_err(|error| of_flag("--dns", error)));
        let record = NetworkRecord {
            name: self.name()?,
            id: String::new(),
            created: Timestamp::now(),
            driver,
            device: device.clone().unwrap_or_else(crate::net::named::default_device),
            subnets: self.subnets()?,
            routes: self.route.iter().map(|text| route(text)).collect::<Result<_, _>>()?,
            internal: self.internal,
            // Only who is the router of a network can answer there.
            dns: !self.disable_dns && driver == NetworkDriver::Bridge,
            name_servers: servers.collect::<Result<_, _>>()?,
            labels: labels.collect::<Result<_, _>>()?,
            options,
        };
        Ok(Draft { record, ipv6: self.ipv6, has_device: device.is_some() })
    }

    /// Nobody of us gives addresses, or answers questions, in a network of the host's.
    fn check_shared(&self, driver: NetworkDriver) -> Result<(), Failure> {
        let refused = |what: &str| format!("--driver {}: {what}", driver.as_str());
        if self.subnet.is_empty() {
            let message = refused("addresses are not asked for by DHCP, so --subnet is needed");
            let hint =
                "name the subnet of the host's device, and with --ip-range addresses in it that nobody else gets";
            return Err(Failure::new("E_CONFIG", message).with_hint(hint));
        }
        match () {
            () if !self.dns.is_empty() => {
                Err(Failure::new("E_CONFIG", refused("containers in it are given name servers with run --dns")))
            }
            () if self.ipv6 => Err(Failure::new("E_CONFIG", refused("name a subnet of IPv6 in place of --ipv6"))),
            () => Ok(()),
        }
    }

    fn name(&self) -> Result<NetworkName, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.parse()?);
        }
        let bytes: [u8; 32] = random::bytes().map_err(NamedError::Random)?;
        let digits: String = bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("n{digits}").parse()?)
    }

    /// Options under podman's or docker's names: what has no meaning here is told of.
    fn option(
        &self,
        driver: NetworkDriver,
        text: &str,
        options: &mut BTreeMap<String, String>,
        device: &mut Option<String>,
    ) -> Result<(), Failure> {
        let refused = |why: &str| Err(Failure::new("E_CONFIG", format!("--opt {text}: {why}")));
        let Some((key, value)) = text.split_once('=') else { return refused("expected KEY=VALUE") };
        match key {
            "parent" if driver != NetworkDriver::Bridge => *device = Some(value.to_owned()),
            "mode" | "macvlan_mode" | "ipvlan_mode" if driver != NetworkDriver::Bridge => {
                if Sharing::of(driver, value).is_none() || value.is_empty() {
                    return match driver {
                        NetworkDriver::IpVlan => refused("expected l2, l3 or l3s"),
                        _ => refused("expected bridge, private, vepa or passthru"),
                    };
                }
                options.insert("mode".into(), value.into());
            }
            "mtu" | "com.docker.network.driver.mtu" => match value.parse::<u32>() {
                Ok(68..=65_535) => drop(options.insert("mtu".into(), value.into())),
                _ => return refused("expected 68 to 65535 bytes"),
            },
            "com.docker.network.bridge.name" => *device = Some(value.to_owned()),
            "no_default_route" => drop(options.insert(key.into(), value.into())),
            "isolate" => {
                // Networks are apart from each other in any case.
                options.insert(key.into(), value.into());
            }
            "com.docker.network.bridge.enable_icc" | "com.docker.network.bridge.enable_ip_masquerade"
                if matches!(value, "true" | "1") => {}
            _ if key.starts_with("com.docker.network.") => {
                error::warn(&format!("--opt {text} has no meaning here, and is left out"));
            }
            _ if driver == NetworkDriver::Bridge => {
                return refused("there is no such option: mtu, isolate and no_default_route are known");
            }
            _ => return refused("there is no such option: parent, mode, mtu and no_default_route are known"),
        }
        Ok(())
    }

    fn subnets(&self) -> Result<Vec<SubnetRecord>, Failure> {
        if self.subnet.is_empty() && (!self.gateway.is_empty() || !self.ip_range.is_empty()) {
            let failure = Failure::new("E_CONFIG", "--gateway and --ip-range are about a subnet, and there is none");
            return Err(failure.with_hint("name it, for example --subnet 10.89.5.0/24"));
        }
        let mut subnets = Vec::new();
        for text in &self.subnet {
            let refused = || {
                Failure::new(
                    "E_CONFIG",
                    format!("--subnet {text:?}: expected ADDRESS/LENGTH, for example 10.89.5.0/24"),
                )
            };
            let subnet: IpNet = text.parse().map_err(|_| refused())?;
            let room = subnet.max_prefix_len() - subnet.prefix_len();
            if room < 2 || subnet.prefix_len() < 4 || subnet.addr().is_multicast() || subnet.addr().is_loopback() {
                return Err(refused());
            }
            subnets.push(SubnetRecord { subnet: subnet.trunc(), gateway: None, range: None });
        }
        for text in &self.gateway {
            let address = parse_address(text).map_err(|error| of_flag("--gateway", error))?;
            let subnet = subnets.iter_mut().find(|subnet| subnet.subnet.contains(&address) && subnet.gateway.is_none());
            let outside = || {
                Failure::new(
                    "E_CONFIG",
                    format!("--gateway {address}: it is in none of the subnets, or there is another"),
                )
            };
            subnet.ok_or_else(outside)?.gateway = Some(address);
        }
        for text in &self.ip_range {
            let (first, last) = range(text)?;
            let subnet =
                subnets.iter_mut().find(|subnet| subnet.subnet.contains(&first) && subnet.subnet.contains(&last));
            let outside = || Failure::new("E_CONFIG", format!("--ip-range {text}: it is in none of the subnets"));
            subnet.ok_or_else(outside)?.range = Some((first, last));
        }
        Ok(subnets)
    }
}

fn range(text: &str) -> Result<(IpAddr, IpAddr), Failure> {
    let refused = || Failure::new("E_CONFIG", format!("--ip-range {text:?}: expected ADDRESS/LENGTH or FIRST-LAST"));
    if let Some((first, last)) = text.split_once('-') {
        let (first, last): (IpAddr, IpAddr) =
            (first.parse().map_err(|_| refused())?, last.parse().map_err(|_| refused())?);
        return if first <= last && first.is_ipv4() == last.is_ipv4() { Ok((first, last)) } else { Err(refused()) };
    }
    let net: IpNet = text.parse().map_err(|_| refused())?;
    Ok((net.network(), net.broadcast()))
}

fn route(text: &str) -> Result<RouteRecord, Failure> {
    let refused = || {
        Failure::new(
            "E_CONFIG",
            format!("--route {text:?}: expected DESTINATION,GATEWAY[,METRIC], for example 10.1.0.0/16,10.89.5.7"),
        )
    };
    let mut parts = text.split(',');
    let destination: IpNet = parts.next().and_then(|part| part.parse().ok()).ok_or_else(refused)?;
    let gateway: IpAddr = parts.next().and_then(|part| part.parse().ok()).ok_or_else(refused)?;
    let metric = parts.next().map(|part| part.parse().map_err(|_| refused())).transpose()?;
    let is_one_family = destination.addr().is_ipv4() == gateway.is_ipv4();
    if parts.next().is_some() || !is_one_family {
        Err(refused())
    } else {
        Ok(RouteRecord { destination, gateway, metric })
    }
}
