//! `/etc/resolv.conf` of a container (resolv.conf(5)).

use std::net::IpAddr;

use crate::name::name_resolution::{DnsServers, NameResolution};

/// Where name servers are asked, in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Where the host does.
    Hosts,
    /// There, as far as that can be reached.
    HostsReached,
    /// There, as far as that can be reached, else here.
    HostsOr(IpAddr),
    /// Here.
    At(IpAddr),
}

/// As many as programs look at (MAXNS).
const MOST: usize = 3;

/// The file's content, from that of the host.
pub fn content(host: &str, wanted: &NameResolution, servers: Servers) -> String {
    let mut lines = Vec::new();
    let of_host = |keyword: &str| -> Vec<&str> {
        // The last line of a kind counts, but for name servers.
        let last = host.lines().rev().find(|line| line.split_ascii_whitespace().next() == Some(keyword));
        last.map(|line| line.split_ascii_whitespace().skip(1).collect()).unwrap_or_default()
    };
    let search = match &wanted.search {
        Some(words) => words.iter().map(|word| word.as_str()).collect(),
        None => search(host),
    };
    if !search.is_empty() {
        lines.push(format!("search {}", search.join(" ")));
    }
    lines.extend(addresses(host, wanted, servers).into_iter().map(|address| format!("nameserver {address}")));
    let options = match &wanted.options {
        Some(words) => words.iter().map(|word| word.as_str()).collect(),
        None => of_host("options"),
    };
    // What is about a resolver of the host's own means nothing to another one.
    let is_kept = |option: &&&str| wanted.options.is_some() || !matches!(**option, "edns0" | "trust-ad");
    let options: Vec<&str> = options.iter().filter(is_kept).copied().collect();
    if !options.is_empty() {
        lines.push(format!("options {}", options.join(" ")));
    }
    if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

/// The domains in which the host looks up short names.
pub fn search(host: &str) -> Vec<&str> {
    let of = |keyword: &str| {
        let last = host.lines().rev().find(|line| line.split_ascii_whitespace().next() == Some(keyword));
        last.map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>())
    };
    of("search").or_else(|| of("domain")).unwrap_or_default()
}

fn addresses(host: &str, wanted: &NameResolution, servers: Servers) -> Vec<String> {
    if let DnsServers::These(these) = &wanted.servers {
        return these.iter().map(ToString::to_string).collect();
    }
    let of_host = || {
        host.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
    };
    // One of a certain device's network (with a zone) is not reached from another network.
    let reached = |text: &&str| text.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified());
    match servers {
        Servers::At(address) => vec![address.to_string()],
        Servers::Hosts => of_host().take(MOST).map(str::to_owned).collect(),
        Servers::HostsReached => of_host().filter(reached).take(MOST).map(str::to_owned).collect(),
        Servers::HostsOr(address) => {
            let found: Vec<String> = of_host().filter(reached).take(MOST).map(str::to_owned).collect();
            if found.is_empty() { vec![address.to_string()] } else { found }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n\
                        domain old.example\nsearch a.example b.example\noptions edns0 trust-ad ndots:3\n";

    #[test]
    fn the_hosts_with_what_can_be_reached() {
        let like_host = NameResolution::default();
        let here = "10.0.2.3".parse().unwrap();
        assert_eq!(
            content(HOST, &like_host, Servers::HostsOr(here)),
            "search a.example b.example\nnameserver 192.0.2.53\noptions ndots:3\n"
        );
        assert_eq!(content("nameserver ::1\n", &like_host, Servers::HostsOr(here)), "nameserver 10.0.2.3\n");
        assert!(content(HOST, &like_host, Servers::At(here)).contains("nameserver 10.0.2.3\n"));
        assert!(content(HOST, &like_host, Servers::Hosts).contains("nameserver 127.0.0.53\nnameserver 192.0.2.53\n"));
        assert!(!content(HOST, &like_host, Servers::HostsReached).contains("127.0.0.53"));
        assert_eq!(content("", &like_host, Servers::Hosts), "");
    }

    #[test]
    fn what_was_asked_for_replaces_the_hosts() {
        let wanted = NameResolution {
            servers: DnsServers::These(vec!["10.9.9.9".parse().unwrap()]),
            search: Some(Vec::new()),
            options: NameResolution::parse_options(&["edns0".into()]).unwrap(),
            ..NameResolution::default()
        };
        assert_eq!(content(HOST, &wanted, Servers::Hosts), "nameserver 10.9.9.9\noptions edns0\n");
    }
}
