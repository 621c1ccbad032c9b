//! `/etc/hosts` of a container (hosts(5)).

use std::net::IpAddr;

use crate::name::name_resolution::{HostAddress, HostEntry};

/// Names under which a container reaches the host: podman's and docker's.
pub const HOST_NAMES: &str = "host.containers.internal host.docker.internal";

/// What is in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hosts<'a> {
    /// Another file, with which it begins.
    pub base: &'a str,
    /// Whether that is the host's: what it says of loopback means something else in a container.
    pub is_base_hosts: bool,
    /// `--add-host`; they come first, since the first entry counts.
    pub entries: &'a [HostEntry],
    /// Addresses of the container, with its names.
    pub own: &'a [(IpAddr, String)],
    /// The host's address, as the container reaches it.
    pub host: Option<IpAddr>,
}

/// The file's content.
pub fn content(hosts: &Hosts<'_>) -> String {
    let mut lines = Vec::new();
    for HostEntry { names, address } in hosts.entries {
        let address = match address {
            HostAddress::Ip(ip) => Some(*ip),
            HostAddress::Gateway => hosts.host,
        };
        lines.extend(address.map(|address| format!("{address}\t{}", names.join(" "))));
    }
    let base = hosts.base.lines().map(str::trim_end);
    let base: Vec<&str> = base.filter(|line| !hosts.is_base_hosts || means_something_inside(line)).collect();
    for (address, names) in
        [("127.0.0.1", "localhost localhost.localdomain"), ("::1", "localhost localhost.localdomain")]
    {
        if !base.iter().any(|line| fields(line).next() == Some(address) && fields(line).any(|name| name == "localhost"))
        {
            lines.push(format!("{address}\t{names}"));
        }
    }
    lines.extend(base.into_iter().map(str::to_owned));
    lines.extend(hosts.host.map(|address| format!("{address}\t{HOST_NAMES}")));
    lines.extend(hosts.own.iter().map(|(address, names)| format!("{address}\t{names}")));
    lines.join("\n") + "\n"
}

/// Address and names of a line.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_ascii_whitespace()
}

/// Entries of other machines: neither loopback, nor groups, nor comments.
fn means_something_inside(line: &str) -> bool {
    let address: Option<IpAddr> = fields(line).next().and_then(|address| address.parse().ok());
    address.is_some_and(|ip| !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified())
}

/// Entries that ask for the host's address where it is not known.
pub fn lacks_host(entries: &[HostEntry], host: Option<IpAddr>) -> bool {
    host.is_none() && entries.iter().any(|entry| entry.address == HostAddress::Gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_its_own() {
        let entries = ["db:10.0.0.6".parse().unwrap(), "up:host-gateway".parse().unwrap()];
        let hosts = Hosts {
            base: "# of the host\n127.0.0.1 localhost\n127.0.1.1 laptop\n::1 ip6-loopback\nff02::1 all\n192.0.2.7 nas # disk\n",
            is_base_hosts: true,
            entries: &entries,
            own: &[("10.0.2.100".parse().unwrap(), "abc web".into())],
            host: Some("192.0.2.2".parse().unwrap()),
        };
        assert_eq!(
            content(&hosts),
            "10.0.0.6\tdb\n192.0.2.2\tup\n127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n\
             192.0.2.7 nas # disk\n192.0.2.2\thost.containers.internal host.docker.internal\n10.0.2.100\tabc web\n"
        );
    }

    #[test]
    fn a_file_that_was_chosen_stays_as_it_is() {
        let hosts = Hosts { base: "127.0.0.1 localhost\n# kept\n127.0.1.1 laptop\n", ..Hosts::default() };
        assert_eq!(
            content(&hosts),
            "::1\tlocalhost localhost.localdomain\n127.0.0.1 localhost\n# kept\n127.0.1.1 laptop\n"
        );
    }
}
