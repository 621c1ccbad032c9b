//! Flags about a container's network: of `run` and `create`.

use std::net::IpAddr;
use std::path::Path;

use clap::{Args, ValueHint};

use super::{all_parsed, of_flag, parsed};
use crate::container::request::{DnsServers, HostsFile, KnownHost, NameResolution, NetworkMode, PortRequest};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::name::network::{parse_address, parse_alias};

/// The container's network, the ports that it publishes, and how it finds hosts by name.
#[derive(Args, Clone, Debug, Default)]
pub struct NetworkFlags {
    /// Network: none, host, private, bridge, NAME, container:NAME, ns:PATH, slirp4netns or pasta [default: private where
    /// slirp4netns or pasta is installed, else none]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Another name of the container in its networks
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Address of the container in its network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// The same of IPv6
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Hardware address of the container in its network
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,

    /// Publish a port, or a range, on the host
    #[arg(short, long, value_name = "[[IP:][HOST-PORT]:]PORT[/PROTOCOL]")]
    publish: Vec<String>,
    /// Publish all exposed ports, each on a free port of the host
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Expose a port, or a range, for --publish-all
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,

    /// Name server to ask; none leaves the image's resolv.conf alone [default: the host's]
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Domain to search for short names; . for none [default: the host's]
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Option of resolv.conf [default: the host's]
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Entry of /etc/hosts; the address host-gateway is the host's
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// What /etc/hosts begins with: a file, image or none [default: the host's entries, but for loopback]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    hosts_file: Option<String>,
    /// Leave the image's /etc/hosts alone
    #[arg(long, conflicts_with_all = ["add_host", "hosts_file"])]
    no_hosts: bool,
    /// Leave the image's /etc/hostname alone
    #[arg(long)]
    no_hostname: bool,
    /// Of containers.conf.
    #[arg(skip)]
    configured_host: Option<String>,
}

/// What the flags ask for.
pub struct Networking {
    /// The network.
    pub mode: NetworkMode,
    /// The ports.
    pub ports: PortRequest,
    /// The names.
    pub resolution: NameResolution,
}

impl NetworkFlags {
    /// Takes what is not given from containers.conf.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        for (flag, key) in [
            (&mut self.dns, "dns_servers"),
            (&mut self.dns_search, "dns_searches"),
            (&mut self.dns_option, "dns_options"),
        ] {
            if flag.is_empty() {
                flag.extend(conf.list(key).iter().cloned());
            }
        }
        self.hosts_file = self.hosts_file.take().or_else(|| conf.text("base_hosts_file"));
        // What is given on the command line is about the file that this would leave alone.
        if conf.flag("no_hosts") == Some(true) && self.add_host.is_empty() && self.hosts_file.is_none() {
            self.no_hosts = true;
        }
        self.configured_host = conf.text("host_containers_internal_ip");
        if !self.network.is_empty() {
            return;
        }
        self.network.extend(conf.text("netns").filter(|mode| mode != "private"));
        if self.network.is_empty() {
            self.network.extend(helper(conf));
        }
    }

    /// In types.
    pub fn parsed(&self, working_directory: &Path) -> Result<Networking, Failure> {
        let mode = self.mode()?;
        let ports = PortRequest {
            published: all_parsed("--publish", &self.publish)?,
            all: self.publish_all,
            exposed: all_parsed("--expose", &self.expose)?,
        };
        // With the host's network there is nothing to publish, and both docker and podman take the flag.
        if (ports.all || !ports.published.is_empty())
            && matches!(mode, NetworkMode::None | NetworkMode::Container(_) | NetworkMode::Namespace(_))
        {
            let failure =
                Failure::new("E_CONFIG", format!("--publish: nothing can be published with --network {mode}"));
            return Err(failure.with_hint(match mode {
                NetworkMode::Container(_) => "publish the port with the container whose network it is",
                _ => "leave --network out, or choose another one",
            }));
        }
        let of = |flag: &'static str| move |error| of_flag(flag, error);
        let resolution = NameResolution {
            servers: DnsServers::parse(&self.dns).map_err(of("--dns"))?,
            search: NameResolution::parse_search(&self.dns_search).map_err(of("--dns-search"))?,
            options: NameResolution::parse_options(&self.dns_option).map_err(of("--dns-option"))?,
            hosts: match self.hosts_file.as_deref() {
                _ if self.no_hosts => HostsFile::Untouched,
                None => HostsFile::Host,
                Some("image") => HostsFile::Image,
                Some("none" | "") => HostsFile::None,
                Some(path) => HostsFile::File(working_directory.join(path)),
            },
            entries: all_parsed("--add-host", &self.add_host)?,
            host: match self.configured_host.as_deref() {
                None => KnownHost::Found,
                Some("none") => KnownHost::Unnamed,
                Some(text) => KnownHost::At(text.parse().map_err(|_| {
                    Failure::new(
                        "E_CONFIG",
                        format!("host_containers_internal_ip: {text:?} is neither an address nor none"),
                    )
                })?),
            },
            leaves_hostname: self.no_hostname,
        };
        Ok(Networking { mode, ports, resolution })
    }

    /// What is said of the one network beside `--network` goes to it.
    fn mode(&self) -> Result<NetworkMode, Failure> {
        let mut mode = NetworkMode::parse_all(&self.network).map_err(|error| of_flag("--network", error))?;
        let of = |flag: &'static str| move |error| of_flag(flag, error);
        let ip = self.ip.as_deref().map(parse_address).transpose().map_err(of("--ip"))?;
        let ip6 = self.ip6.as_deref().map(parse_address).transpose().map_err(of("--ip6"))?;
        let mac = parsed("--mac-address", self.mac_address.as_deref())?;
        let aliases = self.network_alias.iter().map(|alias| parse_alias(alias));
        let aliases = aliases.collect::<Result<Vec<_>, _>>().map_err(of("--network-alias"))?;
        let given = [
            ("--ip", ip.is_some()),
            ("--ip6", ip6.is_some()),
            ("--mac-address", mac.is_some()),
            ("--network-alias", !aliases.is_empty()),
        ];
        let Some((flag, _)) = given.into_iter().find(|(_, is_given)| *is_given) else { return Ok(mode) };
        let NetworkMode::Networks(all) = &mut mode else {
            let failure =
                Failure::new("E_CONFIG", format!("{flag}: the container is in no network where that has a meaning"));
            return Err(failure.with_hint("name one: --network bridge, or one that `network create` made"));
        };
        if let [_, second, ..] = &all[..]
            && (ip.is_some() || ip6.is_some() || mac.is_some())
        {
            let message = format!("{flag}: there are several networks, of which {} is one", second.network);
            return Err(
                Failure::new("E_CONFIG", message).with_hint("say it with the network: --network NAME:ip=10.89.0.5")
            );
        }
        for attachment in all {
            attachment.aliases.extend(aliases.iter().cloned());
            attachment.mac = attachment.mac.or(mac);
            for (flag, address) in [("--ip", ip), ("--ip6", ip6)] {
                match address {
                    Some(IpAddr::V4(address)) if flag == "--ip" => attachment.ip = Some(address),
                    Some(IpAddr::V6(address)) if flag == "--ip6" => attachment.ip6 = Some(address),
                    Some(address) => {
                        let message = format!("{flag}: {address} is of the other family of addresses");
                        return Err(Failure::new("E_CONFIG", message));
                    }
                    None => {}
                }
            }
        }
        Ok(mode)
    }
}

/// The network in user mode by the program that containers.conf names.
fn helper(conf: &ContainersConf) -> Option<String> {
    let program = conf.text("default_rootless_network_cmd");
    let options = conf.list("pasta_options");
    let of_slirp = conf.list("network_cmd_options");
    match program.as_deref() {
        None | Some("pasta") if !options.is_empty() => Some(format!("pasta:{}", options.join(","))),
        None | Some("slirp4netns") if !of_slirp.is_empty() => Some(format!("slirp4netns:{}", of_slirp.join(","))),
        other => other.map(str::to_owned),
    }
}
