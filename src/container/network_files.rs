//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container.

use super::request::NetworkMode;

/// Names and contents, to be written into the container's directory.
pub fn contents(network: NetworkMode, hostname: &str) -> Vec<(&'static str, String)> {
    let (hosts, resolv_conf) = match network {
        NetworkMode::None => (String::new(), String::new()),
        NetworkMode::Host => (read("/etc/hosts"), read("/etc/resolv.conf")),
    };
    let hosts = if hosts.is_empty() { "127.0.0.1\tlocalhost\n::1\tlocalhost\n".into() } else { hosts };
    vec![
        ("hosts", format!("{}\n127.0.0.1\t{hostname}\n", hosts.trim_end())),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolv_conf),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
