//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container.

use crate::net::plan::NetworkPlan;
use crate::runtime::blueprint::GivenFile;

/// What a container on this network, with this host name, finds there.
pub fn given(network: &NetworkPlan, hostname: &str) -> Vec<GivenFile> {
    let (hosts, resolv_conf) = match network {
        NetworkPlan::None | NetworkPlan::Named => (String::new(), String::new()),
        NetworkPlan::Host => (read("/etc/hosts"), read("/etc/resolv.conf")),
    };
    let hosts = if hosts.is_empty() { "127.0.0.1\tlocalhost\n::1\tlocalhost\n".into() } else { hosts };
    let file = |name, content, destination| GivenFile { name, content, destination };
    vec![
        file("hosts", format!("{}\n127.0.0.1\t{hostname}\n", hosts.trim_end()), "/etc/hosts"),
        file("hostname", format!("{hostname}\n"), "/etc/hostname"),
        file("resolv.conf", resolv_conf, "/etc/resolv.conf"),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
