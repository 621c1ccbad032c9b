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
}
