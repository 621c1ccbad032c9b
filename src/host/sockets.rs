//! Who listens where on this machine (proc_pid_net(5)), and what users may do about ports (ip(7)).

use std::fs;

use crate::name::port::Protocol;

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOwner {
    /// Its user.
    pub uid: u32,
    /// Its number and name, if we may know them.
    pub process: Option<(i32, String)>,
}

impl std::fmt::Display for PortOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.process {
            Some((pid, name)) => write!(f, "process {pid} ({name})"),
            None => write!(f, "a process of user {}", self.uid),
        }
    }
}

/// The first port that may be had without privilege; 0 for all.
pub fn first_user_port() -> u16 {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    setting.trim().parse().unwrap_or(1024)
}

/// Whether there is a route to anywhere, of either family.
pub fn has_default_route() -> bool {
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    has_route_v4(&v4) || has_route_v6(&v6)
}

/// Destination 0 with mask 0: the second and the eighth field.
fn has_route_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.nth(1) == Some("00000000") && fields.nth(5) == Some("00000000")
    })
}

/// Destination 0 with a prefix of length 0, and not through the loopback device, as the route that refuses everything is.
fn has_route_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_default = |field: &str| field.bytes().all(|b| b == b'0');
        matches!(&fields[..], [to, length, .., device] if is_default(to) && *length == "00" && *device != "lo")
    })
}

/// Who listens on this port.
pub fn port_owner(protocol: Protocol, port: u16) -> Option<PortOwner> {
    let tables: [&str; 2] = match protocol {
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Tcp | Protocol::Sctp => ["tcp", "tcp6"],
    };
    let listening = if protocol == Protocol::Udp { "07" } else { "0A" };
    tables.into_iter().find_map(|table| {
        let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let (uid, inode) = socket_at(&table, port, listening)?;
        Some(PortOwner { uid, process: process_with(&inode) })
    })
}

/// User and inode of the socket in this state at this port.
fn socket_at(table: &str, port: u16, state: &str) -> Option<(u32, String)> {
    let port = format!("{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = fields.get(1)?.rsplit_once(':')?.1 == port && *fields.get(3)? == state;
        is_it.then_some((fields.get(7)?.parse().ok()?, (*fields.get(9)?).to_owned()))
    })
}

/// The process that has the socket of this inode, among those whose descriptors we may see.
fn process_with(inode: &str) -> Option<(i32, String)> {
    let wanted = format!("socket:[{inode}]");
    let entries = fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find_map(|pid| {
        let mut fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        fds.any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())).then(|| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim_end().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_port_is_ours() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let owner = port_owner(Protocol::Tcp, listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(owner.process.unwrap().0, std::process::id() as i32);
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let owner = port_owner(Protocol::Udp, socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(owner.process.unwrap().0, std::process::id() as i32);
    }

    #[test]
    fn routes() {
        let header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let net = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let default = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert!(has_route_v4(&format!("{header}{net}{default}")));
        assert!(!has_route_v4(&format!("{header}{net}")) && !has_route_v4(""));
        let zero = "0".repeat(32);
        let line = |device: &str| format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00000003 {device}\n");
        assert!(has_route_v6(&line("    eth0")) && !has_route_v6(&line("      lo")) && !has_route_v6(""));
    }
}
