//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container.

use std::ffi::CStr;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, UdpSocket};

use super::request::{DnsServers, HostsFile, KnownHost, NameResolution};
use crate::failure::Failure;
use crate::net::hosts::{self, Hosts};
use crate::net::plan::NetworkPlan;
use crate::net::resolv_conf::{self, Servers};
use crate::rootfs::view::View;
use crate::runtime::blueprint::GivenFile;

/// The host's file.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A file of names is not longer than that.
const LIMIT: u64 = 1 << 20;

/// What a container with this host name and these other names finds there.
pub fn given(
    network: &NetworkPlan,
    wanted: &NameResolution,
    names: (&str, &str),
    view: &View,
) -> Result<Vec<GivenFile>, Failure> {
    let (hostname, name) = names;
    let file = |name, content, destination, shared| GivenFile {
        name,
        content: String::into(content),
        destination,
        required: false,
        shared,
    };
    let mut files = Vec::new();
    if wanted.hosts != HostsFile::Untouched {
        files.push(file("hosts", hosts_file(network, wanted, (hostname, name), view)?, "/etc/hosts", false));
    }
    if !wanted.leaves_hostname {
        files.push(file("hostname", format!("{hostname}\n"), "/etc/hostname", false));
    }
    if wanted.servers != DnsServers::Image {
        files.push(file("resolv.conf", name_servers(network, wanted), RESOLV_CONF, follows_host(network, wanted)));
    }
    Ok(files)
}

/// Whether `/etc/resolv.conf` changes with the host's.
pub fn follows_host(network: &NetworkPlan, wanted: &NameResolution) -> bool {
    let is_all_given = wanted.search.is_some() && wanted.options.is_some();
    let takes_servers = wanted.servers == DnsServers::Host;
    *network != NetworkPlan::None && wanted.servers != DnsServers::Image && (takes_servers || !is_all_given)
}

/// The content of `/etc/resolv.conf` as the host's is now.
pub fn name_servers(network: &NetworkPlan, wanted: &NameResolution) -> String {
    let host = || read(RESOLV_CONF);
    match network {
        NetworkPlan::None if wanted.servers == DnsServers::Host => String::new(),
        NetworkPlan::None => resolv_conf::content("", wanted, Servers::Hosts),
        NetworkPlan::Host => resolv_conf::content(&host(), wanted, Servers::Hosts),
        // slirp4netns looks at the host's file for each question, pasta once.
        NetworkPlan::User(plan) if plan.helper == crate::net::plan::Helper::Slirp => {
            resolv_conf::content(&host(), wanted, Servers::At(plan.dns.into()))
        }
        NetworkPlan::User(plan) => resolv_conf::content(&host(), wanted, Servers::HostsOr(plan.dns.into())),
        NetworkPlan::Join(_) => resolv_conf::content(&host(), wanted, Servers::Hosts),
        NetworkPlan::Named(plan) if plan.resolver.is_none() => {
            resolv_conf::content(&host(), wanted, Servers::HostsReached)
        }
        NetworkPlan::Named(plan) => {
            // The network's resolver asks those that were named, for this container.
            let mut wanted = NameResolution { servers: DnsServers::Host, ..wanted.clone() };
            if plan.has_names {
                wanted.search_also(crate::net::dns::zone::DOMAIN, &resolv_conf::search(&host()));
            }
            let servers = plan.resolver.map_or(Servers::Hosts, Servers::At);
            resolv_conf::content(&host(), &wanted, servers)
        }
    }
}

fn hosts_file(
    network: &NetworkPlan,
    wanted: &NameResolution,
    (hostname, name): (&str, &str),
    view: &View,
) -> Result<String, Failure> {
    let is_base_hosts = wanted.hosts == HostsFile::Host && network.is_own();
    let base = match &wanted.hosts {
        // Nobody else is reached.
        HostsFile::Host if *network == NetworkPlan::None => String::new(),
        HostsFile::Host => read("/etc/hosts"),
        HostsFile::Image => of_image(view, c"etc/hosts"),
        HostsFile::None | HostsFile::Untouched => String::new(),
        HostsFile::File(path) => fs::read_to_string(path).map_err(|cause| {
            let code = if cause.kind() == std::io::ErrorKind::NotFound { "E_NOTFOUND" } else { "E_IO" };
            Failure::new(code, format!("--hosts-file: reading {}: {cause}", path.display()))
        })?,
    };
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let (own, host) = match network {
        NetworkPlan::None => (loopback, None),
        NetworkPlan::Host => (loopback, Some(loopback)),
        NetworkPlan::Join(_) | NetworkPlan::Named(_) => (loopback, own_address()),
        NetworkPlan::User(plan) => (plan.address.0.into(), plan.host.or_else(own_address)),
    };
    let host = match wanted.host {
        KnownHost::Found => host,
        KnownHost::Unnamed => None,
        KnownHost::At(address) => Some(address),
    };
    if hosts::lacks_host(&wanted.entries, host) {
        let why = match wanted.host {
            KnownHost::Unnamed => "host_containers_internal_ip of containers.conf is none",
            KnownHost::Found | KnownHost::At(_) => "the container has no way to the host",
        };
        let failure = Failure::new("E_NETWORK", format!("--add-host: {why}, so host-gateway has no address"));
        return Err(failure.with_hint("give an address in its place, or the container a network"));
    }
    let names = if hostname == name { hostname.to_owned() } else { format!("{hostname} {name}") };
    // Its addresses in networks are given to it later.
    let own = if matches!(network, NetworkPlan::Named(_)) { Vec::new() } else { vec![(own, names)] };
    Ok(hosts::content(&Hosts { base: &base, is_base_hosts, entries: &wanted.entries, own: &own, host }))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn of_image(view: &View, path: &CStr) -> String {
    let mut content = Vec::new();
    if let Ok(Some(file)) = view.open(path) {
        let _ = file.take(LIMIT).read_to_end(&mut content);
    }
    String::from_utf8_lossy(&content).into_owned()
}

/// The address under which this machine is known to others: the one from which it would send to them. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let towards = |own: &str, other: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((other, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    // Addresses for documentation (RFC 5737, RFC 3849): nobody's.
    towards("0.0.0.0", "198.51.100.1").or_else(|| towards("::", "2001:db8::1"))
}
